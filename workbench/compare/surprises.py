"""Where the model was surprised: the worst positions with what stands around them, and sums by whose text it is."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from workbench.compare.places import Place, places
from workbench.errors import BadRequest
from workbench.stages import Rendered, Scores, Tokens, show_bytes
from workbench.values import Value


class Surprise(NamedTuple):
    """Token `position` of the prompt and what the model gave it, in nats.

    `rank` 1 is first place; `margin` how far first place was before second; `expected` the id in first place
    with `expected_logprob`; `before` and `after` the pieces around the token.
    """

    position: int
    id: int
    piece: bytes
    logprob: float
    rank: int
    margin: float
    expected: int
    expected_logprob: float
    before: bytes
    after: bytes
    place: Place

    def to_dict(self) -> dict[str, Any]:
        """The fields by name; bytes in base64."""
        coded = {name: base64.b64encode(getattr(self, name)).decode("ascii") for name in ("piece", "before", "after")}
        return self._asdict() | coded | {"place": self.place._asdict()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Surprise:
        """The inverse of `to_dict`."""
        plain = {name: base64.b64decode(data[name]) for name in ("piece", "before", "after")}
        return cls(**(data | plain | {"place": Place(**data["place"])}))


class PlaceSum(NamedTuple):
    """Tokens of one origin or message: how many, their log-probability in all and in the mean (nats), first places."""

    name: str
    n: int
    logprob: float
    mean_logprob: float
    first: int


@dataclass(frozen=True)
class Surprises(Value):
    """The `worst` positions, most surprising first, out of `n` that have a token before them; sums by origin, message.

    A token that nothing stands before counts nowhere: the model gave it no probability.
    """

    n: int
    worst: tuple[Surprise, ...]
    origins: tuple[PlaceSum, ...]
    messages: tuple[PlaceSum, ...]

    def to_dict(self) -> dict[str, Any]:
        """`{n, worst, origins, messages}`."""
        return {
            "n": self.n,
            "worst": [surprise.to_dict() for surprise in self.worst],
            "origins": [entry._asdict() for entry in self.origins],
            "messages": [entry._asdict() for entry in self.messages],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Surprises:
        """The inverse of `to_dict`."""
        sums = {name: tuple(PlaceSum(**entry) for entry in data[name]) for name in ("origins", "messages")}
        return cls(n=data["n"], worst=tuple(Surprise.from_dict(entry) for entry in data["worst"]), **sums)

    def _rows(self) -> list[dict[str, Any]]:
        shown = ("piece", "before", "after")
        return [
            surprise._asdict()
            | {name: show_bytes(getattr(surprise, name)) for name in shown}
            | surprise.place._asdict()
            | {"place": surprise.place.by("message")}
            for surprise in self.worst
        ]

    def __repr__(self) -> str:
        first = (
            f", worst {show_bytes(self.worst[0].piece)!r} with {self.worst[0].logprob:.2f} nats" if self.worst else ""
        )
        return f"Surprises({len(self.worst)} of {self.n:,} positions{first})"


def surprises(
    scores: Scores | None, tokens: Tokens | None, rendered: Rendered | None = None, *, count: int = 20, window: int = 6
) -> Surprises:
    """The `count` positions whose token the model thought least likely, `window` tokens around each.

    Errors: `BadRequest` where scores and tokens are not of one prompt, or a trace did not get as far as its scores.
    """
    if scores is None or tokens is None:
        raise BadRequest("there are no scores", "accepted is a trace that got as far as its scores")
    if len(scores) != len(tokens):
        raise BadRequest(
            f"there are {len(scores):,} scores and {len(tokens):,} tokens", "accepted are both of one prompt"
        )
    where = places(tokens, rendered)
    known = np.flatnonzero(~np.isnan(scores.logprob))  # rows: each is about the token at row + 1
    order = known[np.argsort(scores.logprob[known], kind="stable")][:count]
    worst = tuple(_surprise(scores, tokens, int(row), window, where[int(row) + 1]) for row in order)
    labels = [[where[int(row) + 1].by(kind) for row in known] for kind in ("origin", "message")]
    origins, messages = (_sums(scores, known, names) for names in labels)
    return Surprises(len(known), worst, origins, messages)


def _surprise(scores: Scores, tokens: Tokens, row: int, window: int, place: Place) -> Surprise:
    at = row + 1
    return Surprise(
        position=at,
        id=int(tokens.ids[at]),
        piece=tokens.pieces[at],
        logprob=float(scores.logprob[row]),
        rank=int(scores.rank[row]),
        margin=float(scores.margin[row]),
        expected=int(scores.top_ids[row, 0]),
        expected_logprob=float(scores.top_logprobs[row, 0]),
        before=b"".join(tokens.pieces[max(0, at - window) : at]),
        after=b"".join(tokens.pieces[at + 1 : at + 1 + window]),
        place=place,
    )


def _sums(scores: Scores, rows: Any, names: Sequence[str]) -> tuple[PlaceSum, ...]:
    """One sum for each name, in order of appearance."""
    found = []
    for name in dict.fromkeys(names):
        mine = rows[[other == name for other in names]]
        logprobs = scores.logprob[mine].astype(np.float64)
        first = int((scores.rank[mine] == 1).sum())
        found.append(PlaceSum(name, len(mine), float(logprobs.sum()), float(logprobs.mean()), first))
    return tuple(found)
