"""The exercises of the notebook on templates: each check renders what was answered and says what came of it."""

from __future__ import annotations

from typing import Any

from workbench.compare.reach import reach
from workbench.compare.text import first_difference
from workbench.conversation import Conversation
from workbench.data import demo_model, requests, templates
from workbench.engines import Template, render
from workbench.exercises.checked import Checked
from workbench.renders import side_by_side
from workbench.setup import ENGINE_NAMES
from workbench.views.reach import missing_words


def keeps_the_tools(answer: Any) -> Checked:
    """Templates, exercise 1: a format (its name) whose prompt holds everything of the request `tools`."""
    if answer is None:
        return Checked(False, "answer_1 is still None. Hint: sorted(templates()) lists the names to choose from")
    path = templates().get(answer) if isinstance(answer, str) else None
    if path is None:
        return Checked(False, f"{answer!r} is no format; sorted(templates()) lists them")
    conversation = Conversation.from_file(requests()["tools"])
    rendered = render(conversation, Template(path.read_text("utf-8")))
    goes = reach(conversation, rendered)
    if goes is None:
        return Checked(
            False, f"{answer} does not render this request: {rendered.error.message if rendered.error else ''}"
        )
    if goes.missing:
        return Checked(False, f"with {answer} these are not in the prompt: {'; '.join(missing_words(goes))}")
    return Checked(True, f"with {answer} the tools and every message are in the prompt")


def leaves_the_system_text_out(answer: Any) -> Checked:
    """Templates, exercise 2: the engines that leave the demo model's default system text out of the request `hello`."""
    if answer is None:
        return Checked(False, "answer_2 is still None. Hint: put the names in a set, {'transformers'} for example")
    if isinstance(answer, str):
        answer = {answer}
    if not isinstance(answer, set | frozenset | list | tuple) or not all(isinstance(item, str) for item in answer):
        return Checked(False, "answer_2 is no set of names. Hint: {'transformers'} is one")
    named = set(answer)
    if unknown := named - set(ENGINE_NAMES):
        return Checked(
            False, f"{', '.join(map(repr, sorted(map(str, unknown))))}: the engines are {', '.join(ENGINE_NAMES)}"
        )
    found = side_by_side(requests()["hello"], str(demo_model()))
    without = {one.engine for one in found.renders if one.text is not None and "<|im_start|>system" not in one.text}
    if too_many := named - without:
        absent = {item.engine for item in found.absent}
        why = "cannot run here" if too_many & absent else "writes the system text"
        return Checked(False, f"{min(too_many)} {why}")
    if few := without - named:
        return Checked(False, f"{len(few)} more {'leaves' if len(few) == 1 else 'leave'} it out")
    return Checked(True, "these pick a format of their own by a likeness of the template, and so lose what it adds")


def ends_its_turns(answer: Any) -> Checked:
    """Templates, exercise 3: a text of a template that writes what `chatml` writes for the request `multi-turn`."""
    if not isinstance(answer, str):
        return Checked(False, "answer_3 is no text. Hint: start from broken_text and change one literal")
    conversation = Conversation.from_file(requests()["multi-turn"])
    wanted = render(conversation, Template(templates()["chatml"].read_text("utf-8"))).text or ""
    rendered = render(conversation, Template(answer))
    if rendered.error is not None:
        where = f" in line {rendered.error.line}" if rendered.error.line else ""
        return Checked(False, f"the template fails{where}: {rendered.error.message}")
    where_else = first_difference(rendered.text or "", wanted)
    if where_else is not None:
        return Checked(
            False, f"behind {where_else.before!r} stands {where_else.a[:16]!r}, and should {where_else.b[:16]!r}"
        )
    return Checked(True, "every turn has its end, so the model sees where one stops and learns to stop there itself")
