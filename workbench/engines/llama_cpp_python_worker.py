"""The child process that formats prompts with llama-cpp-python's own code."""

from __future__ import annotations

import inspect
import json
from datetime import datetime
from typing import Any

from llama_cpp import llama_chat_format as formats

from .serving import Meta, Send, send_text, serve
from .worker import error_of

# What `Llama.create_chat_completion` hands on to a formatter; everything else of a request stays behind.
HANDED_ON = ("messages", "tools", "functions", "function_call", "tool_choice")


class Answers:
    """Answers requests: the package chooses the format and writes the prompt."""

    def __call__(self, options: Meta, body_text: bytes, send: Send) -> None:
        """The frames of one request's answer."""
        body = json.loads(body_text.decode("utf-8", "surrogatepass"))
        now = datetime.fromisoformat(options["clock"])
        formats.datetime = type("Clock", (datetime,), {"now": classmethod(lambda _cls, _tz=None: now)})
        template = options["template"]
        facts: Meta = {"rewrites": rewrites_of(body), "clock_used": "strftime_now" in (template or "")}
        text = None
        try:
            name, formatter = choose(template, options["special"])
            facts["format"] = name
            found = formatter(**{key: body[key] for key in HANDED_ON if body.get(key) is not None})
            text, facts["adds_special"] = found.prompt, not found.added_special
        except Exception as error:  # noqa: BLE001  a template may raise anything, and each is a result
            facts |= {"error": error_of(error), "rewrites": []}
        send_text(send, text, facts)
        send(b"{}")


def choose(template: str | None, special: dict[str, str]) -> tuple[str, Any]:
    """Name and formatter that `Llama` takes for a file: guessed from the template, its jinja2, or `llama-2`.

    https://github.com/abetlen/llama-cpp-python/blob/v0.3.36/llama_cpp/llama.py
    """
    if not template:
        return "llama-2", _registered("llama-2")
    guessed = formats.guess_chat_format_from_gguf_metadata({"tokenizer.chat_template": template})
    if guessed is not None:
        return guessed, _registered(guessed)
    tokens = {name: special.get(name, "") for name in ("eos_token", "bos_token")}
    return "chat_template.default", formats.Jinja2ChatFormatter(template=template, **tokens)


def _registered(name: str) -> Any:
    handler = formats.get_chat_completion_handler(name)
    return inspect.getclosurevars(handler).nonlocals["chat_formatter"]


def rewrites_of(body: Meta) -> list[str]:
    """What of a request never reaches the formatter, in words."""
    lost = [name for name in ("chat_template_kwargs", "documents") if body.get(name)]
    rewrites = [f"{name}: not handed on" for name in lost]
    if body.get("add_generation_prompt") is False:
        rewrites.append("add_generation_prompt: not handed on, the answer is always asked for")
    return rewrites


def main() -> None:
    """Serve standard input."""
    serve(Answers)
