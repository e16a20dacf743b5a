"""A template's execution as a list of steps: what each did, what it wrote, and the variables in scope behind it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.stages import Rendered
from workbench.values import Value, clip

if TYPE_CHECKING:
    from workbench.conversation import Conversation
    from workbench.setup import Setup


class Step(NamedTuple):
    """One step: `kind` is that of an `Event`, or `text` for the template's own text, or `more` for steps not kept.

    `at` is how long the text was when it happened; `line` and `column` (from 1) its place in the template.
    """

    kind: str
    line: int
    column: int
    detail: str
    at: int


class Piece(NamedTuple):
    """The characters [start, end), written by step number `step` (from 0) on a line of the template (from 1)."""

    start: int
    end: int
    step: int
    line: int


class Variable(NamedTuple):
    """A variable as it is seen once `start` to `end` (exclusive) steps have happened; its value in a few words."""

    name: str
    value: str
    start: int
    end: int


@dataclass(frozen=True)
class Steps(Value):
    """What a template did on one request, in order.

    `lines`: the template as jinja counts its lines. `pieces` tile the text; a step may have written several, inside
    a macro or a block whose text stands at more than one place. `never`: lines on which something could have run and
    nothing did. `variables`: those that the engine hands over, and the template's own.
    """

    rendered: Rendered
    lines: tuple[str, ...]
    steps: tuple[Step, ...]
    pieces: tuple[Piece, ...]
    variables: tuple[Variable, ...]
    never: tuple[int, ...] = ()

    def wrote(self, line: int) -> str:
        """All that a line of the template (from 1) wrote, in order."""
        return self._joined(piece for piece in self.pieces if piece.line == line)

    def text_of(self, step: int) -> str:
        """What a step (from 0) wrote, wherever it stands in the text."""
        return self._joined(piece for piece in self.pieces if piece.step == step)

    def length(self, count: int) -> int:
        """How long the text is once `count` steps have happened."""
        return self.steps[count].at if count < len(self.steps) else len(self.rendered.text or "")

    def at(self, count: int) -> dict[str, str]:
        """The variables in scope once `count` steps have happened: name and value in a few words."""
        return {one.name: one.value for one in self.variables if one.start <= count < one.end}

    def to_dict(self) -> dict[str, Any]:
        """`{template, steps, pieces, variables, never}`."""
        return {
            "template": "\n".join(self.lines),
            "steps": [step._asdict() for step in self.steps],
            "pieces": [piece._asdict() for piece in self.pieces],
            "variables": [variable._asdict() for variable in self.variables],
            "never": list(self.never),
        }

    def _joined(self, pieces: Iterable[Piece]) -> str:
        text = self.rendered.text or ""
        return "".join(text[piece.start : piece.end] for piece in pieces)

    def _rows(self) -> list[dict[str, Any]]:
        text = self.rendered.text or ""
        wrote = [""] * len(self.steps)
        for piece in self.pieces:
            wrote[piece.step] += text[piece.start : piece.end]
        return [step._asdict() | {"text": own} for step, own in zip(self.steps, wrote, strict=True)]

    def __repr__(self) -> str:
        return f"Steps({len(self.steps):,} steps, {clip(repr(self.rendered.text or ''), 60)})"


def template_steps(request: Conversation | dict[str, Any] | list[Any] | str | Path, setup: Setup | str | Path) -> Steps:
    """What the template of a setup (or of a model, by its path) does on a request, as `transformers` executes it.

    Errors: `WorkbenchError` where the request, the setup or the model's header cannot be read, or there is no
    template; `BadRequest` where the template's steps could not be followed.
    """
    from workbench.conversation import Conversation
    from workbench.engines import Job, resolve_template
    from workbench.engines.transformers import Transformers
    from workbench.errors import BadRequest
    from workbench.gguf.header import read_header
    from workbench.setup import Setup

    setup = setup if isinstance(setup, Setup) else Setup(model=str(setup))
    template = resolve_template(setup, read_header(setup.model) if setup.model else None)
    conversation = Conversation.of(request)
    rendered, told = Transformers().watch(Job(conversation, template, setup.effective()["template"]["clock"]))
    if told is None:
        raise BadRequest(
            f"the steps of this template could not be followed: {_why(rendered)}",
            "accepted is a template that runs",
        )
    return steps_of(rendered, told, given(conversation, dict(template.special_tokens)))


def _why(rendered: Rendered) -> str:
    """What stopped a render, with its place where that is known."""
    error = rendered.error
    if error is None:
        return "; ".join(rendered.notes)
    return f"{error.type}{f' at line {error.line}' if error.line else ''}: {error.message}"


def given(conversation: Conversation, special: dict[str, str]) -> dict[str, str]:
    """The variables that the engine hands to the template, each in a few words; none where it refuses the request."""
    from workbench.engines.watch import in_words
    from workbench.engines.worker import plain_variables

    try:
        variables = plain_variables(conversation.body.value(), special, [])
    except (TypeError, ValueError):  # the render says so
        return {}
    return {str(name): in_words(value) for name, value in variables.items()}


def steps_of(rendered: Rendered, told: dict[str, Any], handed: dict[str, str]) -> Steps:
    """The steps of a watched run: `told` is what `workbench.engines.watch.watched` says of it."""
    steps, numbers, pieces = _in_order(rendered, told)
    changes = _counted(told["changes"], numbers, steps)
    variables = tuple(_intervals(changes, handed, len(steps)))
    return Steps(rendered, tuple(told["lines"]), tuple(steps), tuple(pieces), variables, tuple(told["never"]))


Numbers = list[int | None]  # of each step the event that it is, None for the template's own text


def _in_order(rendered: Rendered, told: dict[str, Any]) -> tuple[list[Step], Numbers, list[Piece]]:
    """Events and the template's own text as steps in the order in which they happened, and who wrote what."""
    steps: list[Step] = []
    numbers: Numbers = []
    pieces: list[Piece] = []
    events = [Step(*event[:4], at) for event, at in zip(rendered.events, told["positions"], strict=True)]
    step_of: dict[int, int] = {}
    waiting = list(enumerate(events))[::-1]

    def happen(before: int) -> None:
        while waiting and waiting[-1][1].at <= before:
            number, event = waiting.pop()
            step_of[number] = len(steps)
            steps.append(event)
            numbers.append(number)

    words = next((note for note in rendered.notes if "more events" in note), "more steps are not kept")
    own: list[int] = []  # the step of each stretch that no event wrote
    more: int | None = None
    for start, _end, number, line in told["stretches"]:
        if number == -1 or (number == -2 and more is None):
            happen(start)
            more = len(steps) if number == -2 else more
            steps.append(Step("text", line, 1, "", start) if number == -1 else Step("more", 0, 0, words, start))
            numbers.append(None)
        if number < 0:
            own.append(len(steps) - 1 if number == -1 else more or 0)
    if waiting:
        happen(waiting[0][1].at)
    steps_of_own = iter(own)
    for start, end, number, line in told["stretches"]:
        pieces.append(Piece(start, end, next(steps_of_own) if number < 0 else step_of[number], line))
    return steps, numbers, pieces


def _counted(changes: list[Any], numbers: Numbers, steps: list[Step]) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Each change of what is seen with the count of steps from which on it holds.

    What ends with a scope is seen until the next step happens.
    """
    done = last = 0
    for events, position, changed, ends in changes:
        while done < len(steps) and (
            (numbers[done] is not None and numbers[done] < events)
            or (numbers[done] is None and steps[done].at < position)
        ):
            done += 1
        last = max(last, done + ends)
        yield last, changed


def _intervals(
    changes: Iterable[tuple[int, dict[str, str | None]]], handed: dict[str, str], total: int
) -> Iterator[Variable]:
    """Every variable with the counts of steps at which it is seen with one value."""
    seen = {name: (value, 0) for name, value in handed.items()}
    for count, changed in changes:
        for name, value in changed.items():
            if name in seen:
                old, start = seen.pop(name)
                if start < count:
                    yield Variable(name, old, start, count)
            now = value if value is not None else handed.get(name)
            if now is not None:
                seen[name] = (now, count)
    for name, (value, start) in seen.items():
        yield Variable(name, value, start, total + 1)
