"""One request through every template engine: strings the engines together and hands what they wrote to a comparison."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
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
    request: Conversation | dict[str, Any] | list[Any] | str | Path,
    setup: Setup | str | Path,
    *,
    tokens: bool | None = None,
    **options: Any,
) -> Renders:
    """`render_all` for a request in any of its forms and a setup or a model's path; `options` are its own.

    With `tokens` (None: where the setup has a model) each text is tokenised too, as the setup says: two texts
    can have the same ids. Errors: `WorkbenchError` where the request, the setup or the model's header cannot be
    read, or the vocabulary cannot be loaded; `Cancelled`.
    """
    from workbench.conversation import Conversation
    from workbench.engines import resolve_template
    from workbench.gguf.header import read_header
    from workbench.setup import Setup

    setup = setup if isinstance(setup, Setup) else Setup(model=str(setup))
    template = resolve_template(setup, read_header(setup.model) if setup.model else None)
    options.setdefault("clock", setup.effective()["template"]["clock"])
    found = render_all(Conversation.of(request), template, **options)
    wanted = setup.model is not None if tokens is None else tokens
    return with_ids(found, setup, cancel=options.get("cancel")) if wanted else found


def with_ids(found: Renders, setup: Setup, *, cancel: Cancel | None = None) -> Renders:
    """`found` with the token ids of each text. Errors: those of the host."""
    from workbench.errors import BadRequest, CannotRun
    from workbench.runtime.host import Host

    ids: dict[str, tuple[int, ...]] = {}
    texts = {rendered.text for rendered in found.renders if rendered.text is not None}
    with contextlib.closing(Host(setup)) as host:
        for text in texts:
            with contextlib.suppress(BadRequest, CannotRun):  # a text that cannot be tokenised has no ids
                ids[text] = tuple(host.tokenize(text, cancel=cancel).ids.tolist())
    pairs = [(rendered.engine, ids[rendered.text]) for rendered in found.renders if rendered.text in ids]
    return replace(found, ids=tuple(pairs))


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
        found.append((name, side_by_side(request, setup, tokens=False, track=False, cancel=cancel, **options)))
    return Agreement(tuple(found))
