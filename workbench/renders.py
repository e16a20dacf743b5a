"""One request through every template engine: strings the engines together and hands what they wrote to a comparison."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.compare.renders import Absent, Agreement, Renders

if TYPE_CHECKING:
    from workbench.conversation import Conversation
    from workbench.engines.template import Template
    from workbench.progress import Cancel, Progress
    from workbench.setup import Setup


def render_all(
    conversation: Conversation,
    template: Template,
    *,
    engines: Iterable[str] | None = None,
    clock: str | None = None,
    track: bool = True,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Renders:
    """The request as each of `engines` writes it (all, by name), those that cannot run named with the reason.

    Errors: `Cancelled`.
    """
    from datetime import datetime

    from workbench.engines import render
    from workbench.errors import Cancelled, WorkbenchError
    from workbench.setup import ENGINE_NAMES, parse_clock

    names = tuple(engines) if engines is not None else ENGINE_NAMES
    clock = (parse_clock(clock) or datetime.now()).isoformat()  # noqa: DTZ005  one time for all, the user's own
    renders, absent = [], []
    for done, name in enumerate(names):
        if progress is not None:
            progress(name, done, len(names))
        try:
            renders.append(render(conversation, template, engine=name, clock=clock, track=track, cancel=cancel))
        except Cancelled:
            raise
        except WorkbenchError as error:
            absent.append(Absent(name, str(error)))
    return Renders(tuple(renders), tuple(absent))


def side_by_side(
    request: Conversation | dict[str, Any] | list[Any] | str | Path, setup: Setup | str | Path, **options: Any
) -> Renders:
    """`render_all` for a request in any of its forms and a setup or a model's path; `options` are its own.

    Errors: `WorkbenchError` where the request, the setup or the model's header cannot be read; `Cancelled`.
    """
    from workbench.conversation import Conversation
    from workbench.engines import resolve_template
    from workbench.gguf.header import read_header
    from workbench.setup import Setup

    setup = setup if isinstance(setup, Setup) else Setup(model=str(setup))
    template = resolve_template(setup, read_header(setup.model) if setup.model else None)
    options.setdefault("clock", setup.effective()["template"]["clock"])
    return render_all(Conversation.of(request), template, **options)


def agreement(
    requests: Mapping[str, Conversation | dict[str, Any] | list[Any] | str | Path],
    setup: Setup | str | Path,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    **options: Any,
) -> Agreement:
    """`side_by_side` for each of `requests` (by name), as one table. Errors: those of `side_by_side`."""
    found = []
    for done, (name, request) in enumerate(requests.items()):
        if progress is not None:
            progress(name, done, len(requests))
        found.append((name, side_by_side(request, setup, track=False, cancel=cancel, **options)))
    return Agreement(tuple(found))
