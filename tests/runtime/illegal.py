"""A processor that refuses an instruction: a library from the machine's compiler that is loaded before ggml's own.

It stands in for the function in which ggml's CPU backend computes with weights that lie in extra buffers. A process
that gets there runs an instruction that no processor has, in the middle of a pass, and its system ends it by SIGILL.
"""

import subprocess

SOURCE = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <link.h>
#include <stdbool.h>
#include <string.h>

typedef bool (*compute_t)(void *, void *);

/* The backend's own function, wherever the backend was loaded from. */
static int find(struct dl_phdr_info *info, size_t size, void *found) {
    const char *name = strrchr(info->dlpi_name, '/');
    if (!name || strncmp(name, "/libggml-cpu", 12)) return 0;
    void *library = dlopen(info->dlpi_name, RTLD_LAZY | RTLD_NOLOAD);
    *(compute_t *) found = (compute_t) dlsym(library, "ggml_cpu_extra_compute_forward");
    return 1;
}

bool ggml_cpu_extra_compute_forward(void *params, void *op) {
    static compute_t own;
    if (!own) dl_iterate_phdr(find, &own);
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
