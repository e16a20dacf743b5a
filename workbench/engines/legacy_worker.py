"""The child process that calls llama.cpp's `llama_chat_apply_template`: built-in formats, found by pattern."""

from __future__ import annotations

import ctypes
import json
import re
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
        try:
            messages, rewrites = plain_messages(body)
        except ValueError as refusal:
            error = {"type": "RequestError", "message": str(refusal), "line": None, "column": None}
            send_text(send, None, {"rewrites": [], "error": error})
            send(b"{}")
            return
        ask = bool(body.get("add_generation_prompt", True))
        text = self.library.apply(template, messages, ask=ask)
        facts: Meta = {"rewrites": rewrites if text is not None else [], "names": self.library.matches(template)}
        if text is None:
            message = "llama_chat_apply_template refuses this template: it contains no pattern of a built-in format"
            facts["error"] = {"type": "Unsupported", "message": message, "line": None, "column": None}
        send_text(send, text, facts)
        found: Meta = {}
        if text is not None and options["track"]:
            spans = self.spans(template, messages, text, roles=True, ask=ask)
            found["spans"] = spans or self.spans(template, messages, text, roles=False, ask=ask)
            found["evidence"] = self.library.evidence(template) if template else []
        send(json.dumps(found).encode())

    def spans(
        self, template: str | None, messages: list[tuple[str, str]], text: str, *, roles: bool, ask: bool
    ) -> list[Any]:
        """Which characters are the messages' contents: told by a render of marks in their place; [] where unclear.

        With `roles` their names too, where the format writes them as they are.
        """
        marked = [(f"\x04{i}\x05" if roles else role, f"\x02{i}\x03") for i, (role, _) in enumerate(messages)]
        found: list[Any] = []
        at, rest = 0, self.library.apply(template, marked, ask=ask) or ""
        for match in _MARK.finditer(rest):
            index, is_role = int(match[2]), match[1] == "\x04"
            before = rest[match.start() - _gap(rest, match) : match.start()]
            if not text.startswith(before, at):
                return []
            at = _add(found, at, before, "template", None, None)
            field, value = ("role", messages[index][0]) if is_role else ("content", messages[index][1])
            inner = next((one for one in (value, value.strip()) if text.startswith(one, at)), None)
            if inner is None:
                return []
            at = _add(found, at, inner, "message", f"messages[{index}].{field}", value.find(inner))
        tail = _MARK.split(rest)[-1]
        if text[at:] != tail or any(rest.count(content) > 1 for _, content in marked):
            return []
        _add(found, at, tail, "template", None, None)
        return found


_MARK = re.compile(r"([\x02\x04])(\d+)[\x03\x05]")


def _gap(rest: str, match: re.Match[str]) -> int:
    """How many characters stand between a mark and the one before it."""
    last = max(rest.rfind("\x03", 0, match.start()), rest.rfind("\x05", 0, match.start()))
    return match.start() - last - 1


def _add(found: list[Any], at: int, text: str, origin: str, path: str | None, offset: int | None) -> int:
    if text:
        found.append([at, at + len(text), origin, path, None, None, True, offset])
    return at + len(text)


def plain_messages(body: Meta) -> tuple[list[tuple[str, str]], list[str]]:
    """Role and text of each message, which is all that a built-in format knows; and what was left out, in words.

    https://github.com/ggml-org/llama.cpp/blob/67a17c17caa95742186f8b1ecadd1b5abd6d5ebb/common/chat.cpp
    Errors: `ValueError` for what llama.cpp refuses.
    """
    messages: list[tuple[str, str]] = []
    rewrites: list[str] = []
    for index, message in enumerate(body["messages"]):
        path, role = f"messages[{index}]", message.get("role")
        if not isinstance(role, str):
            raise ValueError(f"{path}.role is no text, and llama.cpp refuses the request")  # noqa: TRY004
        text = _text_of(message.get("content"), f"{path}.content", rewrites)
        pair = (_whole(role, f"{path}.role", rewrites), _whole(text, f"{path}.content", rewrites))
        left = [name for name, value in message.items() if name not in _ROLE_CONTENT and value]
        rewrites += [f"{path}.{name}: not handed on" for name in left]
        messages.append(pair)
    dropped = [name for name in ("tools", "documents", "chat_template_kwargs") if body.get(name)]
    return messages, rewrites + [f"{name}: not handed on" for name in dropped]


def _text_of(content: Any, path: str, rewrites: list[str]) -> str:
    if isinstance(content, str):
        return content
    if content is None:
        rewrites.append(f"{path}: null, an empty text in its place")
        return ""
    if not isinstance(content, list):
        raise ValueError(f"{path} is neither text nor list, and llama.cpp refuses the request")  # noqa: TRY004
    texts = [str(part.get("text", "")) for part in content if isinstance(part, dict) and part.get("type") == "text"]
    rewrites.append(f"{path}: its texts are joined with line feeds, other parts are dropped")
    return "\n".join(texts)


def _whole(text: str, path: str, rewrites: list[str]) -> str:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{path} is no valid Unicode, and llama.cpp refuses the request") from error
    if "\0" in text:
        rewrites.append(f"{path}: cut at its first null character")
    return text.partition("\0")[0]


def main() -> None:
    """Serve standard input."""
    serve(Answers)
