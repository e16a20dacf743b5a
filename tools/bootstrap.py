"""`make setup` starts here: finds a Python that is new enough and hands over to `install.py`.

Any Python 3 can run this file, so it keeps to old syntax.
"""

import os
import subprocess
import sys

OLDEST = (3, 11)
NAMES = ("python3", "python3.13", "python3.12", "python3.11", "python3.14", "python")
HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120  # no pathlib in what must always start


def version_of(python):  # noqa: ANN001, ANN201
    """(major, minor) of an interpreter, None where it does not run."""
    probe = [python, "-c", "import sys; print(sys.version_info[0], sys.version_info[1])"]
    try:
        done = subprocess.run(probe, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        return tuple(int(part) for part in done.stdout.split())
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


def find_python():  # noqa: ANN201
    """The first interpreter that is new enough: $PYTHON, this one, then the usual names on the path; else None."""
    for python in (os.environ.get("PYTHON"), sys.executable, *NAMES):
        if python and (version_of(python) or (0, 0)) >= OLDEST:
            return python
    return None


def main():  # noqa: ANN201
    """Run `install.py` with a good Python; 2 and one sentence where there is none."""
    python = find_python()
    if python is None:
        found = ".".join(str(part) for part in sys.version_info[:3])
        sys.stderr.write(
            "setup: found Python " + found + ", but 3.11 or newer is needed; install one (on Debian: "
            "apt-get install python3 python3-venv) or name one: make setup PYTHON=/path/to/python3\n"
        )
        return 2
    install = os.path.join(HERE, "install.py")  # noqa: PTH118  # see HERE
    return subprocess.call([python, install])


if __name__ == "__main__":
    sys.exit(main())
