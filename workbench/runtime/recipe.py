"""What llama.cpp's quantiser is asked for, as a value; what it surely takes on the disk."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from typing import Any

from workbench.errors import BadRequest
from workbench.gguf.header import Header
from workbench.values import Value

PLAIN_BITS = {"F32": 32, "F16": 16, "BF16": 16}  # file types that are no quantisation, with the bits of a weight
MOST_BITS = 9  # of a weight in any quantised type: Q8_0 has 8.5
SPARE_BYTES = 64 << 20  # left free on the disk


@dataclass(frozen=True)
class Recipe(Value):
    """A file type and how it is changed.

    `kind`: llama.cpp's file type, such as "Q4_K_M". `tensor_types`: pairs of a pattern that is searched in a
    tensor's name and its type, the first that is found counts. `token_embedding`, `output`: the types of these
    two tensors, before any pattern. `imatrix`: the path of an importance matrix (GGUF, as llama-imatrix writes
    it). `pure`: no tensor gets a better type than its neighbours. `requantise`: a source that is quantised
    already is accepted; what it lost stays lost.
    """

    kind: str
    tensor_types: tuple[tuple[str, str], ...] = ()
    token_embedding: str | None = None
    output: str | None = None
    imatrix: str | None = None
    pure: bool = False
    requantise: bool = False

    @classmethod
    def of(cls, kind: str | Recipe) -> Recipe:
        """The recipe itself, or that of a file type alone."""
        return kind if isinstance(kind, Recipe) else cls(kind.upper())

    @property
    def types(self) -> tuple[str, ...]:
        """The tensor types that are asked for by name, in capitals."""
        given = [kind for _, kind in self.tensor_types] + [self.token_embedding, self.output]
        return tuple(kind.upper() for kind in given if kind)

    def check(self, header: Header) -> None:
        """Errors: `BadRequest` for a pattern that is none, that no tensor's name has, or that could have no effect."""
        if self.tensor_types and self.kind.upper() in PLAIN_BITS:
            raise BadRequest(
                f"tensor types were given for a {self.kind}",
                "llama.cpp looks at them where the file type is a quantised one",
                "name a quantised file type",
            )
        for pattern, _ in self.tensor_types:
            if not any(_compiled(pattern).search(tensor.name) for tensor in header.tensors):
                names = ", ".join(tensor.name for tensor in header.tensors[:3])
                raise BadRequest(
                    f"no tensor of {header.path} has {pattern!r} in its name",
                    f"accepted is a regular expression for names such as {names}",
                )

    def most_bytes(self, header: Header) -> int:
        """Bytes that the file surely does not exceed; a little more than it will have."""
        asked = (self.kind.upper(), *self.types)
        bits = max(PLAIN_BITS.get(kind, MOST_BITS) for kind in asked)
        sizes = [
            tensor.nbytes if len(tensor.shape) < 2 else max(math.prod(tensor.shape) * bits // 8, 0)
            for tensor in header.tensors
        ]
        return header.data_offset + sum(sizes) + 64 * len(sizes)

    def to_dict(self) -> dict[str, Any]:
        """The fields by name."""
        return asdict(self) | {"tensor_types": [list(pair) for pair in self.tensor_types]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Recipe:
        """The inverse of `to_dict`."""
        pairs = tuple((pattern, kind) for pattern, kind in data.get("tensor_types", ()))
        return cls(**(data | {"tensor_types": pairs}))

    def _rows(self) -> list[dict[str, Any]]:
        return [{"setting": name, "value": value} for name, value in self.to_dict().items()]

    def __str__(self) -> str:
        """`Q4_K_M, attn_v as Q8_0, with an importance matrix`."""
        parts = [self.kind, *(f"{pattern} as {kind.upper()}" for pattern, kind in self.tensor_types)]
        parts += [f"token embedding as {self.token_embedding.upper()}"] if self.token_embedding else []
        parts += [f"output as {self.output.upper()}"] if self.output else []
        parts += ["with an importance matrix"] if self.imatrix else []
        return ", ".join([*parts, *(["pure"] if self.pure else [])])

    def __repr__(self) -> str:
        return f"Recipe({self})"


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except re.error as error:
        raise BadRequest(
            f"the pattern {pattern!r} is no regular expression: {error}", "accepted is one, such as attn_v"
        ) from error
