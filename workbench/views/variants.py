"""One request under several setups: what each costs, its strip under the tokens, flips with margins, answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from workbench.views.curves import LINES, curve
from workbench.views.curves import chart as draw
from workbench.views.html import code, cut, escape, fold, heading, mark, notes, table, wrong
from workbench.views.layers import bar, changes, figure
from workbench.views.pairs import view_floor
from workbench.views.palette import FAINT, GOOD, NOTE, WRONG
from workbench.views.variant_strips import name_of, piece, strips

if TYPE_CHECKING:
    from workbench.compare.scores import Flip
    from workbench.variants.result import Block, Variant, Variants
    from workbench.views.damage import Chart

LIMIT_FLIPS = 40
LOG_LINES = 8
BLOCKS = 48
LEAST_KL = 1e-7  # nats; less is the arithmetic's
COLOURS = (
    *LINES[:2],
    {"light": "#1f8a5b", "dark": "#4fc992"},
    {"light": "#8a3fb0", "dark": "#c58fe8"},
    {"light": "#b03a4c", "dark": "#f07f90"},
    {"light": "#7a6a00", "dark": "#d8c34a"},
    {"light": "#1b7f8c", "dark": "#5fcbd8"},
    {"light": "#5b5f66", "dark": "#b9bec6"},
)
FIGURES = ("mean KL (nats)", "same first place", "flips", "beyond the floor", "in calls, code", "answer")
HEAD = ("", "MiB", "KV MiB", *FIGURES)
EXPECTED = ("the reference expects", "by", "the variant expects", "by")
HEAD_FLIPS = ("behind token", "", "kind", *EXPECTED, "KL (nats)", "floor")


def view(value: Variants) -> str:
    """The table of variants, the strips, and in folds the flips, the kinds of text, the answers, the files."""
    answered = len(value) - value.n_prompt
    aside = f"{len(value):,} tokens" + (f", {answered:,} of them the reference's answer" if answered else "")
    parts = [heading("One request, several setups", aside), notes(value.notes), summary(value)]
    parts += [notes(lies(value), "The name lies"), strips(value)]
    for variant in value.others:
        if found := value.flips(variant):
            rows = [_flip(value, flip) for flip in found[:LIMIT_FLIPS]]
            body = table(HEAD_FLIPS, rows) + cut(len(rows), len(found), "flips")
            parts.append(fold(f"First place differs: {variant.name} · {len(found):,}", body))
    parts.append(fold("By kind of text", kinds(value), is_open=True))
    if value.reference.answer is not None:
        parts.append(fold("Answers", answers(value)))
    parts.append(fold("Tensor types really used", tensor_types(value)))
    if value.floor is not None:
        parts.append(fold("Noise floor of the reference", view_floor(value.floor)))
    for variant in value.others:
        parts.append(fold(f"Settings: {variant.name}", changes({**value.reference.setup.diff(variant.setup)})))
    return "".join(parts)


def summary(value: Variants) -> str:
    """One row a setup: what it costs and what it does; for one that could not run, why."""
    rows = [[code(value.reference.name), *_costs(value.reference), "reference", "", "", "", "", ""]]
    troubles = []
    for variant in value.others:
        rows.append([code(variant.name), *_costs(variant), *_figures(value, variant)])
        troubles += [_trouble(variant)] if variant.error is not None else []
    floor = f"the floor: mean KL {figure(value.floor.mean_kl)} nats" if value.floor else "the floor was not measured"
    return table(HEAD, rows) + mark(floor, FAINT, extra="padding:1px 6px;font-size:12px") + "".join(troubles)


def _trouble(variant: Variant) -> str:
    """Why it has no figures; of a process that died its last lines, too."""
    log = variant.error.value().get("log", ()) if variant.error is not None else ()
    lines = fold(f"The last lines of {variant.name}", code("\n".join(log[-LOG_LINES:]))) if log else ""
    return wrong(f"{variant.name}: {variant.trouble}") + lines


def _costs(variant: Variant) -> list[str]:
    size = f"{variant.weights.bytes / 2**20:.1f}" if variant.weights else "–"
    return [escape(size), escape(f"{variant.cache_bytes / 2**20:.1f}")]


def _figures(value: Variants, variant: Variant) -> list[str]:
    pair = variant.pair
    if pair is None:
        return [mark("could not run", WRONG, extra="padding:0 4px"), "", "", "", "", ""]
    found = value.count(variant)
    ground = WRONG if pair.beyond_floor else GOOD if pair.beyond_floor is not None else FAINT
    beyond = "–" if found.beyond_floor is None else f"{found.beyond_floor:,}"
    cells = [f"{100 * pair.same_top:.1f} %", f"{found.all:,}", beyond, f"{found.in_calls_and_code:,}"]
    return [mark(figure(pair.mean_kl), ground, extra="padding:0 4px"), *map(escape, cells), _answer(value, variant)]


def _answer(value: Variants, variant: Variant) -> str:
    if variant.answer is None:
        return "–"
    at = value.parts_at(variant)
    return mark("the same", GOOD, extra="padding:0 4px") if at is None else mark(f"parts at token {at}", NOTE)


def lies(value: Variants) -> list[str]:
    """The files in which other tensor types stand than the name says."""
    rungs = [variant.weights for variant in (value.reference, *value.others)]
    return list(dict.fromkeys(rung.fell_words for rung in rungs if rung is not None and rung.fallen))


def _flip(value: Variants, flip: Flip) -> list[str]:
    verdicts = {None: ("not measured", FAINT), True: ("beyond", WRONG), False: ("within: says nothing", NOTE)}
    words, colours = verdicts[flip.beyond_floor]
    kind = value.row_kinds[flip.position]
    loud = kind in ("tool call", "code")
    return [
        escape(f"{flip.position} ({flip.place.by('message')})"),
        code(piece(value.tokens.pieces[flip.position])),
        mark(kind, WRONG, extra="padding:0 4px") if loud else escape(kind),
        code(name_of(value, flip.a)),
        escape(f"{flip.margin_a:.3f} nats"),
        code(name_of(value, flip.b)),
        escape(f"{flip.margin_b:.3f} nats"),
        escape(figure(flip.kl)),
        mark(words, colours, extra="padding:0 4px"),
    ]


def kinds(value: Variants) -> str:
    """Each variant's figures by kind of text: damage in calls and code breaks agents, in prose it is seldom seen."""
    most = max((row.mean_kl for v in value.others for row in value.by_kind(v)), default=0.0)
    rows = [
        [
            code(variant.name),
            escape(row.name),
            escape(f"{row.n:,}"),
            bar(row.mean_kl / most if most > 0 else 0.0) + escape(figure(row.mean_kl)),
            escape(figure(row.max_kl)),
            escape(f"{100 * row.same_top:.1f} %"),
            escape(f"{row.flips:,}"),
        ]
        for variant in value.others
        for row in sorted(value.by_kind(variant), key=lambda row: row.name)
    ]
    return table(("", "kind", "places", "mean KL (nats)", "largest", "same first place", "flips"), rows)


def answers(value: Variants) -> str:
    """What each setup writes, and at which token it parts from the reference."""
    rows = [[code(value.reference.name), code(value.reference.answer or ""), "reference"]]
    rows += [[code(v.name), code(v.answer), _answer(value, v)] for v in value.others if v.answer is not None]
    return table(("", "answer (greedy)", ""), rows)


def tensor_types(value: Variants) -> str:
    """What the metadata of each file says, and what is in it by count and bytes."""
    rows, seen = [], set()
    for variant in (value.reference, *value.others):
        rung = variant.weights
        if rung is None or rung.path in seen:
            continue
        seen.add(rung.path)
        for used in rung.used:
            cells = [rung.recipe.kind, used.type, f"{used.tensors:,}", f"{used.bytes / 2**20:.2f}"]
            rows.append([code(variant.name), *map(escape, cells)])
    return table(("", "it says", "tensor type", "tensors", "MiB"), rows)


def chart(value: Variants, *, theme: str = "light") -> Chart:
    """Damage by position: each variant's mean KL over neighbouring tokens, and the floor; what is far below it lies
    on the axis.
    """
    blocks, shown = value.blocks(BLOCKS), [k for k, variant in enumerate(value.others) if variant.pair is not None]
    least = max(value.floor.mean_kl / 10, LEAST_KL) if value.floor else LEAST_KL
    traces = [_curve(value, blocks, k, index, least, theme) for index, k in enumerate(shown)]
    if value.floor is not None and value.floor.mean_kl > least and blocks:
        words = [f"floor {figure(value.floor.mean_kl)} nats"] * 2
        ends = [blocks[0].start, blocks[-1].start]
        level = curve("noise floor", ends, [value.floor.mean_kl] * 2, words, index=2, theme=theme, dash="dot")
        traces.append(level | {"mode": "lines"})
    names = [value.others[k].name for k in shown]
    lines = [[block.mean_kl[k] for block in blocks] for k in shown]
    text = "\n".join(f"{name:<28} {' '.join(map(figure, line))}" for name, line in zip(names, lines, strict=True))
    more: dict[str, Any] = {
        "legend": {"orientation": "v", "x": 1.01, "y": 1.0},
        "height": max(300, 150 + 22 * len(traces)),
    }
    title = "Damage by position"
    return draw(traces, title=title, x="token", y="mean KL, nats", text=text, theme=theme, log=True, more=more)


def _curve(value: Variants, blocks: Sequence[Block], k: int, index: int, least: float, theme: str) -> dict[str, Any]:
    """One variant's line."""
    name, means = value.others[k].name, [block.mean_kl[k] for block in blocks]
    hover = [f"{name}\ntokens {b.start}–{b.end - 1}: {figure(m)} nats" for b, m in zip(blocks, means, strict=True)]
    y = [max(mean, least) for mean in means]
    line = curve(name, [block.start for block in blocks], y, hover, index=0, theme=theme)
    colour = {"color": COLOURS[index % len(COLOURS)][theme]}
    return line | {"line": line["line"] | colour, "marker": line["marker"] | colour | {"size": 4}}
