"""The engine `transformers`: chat templates as `apply_chat_template` of the transformers package renders them."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.engines.base import Job
from workbench.engines.limits import OnText, Reply, Sandbox
from workbench.engines.replies import body_of, clock_note, clock_of, refused, rendered
from workbench.engines.template import require_template

if TYPE_CHECKING:
    from workbench.progress import Cancel
    from workbench.stages import Rendered

_LARGE = 4_000  # characters of a template from which on two processes are faster than one
FOLLOWS = "transformers 5.23.0"


@cache
def sandbox() -> Sandbox:
    """The one process in which all templates of this engine render."""
    return Sandbox()


@cache
def _version() -> str:
    import platform
    from importlib.metadata import version

    return f"rules of {FOLLOWS}; jinja2 {version('jinja2')}; Python {platform.python_version()}"


@cache
def second() -> Sandbox:
    """Another process, in which the run that follows origins goes beside the plain one."""
    return Sandbox()


def _in_two(
    options: dict[str, Any], body: bytes, *, on_text: OnText | None = None, cancel: Cancel | None = None
) -> Reply:
    """The plain run and the one that follows origins at once: most of a large template's time is compiling it, twice.

    Where the second wrote another text, both run again in one process, which looks for what differs.
    """
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, thread_name_prefix="workbench-origins") as beside:
        asked = beside.submit(second().render, options | {"alone": True}, body, cancel=cancel)
        reply = sandbox().render(options | {"track": False}, body, on_text=on_text, cancel=cancel)
        other = asked.result()
    if other.plain.get("error"):  # the limits ended it
        return reply._replace(cut=other.plain["error"]["message"])
    if other.text == reply.text or (other.text is None and "note" in other.tracked):
        return reply._replace(tracked=other.tracked, cut=other.cut)
    return sandbox().render(options, body, cancel=cancel)


class Watched(NamedTuple):
    """A render, and what its run told step by step."""

    rendered: Rendered
    told: dict[str, Any] | None


class Transformers:
    """jinja2 set up as transformers sets it up; the package itself is not needed."""

    name = "transformers"

    def missing(self) -> str | None:
        """jinja2, where it is not installed."""
        return None if find_spec("jinja2") else "pip install jinja2"

    def version(self) -> str:
        """Whose rules, and what runs them."""
        return _version()

    def render(self, job: Job, *, cancel: Cancel | None = None) -> Rendered:
        """The prompt, or the template's error as data. Errors: `Cancelled`, `CannotRun`."""
        return self.watch(job, watch=False, cancel=cancel).rendered

    def watch(self, job: Job, *, watch: bool = True, cancel: Cancel | None = None) -> Watched:
        """The same, and what `watch.watched` tells of the run; None where it could not be followed."""
        require_template(job.template)
        choice = _choose(job)
        if choice.text is None:
            return Watched(refused(self, "ValueError", choice.note), None)
        clock = clock_of(job)
        options = _options(job, choice.text, clock) | {"track": job.track, "watch": watch}
        large = job.track and not watch and len(choice.text) >= _LARGE
        run = _in_two if large else sandbox().render
        reply = run(options, body_of(job), on_text=job.on_text, cancel=cancel)
        notes = [*([choice.note] if choice.note else []), *clock_note(reply, job, clock), *_chance_note(reply)]
        return Watched(rendered(self, reply, job, notes), reply.tracked.get("watched"))

    def forgiving(self, job: Job, *, cancel: Cancel | None = None) -> Rendered:
        """What jinja2 would write if it were as lenient as llama.cpp's engine: of use where that wrote the same."""
        clock = clock_of(job)
        options = _options(job, job.template.text, clock) | {"alone": True, "lenient": True}
        return rendered(self, sandbox().render(options, body_of(job), cancel=cancel), job, [])


def _options(job: Job, template: str, clock: str) -> dict[str, Any]:
    return {"template": template, "special": dict(job.template.special_tokens), "clock": clock}


class _Choice:
    """The template's text, None where there is none to choose; what to tell about it."""

    def __init__(self, text: str | None, note: str = "") -> None:
        self.text = text
        self.note = note


def _choose(job: Job) -> _Choice:
    """Which of several templates.

    https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/tokenization_utils_base.py#L3319
    """
    named = dict(job.template.named)
    if not named:
        return _Choice(job.template.text)
    if job.template.text:
        named = {"default": job.template.text, **named}
    if job.conversation.tools is not None and "tool_use" in named:
        return _Choice(named["tool_use"], "the template named tool_use was used, as the request has tools")
    if "default" in named:
        return _Choice(named["default"])
    return _Choice(
        None,
        "This model has multiple chat templates with no default specified! Please either pass a chat "
        "template or the name of the template you wish to use to the `chat_template` argument. Available "
        f"template names are {sorted(named)}.",
    )


def _chance_note(reply: Reply) -> list[str]:
    if not reply.plain.get("random_used"):
        return []
    return ["the template draws at random: here always from the same seed, elsewhere each render may differ"]
