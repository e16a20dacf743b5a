"""Two ways to sample held against each other: chains along one text, answers to one request, an answer once more."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from workbench.sampling.effective import Effective
from workbench.stages import Generation, show_bytes
from workbench.values import FrozenJSON, Value, clip


class Share(NamedTuple):
    """Probabilities under one chain: of the text's own token, of chain A's first one and of chain B's."""

    here: float
    first_a: float
    first_b: float


class Place(NamedTuple):
    """One token of the text: `id` stands there; `first_a` and `first_b` are the likeliest that each chain left."""

    at: int
    id: int
    first_a: int
    first_b: int
    a: Share
    b: Share


class Lost(NamedTuple):
    """A token that stood in first place under A: at how many places, and at how many of them no longer under B."""

    piece: bytes
    places: int
    lost: int


@dataclass(frozen=True)
class Chains(Value):
    """Two sampler chains on the same logits, along a text that is given: neither chain's choice goes on.

    `a` and `b` are the parameters that differ; `places` the tokens of the text from the first one that was
    looked at, `at` counting from the text's beginning; `pieces` what each id stands for. Probabilities are
    those that the last sampler left, 0 where a candidate was removed; where the temperature is 0, those before it.
    """

    a: FrozenJSON
    b: FrozenJSON
    places: tuple[Place, ...]
    pieces: tuple[tuple[int, bytes], ...]

    def piece(self, token: int) -> bytes:
        """What an id stands for."""
        return dict(self.pieces)[token]

    @property
    def changed(self) -> tuple[Place, ...]:
        """The places where another token stands first under B than under A."""
        return tuple(place for place in self.places if place.first_a != place.first_b)

    @property
    def missed(self) -> tuple[Place, ...]:
        """Where the text's own token is first under A and another one under B."""
        return tuple(place for place in self.changed if place.first_a == place.id)

    @property
    def closed(self) -> tuple[Place, ...]:
        """Where the text's own token can be drawn under A and not at all under B."""
        return tuple(place for place in self.places if place.a.here > 0 and place.b.here == 0)

    @property
    def lost(self) -> tuple[Lost, ...]:
        """The tokens that lost first place, by how often, most often first."""
        pieces = dict(self.pieces)
        stood = Counter(pieces[place.first_a] for place in self.places)
        gone = Counter(pieces[place.first_a] for place in self.changed)
        return tuple(Lost(piece, stood[piece], count) for piece, count in gone.most_common())

    def __len__(self) -> int:
        return len(self.places)

    def __iter__(self) -> Iterator[Place]:
        return iter(self.places)

    def to_dict(self) -> dict[str, Any]:
        """`{a, b, n, n_changed, n_missed, n_closed, lost: [{piece, places, lost}], places: [...]}`; pieces as text."""
        counts = {"n": len(self), "n_changed": len(self.changed), "n_missed": len(self.missed)}
        lost = [item._asdict() | {"piece": show_bytes(item.piece)} for item in self.lost]
        told = {"a": self.a.value(), "b": self.b.value()} | counts | {"n_closed": len(self.closed), "lost": lost}
        return told | {"places": [_plain(place, dict(self.pieces)) for place in self.places]}

    def _rows(self) -> list[dict[str, Any]]:
        pieces = dict(self.pieces)
        return [
            {
                "at": place.at,
                "token": show_bytes(pieces[place.id]),
                "first under A": show_bytes(pieces[place.first_a]),
                "first under B": show_bytes(pieces[place.first_b]),
                "token under A": place.a.here,
                "token under B": place.b.here,
                "A's first under A": place.a.first_a,
                "A's first under B": place.b.first_a,
                "B's first under A": place.a.first_b,
                "B's first under B": place.b.first_b,
                "lost first place": place.first_a != place.first_b,
            }
            for place in self.places
        ]

    def __repr__(self) -> str:
        lost = ", ".join(f"{show_bytes(item.piece)!r} {item.lost} of {item.places}" for item in self.lost[:8])
        words = f"{len(self.changed):,} of {len(self):,} places have another token first"
        closed = f"; at {len(self.closed):,} the text's own token cannot be drawn any more" if self.closed else ""
        return f"Chains({_named(self.a)} against {_named(self.b)}: {words}{f' ({lost})' if lost else ''}{closed})"


@dataclass(frozen=True)
class Answers(Value):
    """One request as two programs would sample it: what each uses and what comes of it, from the same prompt."""

    a: Effective
    b: Effective
    answer_a: Generation
    answer_b: Generation

    @property
    def difference(self) -> dict[str, tuple[Any, Any]]:
        """The settings that differ, each with both values."""
        return self.a.diff(self.b)

    @property
    def same(self) -> bool:
        """Whether both drew the same ids."""
        return self.answer_a.ids == self.answer_b.ids

    @property
    def first_difference(self) -> int | None:
        """The first token of the answer that differs, or where the shorter one ends; None where none does."""
        return first_difference(self.answer_a.ids, self.answer_b.ids)

    def to_dict(self) -> dict[str, Any]:
        """`{a, b, difference: {name: [a, b]}, same, first_difference, answer_a, answer_b}`."""
        return {
            "a": self.a.to_dict(),
            "b": self.b.to_dict(),
            "difference": {name: list(pair) for name, pair in self.difference.items()},
            "same": self.same,
            "first_difference": self.first_difference,
            "answer_a": self.answer_a.to_dict(),
            "answer_b": self.answer_b.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Answers:
        """The inverse of `to_dict`."""
        sides = (Effective.from_dict(data["a"]), Effective.from_dict(data["b"]))
        return cls(*sides, Generation.from_dict(data["answer_a"]), Generation.from_dict(data["answer_b"]))

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "setting": a.name,
                self.a.preset: a.value,
                f"{self.a.preset}: from": a.source,
                self.b.preset: b.value,
                f"{self.b.preset}: from": b.source,
                "differs": a.value != b.value,
            }
            for a, b in zip(self.a, self.b, strict=True)
        ]

    def __repr__(self) -> str:
        differs = ", ".join(f"{name} {a!r} against {b!r}" for name, (a, b) in self.difference.items())
        at = self.first_difference
        end = "the same ids" if at is None else f"they part at token {at}"
        texts = f"{clip(repr(self.answer_a.text), 60)}, {clip(repr(self.answer_b.text), 60)}"
        return f"Answers({self.a.preset} against {self.b.preset}: {differs or 'equal settings'}; {end}: {texts})"


@dataclass(frozen=True)
class Redrawn(Value):
    """An answer drawn once more along its own tokens: `ids` as recorded, `drawn` as llama.cpp draws them now.

    `unknown` are the steps whose random number is not known, by index.
    """

    ids: tuple[int, ...]
    drawn: tuple[int, ...]
    unknown: tuple[int, ...] = ()

    @property
    def same(self) -> bool:
        """Whether every token was drawn again."""
        return self.ids == self.drawn

    @property
    def first_difference(self) -> int | None:
        """The first token that was not, None where all were."""
        return first_difference(self.ids, self.drawn)

    def to_dict(self) -> dict[str, Any]:
        """`{same, first_difference, ids, drawn, unknown}`."""
        told = {"same": self.same, "first_difference": self.first_difference}
        return told | {name: list(getattr(self, name)) for name in ("ids", "drawn", "unknown")}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Redrawn:
        """The inverse of `to_dict`."""
        return cls(*(tuple(data[name]) for name in ("ids", "drawn", "unknown")))

    def _rows(self) -> list[dict[str, Any]]:
        pairs = zip(self.ids, self.drawn, strict=True)
        return [{"index": i, "id": a, "drawn": b, "same": a == b} for i, (a, b) in enumerate(pairs)]

    def __repr__(self) -> str:
        at = self.first_difference
        return f"Redrawn({len(self.ids)} tokens, {'all drawn again' if at is None else f'another one at token {at}'})"


def first_difference(a: tuple[int, ...], b: tuple[int, ...]) -> int | None:
    """The first index at which two lists of ids differ, the end of the shorter one counts; None for equal ones."""
    if a == b:
        return None
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def _plain(place: Place, pieces: dict[int, bytes]) -> dict[str, Any]:
    texts = {name: show_bytes(pieces[getattr(place, name)]) for name in ("id", "first_a", "first_b")}
    return place._asdict() | {"a": place.a._asdict(), "b": place.b._asdict(), "texts": texts}


def _named(parameters: FrozenJSON) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in parameters.value().items()) or "the same settings"
