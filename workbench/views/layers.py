"""Where two setups part: error by layer with its floor, and the tensors that do the damage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.values import finite
from workbench.views.curves import LINES, curve
from workbench.views.curves import chart as draw
from workbench.views.figures import label
from workbench.views.html import code, escape, heading, mark, notes, table, visible_bytes, wrong
from workbench.views.palette import FAINT, GOOD, LINE, WRONG, style

if TYPE_CHECKING:
    from workbench.compare.layers import Drift, GroupEffect, StageDrift, TensorGroups
    from workbench.views.damage import Chart

BAR_PX = 120
HEAD = ("after", "mean error", "floor", "largest error", "at token", "cosine, mean", "cosine, least")
HEAD_GROUPS = ("put back", "tensors", "types", "KL left (nats)", "of the damage restored", "same first place", "costs")


def view(value: Drift) -> str:
    """What differs between the setups, where it begins, and the table of stages."""
    parts = [heading("Where it begins", f"{len(value.kl):,} positions"), changes(value.changes.value())]
    parts.append(notes(value.notes))
    if value.not_evaluated:
        return "".join([*parts, wrong(f"not evaluated: {value.not_evaluated}")])
    parts.append(_verdict(value))
    begins = value.begins
    most = max((stage.mean_error for stage in value.stages), default=0.0)
    rows = [_row(value, stage, most, first=begins is not None and stage == begins) for stage in value.stages]
    return "".join([*parts, table(HEAD, rows)])


def changes(pairs: dict[str, Sequence[Any]]) -> str:
    """The settings that differ, one a line."""
    lines = [escape(f"{name}: {before!r} → {after!r}") for name, (before, after) in pairs.items()]
    return "".join(f'<div style="padding:1px 0">{line}</div>' for line in lines or ["the same setup twice"])


def _verdict(value: Drift) -> str:
    begins, steepest = value.begins, value.steepest
    if begins is None or steepest is None:
        return mark("no stage differs by more than the floor", GOOD, extra="padding:2px 6px")
    words = f"it begins at: {begins.stage}; the largest step is at: {steepest.stage}"
    return mark(words, WRONG, extra="padding:2px 6px")


def _row(value: Drift, stage: StageDrift, most: float, *, first: bool) -> list[str]:
    token = f"{stage.worst} {visible_bytes(value.pieces[stage.worst])}" if value.pieces else str(stage.worst)
    name = f"{stage.stage} ◀ begins" if first else stage.stage
    return [
        mark(name, WRONG, extra="padding:0 4px") if first else escape(name),
        bar(stage.mean_error / most if most > 0 else 0.0) + escape(figure(stage.mean_error)),
        escape("–" if stage.floor is None else figure(stage.floor)),
        escape(figure(stage.max_error)),
        code(token.replace("\n", "")),
        escape(f"{stage.mean_cosine:.6f}"),
        escape(f"{stage.min_cosine:.6f}"),
    ]


def bar(share: float) -> str:
    """A bar of 0 to 1."""
    width = max(1, round(BAR_PX * min(1.0, max(0.0, share))))
    box = f"display:inline-block;height:10px;width:{width}px;{style(FAINT)};border:1px solid {LINE};margin-right:6px"
    return f'<span style="{box}">&nbsp;</span>'


def figure(number: float) -> str:
    """A small number for people: `0`, `2.1e-05`, `0.0123`."""
    return "0" if number == 0 else f"{number:.1e}" if abs(number) < 1e-3 else f"{number:.4f}"


def chart(value: Drift, *, theme: str = "light") -> Chart:
    """Mean and largest error by stage, and the floor, on a logarithmic axis; what is 0 is left out."""
    stages = value.stages
    names = [stage.stage for stage in stages]
    columns = [("mean error", [s.mean_error for s in stages]), ("largest error", [s.max_error for s in stages])]
    columns += [("floor", [s.floor or 0.0 for s in stages])] if len(value.floor) else []
    traces = [
        curve(
            name,
            names,
            [finite(error) if error > 0 else None for error in errors],
            [f"{stage}: {name} {figure(error)}" for stage, error in zip(names, errors, strict=True)],
            index=i,
            theme=theme,
            dash="dot" if name == "floor" else "solid",
        )
        for i, (name, errors) in enumerate(columns)
    ]
    title, text = "Where it begins: error of each layer's output", as_text(value)
    return draw(traces, title=title, x="after", y="||a − b|| / ||a||", text=text, theme=theme, log=True)


def as_text(value: Drift) -> str:
    """The stages in lines of plain text."""
    if value.not_evaluated:
        return f"not evaluated: {value.not_evaluated}"
    return "\n".join(f"{s.stage:<10} mean {figure(s.mean_error):>9} cosine {s.mean_cosine:.6f}" for s in value.stages)


def view_groups(value: TensorGroups) -> str:
    """The low file's divergence, and what is left of it with each group put back."""
    whole = f"mean KL {figure(value.mean_kl)} nats over {value.n:,} positions"
    parts = [heading("Which tensors do the damage", f"{value.low} against {value.high}"), escape(whole)]
    parts.append(notes(value.notes))
    parts.append(table(HEAD_GROUPS, [_group(effect) for effect in value.effects]))
    if value.same:
        parts.append(notes([f"the same type in both files: {', '.join(value.same)}"]))
    return "".join(parts)


def _group(effect: GroupEffect) -> list[str]:
    return [
        code(effect.group),
        escape(f"{effect.tensors:,}"),
        escape(" → ".join(effect.types)),
        escape(figure(effect.mean_kl)),
        bar(effect.restored) + escape(f"{100 * effect.restored:.1f} %"),
        escape(f"{100 * effect.same_top:.1f} %"),
        escape(f"{effect.extra_bytes / 2**20:+.1f} MiB"),
    ]


def chart_groups(value: TensorGroups, *, theme: str = "light") -> Chart:
    """The share of the damage that each group restores."""
    effects = value.effects[::-1]
    trace = {
        "type": "bar",
        "orientation": "h",
        "y": [label(effect.group) for effect in effects],
        "x": [effect.restored for effect in effects],
        "marker": {"color": LINES[0][theme]},
        "hovertext": [f"KL left {figure(effect.mean_kl)} nats" for effect in effects],
        "hoverinfo": "text",
    }
    text = "\n".join(f"{e.group:<14} {100 * e.restored:>6.1f} % restored" for e in value.effects)
    more = {"xaxis": {"tickformat": ".0%"}, "margin": {"l": 110}, "height": 130 + 24 * len(effects)}
    return draw([trace], title="Put back alone", x="of the damage restored", y="", text=text, theme=theme, more=more)
