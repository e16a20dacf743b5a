"""Text -> Parsed: one file per output format, `PARSERS` the only list.

Formats combine: each parser takes its part out of a draft and hands the rest on, in the order of
`PARSERS`. "auto" uses those whose marks are in the text and says in the result which they were.
"""

from __future__ import annotations

from workbench.errors import BadRequest
from workbench.parsers.base import Draft, OutputParser
from workbench.parsers.code import Code
from workbench.parsers.hermes import Hermes
from workbench.parsers.think import Think
from workbench.stages import Parsed

PARSERS: tuple[OutputParser, ...] = (Think(), Hermes(), Code())

PLAIN = "plain"
AUTO = "auto"


def parse(text: str, *, parser: str = AUTO, prompt_tail: str = "", complete: bool = True) -> Parsed:
    """What stands in an answer's text: content, reasoning, tool calls, code, with repairs and errors as data.

    `parser` is "auto", "plain" (all is content), a parser's name or several joined by "+".
    `prompt_tail` is the end of the rendered prompt: a `<think>` that the template opened there counts.
    `complete` is false where the output was cut off. Errors: `BadRequest` for an unknown parser; never
    anything for what a model wrote.
    """
    draft = Draft(raw=text, prompt_tail=prompt_tail, complete=complete, pieces=((0, len(text)),) if text else ())
    used = []
    for candidate in check_parser(parser):
        if parser != AUTO or candidate.applies(draft):
            draft = candidate.take(draft)
            used.append(candidate.name)
    draft = _note_cut_tag(draft, [mark for candidate in check_parser(parser) for mark in candidate.marks])
    return Parsed(
        parser="+".join(used) or PLAIN,
        raw=text,
        content=draft.content,
        reasoning=None if draft.reasoning is None else draft.text_of(draft.reasoning),
        tool_calls=tuple(sorted(draft.tool_calls, key=lambda call: call.span)),
        repairs=tuple(sorted(draft.repairs, key=lambda note: note.span)),
        errors=tuple(sorted(draft.errors, key=lambda note: note.span)),
        code=draft.code,
    )


def _note_cut_tag(draft: Draft, marks: list[str]) -> Draft:
    """An error where a cut answer ends in what may be the beginning of a tag, and nothing else says that it was cut."""
    end = len(draft.raw)
    is_content = bool(draft.pieces) and draft.pieces[-1][1] == end
    if draft.complete or not is_content or any(note.span[1] == end for note in draft.errors):
        return draft
    begun = {mark: max((n for n in range(1, len(mark)) if draft.raw.endswith(mark[:n])), default=0) for mark in marks}
    longest = max(begun.values(), default=0)
    if not longest:
        return draft
    tags = " or ".join(mark for mark, n in begun.items() if n == longest)
    return draft.failed(f"the answer was cut off inside what may be a tag: {tags}", end - longest, end)


def check_parser(name: str) -> tuple[OutputParser, ...]:
    """The parsers that `name` selects, in the order they run ("auto": those it chooses from). Errors: `BadRequest`."""
    if name == AUTO:
        return PARSERS
    wanted = [] if name == PLAIN else name.split("+")
    known = [parser.name for parser in PARSERS]
    for part in wanted:
        if part not in known:
            raise BadRequest(
                f"parser is {name!r}",
                f'accepted are "{AUTO}", "{PLAIN}" and {", ".join(known)}, several joined by "+"',
            )
    return tuple(parser for parser in PARSERS if parser.name in wanted)


def preserved_tokens() -> frozenset[str]:
    """Texts of control tokens that stay in the answer because a parser reads them."""
    return frozenset(mark for parser in PARSERS for mark in parser.marks)
