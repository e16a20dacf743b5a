"""Fenced code blocks: listed with their language; Python is checked with `ast`. The content keeps them."""

from __future__ import annotations

import ast
import doctest
import re
import sys
import warnings
from dataclasses import replace
from typing import NamedTuple

from workbench.parsers import hermes, think
from workbench.parsers.base import Draft
from workbench.stages import CodeBlock, ParseNote

FENCE = re.compile(r"^([ \t]*)(`{3,}|~{3,})([^\n]*)$", re.MULTILINE)
TAGS = (*think.Think.marks, *hermes.Hermes.marks)  # no language is called like this
JUDGE = f"Python {sys.version_info.major}.{sys.version_info.minor}"  # newer ones accept more
PYTHON = ("python", "py", "python3", "py3")


class PythonFault(NamedTuple):
    """What is wrong with a piece of Python, and the line (from 1) where it shows, None where it has no place."""

    message: str
    line: int | None


class Block(NamedTuple):
    """A block of code and what is wrong with it, None where it is fine."""

    block: CodeBlock
    error: ParseNote | None


class Code:
    """Lists the fenced blocks of the content."""

    name = "code"
    marks: tuple[str, ...] = ()

    def applies(self, draft: Draft) -> bool:
        """A fence at the start of a line."""
        return _next_opening(draft.content, 0) is not None

    def take(self, draft: Draft) -> Draft:
        """The draft with its blocks listed; faults of Python code are errors with the line's span."""
        text, position = draft.content, 0
        blocks: list[CodeBlock] = []
        errors: list[ParseNote] = []
        while opening := _next_opening(text, position):
            closing = _closing(text, opening)
            block, error = _read_block(draft, text, opening, closing)
            blocks.append(block)
            errors += [error] if error else []
            position = closing.end() if closing else len(text)
        return replace(draft, code=(*draft.code, *blocks), errors=(*draft.errors, *errors))


def python_fault(code: str) -> PythonFault | None:
    """Why `code` is no Python for this interpreter, None where it parses; of a doctest its examples count."""
    try:
        if code.lstrip().startswith(">>> "):
            code = "".join(example.source for example in doctest.DocTestParser().get_examples(code))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(code)
    except SyntaxError as error:
        return PythonFault(f"{error.msg}", error.lineno)
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        return PythonFault(f"{type(error).__name__}: {error}", None)
    return None


def _opens(match: re.Match[str]) -> bool:
    """A line of backticks opens a block unless its info string has a backtick (inline code) or is a parser's tag."""
    return not match[3].lstrip().startswith(TAGS) and not (match[2].startswith("`") and "`" in match[3])


def _next_opening(text: str, position: int) -> re.Match[str] | None:
    return next((match for match in FENCE.finditer(text, position) if _opens(match)), None)


def _closing(text: str, opening: re.Match[str]) -> re.Match[str] | None:
    """The fence that ends the block: the same character, at least as many, alone on its line or before a tag."""
    for match in FENCE.finditer(text, opening.end()):
        same = match[2][0] == opening[2][0] and len(match[2]) >= len(opening[2])
        if same and (not match[3].strip() or match[3].lstrip().startswith(TAGS)):
            return match
    return None


def _read_block(draft: Draft, text: str, opening: re.Match[str], closing: re.Match[str] | None) -> Block:
    """One block of the draft's content `text`."""
    body = (min(opening.end() + 1, len(text)), closing.start() if closing else len(text))
    span = draft.raw_span(opening.start(), closing.start() + len(closing[1] + closing[2]) if closing else len(text))
    info = opening[3].split()
    language = info[0] if info else ""
    code = _dedent(text[slice(*body)], opening[1])
    said = error = None
    if closing is None:
        why = "the answer ends inside" if draft.complete else "the answer was cut off in"
        said = f"{why} a code block: its closing {opening[2]} is missing"
        error = ParseNote(said, span)
    elif language.lower() in PYTHON and (fault := python_fault(code)):
        where = "" if fault.line is None else f"line {fault.line}, "
        said = f"{fault.message} ({where}as {JUDGE} reads it)"
        line = draft.raw_span(*_line_span(text, *body, fault.line))
        error = ParseNote(f"the Python in a code block does not parse: {said}", line)
    return Block(CodeBlock(language, code, span, said), error)


def _dedent(code: str, indent: str) -> str:
    """`code` without the fence's own indentation, line by line as far as each line has it."""
    return re.sub(rf"^[ \t]{{0,{len(indent)}}}", "", code, flags=re.MULTILINE) if indent else code


def _line_span(text: str, start: int, end: int, line: int | None) -> tuple[int, int]:
    """Where line `line` (from 1) of `text[start:end]` stands; the whole stretch where there is no such line."""
    lines = text[start:end].split("\n")
    if line is None or not 0 < line <= len(lines):
        return start, end
    before = start + sum(len(part) + 1 for part in lines[: line - 1])
    return before, before + len(lines[line - 1])
