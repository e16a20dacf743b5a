"""What every value of the workbench has in common: frozen JSON, equality by content, text and HTML views."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from workbench.nesting import read_json, write_json

if TYPE_CHECKING:
    import pandas as pd

SCHEMA_VERSION = 1
_STRETCH = 4096  # characters that are compared at once


class Value:
    """Mixin of the frozen dataclasses: `to_json`, `_repr_html_` and `to_frame` from the same facts.

    A subclass has `to_dict()` (plain JSON types), `from_dict()` and `_rows()` (a list of dicts, one a
    table row). HTML is made by `workbench.views`, loaded only when something is displayed.
    """

    __slots__ = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types only."""
        raise NotImplementedError

    def _rows(self) -> list[dict[str, Any]]:
        """One dict a table row."""
        raise NotImplementedError

    def to_json(self, *, indent: int | None = None) -> str:
        """The value as JSON text; numbers that JSON does not know (NaN, infinities) become null."""
        return write_json(finite(self.to_dict()), ensure_ascii=True, indent=indent, allow_nan=False)

    def to_frame(self) -> pd.DataFrame:
        """The value as a pandas table, one row for each of its parts."""
        import pandas as pd

        return pd.DataFrame(self._rows())

    def to_csv(self, path: str | Path) -> Path:
        """Write the table of `to_frame` to a CSV file; pandas is not needed. Errors: `BadFile`."""
        from workbench.arrays import write_csv

        return write_csv(self, Path(path))

    def to_npz(self, path: str | Path) -> Path:
        """Write the arrays to an `.npz` file. Errors: `BadFile`; `BadRequest` for a value without arrays."""
        from workbench.arrays import write_npz

        return write_npz(self, Path(path))

    def _repr_html_(self) -> str:
        from workbench.views import html_of

        return html_of(self)


class Plotted:
    """Mixin of the values that are also a chart: `plot()` gives one that a notebook draws."""

    __slots__ = ()

    def plot(self, *, theme: Literal["light", "dark"] = "light") -> Any:
        """The value as a chart; its `bundle` is the plotly figure as plain JSON, its repr the same facts as text."""
        from workbench.views import chart_of

        return chart_of(self, theme=theme)


class FrozenJSON:
    """A JSON value that cannot change, equal when text, key order and number types are equal.

    Key order counts because a template that dumps a tool as JSON prints the keys in this order.
    `text` is the canonical form (no spaces, no ASCII escapes); `value()` gives a fresh plain copy.
    """

    __slots__ = ("text",)
    text: str

    def __init__(self, value: Any) -> None:
        object.__setattr__(self, "text", write_json(value, ensure_ascii=False, separators=(",", ":")))

    def value(self) -> Any:
        """A fresh copy as plain dicts, lists, strings and numbers."""
        return read_json(self.text)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("a FrozenJSON cannot change; make a new one")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrozenJSON) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"FrozenJSON({clip(self.text, 120)})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_frozen, (self.text,))


def _frozen(text: str) -> FrozenJSON:
    """A `FrozenJSON` by its text: copying one must not walk its value, which may be deep."""
    found = FrozenJSON.__new__(FrozenJSON)
    object.__setattr__(found, "text", text)
    return found


def finite(value: Any) -> Any:
    """`value` with every NaN and infinity replaced by None, through dicts, lists and tuples (which become lists)."""
    top = [value]
    todo: list[Any] = [top]
    while todo:
        holder = todo.pop()
        for key, item in holder.items() if isinstance(holder, dict) else enumerate(holder):
            if isinstance(item, float):
                holder[key] = item if math.isfinite(item) else None
            elif isinstance(item, dict | list | tuple):
                holder[key] = dict(item) if isinstance(item, dict) else list(item)
                todo.append(holder[key])
    return top[0]


def clip(text: str, limit: int) -> str:
    """`text`, or its first `limit` characters and how many more there are."""
    return text if len(text) <= limit else f"{text[:limit]}… (+{len(text) - limit:,} characters)"


def shared_start(a: str, b: str) -> int:
    """How many characters two texts begin with together."""
    at, shorter = 0, min(len(a), len(b))
    while at < shorter and a[at : at + _STRETCH] == b[at : at + _STRETCH]:
        at += _STRETCH
    return next((i for i in range(at, min(at + _STRETCH, shorter)) if a[i] != b[i]), min(at + _STRETCH, shorter))


def frozen_array(values: Any, dtype: Any) -> np.ndarray[Any, Any]:
    """A read-only, C-contiguous copy of `values` as `dtype`."""
    array: np.ndarray[Any, Any] = np.array(values, dtype=dtype, order="C", copy=True)
    array.setflags(write=False)
    return array


def same_array(a: np.ndarray[Any, Any], b: np.ndarray[Any, Any]) -> bool:
    """Equal in shape, type and content; NaN equals NaN, as it does for values that were measured."""
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    return bool(np.array_equal(a, b, equal_nan=a.dtype.kind == "f"))
