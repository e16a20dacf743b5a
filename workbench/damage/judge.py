"""What is right about an answer."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from workbench.damage.tasks import CALL_KINDS, Task
from workbench.parsers import parse
from workbench.parsers.code import PYTHON
from workbench.stages import Generation, Parsed

ENDED = ("end-of-generation", "stop-text")


class Facts(NamedTuple):
    """True or False; None where a request of this kind cannot show it.

    `exact`: the answer ended, and a client gets just the right content and calls out of it. `parsed`: calls
    came out, and without an error. `names`, `arguments`: those of all calls, in order. `code`: Python that parses.
    """

    exact: bool
    parsed: bool | None
    names: bool | None
    arguments: bool | None
    code: bool | None


def judge(task: Task, generation: Generation, parsed: Parsed) -> Facts:
    """Compare what came out of the parser with what should have."""
    calls, wanted = [(call.name, call.arguments) for call in parsed.tool_calls], task.wanted_calls
    said = parsed.content.strip() if wanted else parsed.content
    exact = generation.stop_reason in ENDED and not parsed.errors and _same(calls, wanted) and said == task.content
    if task.kind in CALL_KINDS:
        names = [name for name, _ in calls] == [name for name, _ in wanted]
        arguments = _same([given for _, given in calls], [given for _, given in wanted])
        return Facts(exact, bool(calls) and not parsed.errors, names, arguments, None)
    return Facts(exact, None, None, None, _has_python(parsed) if task.kind == "code" else None)


def _same(found: Any, wanted: Any) -> bool:
    """Equal as JSON: a true is no 1, and 3.0 is no 3."""
    return json.dumps(found, sort_keys=True) == json.dumps(wanted, sort_keys=True)


def failed(task: Task) -> Facts:
    """Nothing is right about an answer that could not be had."""
    is_call = False if task.kind in CALL_KINDS else None
    return Facts(False, is_call, is_call, is_call, False if task.kind == "code" else None)


def _has_python(parsed: Parsed) -> bool:
    code = parsed.code or parse(parsed.content, parser="code").code  # whatever parser the setup names
    blocks = [block for block in code if block.language.lower() in PYTHON]
    return bool(blocks) and not any(block.error for block in blocks)
