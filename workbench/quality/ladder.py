"""One model at several precisions: the files, the tensor types that are really in them, and how good each is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from workbench.gguf.file_types import file_type
from workbench.gguf.header import Header, Tensor, read_header
from workbench.progress import Cancel, Progress
from workbench.quality.measure import measure
from workbench.quality.result import Candidate, Quality
from workbench.runtime.quantise import cached_path, quantised, require_space
from workbench.runtime.recipe import Recipe
from workbench.values import Plotted, Value

KINDS = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K")
UNSAID = "unnamed"  # the type of a file whose metadata names none
WIDE = 256  # weights in a block of the K, IQ and TQ types
SMALL_BLOCKS = ("Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL", "F16")  # what such types fall back to


class Used(NamedTuple):
    """A tensor type in a file: in how many tensors, and their bytes."""

    type: str
    tensors: int
    bytes: int


class Rung(NamedTuple):
    """One file: what was asked for, where it lies, its bytes, the tensor types in it, the most bytes first.

    `fallen`: tensors whose width is no multiple of 256, so that llama.cpp took another type than the file's name
    says; the types that it took instead.
    """

    recipe: Recipe
    path: str
    bytes: int
    used: tuple[Used, ...]
    fallen: tuple[Used, ...]

    @property
    def words(self) -> str:
        """`166 Q5_0, 16 Q4_K, 15 Q8_0`; the vectors, which stay F32, are left out."""
        by_count = sorted(self.used, key=lambda used: -used.tensors)
        return ", ".join(f"{used.tensors} {used.type}" for used in by_count if used.type != "F32")

    @property
    def fell_words(self) -> str:
        """How many tensors hold which types in place of the one in the name."""
        count, types = sum(used.tensors for used in self.fallen), " and ".join(used.type for used in self.fallen)
        return f"{self.recipe.kind}: {count} matrices are no multiple of {WIDE} wide and hold {types} in its place"

    def to_dict(self) -> dict[str, Any]:
        """`{recipe, path, bytes, tensor_types: {TYPE: {count, bytes}}, fallen: the same}`."""
        found: dict[str, Any] = {"recipe": self.recipe.to_dict(), "path": self.path, "bytes": self.bytes}
        for name, every in (("tensor_types", self.used), ("fallen", self.fallen)):
            found[name] = {one.type: {"count": one.tensors, "bytes": one.bytes} for one in every}
        return found

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Rung:
        """The inverse of `to_dict`."""
        used, fallen = (
            tuple(Used(name, facts["count"], facts["bytes"]) for name, facts in data[key].items())
            for key in ("tensor_types", "fallen")
        )
        return cls(Recipe.from_dict(data["recipe"]), data["path"], data["bytes"], used, fallen)


@dataclass(frozen=True)
class Ladder(Plotted, Value):
    """The rungs in the order they were asked for; `quality` has one candidate a rung, None where none was measured."""

    source: str
    rungs: tuple[Rung, ...]
    quality: Quality | None = None

    def measured(self, rung: int) -> Candidate | None:
        """A rung's figures, None where they were not measured."""
        return self.quality.candidates[rung] if self.quality is not None else None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the names of the files do not tell, and what the measurement is worth."""
        fell = [rung.fell_words for rung in self.rungs if rung.fallen]
        return (*fell, *(self.quality.notes if self.quality is not None else ()))

    def to_dict(self) -> dict[str, Any]:
        """`{source, rungs, quality, notes}`."""
        quality = self.quality.to_dict() if self.quality is not None else None
        rungs = [rung.to_dict() for rung in self.rungs]
        return {"source": self.source, "rungs": rungs, "quality": quality, "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Ladder:
        """The inverse of `to_dict`."""
        quality = Quality.from_dict(data["quality"]) if data.get("quality") else None
        return cls(data["source"], tuple(Rung.from_dict(rung) for rung in data["rungs"]), quality)

    def _rows(self) -> list[dict[str, Any]]:
        rows = []
        for i, rung in enumerate(self.rungs):
            found = self.measured(i)
            row = {"kind": str(rung.recipe), "MiB": rung.bytes / 2**20, "tensor types": rung.words}
            row["fell back"] = sum(used.tensors for used in rung.fallen)
            rows.append(row | ({name: figure.value for name, figure in found.figures} if found else {}))
        return rows

    def __repr__(self) -> str:
        parts = [f"{rung.recipe}: {rung.bytes / 2**20:.1f} MiB ({rung.words})" for rung in self.rungs]
        return f"Ladder({Path(self.source).name} -> {'; '.join(parts)})"


def ladder(
    source: str | Path,
    kinds: Sequence[str | Recipe] = KINDS,
    *,
    text: str | Path | None = None,
    n_ctx: int = 512,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Ladder:
    """`source` at each of `kinds` (file types, or recipes), made by llama.cpp's quantiser and kept in the cache.

    With `text` (a text, or the `Path` of one) each rung is held against `source`, see `measure`. Errors: those of
    `quantise`, `CannotRun` before the first file where not all of them fit on the disk; those of `measure`.
    """
    header, recipes = read_header(source), [Recipe.of(kind) for kind in kinds]
    for recipe in recipes:
        recipe.check(header)
    missing = [recipe for recipe in recipes if not cached_path(source, recipe).is_file()]
    if missing:
        room = sum(recipe.most_bytes(header) for recipe in missing)
        names = ", ".join(recipe.kind for recipe in missing)
        require_space(cached_path(source, missing[0]).parent, room, f"{names} of {source}")
    rungs = [_rung(quantised(source, recipe, progress=progress, cancel=cancel), recipe) for recipe in recipes]
    found = None
    if text is not None:
        found = measure(source, [rung.path for rung in rungs], text, n_ctx=n_ctx, progress=progress, cancel=cancel)
    return Ladder(str(source), tuple(rungs), found)


def _rung(path: Path, recipe: Recipe) -> Rung:
    header = read_header(path)
    used = _count(list(header.tensors))
    return Rung(recipe, str(path), header.file_size, used, _count(fallen(header, recipe)))


def rung_of(path: str | Path) -> Rung:
    """Any model file as a rung: asked for is what its metadata says of it. Errors: `BadFile`."""
    return _rung(Path(path), Recipe(file_type(read_header(path)) or UNSAID))


def fallen(header: Header, recipe: Recipe) -> list[Tensor]:
    """The tensors whose width made llama.cpp take another type than the recipe's.

    Behaviour: https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-quant.cpp#L390
    """
    kind = recipe.kind.upper()
    if not ("_K" in kind or kind.startswith(("IQ", "TQ"))) or kind == "IQ4_NL":
        return []
    return [
        tensor
        for tensor in header.tensors
        if len(tensor.shape) > 1
        and tensor.shape[0] % WIDE
        and tensor.type in SMALL_BLOCKS
        and tensor.type not in recipe.types
    ]


def _count(tensors: Sequence[Tensor]) -> tuple[Used, ...]:
    found: dict[str, Used] = {}
    for tensor in tensors:
        known = found.get(tensor.type, Used(tensor.type, 0, 0))
        found[tensor.type] = Used(tensor.type, known.tensors + 1, known.bytes + tensor.nbytes)
    return tuple(sorted(found.values(), key=lambda used: -used.bytes))
