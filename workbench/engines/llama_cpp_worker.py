"""The child process that renders with llama.cpp's template engine, as ggufdoctor's WebAssembly module.

The only contact with that module, whose calls are not documented: `gd_alloc(n)`, `gd_render(job, n)`,
`gd_out_len()`, JSON in and out, as in
https://github.com/saad-supernal/ggufdoctor/blob/23d7a6abca48b814a53398f73ed560e3282201be/engine/shim.cpp
"""

from __future__ import annotations

import calendar
import json
import re
from datetime import datetime
from typing import Any

from .seen import SWITCH, changes, showing, shown, words_of
from .serving import Meta, Send, send_text, serve
from .wasm import Module, stopped

_CLOCK = 1767225600  # seconds: the time that the module tells whatever the time is
_HERE = 512  # an address that nothing uses: the module's data begin at 1,024
_PLACE = re.compile(r"at line (\d+), column (\d+)")


class Answers:
    """Answers requests with one compiled module."""

    def __init__(self) -> None:
        data, self.clock_can_be_set = settable_clock(module_bytes())
        self.module = Module(data)

    def __call__(self, options: Meta, body_text: bytes, send: Send) -> None:
        """The frames of one request's answer."""
        body = json.loads(body_text.decode("utf-8", "surrogatepass"))
        template, clock = options["template"], datetime.fromisoformat(options["clock"])
        context = context_of(body, options["special"])
        found = self.render(template, context, clock)
        facts: Meta = {"clock_used": "strftime_now" in template}
        facts |= {"clock_can_be_set": self.clock_can_be_set, "caps": found.get("caps", {})}
        if not found.get("ok"):
            facts["error"] = error_of(found)
        send_text(send, found.get("text"), facts)
        told = self.seen(template, context, clock, found.get("caps"), body) if found.get("stage") != "trap" else {}
        send(json.dumps(told).encode())

    def seen(self, template: str, context: Meta, clock: datetime, caps: Any, body: Meta) -> Meta:
        """`seen`, the variables as the engine handed them on, and `rewrites`; neither where it does not tell."""
        again = self.render(showing(template), {**context, SWITCH: True}, clock)
        values = shown(again["text"]) if again.get("ok") and again.get("caps") == caps else None
        if values is None:
            return {}
        return {"seen": values, "rewrites": words_of(changes(body, values, template))}

    def render(self, template: str, context: Meta, clock: datetime) -> Meta:
        """What the module answers; a trap as `{ok: false, stage: "trap", ...}`."""
        job = json.dumps({"template": template, "context": context, "normalize": True}).encode()
        try:
            run = self.module.instance()
            run.call("_initialize")
            run.write(calendar.timegm(clock.timetuple()).to_bytes(8, "little", signed=True), _HERE)
            start = run.call("gd_alloc", len(job))
            run.write(job, start)
            out = run.call("gd_render", start, len(job))
            return json.loads(run.read(out, out + run.call("gd_out_len")))  # type: ignore[no-any-return]
        except Exception as error:
            found = stopped(error)
            if found is None:
                raise
            return {"ok": False, "stage": "trap", "type": found[0], "error": found[1]}


def module_bytes() -> bytes:
    """The module as it is installed."""
    from importlib import resources

    return resources.files("ggufdoctor.engine_data").joinpath("llamacpp-jinja.wasm").read_bytes()


def settable_clock(data: bytes) -> tuple[bytes, bool]:
    """The module with its one constant time read from `_HERE` instead, and whether that could be done.

    `i64.const` with a time of these years takes six bytes, and so do `i32.const 512; i64.load`.
    """
    constant = b"\x42" + bytes.fromhex("80f2d6ca06")
    load = b"\x41\x80\x04\x29\x03\x00"
    if data.count(constant) != 1:
        return data, False
    return data.replace(constant, load), True


def context_of(body: Meta, special: dict[str, str]) -> Meta:
    """The variables that the module is given; like llama.cpp it adds and rewrites some by itself.

    https://github.com/ggml-org/llama.cpp/blob/67a17c17caa95742186f8b1ecadd1b5abd6d5ebb/common/chat.cpp
    """
    context: Meta = {name: special.get(name, "") for name in ("bos_token", "eos_token")}
    context["messages"] = body["messages"]
    if body.get("tools"):
        context["tools"] = body["tools"]
    context |= body.get("chat_template_kwargs") or {}
    context.setdefault("add_generation_prompt", bool(body.get("add_generation_prompt", True)))
    return context


def error_of(found: Meta) -> Meta:
    """`{type, message, line, column}` of what the module reported."""
    said = str(found.get("error", ""))
    stage = found.get("stage", "render")
    if stage == "trap":
        return {"type": found["type"], "message": said, "line": None, "column": None}
    place: Any = _PLACE.search(said)
    line, column = (int(place[1]), int(place[2])) if place else (None, None)
    if "std::bad_alloc" in said:
        return {"type": "MemoryLimit", "message": "", "line": line, "column": column}
    kind = {"lexer": "LexerError", "parser": "ParserError", "raise": "TemplateError"}.get(stage, "RuntimeError")
    if "[json.exception" in said:
        told = "the request is no valid Unicode, and llama.cpp refuses it" if "surrogate" in said else said.strip()
        return {"type": "RequestError", "message": told, "line": None, "column": None}
    message = said.rpartition("\nError: ")[2].strip() if stage == "render" else said.strip()
    return {"type": kind, "message": message, "line": line, "column": column}


def main() -> None:
    """Serve standard input; a run's memory is limited by the module's own store."""
    serve(Answers, limit=False)
