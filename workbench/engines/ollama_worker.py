"""The child process that renders Go templates: our Go program as WebAssembly, see `ollama_go/`."""

from __future__ import annotations

import calendar
import contextlib
import json
import os
import re
import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from .ollama_build import module_path
from .ollama_changes import SHOWING, SHOWING_TURNS
from .serving import Meta, Send, send_text, serve
from .wasm import Module, stopped

_PLACE = re.compile(r"^template: [^:]*:(\d+)(?::(\d+))?: ?")
STREAMS = ("stdin", "stdout", "stderr")
_KINDS = {"job": "RequestError", "parse": "TemplateSyntaxError", "execute": "TemplateError", "panic": "ServerError"}


class Answers:
    """Answers requests with one compiled module."""

    def __init__(self) -> None:
        self.module = Module(module_path().read_bytes())

    def __call__(self, options: Meta, body_text: bytes, send: Send) -> None:
        """The frames of one request's answer; the body is a request as Ollama's /api/chat takes it."""
        body = json.loads(body_text.decode("utf-8", "surrogatepass"))
        now = calendar.timegm(datetime.fromisoformat(options["clock"]).timetuple())
        job = {**body, "template": options["template"], "now": now}
        found = self.render(job)
        clock_used = any(name in options["template"] for name in ("currentDate", "yesterdayDate"))
        facts: Meta = {"clock_used": clock_used, "names": found.get("names") or [], "legacy": found.get("legacy")}
        if not found.get("ok"):
            facts["error"] = error_of(found, options["template"])
        send_text(send, found.get("text") if found.get("ok") else None, facts)
        followed = found.get("ok") and options["track"]
        again = self.render({**job, "track": True}) if followed else {}  # a run of its own: it must not cost the text
        told = {"marked": again.get("marked") or ""}
        if found.get("ok"):
            showing = SHOWING_TURNS if found.get("legacy") else SHOWING
            told["shown"] = self.render({**job, "template": showing}).get("text") or ""
        send(json.dumps(told).encode())

    def render(self, job: Meta) -> Meta:
        """What the program answers; a trap as `{ok: false, stage: "trap", ...}`."""
        with scratch() as files:
            files["stdin"].write_text(json.dumps(job), "ascii")
            try:
                self.module.instance({name: str(file) for name, file in files.items()}).call("_start")
            except Exception as error:  # noqa: BLE001  a trap, or the exit code of a program that ended badly
                found = stopped(error)
                if found is None and not files["stdout"].read_bytes():
                    said = files["stderr"].read_text("utf-8", "replace")
                    found = (
                        ("MemoryLimit", "") if "out of memory" in said else ("Crash", said[:500] or str(error)[:500])
                    )
                if found is not None:
                    return {"ok": False, "stage": "trap", "type": found[0], "error": found[1]}
            return json.loads(files["stdout"].read_bytes())  # type: ignore[no-any-return]


@contextlib.contextmanager
def scratch() -> Iterator[dict[str, Path]]:
    """Files for a program's standard streams: in memory and without a name where the system can, else temporary.

    This process may be killed at any moment, and what a user asked must not stay behind.
    """
    if not hasattr(os, "memfd_create"):
        with tempfile.TemporaryDirectory(prefix="workbench-") as folder:
            yield {name: Path(folder, name) for name in STREAMS}
        return
    opened = {name: os.memfd_create(name) for name in STREAMS}
    try:
        yield {name: Path(f"/proc/self/fd/{number}") for name, number in opened.items()}
    finally:
        for number in opened.values():
            os.close(number)


def error_of(found: Meta, template: str = "") -> Meta:
    """`{type, message, line, column}` of what the program reported; Go counts columns from 0, in bytes."""
    said = str(found.get("error", ""))
    if found["stage"] == "trap":
        return {"type": found["type"], "message": said, "line": None, "column": None}
    place = _PLACE.match(said)
    line = int(place[1]) if place else None
    column = None
    if place and place[2]:
        written = template.split("\n")[int(place[1]) - 1 : int(place[1])]
        before = (written[0] if written else "").encode()[: int(place[2])]
        column = len(before.decode("utf-8", "ignore")) + 1 if written else int(place[2]) + 1
    message = said[place.end() :] if place else said
    return {"type": _KINDS.get(found["stage"], "Crash"), "message": message, "line": line, "column": column}


def main() -> None:
    """Serve standard input; a run's memory is limited by the module's own store."""
    serve(Answers, limit=False)
