"""A and B under each other: what each took and wrote, how a side failed, and what parts them."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from workbench.runtime.memory import size
from workbench.views import generation, layers, pairs
from workbench.views.curves import chart as draw
from workbench.views.devices import layers_words, view_memory
from workbench.views.error import log_lines
from workbench.views.html import code, escape, fold, heading, mark, notes, table, visible, wrong
from workbench.views.palette import FAINT, GOOD, MONO, NOTE, WRONG

if TYPE_CHECKING:
    from workbench.runtime.memory_estimate import Memory
    from workbench.versus.result import Side, Versus
    from workbench.views.damage import Chart

UNKNOWN = "–"
COSTS = {"nothing": "nothing", "context": "a new context", "reload": "loading anew"}
ANSWER = f"{MONO};font-size:13px;white-space:pre-wrap;overflow-wrap:anywhere"
FIGURES = (
    "state",
    "getting there took",
    "prompt, tokens per s",
    "answer, tokens per s",
    "memory, estimated before",
    "memory, reported after",
    "where the layers lie",
    "answer",
)


def view(value: Versus) -> str:
    """Both sides beside each other, then what parts them."""
    return summary(value) + details(value)


def summary(value: Versus) -> str:
    """The settings that differ, both sides beside each other, and how one failed."""
    parts = [
        heading("A and B", "one request, two setups"),
        layers.changes({name: list(pair) for name, pair in value.changes.items()}),
        notes(value.notes),
        notes(value.environments.features if value.environments is not None else (), "Not alike"),
        *(notes(side.notes, f"Note on {name}") for name, side in (("A", value.a), ("B", value.b))),
    ]
    parts.append(table(("", "A", "B"), zip(_names(), _figures(value.a), _figures(value.b), strict=True)))
    parts += [_parting(value), _failed("A", value.a), _failed("B", value.b)]
    return f'<div style="font-size:13px">{"".join(parts)}</div>'


def details(value: Versus) -> str:
    """Scores held against each other and the noise floor, layers, memory by buffer."""
    parts = []
    if value.pair is not None:
        parts.append(pairs.view(value.pair))
    if value.drift is not None:
        parts.append(fold("By layer", layers.view(value.drift), is_open=True))
    parts += [_memory(name, side) for name, side in (("A", value.a), ("B", value.b))]
    return f'<div style="font-size:13px">{"".join(parts)}</div>'


def view_side(value: Side) -> str:
    """One setup's figures, and how it failed."""
    rows = zip(_names(), _figures(value), strict=True)
    return (
        heading("One setup") + table(("", ""), rows) + notes(value.notes) + _failed("It", value) + _memory("It", value)
    )


def chart(value: Versus, *, theme: str = "light") -> Chart:
    """The error by layer where it was measured, else the divergence by position."""
    if value.drift is not None:
        return layers.chart(value.drift, theme=theme)
    if value.pair is not None:
        return pairs.chart(value.pair, theme=theme)
    return draw([], title="Nothing to compare", x="", y="", text=repr(value), theme=theme)


def _names() -> list[str]:
    return [f'<span style="white-space:nowrap">{escape(name)}</span>' for name in FIGURES]


def _figures(side: Side) -> list[str]:
    """A side's cell of each of `FIGURES`."""
    return [
        _state(side),
        escape(COSTS[side.cost] + _milliseconds(side.load_ms)),
        escape(_rate(side.prompt_per_s)),
        escape(_rate(side.answer_per_s)),
        escape(_devices(side.memory, "estimated")),
        escape(_devices(side.memory, "reported")),
        escape(layers_words(side.memory.places) if side.memory is not None else UNKNOWN),
        _answer(side),
    ]


def _state(side: Side) -> str:
    colours = {"loaded": GOOD, "died": WRONG}.get(side.state, NOTE)
    return mark(side.state, colours, extra="padding:0 6px")


def _milliseconds(ms: float | None) -> str:
    return "" if ms is None else f", {ms:,.0f} ms"


def _rate(rate: float | None) -> str:
    return UNKNOWN if rate is None else f"{rate:,.1f}"


def _devices(memory: Memory | None, kind: str) -> str:
    """`CPU 11.4 MiB, RPC0 8.8 MiB`: bytes by device, estimated or reported."""
    if memory is None:
        return UNKNOWN
    sums: dict[str, int] = {}
    for part in memory.parts:
        if (amount := getattr(part, kind)) is not None:
            sums[part.device] = sums.get(part.device, 0) + amount
    return ", ".join(f"{device} {size(amount)}" for device, amount in sums.items()) or UNKNOWN


def _answer(side: Side) -> str:
    if side.text is None:
        return UNKNOWN
    answer = side.trace.generation if side.trace is not None else None
    why = mark(visible(generation.why(answer)), FAINT, extra="padding:0 5px") if answer is not None else ""
    return f'<div style="{ANSWER}">{html.escape(visible(side.text)) or "<i>empty answer</i>"}</div>{why}'


def _parting(value: Versus) -> str:
    """Whether the answers are the same, else at which token they part and by how much each side preferred its own."""
    if value.same_answer is None:
        return ""
    if value.same_answer:
        return mark("both wrote the same tokens", GOOD, extra="padding:2px 6px")
    where = value.parting
    if where is None:
        return mark("one answer goes on where the other ends", FAINT, extra="padding:2px 6px")
    verdicts = {None: "noise floor not measured", True: "more than noise", False: "within the noise: says nothing"}
    words = f"the answers part at token {where.step}: margins {where.margin_a:.3f} and {where.margin_b:.3f} nats; "
    colours = {None: FAINT, True: WRONG, False: NOTE}[where.beyond_floor]
    return mark(words + verdicts[where.beyond_floor], colours, extra="padding:2px 6px")


def _failed(name: str, side: Side) -> str:
    """How a side failed: of a dead process its signal, what it was doing, its settings and last log lines."""
    if side.failed is None:
        return ""
    error = side.failed.value()
    facts = [("was in", error.get("operation")), ("signal", error.get("signal")), ("settings", error.get("settings"))]
    rows = [[escape(what), code(str(told))] for what, told in facts if told]
    return (
        wrong(f"{name}: {side.error}")
        + (table(("", ""), rows) if rows else "")
        + log_lines(tuple(error.get("log", ())))
    )


def _memory(name: str, side: Side) -> str:
    return fold(f"Memory of {name} by buffer", view_memory(side.memory)) if side.memory is not None else ""
