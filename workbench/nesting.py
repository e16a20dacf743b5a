"""JSON that is nested deeply: read, written and walked however much of Python's stack is used up already.

Python's own JSON and any function that calls itself end with a RecursionError at a depth that hangs on who called
them. What a request may hold must not: it is bounded by `MOST_LEVELS`, and within that everything works.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

MOST_LEVELS = 950  # of a request; from an empty stack Python's JSON goes to some 980
Made = TypeVar("Made")


def with_room(work: Callable[[], Made]) -> Made:
    """What `work` gives; where Python's stack ends too soon, done once more on an empty one, that of a new thread.

    Errors: those of `work`, `RecursionError` where no stack is large enough.
    """
    try:
        return work()
    except RecursionError:
        pass
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(1, thread_name_prefix="workbench-deep") as empty:
        return empty.submit(work).result()


def read_json(text: str | bytes, **options: Any) -> Any:
    """`json.loads`. Errors: its own, `RecursionError` for what is nested too deeply."""
    return with_room(lambda: json.loads(text, **options))


def write_json(value: Any, **options: Any) -> str:
    """`json.dumps`. Errors: its own, `RecursionError` for what is nested too deeply."""
    return with_room(lambda: json.dumps(value, **options))


def levels(value: Any) -> int:
    """How many objects and lists stand in one another: 0 for a text or a number, 1 for `[]`, 2 for `[{}]`."""
    found, layer = 0, [value]
    while layer := [item for item in layer if isinstance(item, dict | list | tuple)]:
        found += 1
        layer = [inner for item in layer for inner in (item.values() if isinstance(item, dict) else item)]
    return found


def too_deep(value: Any) -> bool:
    """Whether a value has more than `MOST_LEVELS`, as one that holds itself has."""
    layer, found = [value], 0
    while layer := [item for item in layer if isinstance(item, dict | list | tuple)]:
        found += 1
        if found > MOST_LEVELS:
            return True
        layer = [inner for item in layer for inner in (item.values() if isinstance(item, dict) else item)]
    return False


def indented(value: Any, step: int) -> str:
    """`json.dumps` with `ensure_ascii=False, indent=step`, which takes time by the square of the depth."""
    return "".join(_indented(value, " " * step))


def _indented(value: Any, step: str) -> Iterator[str]:
    """The pieces of the text; `open_` holds what is begun: how it ends, and what is still to come."""
    if not _holds(value):
        yield json.dumps(value, ensure_ascii=False)
        return
    open_: list[tuple[str, Iterator[tuple[str, Any]]]] = [_begun(value)]
    yield "{" if isinstance(value, dict) else "["
    first = True
    while open_:
        end, rest = open_[-1]
        item = next(rest, None)
        if item is None:
            open_.pop()
            yield "\n" + step * len(open_) + end
            first = False
            continue
        yield ("\n" if first else ",\n") + step * len(open_) + item[0]
        first = _holds(item[1])
        if first:
            open_.append(_begun(item[1]))
            yield "{" if isinstance(item[1], dict) else "["
        else:
            yield json.dumps(item[1], ensure_ascii=False)


def _holds(value: Any) -> bool:
    return isinstance(value, dict | list | tuple) and len(value) > 0


def _begun(value: Any) -> tuple[str, Iterator[tuple[str, Any]]]:
    """How an object or list ends, and its items with what stands before each."""
    if isinstance(value, dict):
        return "}", ((f"{json.dumps(key, ensure_ascii=False)}: ", item) for key, item in value.items())
    return "]", (("", item) for item in value)
