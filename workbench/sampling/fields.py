"""A request's fields under one program's address: which are read there, which are not, and what those look like."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple

from workbench.conversation import TEMPLATE_FIELDS
from workbench.sampling.names import looks_like, setting_of

Verdict = Literal["honoured", "ignored", "refused", "unknown"]
# Fields that say nothing of how an answer is drawn: they are not looked at.
APART = (*TEMPLATE_FIELDS, "model", "stream", "stream_options", "user", "metadata", "store")
WORDS: dict[Verdict, str] = {
    "honoured": "counts",
    "ignored": "is ignored here",
    "refused": "is refused here",
    "unknown": "is not documented here: whether it counts is not known",
}


class Field(NamedTuple):
    """One field as it was sent, with its place: what becomes of it, and what it sets by `Setup`'s names ("": nothing).

    `looks_like` is the field that is read there and that this one resembles; `why` what else there is to say.
    """

    path: str
    value: Any
    verdict: Verdict
    setting: str = ""
    looks_like: str | None = None
    why: str = ""

    @property
    def words(self) -> str:
        """The sentence for it: "repetition_penalty is ignored here; it looks like repeat_penalty"."""
        hint = f"it looks like {self.looks_like}" if self.looks_like else ""
        return "; ".join(part for part in (f"{self.path} {WORDS[self.verdict]}", self.why, hint) if part)


def sent(body: Mapping[str, Any], reads: Mapping[str, str], unread: Verdict) -> list[Field]:
    """The fields of a request's body, null ones left out, in its order; `unread` is what becomes of the others.

    Of several fields of one setting the first of `reads` counts.
    """
    found = [*_flat(body, reads)]
    paths = {path for path, _ in found}
    first: dict[str, str] = {}
    for path, setting in reads.items():
        if path in paths and setting:
            first.setdefault(setting, path)
    return [_field(path, value, reads, unread, first) for path, value in found]


def _field(path: str, value: Any, reads: Mapping[str, str], unread: Verdict, first: Mapping[str, str]) -> Field:
    if path not in reads:
        return Field(path, value, unread, looks_like=looks_like(path, reads))
    setting = reads[path]
    if setting and first[setting] != path:
        return Field(path, value, "ignored", setting, why=f"{first[setting]} goes before it")
    return Field(path, value, "honoured", setting)


def _flat(body: Mapping[str, Any], reads: Mapping[str, str]) -> Iterator[tuple[str, Any]]:
    """Path and value; an object is opened where the program reads parts of it, or where it holds settings."""
    for name, value in body.items():
        shown = f'"{name}"' if "." in name else name
        if name in APART or value is None or (name == "n" and value == 1 and value is not True):
            continue
        if isinstance(value, dict) and shown not in reads and _holds_settings(name, value, reads):
            yield from ((f"{shown}.{part}", item) for part, item in value.items() if item is not None)
        else:
            yield shown, value


def _holds_settings(name: str, value: dict[str, Any], reads: Mapping[str, str]) -> bool:
    return any(path.startswith(f"{name}.") for path in reads) or any(setting_of(part) for part in value)
