"""A grammar that an answer must follow, started by llama.cpp; where it refuses one: why, where, whose it is."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

from workbench.errors import BadRequest
from workbench.runtime import gbnf
from workbench.runtime.sampler_kinds import Place, c_text
from workbench.sampling.asked import words
from workbench.values import clip

STDERR = 2
MOST_DEPTH = 2_000  # llama.cpp's parser calls itself for each bracket in a bracket, and ends the process far beyond
LARGE = "sane defaults"  # what llama.cpp says of too many repetitions
ENDED = "unexpected end of input"
FAULT = "error parsing grammar: "
ACCEPTED = 'accepted is GBNF with a rule "root"'
GUIDE = "see grammars/README.md of llama.cpp for the notation"
SHORTER = "shorten it: bounds such as char{0,5000} and many alternatives that repeat are what makes it large"
_MORE = {"stoull": "a number of repetitions that 64 bits do not hold"}  # the C++ library's reason is its own name
_UNDEFINED = re.compile(r"Undefined rule identifier '([^']*)'")
_RECURSION = re.compile(r"left recursion detected for nonterminal at index (\d+)")
_TOKEN = re.compile(r"invalid token '(.*)'", re.DOTALL)


class Told(NamedTuple):
    """What a call gave and what it wrote to stderr meanwhile."""

    result: Any
    text: str


class Fault(NamedTuple):
    """Why llama.cpp refused: its reason, and the character of the grammar where it stopped (None: at none)."""

    reason: str
    at: int | None


def start_grammar(place: Place, text: str | None) -> Any:
    """llama.cpp's grammar sampler, None for no grammar. Errors: `BadRequest` with llama.cpp's reason and its place."""
    if not text:
        return None
    _refuse_what_ends_the_process(place, text)
    _refuse_ids(place, text)
    told = _parsed(place, text)
    if told.result:
        return told.result
    fault = _fault(place, text, told.text)
    where = f" at {gbnf.place(text, fault.at)}: {_window(text, fault.at)}" if fault.at is not None else ""
    large = LARGE in fault.reason
    raise BadRequest(
        f"llama.cpp does not take {words('grammar', place.named)}: {clip(fault.reason, 200)}{where}",
        f"{ACCEPTED} and fewer repetitions than llama.cpp's limit" if large else ACCEPTED,
        SHORTER if large else GUIDE,
    )


def _parsed(place: Place, text: str, *, quiet: bool = False) -> Told:
    source = c_text(place, "grammar", text)
    return _listened(lambda: place.library.llama_sampler_init_grammar(place.vocab, source, b"root"), quiet=quiet)


def _refuse_what_ends_the_process(place: Place, text: str) -> None:
    """Errors: `BadRequest` for brackets that overflow the parser's stack, and bounds that it counts down for ever.

    https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-grammar.cpp#L511
    """
    if (depth := gbnf.depth(text)) > MOST_DEPTH:
        raise BadRequest(
            f"{words('grammar', place.named)} has brackets {depth:,} deep in each other",
            f"accepted are {MOST_DEPTH:,} levels",
            "write repetition as a rule or with * and +",
        )
    if found := gbnf.reversed_bounds(text):
        raise BadRequest(
            f"{words('grammar', place.named)} has the bounds {found.text} at {gbnf.place(text, found.at)}",
            "accepted are bounds of which the second is not below the first",
        )


def _refuse_ids(place: Place, text: str) -> None:
    """Errors: `BadRequest` for a token beyond the vocabulary: llama.cpp takes it, and nothing ever fits it."""
    for token, at in gbnf.token_ids(text):
        if token >= place.n_vocab:
            raise BadRequest(
                f"{words('grammar', place.named)} names the token {token} at {gbnf.place(text, at)}",
                f"accepted are ids from 0 to {place.n_vocab - 1} (the vocabulary has {place.n_vocab:,} tokens)",
            )


def _listened(call: Callable[[], Any], *, quiet: bool) -> Told:
    """llama.cpp writes a grammar's fault to stderr alone: it is read there, and handed on to the log unless `quiet`."""
    with tempfile.TemporaryFile() as file:
        kept = os.dup(STDERR)
        os.dup2(file.fileno(), STDERR)
        try:
            result = call()
        finally:
            os.dup2(kept, STDERR)
            os.close(kept)
            file.seek(0)
            said = file.read()
            if not quiet:
                os.write(STDERR, said)
    return Told(result, said.decode("utf-8", "surrogatepass"))


def _fault(place: Place, text: str, said: str) -> Fault:
    """The reason and where it is, from what llama.cpp wrote: its reasons end with the rest of the grammar, or name it.

    https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-grammar.cpp#L694
    """
    reason = _reason(text, said)
    if reason == ENDED:
        return Fault(reason, len(text))
    head, stands, rest = reason.partition(" at ")
    if stands and text.endswith(rest) and not _RECURSION.search(reason):
        return Fault(head, len(text) - len(rest))
    if found := _UNDEFINED.search(reason):
        return Fault(reason, gbnf.named(text, found[1]))
    if found := _RECURSION.search(reason):
        return _recursion(text, int(found[1]))
    if found := _TOKEN.search(reason):
        return Fault(f"{reason} is not one token of this vocabulary", gbnf.named(text, found[1]))
    return Fault(_MORE.get(reason, reason), _stopped_at(place, text, reason) if FAULT in said else None)


def _reason(text: str, said: str) -> str:
    """llama.cpp's own words; behind them it writes the whole grammar."""
    _, found, rest = said.partition(FAULT)
    if found:
        return rest.rpartition(f"\n\n{text}\n")[0]
    if "failed to parse grammar" in said:
        return "it has no rule"
    faults = (line for line in said.splitlines() if "grammar" in line and "::=" not in line)
    return next(faults, "it gave no reason")


def _recursion(text: str, index: int) -> Fault:
    """llama.cpp names the first symbol from which it comes to one that begins with itself, by its number."""
    symbols = gbnf.symbols(text)
    if index >= len(symbols):
        return Fault("left recursion", None)
    return Fault(f"left recursion, met from the rule {symbols[index].rule} on,", symbols[index].at)


def _stopped_at(place: Place, text: str, reason: str) -> int:
    """The character behind which llama.cpp gives this reason: the end of the shortest beginning that it refuses so."""
    low, high = 0, len(text)  # refused so with `high` characters, otherwise with `low`
    while high - low > 1:
        middle = (low + high) // 2
        told = _parsed(place, text[:middle], quiet=True)
        if told.result:
            place.library.llama_sampler_free(told.result)
        same = not told.result and _reason(text[:middle], told.text) == reason
        low, high = (low, middle) if same else (middle, high)
    return high - 1


def _window(text: str, at: int) -> str:
    """The rest of the line."""
    return clip(text[at:].split("\n", maxsplit=1)[0], 30) or ("the line's end" if text[at:] else "the grammar's end")
