"""One generated token as a table: its candidates, what each sampler made of them, and the number that was drawn."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from workbench.errors import BadRequest
from workbench.sampling.chain import DRAWING
from workbench.stages import Draw, Generation, SamplerStage, Step, show_bytes
from workbench.values import FrozenJSON, Value, clip

Effect = Literal["same", "raised", "lowered", "removed", "gone"]
EFFECTS: tuple[Effect, ...] = ("same", "raised", "lowered", "removed", "gone")
SIGNS = {"same": "", "raised": "▲", "lowered": "▼", "removed": "✕", "gone": "·"}
ROUNDING = 1e-6  # relative


class Followed(NamedTuple):
    """One candidate: its probability before the first sampler and after each of them, and what each did to it.

    `removed` is by this sampler, `gone` by an earlier one. Where others are removed, what is left shares their
    part in proportion; `raised` and `lowered` are what a sampler changed beyond that.
    """

    id: int
    piece: bytes
    before: float
    after: tuple[float, ...]
    effects: tuple[Effect, ...]


@dataclass(frozen=True)
class SamplerTable(Value):
    """Candidates (rows, likeliest before the samplers first) against samplers (columns, in the order of their work).

    Not every candidate is followed: the model's best ten, the best ten that were left, each first place and the
    token that was drawn. `stages` count them all.
    """

    index: int
    drawn: int
    stages: tuple[SamplerStage, ...]
    candidates: tuple[Followed, ...]

    @property
    def piece(self) -> bytes:
        """The token that was drawn."""
        return next((found.piece for found in self.candidates if found.id == self.drawn), b"")

    @property
    def n_before(self) -> int:
        """Candidates before the first sampler."""
        return self.stages[0].n_left + self.stages[0].n_removed if self.stages else 0

    @property
    def first_places(self) -> tuple[int, ...]:
        """The likeliest token before the samplers and after each of them."""
        firsts = (stage.top_ids[0] for stage in self.stages if stage.top_ids)
        return (self.candidates[0].id, *firsts) if self.candidates else ()

    @property
    def changed_by(self) -> str | None:
        """The first sampler that took the first place from the model's own first token; None where none did."""
        places = self.first_places
        return next((s.name for s, now in zip(self.stages, places[1:], strict=False) if now != places[0]), None)

    def to_dict(self) -> dict[str, Any]:
        """`{index, drawn, n_before, changed_by, stages, candidates: [{id, piece, before, after, effects}]}`, base64."""
        followed = [
            item._asdict() | {"piece": base64.b64encode(item.piece).decode("ascii")} for item in self.candidates
        ]
        stages = [stage._asdict() | {"draw": stage.draw and stage.draw._asdict()} for stage in self.stages]
        told = {"index": self.index, "drawn": self.drawn, "n_before": self.n_before, "changed_by": self.changed_by}
        return told | {"stages": stages, "candidates": followed}

    def _rows(self) -> list[dict[str, Any]]:
        names = self._columns()
        return [
            {"id": item.id, "piece": show_bytes(item.piece), "drawn": item.id == self.drawn, "before": item.before}
            | dict(zip(names, item.after, strict=True))
            | {f"{name}: effect": effect for name, effect in zip(names, item.effects, strict=True)}
            for item in self.candidates
        ]

    def _columns(self) -> list[str]:
        """Each sampler's column: its name, with a number where it works more than once."""
        names: list[str] = []
        for stage in self.stages:
            earlier = sum(stage.name == one.name for one in self.stages[: len(names)])
            names.append(f"{stage.name} ({earlier + 1})" if earlier else stage.name)
        return names

    def __repr__(self) -> str:
        head = ["", "before", *(stage.name for stage in self.stages)]
        rows = [[_name(item, self.drawn), percent(item.before), *_cells(item)] for item in self.candidates]
        left = ["candidates left", f"{self.n_before:,}", *(f"{stage.n_left:,}" for stage in self.stages)]
        widths = [max(len(row[i]) for row in [head, *rows, left]) for i in range(len(head))]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
            for row in [head, *rows, left]
        ]
        words = [f"{stage.name}: {words}" for stage in self.stages if (words := draw_words(stage))]
        return "\n".join([f"SamplerTable(token {self.index} of the answer: id {self.drawn})", *lines, *words])


@dataclass(frozen=True)
class SamplerTrace(Value):
    """Every step of an answer through its samplers: `trace[i]` is the table of token i."""

    tables: tuple[SamplerTable, ...]
    sampling: FrozenJSON

    def __getitem__(self, index: int) -> SamplerTable:
        if not -len(self.tables) <= index < len(self.tables):
            raise BadRequest(f"there is no token {index}", f"accepted are 0 to {len(self.tables) - 1}")
        return self.tables[index]

    def __iter__(self) -> Iterator[SamplerTable]:
        return iter(self.tables)

    def __len__(self) -> int:
        return len(self.tables)

    def to_dict(self) -> dict[str, Any]:
        """`{sampling, steps: [...]}`, each step as `SamplerTable.to_dict`."""
        return {"sampling": self.sampling.value(), "steps": [table.to_dict() for table in self.tables]}

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "index": table.index,
                "id": table.drawn,
                "piece": show_bytes(table.piece),
                "model's first": show_bytes(table.candidates[0].piece) if table.candidates else None,
                "first place lost to": table.changed_by,
                "left": table.stages[-1].n_left if table.stages else None,
                "number": draw.number if table.stages and (draw := table.stages[-1].draw) else None,
            }
            for table in self.tables
        ]

    def __repr__(self) -> str:
        changed = sum(table.changed_by is not None for table in self.tables)
        return f"SamplerTrace({len(self):,} tokens, {changed:,} where a sampler took the model's first place away)"


def sampler_trace(generation: Generation | None) -> SamplerTrace:
    """What the samplers did at each token of an answer.

    Errors: `BadRequest` for a trace that got no answer, and for an answer saved before this was recorded.
    """
    if generation is None:
        raise BadRequest("there is no answer", "accepted is a trace that reached its generation")
    tables = tuple(sampler_table(generation, index) for index in range(len(generation)))
    return SamplerTrace(tables, generation.sampling)


def sampler_table(generation: Generation, index: int) -> SamplerTable:
    """What the samplers did at one token of an answer. Errors: `BadRequest`, also for no such token."""
    if not 0 <= index < len(generation):
        raise BadRequest(f"there is no token {index}", f"accepted are 0 to {len(generation) - 1}")
    step = generation.steps[index]
    if not step.watched:
        raise BadRequest(
            "this answer was recorded without its candidates", "accepted is one of this version", "generate it again"
        )
    order = sorted(range(len(step.watched)), key=lambda i: (-step.before[i], step.watched[i]))
    return SamplerTable(index, step.id, step.stages, tuple(_followed(step, i) for i in order))


def draw_words(stage: SamplerStage) -> str:
    """What a sampler drew, in words; empty for one that draws nothing."""
    draw = stage.draw
    if draw is None:
        return ""
    if stage.name in DRAWING and stage.n_left == 1:
        return "one candidate was left: nothing to choose"
    if stage.name not in DRAWING:
        return _chance_words(draw)
    share = f"the drawn token's share is {draw.low:.4f} to {draw.high:.4f}"
    number = "the number it drew is not known" if draw.number is None else f"it drew {draw.number:.4f}"
    return f"{number}; {share}"


def percent(probability: float) -> str:
    """A probability in few characters: `83.1%`, `0.02%`, `3e-06`, `0`."""
    if probability >= 0.001:
        return f"{probability:.1%}" if probability >= 0.01 else f"{probability:.2%}"
    return f"{probability:.0e}" if probability else "0"


def _chance_words(draw: Draw) -> str:
    if draw.number is None:
        return f"the number it drew is not known; at most {draw.high:g} puts it to work"
    words = ("at most", "at work") if draw.number <= draw.high else ("above", "left out")
    return f"it drew {draw.number:.4f}, {words[0]} {draw.high:g}: {words[1]}"


def _followed(step: Step, place: int) -> Followed:
    after = tuple(stage.probs[place] for stage in step.stages)
    befores = (step.before[place], *after)
    effects = tuple(_effect(befores[i], after[i], stage.kept) for i, stage in enumerate(step.stages))
    return Followed(step.watched[place], step.pieces[place], step.before[place], after, effects)


def _effect(before: float, after: float, kept: float) -> Effect:
    if after == 0:
        return "removed" if before > 0 else "gone"
    expected = before / kept if kept > 0 else 0.0
    if abs(after - expected) <= ROUNDING * max(after, expected):
        return "same"
    return "raised" if after > expected else "lowered"


def _name(item: Followed, drawn: int) -> str:
    return f"{'→' if item.id == drawn else ' '} {clip(repr(show_bytes(item.piece)), 24)} {item.id}"


def _cells(item: Followed) -> list[str]:
    shown = zip(item.after, item.effects, strict=True)
    return [SIGNS[effect] if effect in ("removed", "gone") else f"{percent(p)} {SIGNS[effect]}" for p, effect in shown]
