"""The engine `transformers`: chat templates as `apply_chat_template` of the transformers package renders them."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from workbench.engines.base import Job
from workbench.engines.limits import Reply, Sandbox
from workbench.engines.replies import body_of, clock_note, clock_of, refused, rendered
from workbench.engines.template import require_template

if TYPE_CHECKING:
    from workbench.progress import Cancel
    from workbench.stages import Rendered

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
        require_template(job.template)
        choice = _choose(job)
        if choice.text is None:
            return refused(self, "ValueError", choice.note)
        clock = clock_of(job)
        options = {
            "template": choice.text,
            "special": dict(job.template.special_tokens),
            "clock": clock,
            "track": job.track,
        }
        reply = sandbox().render(options, body_of(job), cancel=cancel)
        return rendered(
            self,
            reply,
            job,
            [*([choice.note] if choice.note else []), *clock_note(reply, job, clock), *_chance_note(reply)],
        )


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
