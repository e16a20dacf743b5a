"""Render a chat request to the prompt that the model would read.

The spans in the JSON say for every character where it came from.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from workbench.cli.output import (
    DONE,
    RESULT_IS_ERROR,
    Ticker,
    block,
    heading,
    print_json,
    print_lines,
    some,
    table,
)
from workbench.cli.stack import add_request, add_stack, read_request, read_setup
from workbench.setup import ENGINE_NAMES, Setup
from workbench.values import clip

if TYPE_CHECKING:
    from workbench.compare.fields import Measured
    from workbench.compare.renders import Renders
    from workbench.conversation import Conversation
    from workbench.engines import Template
    from workbench.progress import Progress
    from workbench.stages import Rendered

NAME = "render"
ALL = "all"
EXAMPLES = """\
examples:
  workbench render request.json --model model.gguf
  workbench render request.json --template chat_template.jinja --date 2024-07-26 --json
  workbench render hello --model demo --engine all
  workbench render tools --template llama-3
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    add_request(parser)
    add_stack(parser)
    parser.add_argument(
        "--template",
        metavar="F",
        help="a template in place of the model's own: a file, or the name of a well-known format such as chatml",
    )
    parser.add_argument(
        "--engine",
        choices=(*ENGINE_NAMES, ALL),
        metavar="E",
        help=f"{', '.join(ENGINE_NAMES)}, or all that are installed (default: transformers)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Render with one engine or all; 1 where a template's error is the result."""
    from workbench.engines import resolve_template
    from workbench.gguf.header import read_header

    conversation = read_request(arguments.request)
    engine = arguments.engine if arguments.engine != ALL else None
    setup = read_setup(arguments, template=arguments.template, engine=engine)
    template = resolve_template(setup, read_header(setup.model) if setup.model else None)
    every = arguments.engine == ALL
    ticker = Ticker()
    try:
        found = _render(conversation, template, setup, every=every, progress=ticker)
    finally:
        ticker.clear()
    if arguments.json:
        more = {"template": {"label": template.label}, "unknown_fields": conversation.unknown_fields}
        print_json(more | found.to_dict())
    else:
        for rendered, measured in zip(found.renders, found.measured, strict=True):
            print_lines(describe(rendered, measured))
        print_lines(f"{item.engine}: not evaluated, {item.reason}" for item in found.absent)
        print_lines(compared(found) if every else [])
    return RESULT_IS_ERROR if any(rendered.error for rendered in found.renders) else DONE


def compared(found: Renders) -> list[str]:
    """Which engines agree, where each other text parts from the first, and which fields each of them uses."""
    from workbench.views import fields

    lines = [heading("Compared", f"{len(found.renders)} engines")]
    for group in found.groups:
        where = found.first_difference(found.base, group[0]) if found.base is not None else None
        said = (
            "no text"
            if found[group[0]].text is None
            else "the first text"
            if where is None
            else f"parts at character {where.offset}, line {where.line}: {where.a[:24]!r} became {where.b[:24]!r}"
        )
        same = found.same_ids(found.base, group[0]) if found.base is not None and where is not None else None
        said += "" if same is None else "; same ids" if same else "; other ids"
        lines.append(f"  {', '.join(group)}: {said}")
    package = found.package_words()
    lines += [f"  {package}"] if package else []
    rows = fields.across(found.measured)
    return [*lines, heading("Fields", "measured: the prompt with and without each"), *table(rows)] if rows else lines


def describe(rendered: Rendered, measured: Measured, elapsed_ms: float | None = None) -> list[str]:
    """A render as lines of text: its facts, the prompt itself, where its characters came from, what is not in it."""
    from workbench.views import fields
    from workbench.views.reach import missing_words, quiet_words

    if rendered.error:
        error = rendered.error
        where = f" at line {error.line}" + (f" column {error.column}" if error.column else "") if error.line else ""
        lines = [heading("Rendered", f"{rendered.engine}: {error.type}{where}", elapsed_ms), *block(error.message)]
        return lines + [f"  {words}" for words in fields.words(measured)]
    text = rendered.text or ""
    lines = [heading("Rendered", f"{rendered.engine} {rendered.version}, {len(text):,} characters", elapsed_ms)]
    lines += block(text)
    by_source: dict[str, int] = {}
    for span in rendered.spans:
        source = span.path or span.origin
        by_source[source] = by_source.get(source, 0) + span.end - span.start
    rows: list[tuple[Any, ...]] = [(clip(source, 200), "characters", count) for source, count in by_source.items()]
    lines += some(table(rows, indent="    "), "origins")
    goes = measured.reach
    missing = missing_words(goes) if goes is not None else []
    lines += some([f"  not in the prompt: {clip(words, 500)}" for words in missing], "parts that are not in the prompt")
    lines += [f"  note: {clip(words, 2_000)}" for words in (quiet_words(goes) if goes is not None else ())]
    lines += some([f"  {clip(words, 500)}" for words in fields.words(measured)], "fields")
    lines += some([f"  rewritten before rendering: {rewrite}" for rewrite in rendered.rewrites], "rewrites")
    return lines + [f"  note: {clip(note, 2_000)}" for note in rendered.notes]


def _render(
    conversation: Conversation, template: Template, setup: Setup, *, every: bool, progress: Progress
) -> Renders:
    """What the setup's engine writes, or every engine with those that are not there and why."""
    from workbench.compare.renders import Renders
    from workbench.engines import render
    from workbench.measured import measured
    from workbench.renders import render_all, with_ids

    choice = setup.effective()["template"]
    clock = choice["clock"]
    if every:
        found = render_all(conversation, template, clock=clock, progress=progress)
        return with_ids(found, setup) if setup.model else found
    rendered = render(conversation, template, engine=choice["engine"], clock=clock)
    return Renders((rendered,), measured=(measured(conversation, template, rendered, clock=clock, progress=progress),))
