"""The loop of a child process that renders: one request after another from standard input, until its end."""

from __future__ import annotations

import gc
import json
import os
import select
import signal
import sys
from collections.abc import Callable
from functools import partial
from io import FileIO
from pathlib import Path
from typing import Any

from .frames import Frame, read_frame, write_frame

MIB = 1024 * 1024
_OWN = Path(__file__).resolve().parents[1]
_WATCH_S = 1.0  # how often a waiting process looks whether its parent is still there
_GRACE_S = 1.0  # how much longer than its limit an orphan may live
_PATIENCE = 30  # how many times the limit a render may take where other programs have the processor
_COUNTS = hasattr(signal, "setitimer")  # whether the system tells a process when its processor time is used up
# Linux counts for this timer by ticks, on a busy machine several times too much: there the parent looks at the exact
# clock, and the timer only ends an orphan.
_TICKS = 5 if sys.platform == "linux" else 1
Meta = dict[str, Any]
Send = Callable[[bytes], None]
Answer = Callable[[Meta, bytes, Send], None]


def serve(begin: Callable[[], Answer], *, limit: bool = True) -> None:
    """Answer requests until standard input ends: a frame of options and a frame with the body each.

    `begin` is called once and returns what answers. An empty frame says that it is ready, and one more that
    a request is begun; then the answer sends the facts, the text, and spans and events as a frame each. The
    process' limits are its arguments: MiB by which it may grow from here on, seconds of the processor for one
    request; `limit` False leaves memory to the worker itself.
    """
    memory_mib, limit_s = int(sys.argv[2]), float(sys.argv[3])
    for name in ("SIGALRM", "SIGPROF") if _COUNTS else ():
        signal.signal(getattr(signal, name), signal.SIG_DFL)
    if limit:
        limit_memory(memory_mib)
    sink = sys.stdout.buffer
    with FileIO(0, closefd=False) as source:  # no buffer: `select` would not see what is in one
        answer = begin()
        gc.freeze()
        write_frame(sink, 0, b"{}")
        parent = os.getppid()
        while (options := _next(source, parent)) is not None and (body := read_frame(source)) is not None:
            number = options[0]
            write_frame(sink, number, b"")
            _alarm(limit_s, patience_s(limit_s) + _GRACE_S)
            gc.disable()  # a render makes many values and next to no cycles
            _answered(answer, json.loads(options[1]), body[1], partial(write_frame, sink, number))
            gc.enable()
            _alarm(0, 0)


def _answered(answer: Answer, options: Meta, body: bytes, send: Send) -> None:
    """All frames of an answer, whatever becomes of it: what the worker itself fails with is an answer too.

    Errors: `MemoryError`, which ends the process, as it can no longer be relied on.
    """
    sent = 0

    def counted(data: bytes) -> None:
        nonlocal sent
        sent += 1
        send(data)

    try:
        answer(options, body, counted)
    except (MemoryError, OSError):
        raise
    except Exception as fault:  # noqa: BLE001  it is named in the answer
        if not sent:
            send_text(send, None, {"rewrites": [], "error": fault_of(fault)})
        send(json.dumps({"note": f"not evaluated: how the text came about; {fault_of(fault)['message']}"}).encode())


def fault_of(fault: BaseException) -> Meta:
    """`{type, message, line, column}` of what is not the template's doing: a request too deep, or our own mistake."""
    if isinstance(fault, RecursionError):
        said = "the request is nested too deeply for this engine to be handed on"
        return {"type": "RecursionError", "message": said, "line": None, "column": None}
    said = f"a fault of the workbench, not of the template or the request: {type(fault).__name__}: {str(fault)[:500]}"
    return {"type": "Fault", "message": said + _where(fault), "line": None, "column": None}


def _where(fault: BaseException) -> str:
    """The innermost line of the workbench's own that a fault came through."""
    here, trace = "", fault.__traceback__
    while trace is not None:
        file = Path(trace.tb_frame.f_code.co_filename)
        here = f" ({file.name} line {trace.tb_lineno})" if _OWN in file.parents else here
        trace = trace.tb_next
    return here


def send_text(send: Send, text: str | None, meta: Meta) -> None:
    """The first two frames of an answer: its facts, and the text (empty where there is none)."""
    send(json.dumps(meta | {"has_text": text is not None}).encode())
    send((text or "").encode("utf-8", "surrogatepass"))


def limit_memory(mib: int) -> None:
    """Let this process grow by at most `mib` MiB from here on, where the system can do that."""
    try:
        import resource

        base = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    except (ImportError, OSError):
        return
    resource.setrlimit(resource.RLIMIT_AS, (base + mib * MIB, base + mib * MIB))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _next(source: FileIO, parent: int) -> Frame | None:
    """The next request's first frame, None where no more come: at the end, or when the parent is gone.

    The end alone is not enough: a fork of the parent holds the other end of the pipe open.
    """
    if os.name == "posix":
        while not select.select([source], [], [], _WATCH_S)[0]:
            if os.getppid() != parent:
                return None
    return read_frame(source)


def _alarm(worked_s: float, seconds: float) -> None:
    """End this process when it has had the processor for `worked_s`, or in `seconds` whatever it does. 0: not any more.

    Nobody else may be left to do it.
    """
    if _COUNTS:
        signal.setitimer(signal.ITIMER_PROF, _TICKS * worked_s)
        signal.setitimer(signal.ITIMER_REAL, seconds)


def patience_s(limit_s: float) -> float:
    """How long to wait for a render that may work for `limit_s`: a busy machine must not end a healthy one.

    Where processor time cannot be limited it is the limit itself.
    """
    return _PATIENCE * limit_s if _COUNTS else limit_s
