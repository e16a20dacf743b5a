"""Makes `.venv` and fills the cache: packages, llama-cpp-python, the demo model, chat templates for the tests.

Each step is skipped when what it depends on has not changed; `.venv/setup-stamps.json` remembers.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import llama_wheel
from llama_wheel import SetupError

from workbench.data import DEMO_MODEL, cache_dir

VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts" if os.name == "nt" else "bin") / "python"
STAMPS = VENV / "setup-stamps.json"
CONSTRAINTS = ROOT / "constraints.txt"
EXTRAS = "lab,engines,servers,hf,test,dev"
UNFINISHED = "installed, not checked yet"  # an interrupted run goes on from there


def main() -> int:
    """All steps in order; 2 and one sentence where one fails."""
    try:
        make_venv()
        stamps = read_stamps()
        wheel = install_llama(stamps)
        install_packages(stamps)
        if wheel is not None:
            check_llama(wheel, stamps)
        quiet_lab()
        build_ollama()
        fetch_model()
        unpack_templates()
    except SetupError as error:
        print(f"setup: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nsetup: stopped; what is done stays done, `make setup` goes on from there", file=sys.stderr)
        return 130
    print("setup: everything is in place")
    return 0


def make_venv() -> None:
    """`.venv` with pip, made again where its Python no longer runs."""
    if works(PYTHON, "-c", "import pip"):
        return
    say(f"making .venv with Python {sys.version.split()[0]}")
    done = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)], check=False, capture_output=True, text=True
    )
    if done.returncode or not works(PYTHON, "-c", "import pip"):
        raise SetupError(
            "Python's venv module cannot make an environment with pip; "
            "on Debian and Ubuntu: apt-get install python3-venv"
        )


def install_llama(stamps: dict[str, str]) -> Path | None:
    """llama-cpp-python, built as `llama_wheel` says; None where the one that is installed stays.

    One that the user installed by hand stays, and so does one built with flags that this shell no longer has.
    """
    version = pinned("llama-cpp-python")
    installed, built = version_in_venv("llama-cpp-python"), stamps.get("llama")
    if installed and built is None:
        return None  # the user's own
    asked = os.environ.get("CMAKE_ARGS") or os.environ.get(llama_wheel.OWN_WHEEL)
    as_asked = built == build_key(version) if asked else built != UNFINISHED
    if installed and as_asked and stamps.get("pinned") == version:
        return None
    wheel = llama_wheel.find_or_build(version, PYTHON, cache_dir(), say)
    remember(stamps, llama=UNFINISHED)
    pip("install", "--quiet", "--no-deps", "--force-reinstall", str(wheel))
    return wheel


def build_key(version: str) -> str:
    """What the user asks for, as one text."""
    return os.environ.get(llama_wheel.OWN_WHEEL) or llama_wheel.key(version, PYTHON)


def check_llama(wheel: Path, stamps: dict[str, str]) -> None:
    """The fresh library loads in a process of its own; without RPC that is said."""
    probe = "import llama_cpp; print(int(llama_cpp.llama_supports_rpc()))"
    done = subprocess.run([str(PYTHON), "-c", probe], check=False, capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise SetupError(f"{wheel.name} does not load here: {last}; remove {wheel.parent} and run make setup again")
    if done.stdout.strip() != "1":
        say("note: this llama.cpp is built without RPC; everything but remote devices works")
    version = pinned("llama-cpp-python")
    remember(stamps, llama=build_key(version), pinned=version)


def install_packages(stamps: dict[str, str]) -> None:
    """The package itself, editable, with all extras, everything pinned by `constraints.txt`."""
    contents = [(ROOT / "pyproject.toml").read_bytes(), CONSTRAINTS.read_bytes(), str(ROOT).encode()]
    wanted = hashlib.sha256(b"\0".join(contents)).hexdigest()
    if stamps.get("packages") == wanted and works(PYTHON, "-c", "import workbench, pytest, jupyterlab"):
        return
    say("installing the Python packages, a minute or two")
    # llama-cpp-python is in place by now, perhaps the user's own version: its pin must not make pip compile another.
    lines = [line for line in CONSTRAINTS.read_text().splitlines() if not line.startswith("llama-cpp-python==")]
    with tempfile.TemporaryDirectory() as aside:
        pins = Path(aside, "constraints.txt")
        pins.write_text("\n".join(lines) + "\n")
        pip("install", "--quiet", "--constraint", str(pins), "--editable", f"{ROOT}[{EXTRAS}]")
    remember(stamps, packages=wanted)


def quiet_lab() -> None:
    """JupyterLab's defaults in `.venv`: no question about news, no look for updates; the user's own settings count."""
    path = VENV / "share" / "jupyter" / "lab" / "settings" / "overrides.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    values = {"fetchNews": "false", "checkForUpdates": False}
    path.write_text(json.dumps({"@jupyterlab/apputils-extension:notification": values}))


def build_ollama() -> None:
    """The engine `ollama`, compiled by the package's own means; without it everything else works."""
    command = [str(PYTHON), "-m", "workbench.ollama_engine"]
    if subprocess.run([*command, "--there"], check=False, capture_output=True).returncode == 0:
        return
    say("compiling the engine ollama with Go, half a minute (75 MB are fetched and not kept)")
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        say(f"note: {done.stderr.strip()}; the other engines work")


def fetch_model() -> None:
    """The demo model, by the package's own means."""
    if (cache_dir() / "models" / DEMO_MODEL).is_file():
        return
    say("fetching the demo model (98 MB)")
    if subprocess.run([str(PYTHON), "-m", "workbench.demo_model"], check=False, stdout=subprocess.DEVNULL).returncode:
        raise SetupError("the demo model is missing (see the line above)")


def unpack_templates() -> None:
    """Published chat templates out of llama-cpp-python's source package: the tests render them."""
    target = cache_dir() / "templates"
    if any(target.glob("*.jinja")):
        return
    try:
        source = llama_wheel.source_package(pinned("llama-cpp-python"), PYTHON, cache_dir(), say)
    except SetupError as error:
        say(f"note: no templates for the tests ({error})")
        return
    with tempfile.TemporaryDirectory(dir=cache_dir()) as aside, tarfile.open(source) as package:
        for member in package:
            path = Path(member.name)
            if member.isfile() and path.suffix == ".jinja" and path.parent.match("vendor/llama.cpp/models/templates"):
                content = package.extractfile(member)
                if content is not None:
                    Path(aside, path.name).write_bytes(content.read())
        target.mkdir(parents=True, exist_ok=True)
        for template in Path(aside).iterdir():
            template.replace(target / template.name)


def pinned(name: str) -> str:
    """The version that `constraints.txt` pins."""
    for line in CONSTRAINTS.read_text().splitlines():
        if line.lower().startswith(f"{name}=="):
            return line.split("==")[1].split()[0]
    raise SetupError(f"constraints.txt does not pin {name}")


def version_in_venv(name: str) -> str | None:
    """The installed version of a package, None where it is not installed."""
    probe = f"from importlib.metadata import version; print(version({name!r}))"
    done = subprocess.run([str(PYTHON), "-c", probe], check=False, capture_output=True, text=True)
    return done.stdout.strip() or None


def pip(*arguments: str) -> None:
    """Run `.venv`'s pip with the user's own configuration. Errors: `SetupError` with pip's last lines."""
    command = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        end = "\n".join(done.stdout.splitlines()[-25:])
        raise SetupError(f"pip {arguments[0]} failed; its last lines:\n{end}")


def works(*command: str | Path) -> bool:
    """Whether a program runs and ends well."""
    try:
        done = subprocess.run([str(part) for part in command], check=False, capture_output=True)
    except OSError:
        return False
    return done.returncode == 0


def read_stamps() -> dict[str, str]:
    """What was installed by this script; empty where nothing is known."""
    try:
        stamps: dict[str, str] = json.loads(STAMPS.read_text())
    except (OSError, ValueError):
        return {}
    return stamps


def remember(stamps: dict[str, str], **done: str) -> None:
    """Note what is installed now."""
    stamps.update(done)
    STAMPS.write_text(json.dumps(stamps, indent=1))


def say(message: str) -> None:
    """One line about what is going on."""
    print(f"setup: {message}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
