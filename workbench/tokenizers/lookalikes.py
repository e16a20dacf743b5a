"""Tokens that pass for special ones: of another type, or with nearly the same text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from workbench.tokenizers.vocabulary import Vocabulary

SPECIAL = ("control", "user_defined", "unknown")
# Shapes that chat formats give their control tokens.
CONTROL_LIKE = re.compile(
    r"<\|[^<>\s|]+\|?>|<[^<>\s|]+\|>|<｜[^<>\s]+｜>|\[/?[A-Z]{2,}(_[A-Z]+)*\]|<<?/?SYS>>?"
    r"|</?(s|bos|eos|pad|unk|mask|think|tool_call|tool_response|EOT|(start|end)_of_\w+)>"
)
_MARKS = str.maketrans({"▁": "", "Ġ": "", "Ċ": "", "｜": "|", "_": "", "-": ""})


class Lookalike(NamedTuple):
    """A token that passes for another (`of`, None where it passes for a special token as such), and why."""

    id: int
    of: int | None
    why: str


def looks_like_control(text: str) -> bool:
    """Whether a token's text has the shape in which control tokens are written: `<|…|>`, `[INST]`, `<s>`."""
    return CONTROL_LIKE.fullmatch(text) is not None


def find_lookalikes(vocabulary: Vocabulary) -> Iterator[Lookalike]:
    """By id: control-looking tokens that are not control tokens, then the near-duplicates of special tokens."""
    texts = [text.decode("utf-8", "backslashreplace") for text in vocabulary.texts]
    for token, text in enumerate(texts):
        if vocabulary.type_of(token) in ("normal", "user_defined") and looks_like_control(text):
            kind = vocabulary.type_of(token)
            does = "text to the tokenizer" if kind == "normal" else "matched in any text, and printed in answers"
            yield Lookalike(token, None, f"looks like a control token and is {kind}: {does}")
    yield from _near_duplicates(vocabulary, texts)


def _near_duplicates(vocabulary: Vocabulary, texts: list[str]) -> Iterator[Lookalike]:
    specials = {_bare(texts[i]): i for i in reversed(vocabulary.of_type(*SPECIAL)) if len(texts[i]) > 1}
    specials.pop("", None)
    longest = 4 * max((len(texts[i]) for i in specials.values()), default=0)
    for token, text in enumerate(texts):
        if len(text) > longest:
            continue
        of = specials.get(_bare(text))
        if of is not None and of != token and text != "":
            kind = vocabulary.type_of(token)
            yield Lookalike(token, of, f"{kind}, the same as {texts[of]} but for {_apart(text, texts[of])}")


def _bare(text: str) -> str:
    """What is left of a text without case, width, spaces and their marks."""
    plain = unicodedata.normalize("NFKC", text).translate(_MARKS).casefold() if not text.isascii() else _ascii(text)
    return "".join(plain.split())


def _ascii(text: str) -> str:
    return text.replace("_", "").replace("-", "").lower()


def _apart(a: str, b: str) -> str:
    """In what two texts of the same bare text differ."""
    steps = (
        ("nothing: it stands twice", lambda text: text),
        ("a space or its mark", lambda text: "".join(text.replace("▁", "").replace("Ġ", "").split())),
        ("case", str.casefold),
    )
    for words, plain in steps:
        if plain(a) == plain(b):
            return words
    return "case, width, spaces or their marks"
