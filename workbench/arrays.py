"""What the values that hold arrays have in common: frozen copies, equality by content, files for other programs."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from workbench.aside import aside, remove_abandoned
from workbench.errors import BadFile, BadRequest
from workbench.values import frozen_array, same_array

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    from workbench.values import Value


class Arrays:
    """Mixin of frozen dataclasses (with `eq=False`): `ARRAYS` names the fields that are arrays, and their types."""

    __slots__ = ()
    ARRAYS: ClassVar[dict[str, Any]] = {}

    def __post_init__(self) -> None:
        for name, dtype in self.ARRAYS.items():
            object.__setattr__(self, name, frozen_array(getattr(self, name), dtype))

    def __eq__(self, other: object) -> bool:
        if type(self) is not type(other):
            return False
        return all(same_array(getattr(self, name), getattr(other, name)) for name in self.ARRAYS) and all(
            _same(getattr(self, name), getattr(other, name)) for name in _plain_names(self)
        )

    def __hash__(self) -> int:
        return hash(tuple(getattr(self, name).tobytes() for name in self.ARRAYS))

    def array_lists(self) -> dict[str, Any]:
        """The arrays by name as nested lists, for JSON."""
        return {name: getattr(self, name).tolist() for name in self.ARRAYS}

    @classmethod
    def arrays_of(cls, data: dict[str, Any]) -> dict[str, Any]:
        """The inverse of `array_lists`, from the same dict; None stands for NaN."""
        return {name: np.array(data[name], dtype=dtype) for name, dtype in cls.ARRAYS.items()}


def _same(a: Any, b: Any) -> bool:
    """Equal, or both NaN, as in the arrays."""
    return bool(a == b) or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def _plain_names(value: Arrays) -> list[str]:
    dataclass: DataclassInstance = value  # type: ignore[assignment]  # every subclass is one
    return [field.name for field in fields(dataclass) if field.compare and field.name not in value.ARRAYS]


def write_csv(value: Value, path: Path) -> Path:
    """The rows of `value`'s table as CSV, UTF-8, one header line. Errors: `BadFile`."""
    rows = value._rows()  # noqa: SLF001  the same rows as to_frame(), without pandas
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return _write(path, text.getvalue().encode("utf-8", "backslashreplace"))


def write_npz(value: Value, path: Path) -> Path:
    """The arrays of `value` by name, which `numpy.load` reads; NaN and infinities survive. Errors: `BadFile`."""
    names = getattr(value, "ARRAYS", ())
    if not names:
        raise BadRequest(f"{type(value).__name__} holds no arrays", "accepted are values with arrays", "use to_csv")
    arrays = {name: getattr(value, name) for name in names}
    arrays |= {f"logits_{position}": row for position, row in getattr(value, "logits", ())}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return _write(path, buffer.getvalue())


def _write(path: Path, content: bytes) -> Path:
    """Write aside, then rename: a file that is there is whole."""
    remove_abandoned(path.parent)
    try:
        with aside(path) as part:
            part.write_bytes(content)
    except OSError as error:
        raise BadFile(
            f"{path} cannot be written: {error.strerror}", "accepted is a path in a folder one may write to"
        ) from error
    return path
