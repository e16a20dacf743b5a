"""Finding tokens: by text, `id:123`, `bytes:e2 80`, `type:control`. The page searches by the same rules."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workbench.compare.token_facts import TokenFacts
from workbench.errors import BadRequest
from workbench.stages import TOKEN_TYPES

Ranges = npt.NDArray[np.int32]

CONTROL_LIKE = "control-like"  # typed normal, looks like a control token
TYPES = (*TOKEN_TYPES, CONTROL_LIKE)


def find(facts: TokenFacts, query: str) -> Ranges:
    """The places of `query` in order: ranges [start, end) of tokens, (m, 2) int32, none twice.

    A text may go over several tokens; its ASCII letters match both cases; `text:` in front takes a query that
    looks like one of the others as it is. `bytes:` is exact. Errors: `BadRequest` for an id, bytes or a type that
    cannot be read.
    """
    kind, colon, rest = query.partition(":")
    if colon and kind == "id":
        return _single(facts.tokens.ids == token_id(rest))
    if colon and kind == "type":
        return _single(_typed(facts, rest.strip()))
    joined = b"".join(facts.tokens.pieces)
    if colon and kind == "bytes":
        return _places(facts, joined, hex_bytes(rest))
    text = rest if colon and kind == "text" else query
    return _places(facts, joined.lower(), text.encode("utf-8", "surrogatepass").lower())


def token_id(text: str) -> int:
    """The id behind `id:`. Errors: `BadRequest`."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise BadRequest(f"id:{text} is no token id", "accepted is a number, such as id:123")
    return int(text)


def _typed(facts: TokenFacts, kind: str) -> npt.NDArray[np.bool_]:
    if kind not in TYPES:
        raise BadRequest(f"type:{kind} is no token type", f"accepted are {', '.join(TYPES)}")
    if kind == CONTROL_LIKE:
        return facts.control_like
    return np.array([one == kind for one in facts.tokens.types], np.bool_)


def hex_bytes(text: str) -> bytes:
    """The bytes behind `bytes:`. Errors: `BadRequest`."""
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise BadRequest(
            f"bytes:{text} are no bytes", "accepted are pairs of hex digits, such as bytes:e2 80"
        ) from None


def _single(hits: npt.NDArray[np.bool_]) -> Ranges:
    at = np.flatnonzero(hits).astype(np.int32)
    return np.stack([at, at + 1], axis=1)


def _places(facts: TokenFacts, joined: bytes, wanted: bytes) -> Ranges:
    """The tokens over which `wanted` stands in the joined pieces."""
    starts = []
    at = joined.find(wanted) if wanted else -1
    while at >= 0:
        starts.append(at)
        at = joined.find(wanted, at + len(wanted))
    ends = np.cumsum([len(piece) for piece in facts.tokens.pieces], dtype=np.int64)
    # a token's bytes are [end before it, its end); one without bytes has none of them
    first = np.searchsorted(ends, starts, side="right")
    last = np.searchsorted(ends, np.array(starts, np.int64) + len(wanted) - 1, side="right")
    return np.unique(np.stack([first, last + 1], axis=1).astype(np.int32), axis=0)
