"""jinja2 as forgiving as llama.cpp's engine, for origins where it writes a prompt and jinja2 itself would raise.

What such a run wrote counts only where it is the engine's own text to the character.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jinja2 import ChainableUndefined
from jinja2.runtime import Context
from jinja2.sandbox import SandboxedEnvironment

from .filters import tojson
from .formatting import text_of
from .instrument import TrackedEnvironment
from .origins import Tracked
from .scalars import untracked


class LenientEnvironment(TrackedEnvironment):
    """What is missing is empty, lists may grow, and a text takes anything that is added to it."""

    intercepted_binops = frozenset({"+"})

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, undefined=ChainableUndefined, **kwargs)

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        """As in the sandbox that lets lists and objects change."""
        return SandboxedEnvironment.is_safe_attribute(self, obj, attr, value)

    def call_binop(self, context: Context, operator: str, left: Any, right: Any) -> Any:
        """The sum; of a text and something else, both as texts."""
        if isinstance(left, str) != isinstance(right, str):
            return text_of(left) + text_of(right)
        return super().call_binop(context, operator, left, right)


def lenient_tojson(x: Any, *args: Any, **kwargs: Any) -> Tracked:
    """The filter `tojson`, which takes what another filter has yet to give."""
    return tojson([*x] if isinstance(x, Iterator) else x, *args, **kwargs)


def given(variables: dict[str, Any]) -> dict[str, Any]:
    """The template's variables without those that transformers sets to null; llama.cpp does not set them."""
    return {name: value for name, value in variables.items() if untracked(value) is not None}
