"""One request through every template engine: strings the engines together and hands what they wrote to a comparison."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.compare.renders import Absent, Agreement, Renders
from workbench.compare.rewrites import rewritten

if TYPE_CHECKING:
    from concurrent.futures import Future

    from workbench.conversation import Conversation
    from workbench.engines import Job
    from workbench.engines.template import Template
    from workbench.progress import Cancel, Progress
    from workbench.runtime.host import Host
    from workbench.setup import Setup
    from workbench.stages import Rendered, Tokens


def render_all(
    conversation: Conversation,
    template: Template,
    *,
    engines: Iterable[str] | None = None,
    clock: str | None = None,
    track: bool = True,
    measure: bool = True,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Renders:
    """The request as each of `engines` writes it (all, by name), those that cannot run named with the reason.

    `measure`: also which fields each of them uses and what is not in its prompt, by a render without each field.
    Errors: `Cancelled`.
    """
    from datetime import datetime

    from workbench.engines import Job, render
    from workbench.errors import Cancelled, WorkbenchError
    from workbench.measured import measured
    from workbench.setup import ENGINE_NAMES, parse_clock

    names = tuple(engines) if engines is not None else ENGINE_NAMES
    clock = (parse_clock(clock) or datetime.now()).isoformat()  # noqa: DTZ005  one time for all, the user's own
    renders, absent = [], []
    asked = _ask_package(Job(conversation, template, clock, track=False)) if "transformers" in names else None
    for done, name in enumerate(names):
        if progress is not None:
            progress(name, done, len(names))
        try:
            renders.append(render(conversation, template, engine=name, clock=clock, track=track, cancel=cancel))
        except Cancelled:
            raise
        except WorkbenchError as error:
            absent.append(Absent(name, str(error)))
    known = [
        measured(conversation, template, rendered, clock=clock, progress=progress, cancel=cancel)
        for rendered in (renders if measure else ())
    ]
    changed = tuple(one for rendered in renders if (one := rewritten(conversation, rendered)) is not None)
    package = _wait(asked, cancel) if asked is not None else None
    return Renders(tuple(renders), tuple(absent), package=package, rewritten=changed, measured=tuple(known))


def _wait(asked: Future[Rendered | str], cancel: Cancel | None) -> Rendered | str:
    """The package's answer. Errors: `Cancelled`, and then it goes on: a start that is broken off begins anew."""
    from concurrent.futures import TimeoutError as NotYet

    from workbench.errors import Cancelled

    while True:
        try:
            return asked.result(timeout=0.05)
        except NotYet:
            if cancel is not None and cancel.is_set():
                raise Cancelled("the render was cancelled") from None


def _ask_package(job: Job) -> Future[Rendered | str]:
    """What the installed transformers package writes, while the engines do theirs: it takes seconds to start.

    In words why it was not asked, where it was not.
    """
    from concurrent.futures import ThreadPoolExecutor

    from workbench.engines.serving import fault_of
    from workbench.engines.transformers_package import TransformersPackage
    from workbench.errors import CannotRun

    def ask() -> Rendered | str:
        package = TransformersPackage()
        if package.missing() is not None:
            return "it is not installed here"
        if not (job.template.text or job.template.named):
            return "there is no template"
        try:
            return package.render(job)
        except CannotRun as error:
            return f"it does not run here: {error}"
        except Exception as fault:  # noqa: BLE001  it is named, and costs the engines' results nothing
            return str(fault_of(fault)["message"])

    with_one = ThreadPoolExecutor(1, thread_name_prefix="workbench-package")
    found = with_one.submit(ask)
    with_one.shutdown(wait=False)
    return found


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


def with_ids(found: Renders, setup: Setup, *, host: Host | None = None, cancel: Cancel | None = None) -> Renders:
    """`found` with the tokens of each text; `host` is one that has the model already. Errors: those of the host."""
    from workbench.errors import BadRequest, CannotRun
    from workbench.runtime.host import Host

    tokens: dict[str, Tokens] = {}
    texts = {rendered.text for rendered in found.renders if rendered.text is not None}
    with contextlib.nullcontext(host) if host is not None else contextlib.closing(Host(setup)) as loaded:
        for text in texts:
            with contextlib.suppress(BadRequest, CannotRun):  # a text that cannot be tokenised has no ids
                tokens[text] = loaded.tokenize(text, cancel=cancel)
    pairs = [(one.engine, tokens[one.text]) for one in found.renders if one.text in tokens]
    ids = tuple((engine, tuple(of_text.ids.tolist())) for engine, of_text in pairs)
    return replace(found, ids=ids, tokens=tuple(pairs))


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
        found.append(
            (name, side_by_side(request, setup, tokens=False, track=False, measure=False, cancel=cancel, **options))
        )
    return Agreement(tuple(found))
