"""Run a chat request through a model and show every step: prompt, tokens, scores, answer, parsed.

What stops the chain (a template that raises, a prompt that does not fit) is part of the result.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench.cli import render
from workbench.cli.output import (
    DONE,
    RESULT_IS_ERROR,
    Ticker,
    block,
    heading,
    print_json,
    print_lines,
    table,
)
from workbench.cli.stack import add_request, add_stack, read_request, read_setup
from workbench.errors import BadRequest
from workbench.stages import show_bytes

if TYPE_CHECKING:
    from workbench.compare.fields import Measured
    from workbench.sampling.fields import Field
    from workbench.stages import Generation, Parsed, Rendered
    from workbench.trace import Trace

NAME = "trace"
STAGES = ("rendered", "tokens", "scores", "generation", "parsed")
ROWS = 40  # tokens that the text output shows; --json has all
EXAMPLES = """\
examples:
  workbench trace request.json --model model.gguf
  workbench trace request.json --setup setup.json --json > trace.json
  workbench trace hello --model demo --until tokens
  workbench trace hello --model demo --save folder
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    add_request(parser)
    add_stack(parser)
    parser.add_argument("--save", metavar="DIR", help="also write the trace to this folder, to be loaded elsewhere")
    parser.add_argument(
        "--until", choices=STAGES, default=STAGES[-1], metavar="STAGE", help=f"stop after: {', '.join(STAGES)}"
    )


def run(arguments: argparse.Namespace) -> int:
    """Trace the request; 1 where something stopped it, with all that was had before."""
    from workbench.storage import check_folder
    from workbench.trace import trace

    conversation = read_request(arguments.request)
    setup = read_setup(arguments)
    if arguments.save is not None:
        if not arguments.save:
            raise BadRequest("--save names no folder", "accepted is a folder's path", "see what stands behind --save")
        check_folder(Path(arguments.save))  # before the work, not after it
    ticker = Ticker()
    try:
        result = trace(conversation, setup, until=arguments.until, progress=ticker)
    finally:
        ticker.clear()
    if arguments.save:
        result.save(arguments.save)
    if arguments.json:
        print_json(result.to_dict() | {"sampling_fields": [field._asdict() for field in _fields(result)]})
    else:
        print_lines(describe(result))
    return DONE if result.complete else RESULT_IS_ERROR


def describe(result: Trace) -> list[str]:
    """A trace as lines of text, stage by stage."""
    elapsed = result.elapsed_ms.value()
    lines = [heading("" if at else "Request", words) for at, words in enumerate(_unheeded(result))]
    if result.rendered is not None:
        lines += render.describe(result.rendered, measured_of(result.rendered, result), elapsed.get("rendered"))
    if result.tokens is not None:
        lines += _tokens(result, elapsed)
    lines += [f"  note: {note}" for note in result.environment.runtime.value().get("notes", ())]
    if result.generation is not None:
        lines += _answer(result.generation, elapsed.get("generation"))
    if result.parsed is not None:
        lines += _parsed(result.parsed)
    if result.stopped:
        error = result.stopped.error.value()
        lines.append(heading("Stopped", f"at {result.stopped.stage}: {error.get('message', '')}"))
    return lines


def _unheeded(result: Trace) -> list[str]:
    """What of the request's sampling was not followed, where there is more to say of it than its name."""
    named = result.conversation.unknown_fields
    return [field.words for field in _fields(result) if field.looks_like or field.why or field.path not in named]


def _fields(result: Trace) -> tuple[Field, ...]:
    """The request's fields that the answer did not follow; none where there is no answer."""
    from workbench.sampling.effective import unheeded

    return unheeded(result.conversation, result.setup) if result.generation is not None else ()


def measured_of(rendered: Rendered, result: Trace) -> Measured:
    """Which fields of the request the prompt hangs on, and what is not in it."""
    from workbench.engines import resolve_template
    from workbench.gguf.header import read_header
    from workbench.measured import measured

    setup = result.setup
    template = resolve_template(setup, read_header(setup.model) if setup.model else None)
    return measured(result.conversation, template, rendered, clock=setup.effective()["template"]["clock"])


def _tokens(result: Trace, elapsed: dict[str, Any]) -> list[str]:
    """The tokens with what the model gave each of them, where it was scored."""
    tokens, scores = result.tokens, result.scores
    assert tokens is not None
    added = dict(tokens.added)
    head = ("", "id", "token", "type") + (("log-prob", "rank") if scores is not None else ()) + ("",)
    rows: list[tuple[Any, ...]] = [head]
    for i in range(min(len(tokens), ROWS)):
        row: tuple[Any, ...] = (i, int(tokens.ids[i]), f"[{show_bytes(tokens.pieces[i])}]", tokens.types[i])
        if scores is not None:  # row i - 1 is about the token at i; nothing stands before the first
            row += (float(scores.logprob[i - 1]), int(scores.rank[i - 1])) if i else ("", "")
        rows.append((*row, f"added: {added[i]}" if i in added else ""))
    lines = [heading("Tokens", f"{len(tokens):,}", elapsed.get("tokens")), *table(rows)]
    if len(tokens) > ROWS:
        lines.append(f"  … {len(tokens) - ROWS:,} more; --json has them all")
    lines += [f"  note: {note}" for note in tokens.notes]
    if scores is not None:
        lines.append(heading("Scores", repr(scores).removeprefix("Scores(").removesuffix(")"), elapsed.get("scores")))
    return lines


def _answer(generation: Generation, elapsed_ms: float | None) -> list[str]:
    why = f"{generation.stop_reason}" + (f" ({generation.stop_detail})" if generation.stop_detail else "")
    return [heading("Answer", f"{len(generation)} tokens, {why}", elapsed_ms), *block(generation.text)]


def _parsed(parsed: Parsed) -> list[str]:
    lines = [heading("Parsed", f"as {parsed.parser}")]
    if parsed.reasoning is not None:
        lines += ["  reasoning", *block(parsed.reasoning)]
    if parsed.content != parsed.raw:
        lines += ["  content", *block(parsed.content)]
    lines += [f"  call {call.name} {json.dumps(call.arguments, ensure_ascii=False)}" for call in parsed.tool_calls]
    lines += [
        f"  code {code.language or 'without a language'}: {code.error or _verdict(code.language)}"
        for code in parsed.code
    ]
    lines += [f"  repaired at {note.span[0]}-{note.span[1]}: {note.message}" for note in parsed.repairs]
    return lines + [f"  error at {note.span[0]}-{note.span[1]}: {note.message}" for note in parsed.errors]


def _verdict(language: str) -> str:
    from workbench.parsers.code import PYTHON

    return "parses" if language.lower() in PYTHON else "not checked"
