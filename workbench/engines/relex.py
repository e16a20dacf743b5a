"""Jinja's lexer, which reads again only what was edited.

It is resumed between two tags before the change, and what it found behind the change is taken over as soon as it
stands between the same two tags as before.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable, Generator, Iterator
from typing import NamedTuple

from jinja2.lexer import (
    TOKEN_BLOCK_END,
    TOKEN_COMMENT_END,
    TOKEN_RAW_END,
    TOKEN_VARIABLE_END,
    Lexer,
    Token,
    TokenStream,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment

_NEWLINE = re.compile(r"\r\n|\r|\n")
_TAG_ENDS = (TOKEN_BLOCK_END, TOKEN_COMMENT_END, TOKEN_RAW_END, TOKEN_VARIABLE_END)
_TAG = "{{a}}"  # three tokens; behind it no line begins, and no line end is left out
_LONGEST = 200_000  # characters of a template that is kept


def normalised(source: str) -> str:
    """The source as jinja reads it: every line end is a newline, the last one left out."""
    lines = _NEWLINE.split(source)
    return "\n".join(lines[:-1] if lines[-1] == "" else lines)


class _Lexed(NamedTuple):
    """A template's tokens; `reached` is the offset behind each, `between` are the offsets between tags in order, and
    `counts` how many tokens stand before each of these.
    """

    text: str
    tokens: list[Token]
    reached: list[int]
    between: list[int]
    counts: list[int]


class ResumingLexer(Lexer):
    """Jinja's lexer with the tokens of the last template; `reached` is the offset behind the last token that was read.

    What it finds is what jinja's own finds, in the same order; an error comes from jinja's own.
    """

    reached = 0
    _last: _Lexed | None = None

    def tokenize(
        self, source: str, name: str | None = None, filename: str | None = None, state: str | None = None
    ) -> TokenStream:
        """The tokens. Errors: those of jinja's lexer, when the stream comes to their place."""
        if len(source) <= _LONGEST and (name, filename, state) == (None, None, None):
            self.begin(source)
            try:
                self._last = self._lexed(normalised(source))
            except Exception:  # noqa: BLE001  jinja's own says it in its own time: a parser may fail before it
                return super().tokenize(source)
            return TokenStream(self._told(self._last), None, None)
        return super().tokenize(source, name, filename, state)

    def begin(self, source: str) -> None:
        """A source is about to be read."""

    def line(self, number: int, offset: int) -> int:  # noqa: ARG002  for those that need it
        """The line number of a token at `offset`."""
        return number

    def moved(self, line: int, lines: int, offset: int) -> int:  # noqa: ARG002
        """The line number of a token that now stands `lines` and `offset` characters further on."""
        return line + lines

    def _told(self, lexed: _Lexed) -> Generator[Token, None, None]:
        for token, self.reached in zip(lexed.tokens, lexed.reached, strict=True):
            yield token

    def _lexed(self, text: str) -> _Lexed:
        last = self._last or _Lexed("", [], [], [], [])
        if last.text == text:
            return last
        head = common_head(last.text, text)
        tail = len(text) - common_tail(last.text, text, head)
        moved = len(text) - len(last.text)
        kept = bisect_left(last.between, head)  # the lexer looked at the character behind each of these, no further
        at, count = (last.between[kept - 1], last.counts[kept - 1]) if kept else (0, 0)
        found = _Lexed(text, last.tokens[:count], last.reached[:count], last.between[:kept], last.counts[:kept])
        joined = self._read_on(
            found, at, lambda offset: _index(last.between, offset - moved) if offset > tail else None
        )
        return found if joined is None else self._with_rest(found, last, joined, moved)

    def _read_on(self, found: _Lexed, at: int, joins: Callable[[int], int | None]) -> int | None:
        """Read from `at` on until `joins` knows the place that was reached; what it gave."""
        joined: list[int] = []

        def stream() -> Iterator[tuple[int, str, str]]:
            for line, token, value in self._from(found.text, at):
                yield line, token, value
                if token in _TAG_ENDS:  # asked for the next one: this one is in `found`
                    found.between.append(self.reached)
                    found.counts.append(len(found.tokens))
                    if (index := joins(self.reached)) is not None:
                        joined.append(index)
                        return

        for token in self.wrap(stream()):
            found.tokens.append(token)
            found.reached.append(self.reached)
        return joined[0] if joined else None

    def _from(self, text: str, at: int) -> Iterator[tuple[int, str, str]]:
        """Jinja's raw tokens from `at` on, which is the beginning or lies between two tags."""
        before = "" if at == 0 or text[at - 1] == "\n" else _TAG
        rest = before + text[at:]
        raw = Lexer.tokeniter(self, rest + "\n" if rest.endswith("\n") else rest, None)
        for _ in range(3 if before else 0):
            next(raw)
        self.reached = at
        yield from self.placed(raw, text, text.count("\n", 0, at))

    def placed(self, raw: Iterator[tuple[int, str, str]], text: str, above: int = 0) -> Iterator[tuple[int, str, str]]:
        """Raw tokens of `text` from `reached` on, `above` lines below its start, each with the line of its offset.

        Between two tokens stands nothing but white space that was stripped.
        """
        for line, token, value in raw:
            offset = max(text.find(value, self.reached), self.reached)
            self.reached = offset + len(value)
            yield self.line(line + above, offset), token, value

    def _with_rest(self, found: _Lexed, last: _Lexed, joined: int, moved: int) -> _Lexed:
        """`found` and what stood behind its last tag in `last`, where that tag is number `joined`."""
        count, shift = last.counts[joined], len(found.tokens) - last.counts[joined]
        lines = found.text.count("\n") - last.text.count("\n")
        rest = last.tokens[count:]
        if lines or moved:
            rest = [Token(self.moved(token.lineno, lines, moved), token.type, token.value) for token in rest]
        return _Lexed(
            found.text,
            found.tokens + rest,
            found.reached + [reached + moved for reached in last.reached[count:]],
            found.between + [offset + moved for offset in last.between[joined + 1 :]],
            found.counts + [count + shift for count in last.counts[joined + 1 :]],
        )


class ResumingEnvironment(ImmutableSandboxedEnvironment):
    """Jinja's sandbox with a lexer of its own that is resumed."""

    lexer_class: type[ResumingLexer] = ResumingLexer

    @property
    def lexer(self) -> Lexer:
        """The lexer, made when the environment's options stand."""
        made = self.__dict__.get("_resuming_lexer")
        if made is None:
            made = self.__dict__["_resuming_lexer"] = self.lexer_class(self)
        return made


def common_head(a: str, b: str) -> int:
    """How many characters `a` and `b` have in common at their beginning."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if a[low:middle] == b[low:middle] else (low, middle - 1)
    return low


def common_tail(a: str, b: str, head: int) -> int:
    """How many they have in common at their end, behind the first `head`."""
    low, high = 0, min(len(a), len(b)) - head
    while low < high:
        middle = (low + high + 1) // 2
        same = a[len(a) - middle : len(a) - low] == b[len(b) - middle : len(b) - low]
        low, high = (middle, high) if same else (low, middle - 1)
    return low


def _index(ordered: list[int], value: int) -> int | None:
    at = bisect_left(ordered, value)
    return at if at < len(ordered) and ordered[at] == value else None
