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
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import llama_wheel
from llama_wheel import SetupError

from workbench.data import DEMO_MODEL, cache_dir
from workbench.runtime import records

VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts" if os.name == "nt" else "bin") / "python"
STAMPS = VENV / "setup-stamps.json"
CONSTRAINTS = ROOT / "constraints.txt"
EXTRAS = "lab,engines,servers,hf,test,dev"
PROOFS = "proofs"  # where `workbench.proof` keeps what it found
UNFINISHED = "installed, not proven yet"  # an interrupted run goes on from there


def main() -> int:
    """All steps in order; 2 and one sentence where one fails."""
    try:
        make_venv()
        stamps = read_stamps()
        install_llama(stamps)
        install_packages(stamps)
        prove_llama(stamps)
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
    if has("pip"):
        return
    say(f"making .venv with Python {sys.version.split()[0]}")
    done = subprocess.run(
        [sys.executable, "-m", "venv", "--clear", str(VENV)], check=False, capture_output=True, text=True
    )
    if done.returncode or not has("pip"):
        raise SetupError(
            "Python's venv module cannot make an environment with pip; "
            "on Debian and Ubuntu: apt-get install python3-venv"
        )


def install_llama(stamps: dict[str, str]) -> None:
    """llama-cpp-python, built as `llama_wheel` says, where none is installed that may stay.

    One that the user installed by hand stays, and so does one built with flags that this shell no longer has.
    """
    version = pinned("llama-cpp-python")
    installed, built = version_in_venv("llama-cpp-python"), stamps.get("llama")
    if installed and built is None:
        return  # the user's own
    asked = os.environ.get("CMAKE_ARGS") or os.environ.get(llama_wheel.OWN_WHEEL)
    as_asked = built == asked_for(version) if asked else built not in (None, UNFINISHED)
    if installed and as_asked and stamps.get("pinned") == version:
        return
    wheel = llama_wheel.own_wheel()
    if wheel is None:
        wheel, flavour = build_first(version)
        stamps["flavour"] = flavour.name
    install_wheel(wheel, stamps)


def build_first(version: str) -> tuple[Path, llama_wheel.Flavour]:
    """The best wheel that has not failed here, and which it is. Errors: `SetupError`."""
    for flavour in llama_wheel.flavours():
        if not flavour.native:
            try:
                return llama_wheel.find_or_build(version, PYTHON, cache_dir(), flavour, say), flavour
            except SetupError as error:
                say(f"note: no portable llama.cpp can be built here: {str(error).splitlines()[0]}")
    natives = llama_wheel.native_flavours()
    flavour = next((each for each in natives if not note_of(version, each).is_file()), natives[-1])
    return llama_wheel.find_or_build(version, PYTHON, cache_dir(), flavour, say), flavour


def install_wheel(wheel: Path, stamps: dict[str, str]) -> None:
    """Put it into `.venv`; it counts once it is proven."""
    remember(stamps, llama=UNFINISHED)
    pip("install", "--quiet", "--no-deps", "--force-reinstall", str(wheel))


def asked_for(version: str) -> str:
    """What the user asks for, as one text."""
    return os.environ.get(llama_wheel.OWN_WHEEL) or llama_wheel.key(version, PYTHON, llama_wheel.flavours()[0])


def note_of(version: str, flavour: llama_wheel.Flavour) -> Path:
    """Where it stands that this flavour failed on this machine."""
    return llama_wheel.failed_here(cache_dir() / "wheels" / llama_wheel.key(version, PYTHON, flavour))


def prove_llama(stamps: dict[str, str]) -> None:
    """Prove the installed llama.cpp once on this machine; a build of ours that fails is made again with less.

    Errors: `SetupError` where nothing that can be had works.
    """
    finished = stamps.get("llama") != UNFINISHED
    if finished and records.read(PROOFS, llama_folder()) is not None:
        return
    say("proving the build of llama.cpp on this machine")
    version = pinned("llama-cpp-python")
    natives = llama_wheel.native_flavours() if stamps.get("llama") and llama_wheel.own_wheel() is None else []
    at = next((i for i, flavour in enumerate(natives) if flavour.name == stamps.get("flavour")), len(natives))
    outcome = proof(strict=bool(natives[at + 1 :]))
    for failed, flavour in zip(natives[at:], natives[at + 1 :], strict=False):
        if outcome.usable:
            break
        note_of(version, failed).write_text(outcome.sentence + "\n")
        say(f"{outcome.sentence}; building again, {flavour.name}")
        install_wheel(llama_wheel.find_or_build(version, PYTHON, cache_dir(), flavour, say), stamps)
        stamps["flavour"] = flavour.name
        outcome = proof(strict=flavour is not natives[-1])
    if not outcome.usable:
        own = os.environ.get(llama_wheel.OWN_WHEEL)
        what = f"{own} cannot be used here" if own else "llama.cpp does not work here"
        raise SetupError(f"{what}: {outcome.sentence}; name a wheel that works in {llama_wheel.OWN_WHEEL}")
    say(outcome.sentence)
    if not finished:
        remember(stamps, llama=asked_for(version), pinned=version)


class Outcome(NamedTuple):
    """Of a proof: whether the build can be used, and the verdict in words."""

    usable: bool
    sentence: str


def proof(*, strict: bool) -> Outcome:
    """Let the package prove the installed build, in a process of its own. Errors: `SetupError`."""
    command = [str(PYTHON), "-m", "workbench.proof", "--json", *(["--strict"] if strict else [])]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    try:
        facts = json.loads(done.stdout)
        return Outcome(facts["usable"], facts["sentence"])
    except (ValueError, KeyError) as error:
        raise SetupError("the build of llama.cpp could not be proven (see the line above)") from error


def llama_folder() -> Path:
    """The installed llama_cpp."""
    return next(iter(sorted(VENV.glob("lib/python*/site-packages/llama_cpp"))), VENV / "Lib/site-packages/llama_cpp")


def install_packages(stamps: dict[str, str]) -> None:
    """The package itself, editable, with all extras, everything pinned by `constraints.txt`."""
    contents = [(ROOT / "pyproject.toml").read_bytes(), CONSTRAINTS.read_bytes(), str(ROOT).encode()]
    wanted = hashlib.sha256(b"\0".join(contents)).hexdigest()
    if stamps.get("packages") == wanted and has("workbench", "pytest", "jupyterlab"):
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


def has(*packages: str) -> bool:
    """Whether `.venv`'s Python runs and finds these packages."""
    probe = "import sys; from importlib.util import find_spec; sys.exit(not all(map(find_spec, sys.argv[1:])))"
    try:
        done = subprocess.run([str(PYTHON), "-c", probe, *packages], check=False, capture_output=True)
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
