"""A grammar that an answer must follow, started by llama.cpp; where it refuses one, its reason."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from typing import Any, NamedTuple

from workbench.errors import BadRequest
from workbench.runtime.sampler_kinds import Place, c_text
from workbench.values import clip

STDERR = 2


class Told(NamedTuple):
    """What a call gave and what it wrote to stderr meanwhile."""

    result: Any
    text: str


def start_grammar(place: Place, text: str | None) -> Any:
    """llama.cpp's grammar sampler, None for no grammar. Errors: `BadRequest` with llama.cpp's reason."""
    if not text:
        return None
    source = c_text("grammar", text)
    told = _listened(lambda: place.library.llama_sampler_init_grammar(place.vocab, source, b"root"))
    if not told.result:
        raise BadRequest(
            f"llama.cpp does not take sampling.grammar: {_reason(told.text)}",
            'accepted is GBNF with a rule "root" and fewer repetitions than llama.cpp\'s limit',
            "shorten it: bounds such as char{0,5000} and many alternatives that repeat are what makes it large",
        )
    return told.result


def _listened(call: Callable[[], Any]) -> Told:
    """llama.cpp writes a grammar's fault to stderr alone: it is read there, and handed on to the log."""
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
            os.write(STDERR, said)
    return Told(result, said.decode("utf-8", "backslashreplace"))


def _reason(said: str) -> str:
    """The first line that tells the fault; what llama.cpp writes besides is the grammar itself."""
    faults = (line for line in said.splitlines() if "grammar" in line and "::=" not in line)
    return clip(next(faults, "it gave no reason").rpartition("error parsing grammar: ")[2], 200)
