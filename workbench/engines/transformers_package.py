"""What the transformers package writes where it is installed, to hold the engine `transformers` against."""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

from workbench.engines.base import Job
from workbench.engines.limits import Sandbox
from workbench.engines.replies import body_of, clock_of, rendered
from workbench.engines.template import applied_text

if TYPE_CHECKING:
    from workbench.progress import Cancel
    from workbench.stages import Rendered


@cache
def sandbox() -> Sandbox:
    """The one process in which the package renders; it takes seconds to start."""
    return Sandbox("workbench.engines.transformers_package_worker", limit_mib=2048)


class TransformersPackage:
    """`apply_chat_template` of the installed package; no engine of its own, so it is not in `ENGINES`."""

    name = "transformers"

    def missing(self) -> str | None:
        """The package, where it is not installed."""
        return None if find_spec("transformers") else "pip install transformers"

    def version(self) -> str:
        """The installed version."""
        from importlib.metadata import version

        return f"transformers {version('transformers')}, installed here"

    def render(self, job: Job, *, cancel: Cancel | None = None) -> Rendered:
        """The prompt, or the template's error as data. Errors: `Cancelled`, `CannotRun`."""
        text = applied_text(job.template, has_tools=job.conversation.tools is not None)
        special = dict(job.template.special_tokens)
        options = {"template": text, "special": special, "clock": clock_of(job)}
        return rendered(self, sandbox().render(options, body_of(job), cancel=cancel), job, [])
