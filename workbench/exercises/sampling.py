"""The exercises of the notebook on logits and sampling: each check samples with what was answered and explains."""

from __future__ import annotations

import json
from functools import cache
from typing import Any

from workbench.data import demo_model
from workbench.exercises.checked import Checked
from workbench.lens import lens
from workbench.resample import compare_chains
from workbench.setup import Setup, TemplateChoice
from workbench.trace import Trace, trace

ASK = {"messages": [{"role": "user", "content": "Write one sentence about the sea."}]}
# An answer as an agent writes it: many quotes, braces and equal names.
JSON_TEXT = json.dumps([{"name": "read_file", "arguments": {"path": f"src/file_{n}.py"}} for n in range(6)], indent=1)
PENALTIES = (1.0, 1.05, 1.1, 1.2, 1.3)  # far enough apart for every processor's rounding
CALLS = '{"name": "read_file", "arguments": {"path": "a.py"}}, {"name": "read'  # what follows is clear from the text
AGAIN = [{"role": "user", "content": CALLS}]


@cache
def drawn() -> Trace:
    """An answer of the demo model, drawn with several samplers."""
    sampling = {"temperature": 1.2, "top_k": 12, "top_p": 0.8, "min_p": 0.1, "seed": 3, "max_tokens": 12}
    return trace(ASK, Setup.from_dict({"model": str(demo_model()), "sampling": sampling}), until="generation")


def plain() -> Setup:
    """The demo model with a template that writes the first message alone: the text is the prompt."""
    return Setup(model=str(demo_model()), template=TemplateChoice("text:{{ messages[0].content }}"))


def took_it_away(answer: Any) -> Checked:
    """Logits, exercise 1: the sampler that took the last rival of the first token of `drawn()` away."""
    generation = drawn().generation
    assert generation is not None
    stages = generation.steps[0].stages
    last = next(stage.name for stage in stages if stage.n_left == 1)
    names = [stage.name for stage in stages]
    if not isinstance(answer, str) or answer not in names:
        return Checked(False, f"answer_1 is no sampler of this chain. Hint: they are {', '.join(names)}")
    left = ", ".join(f"{stage.name} {stage.n_left:,}" for stage in stages)
    if answer != last:
        return Checked(False, f"it was not {answer}. Candidates left by each, in order: {left}")
    return Checked(True, f"candidates left by each, in order: {left}. What comes behind {last} had no choice any more")


def keeps_json_in_place(answer: Any) -> Checked:
    """Logits, exercise 2: the largest of `PENALTIES` under which no token of `JSON_TEXT` loses its first place."""
    if isinstance(answer, bool) or not isinstance(answer, int | float) or answer not in PENALTIES:
        return Checked(False, f"answer_2 is none of {', '.join(map(str, PENALTIES))}")
    if lost := _lost(float(answer)):
        return Checked(False, f"with {answer} the text's own token loses first place at {lost} of its places")
    larger = [value for value in PENALTIES if value > answer]
    if larger and not _lost(larger[0]):
        return Checked(False, f"{answer} takes no first place away, and {larger[0]} does not either")
    return Checked(True, f"{larger[0]} already takes one away: a greedy answer would leave the JSON there")


@cache
def _lost(penalty: float) -> int:
    """Places at which the text's own token is first without the penalty and not with it."""
    if penalty == 1.0:
        return 0
    setup = Setup(model=str(demo_model()))
    held = compare_chains(JSON_TEXT, setup, {"repeat_penalty": 1.0}, {"repeat_penalty": penalty, "repeat_last_n": 64})
    return len(held.missed)


def settles_at(answer: Any) -> Checked:
    """Logits, exercise 3: the stage of the lens from which on the first place behind `AGAIN` stays as it is."""
    found = lens(AGAIN, plain())
    if not isinstance(answer, str) or answer not in found.stages:
        return Checked(False, f"answer_3 is no stage. Hint: they are 'embedding', 'layer 0' to {found.stages[-1]!r}")
    settled = found.settled(int(found.positions[-1]))
    assert settled is not None
    if found.stages.index(answer) < found.stages.index(settled):
        return Checked(False, f"behind {answer} another token comes first once more")
    if answer != settled:
        return Checked(False, f"from {answer} on it stays, and it stayed before")
    return Checked(True, f"from {settled} on the same token is first; what stands there before proves nothing")
