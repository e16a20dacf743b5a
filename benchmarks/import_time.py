"""How long `import workbench` takes beyond an empty Python, and that it loads nothing heavy.

Measured: `python -c "import workbench"` against `python -c pass`, alternating, fresh processes, median of
the differences. Aim: under 150 ms.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

ROUNDS = 15
LIMIT_MS = 150.0
HEAVY = ("llama_cpp", "ipywidgets", "anywidget", "plotly", "pandas", "transformers", "numpy", "jinja2")


def main() -> int:
    run("import workbench")  # byte code is compiled once, not in every process
    differences = [run("import workbench") - run("pass") for _ in range(ROUNDS)]
    median = statistics.median(differences)
    loaded = loaded_modules()
    print(f"| import workbench | {median:.1f} ms over an empty Python (median of {ROUNDS}) | under {LIMIT_MS:.0f} ms |")
    print(f"| heavy modules loaded by it | {', '.join(loaded) or 'none'} | none |")
    return int(median >= LIMIT_MS or bool(loaded))


def run(code: str) -> float:
    """Wall time of a fresh Python that runs `code`, in ms."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - started) * 1000


def loaded_modules() -> list[str]:
    """Those of `HEAVY` that `import workbench` brings in."""
    probe = f"import sys, workbench; print(*[m for m in {HEAVY!r} if m in sys.modules])"
    return subprocess.run([sys.executable, "-c", probe], check=True, capture_output=True, text=True).stdout.split()


if __name__ == "__main__":
    sys.exit(main())
