"""The logit lens: what each layer would say, beside what a lens is not."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from workbench.views.candidates import name, percent
from workbench.views.curves import chart as draw
from workbench.views.figures import label
from workbench.views.html import code, cut, escape, fold, heading, mark, notes, table, visible_bytes, wrong
from workbench.views.palette import probability_pair

if TYPE_CHECKING:
    from workbench.compare.lens import Lens, Reading
    from workbench.views.damage import Chart

LIMIT_POSITIONS = 12
LIMIT_CHART = 60
LIMIT_WORDS = 12  # more columns leave no room for words in their fields; they are shown on hover
SHOWN_CANDIDATES = 4
HEAD = ("", "would say", "probability of what follows", "rank", "entropy (nats)", "likeliest")
# From what surprised a layer to what it is sure of, in the steps of the palette: reads on light and dark pages.
SCALE = [[0.0, "#c33f31"], [0.3, "#f5ab6f"], [0.6, "#fbf3cf"], [1.0, "#8fc79f"]]


def view(value: Lens) -> str:
    """The caveat, then a table of stages for each position; the first one open."""
    if value.not_evaluated:
        return heading("Logit lens") + wrong(f"not evaluated: {value.not_evaluated}")
    known = dict(value.pieces)
    shown = min(len(value.positions), LIMIT_POSITIONS)
    aside = (
        f"{len(value.stages)} stages, {len(value.positions):,} positions, the last stage {value.off_nats:.2g} nats off"
    )
    parts = [heading("Logit lens", aside), notes([value.caveat])]
    parts += [fold(_title(value, i), _table(value, i, known), is_open=i == 0) for i in range(shown)]
    return "".join([*parts, cut(shown, len(value.positions), "positions")])


def _title(value: Lens, column: int) -> str:
    position, known = int(value.positions[column]), dict(value.pieces)
    after, follows = visible_bytes(value.here[column]), int(value.following[column])
    what = f"{name(follows, known)} follows" if follows >= 0 else "nothing follows yet"
    text = f"behind token {position} {after}: {what}; the first place is the model's from {value.settled(position)} on"
    return text.replace("\n", "")


def _table(value: Lens, column: int, known: dict[int, bytes]) -> str:
    readings = value.readings(int(value.positions[column]))
    return table(HEAD, [_row(value, stage, column, reading, known) for stage, reading in enumerate(readings)])


def _row(value: Lens, stage: int, column: int, reading: Reading, known: dict[int, bytes]) -> list[str]:
    probability = math.exp(reading.first_logprob)
    first = f"{name(reading.first, known)} {percent(probability)}"
    likeliest = zip(value.top_ids[stage, column], value.top_logprobs[stage, column], strict=True)
    others = "  ".join(f"{name(int(i), known)} {percent(math.exp(lp))}" for i, lp in list(likeliest)[:SHOWN_CANDIDATES])
    follows = percent(math.exp(reading.logprob)) if reading.rank else "–"
    return [
        escape(reading.stage),
        mark(first, probability_pair(probability), extra="padding:0 4px"),
        escape(follows),
        escape(f"{reading.rank:,}" if reading.rank else "–"),
        escape(f"{reading.entropy:.2f}"),
        code(others),
    ]


def chart(value: Lens, *, theme: str = "light") -> Chart:
    """First places of stages x positions, coloured by their probability; the first `LIMIT_CHART` positions."""
    known, shown = dict(value.pieces), value.positions[:LIMIT_CHART]
    stages, columns = range(len(value.stages)), range(len(shown))
    probability = [[math.exp(float(value.top_logprobs[s, c, 0])) for c in columns] for s in stages]
    words = [[label(name(int(value.top_ids[s, c, 0]), known)) for c in columns] for s in stages]
    trace = {
        "type": "heatmap",
        "x": [f"{int(p)}" for p in shown],
        "y": list(value.stages),
        "z": probability,
        "text": words,
        **({"texttemplate": "%{text}"} if len(shown) <= LIMIT_WORDS else {}),
        "textfont": {"color": "#1b2430", "size": 11},
        "hovertemplate": "%{y}, behind token %{x}<br>%{text} %{z:.1%}<extra></extra>",
        "colorscale": SCALE,
        "zmin": 0,
        "zmax": 1,
        "colorbar": {"tickformat": ".0%", "thickness": 12},
    }
    more = {"height": 120 + 26 * len(value.stages), "xaxis": {"type": "category"}, "margin": {"l": 90}}
    title = "Logit lens: not what the model thinks"
    return draw([trace], title=title, x="behind token", y="", text=as_text(value), theme=theme, more=more)


def as_text(value: Lens) -> str:
    """Stages and first places in lines of plain text, for the first few positions."""
    if value.not_evaluated:
        return f"not evaluated: {value.not_evaluated}"
    known = dict(value.pieces)
    lines = [
        f"{int(position):>6} {reading.stage:<10} {percent(math.exp(reading.first_logprob)):>8} "
        f"{name(reading.first, known)}"
        for position in value.positions[:LIMIT_POSITIONS]
        for reading in value.readings(int(position))
    ]
    return "\n".join([*lines, value.caveat])
