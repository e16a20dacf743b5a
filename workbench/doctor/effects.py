"""What a part of the environment can change of what the workbench shows: the one table of it."""

from __future__ import annotations

from typing import Literal

Effect = Literal["rendering", "ids", "numbers", "parsing"]
EFFECTS: tuple[Effect, ...] = ("rendering", "ids", "numbers", "parsing")
NOTHING = "nothing"

# Packages whose code runs between a request and what is shown of its answer. Their files are checked by hash.
PACKAGES: dict[str, tuple[Effect, ...]] = {
    "gguf-workbench": EFFECTS,
    "llama-cpp-python": ("rendering", "ids", "numbers"),
    "jinja2": ("rendering",),
    "markupsafe": ("rendering",),
    "ggufdoctor": ("rendering",),
    "wasmtime": ("rendering",),
    "xllamacpp": ("rendering", "ids"),
    "transformers": ("rendering",),
    "tokenizers": ("ids",),
    "numpy": ("numbers",),
    "rapidfuzz": (),  # lays differences side by side
    "anywidget": (),  # draws
    "ipywidgets": (),
    "jupyterlab-widgets": (),
}

# The rest of an environment: part and name -> what it can change. What is not here can change nothing.
FACTS: dict[tuple[str, str], tuple[Effect, ...]] = {
    ("system", "python"): ("rendering", "parsing"),  # its Unicode tables, its json and re
    ("system", "os"): ("rendering", "numbers"),  # strftime and the mathematics of the C library
    ("system", "libc"): ("rendering", "numbers"),
    ("system", "machine"): ("numbers",),
    ("system", "cpu"): ("numbers",),
    ("system", "cpu_features"): ("numbers",),
    ("system", "processors"): ("numbers",),  # threads: sums are split among them
    ("system", "time_zone"): ("rendering",),  # templates ask for the date
    ("system", "encoding"): ("rendering",),
    ("runtime", "library"): ("rendering", "ids", "numbers"),
    ("runtime", "build_features"): ("numbers",),
    ("runtime", "build_flags"): ("numbers",),
    ("runtime", "devices"): ("numbers",),
    ("runtime", "limits"): ("numbers",),
    ("runtime", "engines"): ("rendering",),
    ("files", "demo model"): ("rendering", "ids", "numbers"),
    ("files", "toolsmith"): ("rendering", "ids", "numbers"),
    ("files", "ollama module"): ("rendering",),
}
