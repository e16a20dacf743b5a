"""Samplers: one token's candidates through the chain, an answer's steps, two chains, presets, effective settings."""

from __future__ import annotations

import json
from typing import Any

from workbench.compare.sampling import Answers, Chains, Place, Redrawn
from workbench.sampling.effective import WHY, Effective
from workbench.sampling.fields import Field
from workbench.sampling.presets import Preset, Presets
from workbench.sampling.reads_data import SETTINGS
from workbench.sampling.table import Followed, SamplerTable, SamplerTrace, draw_words, percent
from workbench.values import clip
from workbench.views.generation import why
from workbench.views.html import code, cut, escape, fold, heading, mark, notes, table, visible, visible_bytes
from workbench.views.palette import FAINT, GOOD, NOTE, WRONG

LIMIT_STEPS = 150
LIMIT_TABLES = 12
LIMIT_PLACES = 150
LEGEND = (
    "▲ ▼: raised or lowered by this sampler, beyond the part of the removed ones that all others share; "
    "✕: removed by it; ·: removed before"
)
STRUCK = "text-decoration:line-through"


def view_table(value: SamplerTable) -> str:
    """Candidates against samplers; what was removed is struck through, what was raised or lowered has an arrow."""
    head = ["token", "id", "before", *(stage.name for stage in value.stages)]
    rows = [
        [_name(item, value.drawn), escape(item.id), percent(item.before), *_cells(item)] for item in value.candidates
    ]
    rows.append(["<b>candidates left</b>", "", f"{value.n_before:,}", *(f"{s.n_left:,}" for s in value.stages)])
    rows.append(["<b>probability kept</b>", "", "", *(percent(stage.kept) for stage in value.stages)])
    title = f"Token {value.index} of the answer: {_word(value.piece)}"
    changed = f"{value.changed_by} took the first place from the model's own first token"
    draws = [f"{stage.name}: {words}" for stage in value.stages if (words := draw_words(stage))]
    parts = [heading(title, changed if value.changed_by else "the model's own first token stayed first")]
    return "".join(
        [*parts, table(head, rows), *(f"<div>{escape(line)}</div>" for line in draws), notes([LEGEND], "Signs")]
    )


def view_trace(value: SamplerTrace) -> str:
    """Every token of an answer in a line, and tables of the first ones at which a sampler changed the first place."""
    changed = [found for found in value if found.changed_by]
    rows = [_step(found) for found in value.tables[:LIMIT_STEPS]]
    head = ("step", "token", "the model's first", "first place lost to", "left after each sampler", "draw")
    title = heading("Samplers, token by token", f"{len(changed):,} of {len(value):,} lost the model's first token")
    parts = [title, table(head, rows), cut(len(rows), len(value), "tokens")]
    parts += [fold(f"Token {found.index}: {_word(found.piece)}", view_table(found)) for found in changed[:LIMIT_TABLES]]
    return "".join(parts) + cut(min(len(changed), LIMIT_TABLES), len(changed), "tables; any of them: trace[index]")


def view_chains(value: Chains) -> str:
    """Totals, which tokens lost first place, and the places at which they did."""
    pieces = dict(value.pieces)
    sides = [["A", code(_json(value.a.value()))], ["B", code(_json(value.b.value()))]]
    lost = [[code(_word(item.piece)), f"{item.lost:,}", f"{item.places:,}"] for item in value.lost]
    rows = [_place(place, pieces) for place in value.changed[:LIMIT_PLACES]]
    head = ("place", "token there", "first under A", "first under B", "the token under A", "under B")
    totals = f"another token first at {len(value.changed):,} of {len(value):,} places"
    parts = [heading("Two sampler chains on the same logits", totals), table(("chain", "what differs"), sides)]
    parts.append(f"<div>{_totals(value)}</div>")
    if lost:
        parts.append(heading("Who lost first place") + table(("token", "lost at", "first under A at"), lost))
        parts.append(heading("Where") + table(head, rows) + cut(len(rows), len(value.changed), "places"))
    return "".join(parts)


def view_preset(value: Preset) -> str:
    """The values, whether a request decides them, and where they were read."""
    values = value.values.value() | value.fixed.value()
    rows = [[escape(name), _value(value, values, name), _decides(value, name)] for name in SETTINGS]
    links = [[escape(link)] for link in (value.source, *value.more)]
    parts = [
        heading(f"Preset {value.name}", f"{value.program}, {value.address}"),
        table(("setting", "value", "a request's value"), rows),
    ]
    return "".join([*parts, heading("Read there", f"on {value.read}"), table(("source",), links), notes(value.notes)])


def view_presets(value: Presets) -> str:
    """All presets against the settings that any of them names."""
    every = [(value[name], value[name].values.value() | value[name].fixed.value()) for name in value]
    rows = [
        [escape(name), *(_value(preset, values, name) for preset, values in every)]
        for name in SETTINGS
        if any(name in values for _, values in every)
    ]
    told = fold("Programs and sources", "".join(view_preset(value[name]) for name in value))
    return heading("Sampling presets", f"{len(value)} programs") + table(("setting", *value), rows) + told


def view_effective(value: Effective) -> str:
    """Every setting, who decided it, and what of the request was dropped."""
    rows = [
        [
            escape(s.name),
            code(_json(s.value)),
            escape(WHY[s.source]),
            _dropped(s.dropped) if s.dropped is not None else "",
        ]
        for s in value
    ]
    dropped = f"{len(value.ignored)} of the request's fields change nothing" if value.ignored else ""
    head = ("setting", "value", "because it is", "the request's own")
    title = heading(f"What the request gets from {value.preset} at {value.address}", dropped)
    return title + table(head, rows) + _asked(value) + _elsewhere(value) + notes(value.notes)


def _asked(value: Effective) -> str:
    """The request's own fields, and what becomes of each."""
    if not value.fields:
        return ""
    rows = [[code(one.path), code(_short(one.value)), _verdict(one), escape(_sets(one))] for one in value.fields]
    return heading("The request's fields") + table(("field", "value", "here", "sets"), rows)


def _verdict(one: Field) -> str:
    words = one.words.removeprefix(f"{one.path} ")
    return escape(words) if one.verdict == "honoured" else mark(words, NOTE if one.verdict == "unknown" else WRONG)


def _sets(one: Field) -> str:
    return one.setting if one.verdict == "honoured" else ""


def _elsewhere(value: Effective) -> str:
    """What the program's other addresses make of the same request."""
    parts = []
    for address, told in value.elsewhere.value().items():
        rows = [
            [code(name), code(_short(here)), code(_short(there))]
            for name, (here, there) in (told.get("fields", {}) | told.get("settings", {})).items()
        ]
        error = mark(visible(told["error"]), WRONG) if "error" in told else ""
        head = ("field or setting", value.address, address)
        parts.append(heading(f"Otherwise at {address}") + error + (table(head, rows) if rows else ""))
    return "".join(parts)


def view_answers(value: Answers) -> str:
    """The settings that differ, and both answers."""
    rows = [[escape(name), code(_json(a)), code(_json(b))] for name, (a, b) in value.difference.items()]
    at = value.first_difference
    verdict = "the same ids" if at is None else f"the answers part at token {at}"
    parts = [heading(f"{value.a.preset} against {value.b.preset}", verdict)]
    parts.append(table(("setting", value.a.preset, value.b.preset), rows) if rows else "<div>Equal settings.</div>")
    for side, answer in ((value.a, value.answer_a), (value.b, value.answer_b)):
        parts.append(
            heading(side.preset, f"{len(answer):,} tokens, stopped by {why(answer)}") + code(answer.text or "∅")
        )
        parts.append(fold("Every setting", view_effective(side)))
    return "".join(parts)


def view_redrawn(value: Redrawn) -> str:
    """Whether every token was drawn again, and the first that was not."""
    at = value.first_difference
    words = (
        "every token was drawn again" if at is None else f"another token at {at}: {value.drawn[at]} for {value.ids[at]}"
    )
    unknown = [f"the random number of {len(value.unknown):,} tokens is not known"] if value.unknown else []
    return (
        heading("Drawn once more", f"{len(value.ids):,} tokens")
        + mark(words, GOOD if at is None else WRONG)
        + notes(unknown)
    )


def _cells(item: Followed) -> list[str]:
    befores = (item.before, *item.after)
    return [_cell(effect, befores[i], item.after[i]) for i, effect in enumerate(item.effects)]


def _cell(effect: str, before: float, after: float) -> str:
    if effect == "removed":
        return mark("✕ ", WRONG) + mark(percent(before), WRONG, "removed", STRUCK)
    if effect == "gone":
        return mark("·", FAINT, "removed before")
    signs = {"raised": (" ▲", GOOD), "lowered": (" ▼", NOTE)}
    return mark(percent(after) + signs[effect][0], signs[effect][1], effect) if effect in signs else percent(after)


def _step(found: SamplerTable) -> list[str]:
    first = found.candidates[0].piece if found.candidates else b""
    left = " → ".join(f"{stage.name} {stage.n_left:,}" for stage in found.stages)
    draw = draw_words(found.stages[-1]) if found.stages else ""
    lost = mark(found.changed_by, NOTE) if found.changed_by else ""
    return [escape(found.index), code(_word(found.piece)), code(_word(first)), lost, escape(left), escape(draw)]


def _place(place: Place, pieces: dict[int, bytes]) -> list[str]:
    tokens = [code(_word(pieces[token])) for token in (place.id, place.first_a, place.first_b)]
    tokens[1] += f" {percent(place.a.first_a)}"
    tokens[2] += f" {percent(place.b.first_b)}"
    return [escape(place.at), *tokens, percent(place.a.here), percent(place.b.here)]


def _totals(value: Chains) -> str:
    missed, closed = len(value.missed), len(value.closed)
    return (
        f"The text's own token lost first place at {missed:,} places; "
        f"at {closed:,} it can no longer be drawn at all, though it could under A."
    )


def _name(item: Followed, drawn: int) -> str:
    return ("→ " if item.id == drawn else "") + code(_word(item.piece)) + (" <b>drawn</b>" if item.id == drawn else "")


def _decides(preset: Preset, name: str) -> str:
    if preset.reaches(name):
        return "counts"
    return mark("changes nothing", WRONG) if name in preset.fixed.value() else mark("is not read", WRONG)


def _value(preset: Preset, values: dict[str, Any], name: str) -> str:
    if name in values:
        return code(_json(values[name]))
    return mark("not published", NOTE) if name in preset.unknown else "–"


def _dropped(value: Any) -> str:
    return mark(visible(_json(value)), WRONG, "changes nothing", STRUCK) + " changes nothing"


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _short(value: Any) -> str:
    """A value that a request may hold, short however long it is."""
    return clip(_json(value), 120)


def _word(piece: bytes) -> str:
    return visible_bytes(piece).replace("\n", "")
