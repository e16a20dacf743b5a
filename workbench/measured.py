"""Which fields of a request an engine uses, and why parts of it are not in the prompt: by renders without them."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Any, Literal

from workbench.compare.fields import Field, Measured
from workbench.compare.reach import Reach, reach
from workbench.compare.text import first_difference
from workbench.conversation import SAMPLING_FIELDS, TRANSPORT_FIELDS, Conversation
from workbench.errors import BadRequest, Cancelled, WorkbenchError
from workbench.nesting import read_json, write_json

if TYPE_CHECKING:
    from workbench.engines.template import Template
    from workbench.progress import Cancel, Progress
    from workbench.stages import Rendered, Tokens

MOST = 24  # fields of one request that are measured; each is a render
_STOPPED = ("TimeLimit", "MemoryLimit", "Crash")
_OF_EVERY_MESSAGE = ("role", "content")
_SAMPLING = "it works on sampling, not on the prompt"
_TRANSPORT = "it works on the way to the model and back, not on the prompt"
Form = Literal["an object", "text"]
_OTHER: dict[Form, Form] = {"an object": "text", "text": "an object"}


class _Bench:
    """Renders of one request with something changed, by one engine and at one time."""

    def __init__(
        self, base: Rendered, conversation: Conversation, template: Template, clock: str | None, cancel: Cancel | None
    ) -> None:
        self.base, self.conversation, self.template, self.cancel = base, conversation, template, cancel
        self.clock = clock
        self._again: Rendered | None = None

    def render(self, body: dict[str, Any], *, engine: str | None = None, track: bool = False) -> Rendered:
        """One render. Errors: those of the engine; `BadRequest` for a body that is none."""
        from workbench.engines import render

        name, rest = engine or self.base.engine, {"track": track, "tell": track, "cancel": self.cancel}
        return render(Conversation.from_dict(body), self.template, engine=name, clock=self.clock, **rest)  # type: ignore[arg-type]

    def steady(self) -> bool:
        """Whether the same request gives the same prompt again: a template may tell the time or draw at random."""
        if self._again is None:
            self._again = self.render(self.conversation.to_dict())
        return _outcome(self._again) == _outcome(self.base)


def measured(
    conversation: Conversation,
    template: Template,
    rendered: Rendered,
    *,
    clock: str | None = None,
    tokens: Tokens | None = None,
    only: Collection[str] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Measured:
    """What the engine of `rendered`, which is its render of `conversation`, does with each field, and what is lost.

    `clock` is the time at which it was rendered, `tokens` those of its text, `only` the fields to measure (None: all).
    Errors: `Cancelled`.
    """
    bench = _Bench(rendered, conversation, template, clock, cancel)
    names = [row for row in _paths(conversation.data) if only is None or row[0] in only]
    found = []
    for done, (path, body, words) in enumerate(names):
        if progress is not None:
            progress(f"{rendered.engine}: without {path}", done, len(names))
        found.append(Field(path, "elsewhere", words) if words else _without(bench, path, body, done))
    goes = reach(conversation, rendered, tokens)
    reasons = _why(bench, goes) if goes is not None else {}
    return Measured(rendered.engine, tuple(found), reach(conversation, rendered, tokens, reasons) if reasons else goes)


def _paths(body: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Each field that can be left out with the request without it; in words where it works elsewhere, unmeasured."""
    for name, value in body.items():
        if name == "messages":
            continue
        without = {key: one for key, one in body.items() if key != name}
        if name in SAMPLING_FIELDS:
            yield name, without, _SAMPLING
        elif name in TRANSPORT_FIELDS:
            yield name, without, _TRANSPORT
        elif name == "chat_template_kwargs" and value:
            for key in value:
                rest = {other: one for other, one in value.items() if other != key}
                yield f"{name}.{key}", {**body, name: rest}, ""
        else:
            yield name, without, ""
    inner = dict.fromkeys(name for message in body["messages"] for name in message if name not in _OF_EVERY_MESSAGE)
    for name in inner:
        messages = [{key: one for key, one in message.items() if key != name} for message in body["messages"]]
        yield f"messages[].{name}", {**body, "messages": messages}, ""


def _without(bench: _Bench, path: str, body: dict[str, Any], number: int) -> Field:
    """Whether the prompt, or the error, is another one without a field."""
    base = bench.base
    if number >= MOST:
        return Field(path, "not evaluated", f"only {MOST} fields of a request are measured")
    if base.error is not None and base.error.type in _STOPPED:
        return Field(path, "not evaluated", f"the render was stopped: {base.error.message}")
    try:
        other = bench.render(body)
        if other.error is not None and other.error.type in _STOPPED:
            return Field(path, "not evaluated", f"without it the render was stopped: {other.error.message}")
        if _outcome(other) == _outcome(base):
            failed = base.error is not None
            said = "the render fails with it and without it" if failed else "the prompt is the same without it"
            return Field(path, "not evaluated" if failed else "not used", said)
        if not bench.steady():
            return Field(path, "not evaluated", "two renders of the same request differ")
    except Cancelled:
        raise
    except WorkbenchError as error:
        return Field(path, "not evaluated", str(error))
    return Field(path, "used", _difference(base, other))


def _outcome(rendered: Rendered) -> tuple[str | None, str | None]:
    return rendered.text, rendered.error.message if rendered.error is not None else None


def _difference(base: Rendered, other: Rendered) -> str:
    if other.error is not None:
        return f"without it the render fails: {other.error.message}"
    if base.text is None or other.text is None:
        return "without it the render does not fail"
    where = first_difference(base.text, other.text)
    assert where is not None
    size = len(base.text) - len(other.text)
    longer = f"{abs(size):,} characters {'longer' if size > 0 else 'shorter'}" if size else "as long, and another one"
    return f"with it the prompt is {longer}, from character {where.offset:,} on"


def _why(bench: _Bench, goes: Reach) -> dict[str, str]:
    """Why arguments are missing: whether the template writes them in the other form, text or object, and only there."""
    lost = [part.path for part in goes.missing if ".tool_calls[" in part.path]
    base, body = bench.base, bench.conversation.to_dict()
    handed = _form(base.request.value() if base.request is not None else body)
    if not lost or handed is None:
        return {}
    words = f"the template writes arguments only where they are {_OTHER[handed]}, this engine hands over {handed}"
    found: dict[str, str] = {}
    for engine in dict.fromkeys((base.engine, "transformers")):
        try:
            there = _missing(bench, _in_form(body, _OTHER[handed]), engine)
            here = set(lost) if engine == base.engine else _missing(bench, _in_form(body, handed), engine)
        except Cancelled:
            raise
        except (WorkbenchError, RecursionError):
            continue
        if there is not None and here is not None:
            found |= {path: words for path in lost if path in here and path not in there}
    return found


def _missing(bench: _Bench, body: dict[str, Any], engine: str) -> set[str] | None:
    """The paths of what is missing in a render, None where there is no prompt."""
    rendered = bench.render(body, engine=engine, track=True)
    goes = reach(Conversation.from_dict(body), rendered)
    return {part.path for part in goes.missing} if goes is not None else None


def _calls(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The functions of all calls of a request that have arguments."""
    for message in body.get("messages") or ():
        calls = message.get("tool_calls") if isinstance(message, dict) else None
        for call in calls if isinstance(calls, list) else ():
            function = call.get("function") if isinstance(call, dict) else None
            if isinstance(function, dict) and "arguments" in function:
                yield function


def _form(body: dict[str, Any]) -> Form | None:
    """In which form a request has its arguments; None where it has none, or both."""
    forms: set[Form] = {"text" if isinstance(function["arguments"], str) else "an object" for function in _calls(body)}
    return next(iter(forms)) if len(forms) == 1 else None


def _in_form(body: dict[str, Any], form: Form) -> dict[str, Any]:
    """The request with all arguments in one form. Errors: `BadRequest` for a text that is no JSON."""
    changed: dict[str, Any] = read_json(write_json(body))
    for function in _calls(changed):
        value = function["arguments"]
        try:
            if form == "an object" and isinstance(value, str):
                function["arguments"] = read_json(value)
            elif form == "text" and not isinstance(value, str):
                function["arguments"] = write_json(value, ensure_ascii=False)
        except ValueError as error:
            raise BadRequest("the arguments of a call are no JSON", "accepted is an object as text") from error
    return changed
