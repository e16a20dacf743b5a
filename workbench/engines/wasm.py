"""WebAssembly modules that render: compiled once for this machine, each run with its own memory, steps and time."""

from __future__ import annotations

import contextlib
import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.aside import aside, remove_abandoned
from workbench.data import cache_dir

if TYPE_CHECKING:
    import wasmtime

FUEL = 4_000_000_000  # steps of one render; two seconds here, a real template takes some ten millions
DIGEST = 32  # bytes in front of a module in the cache
MEMORY = 192 * 1024 * 1024  # bytes of one render
STACK = 2 * 1024 * 1024  # bytes, of the eight that a process usually has; wasmtime takes no more than these


class Module:
    """One compiled module. Each `instance` is fresh: nothing of a render is left for the next."""

    def __init__(self, data: bytes) -> None:
        import wasmtime

        config = wasmtime.Config()
        config.wasm_exceptions = True
        config.consume_fuel = True
        config.max_wasm_stack = _stack()
        self._wasmtime = wasmtime
        self._engine = wasmtime.Engine(config)
        self._module = self._compiled(data)
        self._linker = wasmtime.Linker(self._engine)
        self._linker.define_wasi()

    def instance(self, files: dict[str, str] | None = None) -> Instance:
        """A new instance with its limits; `files` names stdin, stdout and stderr of a module that is a program."""
        store = self._wasmtime.Store(self._engine)
        store.set_fuel(FUEL)
        store.set_limits(memory_size=MEMORY)
        wasi = self._wasmtime.WasiConfig()
        for name, file in (files or {}).items():
            setattr(wasi, f"{name}_file", file)
        store.set_wasi(wasi)
        return Instance(store, self._linker.instantiate(store, self._module).exports(store))

    def _compiled(self, data: bytes) -> Any:
        """The module for this machine, from the cache where it lies there; compiling takes seconds."""
        from importlib.metadata import version

        key = hashlib.sha256(data + version("wasmtime").encode()).hexdigest()[:32]
        file = cache_dir() / "wasm" / f"{key}.cwasm"
        with contextlib.suppress(self._wasmtime.WasmtimeError):  # of another machine
            if (kept := _kept(file)) is not None:
                return self._wasmtime.Module.deserialize(self._engine, kept)
        module = self._wasmtime.Module(self._engine, data)
        _keep(file, bytes(module.serialize()))
        return module


class Instance:
    """One run of a module: its exports, called with the store."""

    def __init__(self, store: wasmtime.Store, exports: Any) -> None:
        self._store = store
        self._exports = exports

    def call(self, name: str, *arguments: int) -> Any:
        """Call an export. Errors: wasmtime's own, see `stopped`."""
        return self._exports[name](self._store, *arguments)

    def read(self, start: int, stop: int) -> bytes:
        """Bytes of the memory."""
        return bytes(self._exports["memory"].read(self._store, start, stop))

    def write(self, data: bytes, start: int) -> None:
        """Change bytes of the memory."""
        self._exports["memory"].write(self._store, data, start)


def _stack() -> int:
    """How much of this process' stack a module may use: at most the half, where the system tells how much there is."""
    try:
        import resource
    except ImportError:
        return STACK // 4
    given = resource.getrlimit(resource.RLIMIT_STACK)[0]
    return STACK if given == resource.RLIM_INFINITY else min(STACK, given // 2)


def stopped(error: BaseException) -> tuple[str, str] | None:
    """`(type, message)` of a trap, None for any other error."""
    import wasmtime

    if not isinstance(error, wasmtime.Trap):
        return None
    if error.trap_code == wasmtime.TrapCode.OUT_OF_FUEL:
        return "TimeLimit", f"stopped after {FUEL:,} steps, the limit for one render"
    if error.trap_code in (wasmtime.TrapCode.MEMORY_OUT_OF_BOUNDS, wasmtime.TrapCode.STACK_OVERFLOW):
        said = "template or request are nested too deeply, or the template calls itself: the engine's stack is used up"
        return "RecursionError", said
    if error.trap_code == wasmtime.TrapCode.UNREACHABLE:
        return "Crash", "the engine gave up (it was out of memory, or met a state that it does not expect)"
    return "Crash", str(error.trap_code)


def _keep(file: Path, data: bytes) -> None:
    """Write a file of the cache at once or not at all; where that cannot be, the next process compiles again."""
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(file.parent)
        with aside(file) as part:
            part.write_bytes(hashlib.sha256(data).digest() + data)


def _kept(file: Path) -> bytes | None:
    """What `_keep` wrote, None where nothing is there or something else: wasmtime runs what it is given."""
    try:
        content = file.read_bytes()
    except OSError:
        return None
    digest, data = content[:DIGEST], content[DIGEST:]
    return data if hashlib.sha256(data).digest() == digest else None
