"""A processor that refuses an instruction: a library from the machine's compiler that is loaded before ggml's own.

It stands in for the function in which ggml's CPU backend computes with weights that lie in extra buffers. A process
that gets there runs an instruction that no processor has, in the middle of a pass, and its system ends it by SIGILL.
"""

import subprocess

SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>

typedef bool (*compute_t)(void *, void *);

/* The own function of the backend that calls: of a build with variants several are loaded, and one computes. */
static compute_t own_of(void *caller) {
    Dl_info info;
    dladdr(caller, &info);
    void *library = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
    return (compute_t) dlsym(library, "ggml_cpu_extra_compute_forward");
}

bool ggml_cpu_extra_compute_forward(void *params, void *op) {
    static compute_t own;
    if (!own) own = own_of(__builtin_return_address(0));
    if (ALWAYS || own(params, op)) __builtin_trap();
    return false;
}
"""


def library(folder, *, always):
    """The path of the library; `always`: it is at fault without extra buffers too."""
    path = folder / f"refuses-{'always' if always else 'extra-buffers'}.so"
    source = path.with_suffix(".c")
    source.write_text(SOURCE)
    define = f"-DALWAYS={int(always)}"
    subprocess.run(["cc", "-shared", "-fPIC", define, "-o", path, source, "-ldl"], check=True)
    return path
