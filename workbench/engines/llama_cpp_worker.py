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

from .serving import Meta, Send, send_text, serve
from .wasm import Module, stopped

_CLOCK = 1767225600  # seconds: the time that the module tells whatever the time is
_HERE = 512  # an address that nothing uses: the module's data begin at 1,024
_PLACE = re.compile(r"at line (\d+), column (\d+)")
# Names that llama.cpp gives a value where the request does not:
# https://github.com/ggml-org/llama.cpp/blob/67a17c17caa95742186f8b1ecadd1b5abd6d5ebb/common/jinja/caps.cpp
REASONING_NAMES = ("preserve_thinking", "clear_thinking", "truncate_history_thinking", "drop_thinking")


class Answers:
    """Answers requests with one compiled module."""

    def __init__(self) -> None:
        data, self.clock_can_be_set = settable_clock(module_bytes())
        self.module = Module(data)

    def __call__(self, options: Meta, body_text: bytes, send: Send) -> None:
        """The frames of one request's answer."""
        body = json.loads(body_text.decode("utf-8", "surrogatepass"))
        context, rewrites = context_of(body, options["template"], options["special"])
        found = self.render(options["template"], context, datetime.fromisoformat(options["clock"]))
        rewrites = content_rewrites(body["messages"], found) + rewrites if found.get("ok") else []
        facts: Meta = {"rewrites": rewrites, "clock_used": "strftime_now" in options["template"]}
        facts |= {"clock_can_be_set": self.clock_can_be_set, "caps": found.get("caps", {})}
        if not found.get("ok"):
            facts["error"] = error_of(found)
        send_text(send, found.get("text"), facts)
        send(b"{}")

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


def context_of(body: Meta, template: str, special: dict[str, str]) -> tuple[Meta, list[str]]:
    """The template's variables as llama.cpp makes them, and what that adds, drops or changes, in words.

    https://github.com/ggml-org/llama.cpp/blob/67a17c17caa95742186f8b1ecadd1b5abd6d5ebb/common/chat.cpp
    """
    rewrites = []
    kwargs = dict(body.get("chat_template_kwargs") or {})
    context: Meta = {"bos_token": "", "eos_token": ""}
    context |= {name: special[name] for name in context if name in special}
    context |= {"messages": body["messages"]}
    if body.get("tools"):
        context["tools"] = body["tools"]
    elif body.get("tools") is not None:
        rewrites.append("tools: an empty list, the variable is left undefined")
    if body.get("documents") is not None:
        rewrites.append("documents: not handed on to the template")
    context |= kwargs
    context.setdefault("add_generation_prompt", bool(body.get("add_generation_prompt", True)))
    if not context["add_generation_prompt"] and "add_generation_prompt" in template:
        rewrites.append("add_generation_prompt: false, the variable is left undefined")
    if "enable_thinking" not in kwargs and "enable_thinking" in template:
        rewrites.append("enable_thinking: not given, true is added")
    if "preserve_reasoning" not in kwargs:
        added = [name for name in REASONING_NAMES if name in template]
        rewrites += [
            f"{name}: not given, {'true' if name == REASONING_NAMES[0] else 'false'} is added" for name in added
        ]
    return context, rewrites


def content_rewrites(messages: list[Meta], found: Meta) -> list[str]:
    """What became of the messages' contents, in words: llama.cpp decides it by what the template can do."""
    caps = found["caps"]
    only_text = caps["supports_string_content"] and not caps["supports_typed_content"]
    only_typed = caps["supports_typed_content"] and not caps["supports_string_content"]
    rewrites = []
    for index, message in enumerate(messages):
        content, path = message.get("content"), f"messages[{index}].content"
        if content is None:
            rewrites.append(f"{path}: {'null' if 'content' in message else 'missing'}, an empty text in its place")
            content = ""
        if isinstance(content, list) and only_text:
            lost = sorted(
                {str(part.get("type")) for part in content if part.get("type") not in ("text", "media_marker")}
            )
            rewrites.append(f"{path}: its parts are joined to one text, with line feeds between")
            rewrites += [f"{path}: parts of type {name!r} are dropped" for name in lost]
        elif isinstance(content, str) and only_typed:
            rewrites.append(f"{path}: the text is wrapped as a list of one part")
    return rewrites


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
    message = said.rpartition("\nError: ")[2].strip() if stage == "render" else said.strip()
    return {"type": kind, "message": message, "line": line, "column": column}


def main() -> None:
    """Serve standard input; a run's memory is limited by the module's own store."""
    serve(Answers, limit=False)
