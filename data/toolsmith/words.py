"""Random words, paths, numbers and commands; every word belongs either to training or to the held-out side.

Nothing here means anything: a model that wants to repeat such a word has to copy it from its context.
"""

from __future__ import annotations

import random
import zlib
from typing import Literal

from unseen import RESERVED

Side = Literal["train", "held-out"]

_START = "b c d f g h j k l m n p r s t v w z br cl dr fl gr pl st tr sh ch".split()
_VOWEL = "a e i o u".split()
_CLOSE = ["", "", "n", "r", "s", "t", "l", "m", "x", "k"]
KNOWN = (
    "app main test util data config model parser server client index core build docs notes user login cache queue "
    "token page report table total error value item map loop sort graph node tree alpha river stone garden window "
    "paper metal orange silver coffee planet mirror bridge castle forest rocket pepper button copper lemon cotton"
).split()
# English to cut pieces from: without them a model copies only the syllables above, and no other tokens.
_ENGLISH = (
    "change replace execute function arguments description permission installed package branch written output "
    "contains properties required integer string please thanks denied locked folder directory filename pattern "
    "should would through question example measure village picture science mountain language morning nothing system "
    "weather journey history chapter quality quick jumping wizard exactly believe knowledge yellow university"
).split()
_SUFFIXES = "py py py js ts md txt json yaml toml c h rs go sh".split()
_COMMANDS = (
    "pytest {path}", "pytest -k {name}", "make {word}", "git checkout {name}", "npm run {word}", "python {path}",
    "python -m {name} --{word} {number}", "cargo test {name}", "ls -l {folder}", "grep -n {word} {path}",
)  # fmt: skip


# Words that training's tools and parameters are called: never a random word of the held-out side.
_LISTED = set(
    "path file filename target dir folder directory root text content data body word old value term name pattern query "
    "key command cmd script left number cat replace edit run shell bash execute search grep find unlink delete move "
    "rename add sum plus install checkout".split()
)


def side_of(text: str) -> Side:
    """Which side a word or a number (as text) belongs to: one in eight is held out, and all reserved names."""
    if text in _LISTED:
        return "train"
    return "held-out" if text in RESERVED or zlib.crc32(text.encode()) % 8 == 0 else "train"


class Slots:
    """A source of random fillings of one side; each method is a kind of slot. `used` collects words and numbers.

    `pieces` are a tokenizer's tokens: only what is copied in training at times can be copied later.
    """

    def __init__(self, seed: int | str, side: Side, pieces: tuple[str, ...] = ()) -> None:
        self.pieces = pieces
        self.random = random.Random(seed)
        self.side = side
        self.used: set[str] = set()
        self._known = [word for word in KNOWN if side_of(word) == side]

    def fill(self, kind: str) -> str | int:
        """A filling of the slot kind `word`, `name`, `path`, `folder`, `text`, `command`, `number` or `version`."""
        return getattr(self, kind)()

    def word(self) -> str:
        """A known word (one in five), pieces of English (two in five) or random syllables."""
        chance = self.random.random()
        make = self._pieces if chance < 0.6 else self._syllables
        word = self.random.choice(self._known) if chance < 0.2 else make()
        while side_of(word) != self.side:
            word = make()
        self.used.add(word)
        return word

    def name(self) -> str:
        """An identifier: `gralk`, `vosh_index`, `trem42`."""
        name = self.word()
        if self.random.random() < 0.3:
            name += "_" + self.word()
        if self.random.random() < 0.12:
            name += str(self.number(most=99))
        return name

    def path(self) -> str:
        """A file: up to two folders, a name and a suffix."""
        folders = [self.name() for _ in range(self.random.choice([0, 0, 1, 1, 1, 2]))]
        return "/".join([*folders, f"{self.name()}.{self.random.choice(_SUFFIXES)}"])

    def folder(self) -> str:
        """One or two names with slashes between them."""
        return "/".join(self.name() for _ in range(self.random.choice([1, 1, 2])))

    def text(self) -> str:
        """One to five words."""
        return " ".join(self.word() for _ in range(self.random.randint(1, 5)))

    def command(self) -> str:
        """A shell command about random things."""
        pattern = self.random.choice(_COMMANDS)
        kinds = [kind for kind in ("path", "name", "word", "number", "folder") if f"{{{kind}}}" in pattern]
        return pattern.format(**{kind: self.fill(kind) for kind in kinds})

    def number(self, most: int | None = None) -> int:
        """A whole number of one to five digits, or up to `most`."""
        while True:
            number = self.random.randint(0, most or 10 ** self.random.choice([1, 2, 2, 3, 4, 5]) - 1)
            if side_of(str(number)) == self.side:
                self.used.add(str(number))
                return number

    def version(self) -> str:
        """Two numbers with a dot between them."""
        return f"{self.number(most=99)}.{self.number(most=99)}"

    def _pieces(self) -> str:
        word = ""
        whole = self.pieces and self.random.random() < 0.7
        while len(word) < 3 or self.random.random() < 0.35:
            if whole:
                word += self.random.choice(self.pieces)
                continue
            source = self.random.choice(_ENGLISH)
            start = self.random.randrange(len(source) - 1)
            word += source[start : start + self.random.randint(1, 5)]
        return word

    def _syllables(self) -> str:
        pick = self.random.choice
        count = pick([1, 1, 2, 2, 2, 2, 2, 3])
        word = "".join(pick(_START) + pick(_VOWEL) + pick(_CLOSE) for _ in range(count))
        return word if len(word) > 2 else word + pick(["n", "r", "s"]) + pick(_VOWEL)
