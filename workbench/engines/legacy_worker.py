"""The child process that calls llama.cpp's `llama_chat_apply_template`: built-in formats, found by pattern."""

from __future__ import annotations

import ctypes
import json
from collections.abc import Callable
from typing import Any

from workbench.gguf.library import shared_library

from .serving import Meta, Send, send_text, serve

PROBE = [("system", "one"), ("user", "two"), ("assistant", "three"), ("user", " four ")]
_BLANK = "\x01"  # stands where a character was taken out: no pattern contains it
_ROLE_CONTENT = ("role", "content")


class _Message(ctypes.Structure):
    _fields_ = [("role", ctypes.c_char_p), ("content", ctypes.c_char_p)]


class Library:
    """The two calls of libllama that need no model."""

    def __init__(self) -> None:
        library = ctypes.CDLL(str(shared_library("llama")))
        self._apply = library.llama_chat_apply_template
        self._apply.restype = ctypes.c_int32
        self._apply.argtypes = (
            ctypes.c_char_p,
            ctypes.POINTER(_Message),
            ctypes.c_size_t,
            ctypes.c_bool,
            ctypes.c_char_p,
            ctypes.c_int32,
        )
        builtin = library.llama_chat_builtin_templates
        builtin.restype = ctypes.c_int32
        builtin.argtypes = (ctypes.POINTER(ctypes.c_char_p), ctypes.c_size_t)
        count = builtin(None, 0)
        names = (ctypes.c_char_p * count)()
        builtin(names, count)
        self.names = [name.decode() for name in names if name]

    def apply(self, template: str | None, messages: list[tuple[str, str]], *, ask: bool) -> str | None:
        """The prompt, None where no built-in format is found; `template` None is what a file without one gives."""
        encoded = [(role.encode("utf-8", "replace"), text.encode("utf-8", "replace")) for role, text in messages]
        chat = (_Message * len(encoded))(*(_Message(role, text) for role, text in encoded))
        source = None if template is None else template.encode("utf-8", "replace")
        size = 1024 + 2 * sum(len(role) + len(text) for role, text in encoded)
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = self._apply(source, chat, len(encoded), ask, buffer, size)
            if length < 0:
                return None
            if length <= size:
                return buffer.raw[:length].decode("utf-8", "replace")
            size = length

    def matches(self, template: str | None) -> list[str]:
        """The built-in formats that write what `template` makes the library write; more than one are alike."""
        found = self.apply(template, PROBE, ask=True)
        return [name for name in self.names if found is not None and self.apply(name, PROBE, ask=True) == found]

    def evidence(self, template: str) -> list[tuple[int, str]]:
        """A smallest part of the template that gives the same choice: offset and text of each piece.

        Found by taking characters out, in ever smaller runs, as long as the library chooses the same.
        """
        wanted = self.apply(template, PROBE, ask=True)
        if wanted is None:
            return []
        text = smallest(template, lambda part: self.apply(part, PROBE, ask=True) == wanted)
        return pieces_of(text)


def smallest(text: str, holds: Callable[[str], bool]) -> str:
    """`text` with as many characters as possible blanked out so that `holds` is still true."""
    step = max(1, len(text) // 2)
    while True:
        at = 0
        while at < len(text):
            part = text[at : at + step]
            shorter = text[:at] + _BLANK * len(part) + text[at + step :]
            if part.strip(_BLANK) and holds(shorter):
                text = shorter
            at += step
        if step == 1:
            return text
        step = max(1, step // 2)


def pieces_of(text: str) -> list[tuple[int, str]]:
    """The runs of `text` that are not blanked out."""
    found, at = [], 0
    for part in text.split(_BLANK):
        if part:
            found.append((at, part))
        at += len(part) + 1
    return found


class Answers:
    """Answers requests with one loaded library."""

    def __init__(self) -> None:
        self.library = Library()

    def __call__(self, options: Meta, body_text: bytes, send: Send) -> None:
        """The frames of one request's answer."""
        body = json.loads(body_text.decode("utf-8", "surrogatepass"))
        template: str | None = options["template"]
        messages, rewrites = plain_messages(body)
        ask = bool(body.get("add_generation_prompt", True))
        text = self.library.apply(template, messages, ask=ask)
        facts: Meta = {"rewrites": rewrites if text is not None else [], "names": self.library.matches(template)}
        if text is None:
            message = "llama_chat_apply_template refuses this template: it contains no pattern of a built-in format"
            facts["error"] = {"type": "Unsupported", "message": message, "line": None, "column": None}
        send_text(send, text, facts)
        found: Meta = {}
        if text is not None and options["track"]:
            found["spans"] = self.spans(template, messages, text, ask=ask)
            found["evidence"] = self.library.evidence(template) if template else []
        send(json.dumps(found).encode())

    def spans(self, template: str | None, messages: list[tuple[str, str]], text: str, *, ask: bool) -> list[Any]:
        """Which characters are the messages' contents: told by a render of marks in their place; [] where unclear."""
        marks = [f"\x02{index}\x03" for index in range(len(messages))]
        marked = self.library.apply(template, [(r, m) for (r, _), m in zip(messages, marks, strict=True)], ask=ask)
        found: list[Any] = []
        at, rest = 0, marked or ""
        for index, mark in enumerate(marks):
            if rest.count(mark) > 1:
                return []
            if mark not in rest:
                continue
            before, _, rest = rest.partition(mark)
            content = messages[index][1]
            if not text.startswith(before, at):
                return []
            at = _add(found, at, before, "template", None, None)
            inner = next((c for c in (content, content.strip()) if text.startswith(c, at)), None)
            if inner is None:
                return []
            at = _add(found, at, inner, "message", f"messages[{index}].content", content.find(inner))
        if text[at:] != rest:
            return []
        _add(found, at, rest, "template", None, None)
        return found


def _add(found: list[Any], at: int, text: str, origin: str, path: str | None, offset: int | None) -> int:
    if text:
        found.append([at, at + len(text), origin, path, None, None, True, offset])
    return at + len(text)


def plain_messages(body: Meta) -> tuple[list[tuple[str, str]], list[str]]:
    """Role and text of each message, which is all that a built-in format knows; and what was left out, in words.

    https://github.com/ggml-org/llama.cpp/blob/67a17c17caa95742186f8b1ecadd1b5abd6d5ebb/common/chat.cpp
    """
    messages, rewrites = [], []
    for index, message in enumerate(body["messages"]):
        content = message.get("content")
        path = f"messages[{index}]"
        if isinstance(content, list):
            texts = [
                str(part.get("text", "")) for part in content if isinstance(part, dict) and part.get("type") == "text"
            ]
            rewrites.append(f"{path}.content: its texts are joined with line feeds, other parts are dropped")
            content = "\n".join(texts)
        elif content is None:
            rewrites.append(f"{path}.content: null, an empty text in its place")
        text = content if isinstance(content, str) else "" if content is None else json.dumps(content)
        if "\0" in text:
            rewrites.append(f"{path}.content: cut at its first null character")
            text = text.partition("\0")[0]
        rewrites += [
            f"{path}.{name}: not handed on" for name, value in message.items() if name not in _ROLE_CONTENT and value
        ]
        messages.append((str(message.get("role", "")), text))
    dropped = [name for name in ("tools", "documents", "chat_template_kwargs") if body.get(name)]
    return messages, rewrites + [f"{name}: not handed on" for name in dropped]


def main() -> None:
    """Serve standard input."""
    serve(Answers)
