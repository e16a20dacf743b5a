"""What the quantisation lab shows below its strips, one thing at a time: each is a value that a script can get, too."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from workbench.data import held_out_file
from workbench.errors import BadRequest
from workbench.groups import which_tensors
from workbench.lockstep import where_it_begins
from workbench.progress import Cancel, Progress
from workbench.quality import Quality, measure
from workbench.runtime.host import Host
from workbench.values import Value
from workbench.variants import Variant, Variants, cache_damage
from workbench.views import variants as views
from workbench.views.html import heading
from workbench.widgets.choices import expanded
from workbench.widgets.precisions import Precisions

HELD_OUT = "held-out"  # the text where none is named: what toolsmith was never trained on
HELD_OUT_CHARACTERS = 24_000


class Asked(NamedTuple):
    """What stands above, its hosts (the reference's first), the chosen column; `show` gets what is had so far."""

    found: Variants
    choices: Precisions
    hosts: Sequence[Host]
    show: Callable[[Value], None]

    @property
    def chosen(self) -> Variant:
        """The variant that layers and groups are of. Errors: `BadRequest` where it could not run."""
        name = self.choices.names[self.choices.chosen]
        variant = next((one for one in self.found.others if one.name == name), None)
        if variant is None or variant.pair is None:
            raise BadRequest(f"{name} could not run", "accepted is a column with figures", "choose another column")
        return variant


Panel = Callable[[Asked, Progress, Cancel], Value | str]


def kinds(asked: Asked, _progress: Progress, _cancel: Cancel) -> str:
    """Damage in calls, code and prose apart."""
    return heading("By kind of text") + views.kinds(asked.found)


def answers(asked: Asked, _progress: Progress, _cancel: Cancel) -> str:
    """What each setup writes."""
    return heading("Answers") + views.answers(asked.found)


def types(asked: Asked, _progress: Progress, _cancel: Cancel) -> str:
    """The tensor types really used."""
    return heading("Tensor types really used") + views.tensor_types(asked.found)


def layers(asked: Asked, progress: Progress, cancel: Cancel) -> Value:
    """Where in the network the chosen column parts from the reference."""
    found, variant = asked.found, asked.chosen
    place = [one.name for one in found.others].index(variant.name) + 1
    hosts = asked.hosts[0], asked.hosts[place]
    given = found.tokens.ids.tolist()
    return where_it_begins(given, found.reference.setup, variant.setup, hosts=hosts, progress=progress, cancel=cancel)


def groups(asked: Asked, progress: Progress, cancel: Cancel) -> Value:
    """Which tensors of the chosen column do the damage."""
    found, variant = asked.found, asked.chosen
    if variant.setup.model == found.reference.setup.model:
        raise BadRequest(
            f"{variant.name} has the reference's own weights",
            "accepted is a column with other tensor types",
            "choose another column",
        )
    ids = found.tokens.ids.tolist()
    return which_tensors(ids, found.reference.setup, variant.setup, progress=progress, cancel=cancel)


def cache(asked: Asked, progress: Progress, cancel: Cancel) -> Value:
    """Keys and values of the KV cache at lower precision, each alone, with flash attention and without."""
    found = asked.found
    floor = found.floor or False
    return cache_damage(found.tokens, found.reference.setup, floor=floor, progress=progress, cancel=cancel)


def quality(asked: Asked, progress: Progress, cancel: Cancel) -> Quality:
    """Every column over a text; the figures so far are shown as they come."""
    found, choices = asked.found, asked.choices
    setups = [variant.setup for variant in found.others if variant.pair is not None]
    text = held_out_text() if choices.text in ("", HELD_OUT) else expanded(choices.text)
    return measure(
        found.reference.setup,
        setups,
        text,
        n_ctx=choices.n_ctx,
        on_chunk=asked.show,
        progress=progress,
        cancel=cancel,
    )


def held_out_text() -> str:
    """The beginning of toolsmith's held-out requests, as text."""
    return held_out_file().read_text(encoding="utf-8")[:HELD_OUT_CHARACTERS]


PANEL_OF: dict[str, Panel] = {
    "kinds": kinds,
    "answers": answers,
    "types": types,
    "layers": layers,
    "groups": groups,
    "cache": cache,
    "quality": quality,
}
OWN_PROCESSES = ("groups", "cache", "quality")  # load models of their own: those of the strips make room
