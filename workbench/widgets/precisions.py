"""What was chosen in the quantisation lab: a base file, a request, up to four columns; the setups they stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

from workbench.conversation import Conversation
from workbench.errors import BadRequest, CannotRun, WorkbenchError
from workbench.gguf.file_types import FILE_TYPES
from workbench.gguf.header import Header, read_header
from workbench.progress import Cancel, Progress
from workbench.quality.ladder import KINDS
from workbench.runtime.memory import size
from workbench.runtime.quantise import cached_path, quantised, require_space
from workbench.runtime.recipe import PLAIN_BITS, Recipe
from workbench.setup import KV_TYPES, Setup
from workbench.widgets.choices import expanded

PANELS = ("", "kinds", "answers", "types", "layers", "groups", "cache", "quality")
FLASH = {"auto": "auto", "on": True, "off": False}
TYPES = (*KINDS, "Q5_0", "Q4_K_S", "Q4_1", "Q3_K_S", "IQ4_NL", "IQ4_XS")  # llama.cpp makes these without a matrix
FILE = "file:"
MOST_COLUMNS = 4
MADE_AT_ONCE_BYTES = 256 << 20  # a base file up to this is quantised when a type is chosen; a larger one when asked


@dataclass(frozen=True)
class Column:
    """One setup as chosen: `weights` "" for the base file, a file type, or `FILE` and a path; cache types; flash."""

    weights: str = ""
    type_k: str = "f16"
    type_v: str = "f16"
    flash: str = "auto"

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Column:
        """From the page's message. Errors: `BadRequest`."""
        if not isinstance(data, Mapping):
            raise BadRequest(f"a column is {data!r}", 'accepted is an object such as {"weights": "Q4_0"}')
        known = {"weights": ("", *FILE_TYPES.values()), "type_k": KV_TYPES, "type_v": KV_TYPES, "flash": tuple(FLASH)}
        for name, value in data.items():
            is_file = name == "weights" and isinstance(value, str) and value.startswith(FILE)
            if not is_file and value not in known.get(name, ()):
                named = ", ".join(filter(None, known.get(name, known)))
                raise BadRequest(f"{name} of a column is {value!r}", f"accepted are {named}")
        return cls(**data)

    @property
    def is_type(self) -> bool:
        """Whether a file of this type is to be made of the base."""
        return bool(self.weights) and not self.weights.startswith(FILE)

    @property
    def name(self) -> str:
        """`Q4_K_M, K q8_0, flash off`."""
        file = Path(self.weights.removeprefix(FILE)).name if self.weights.startswith(FILE) else self.weights
        parts = [file or "base file"]
        parts += [f"K {self.type_k}"] if self.type_k != "f16" else []
        parts += [f"V {self.type_v}"] if self.type_v != "f16" else []
        return ", ".join([*parts, *([f"flash {self.flash}"] if self.flash != "auto" else [])])


class Ready(NamedTuple):
    """The setups of the columns by name, the reference first; what is wrong with the others; which wait to be made."""

    setups: dict[str, Setup]
    errors: dict[str, str]
    held: tuple[str, ...] = ()


@dataclass(frozen=True)
class Precisions:
    """All choices. `columns`: the reference, then the variants. `chosen`: the column that layers and groups are of.

    `request` names a sample, "" for what was typed in `request_text`. `text` is the file that quality is measured on.
    `base` is the setup that was given, whose other knobs stay.
    """

    model: str
    request: str = ""
    request_text: str = ""
    columns: tuple[Column, ...] = (Column(), Column("Q4_0"))
    chosen: int = 1
    panel: str = ""
    text: str = ""
    n_ctx: int = 256
    base: Setup = field(default_factory=Setup)

    def changed(self, changes: Mapping[str, Any]) -> Precisions:
        """With what the page sent. Errors: `BadRequest` for an unknown name or value."""
        given = dict(changes)
        if unknown := [name for name in given if name not in CHANGED]:
            raise BadRequest(f"the page sent {', '.join(unknown)}", f"accepted are {', '.join(CHANGED)}")
        for name in TEXTS & given.keys():
            given[name] = _required(name, given[name], (str, Path), "a text")
        for name in NUMBERS & given.keys():
            _required(name, given[name], (int,), "a whole number")
        if "columns" in given:
            _required("columns", given["columns"], (list, tuple), "a list of columns")
            given["columns"] = tuple(c if isinstance(c, Column) else Column.of(c) for c in given["columns"])
            if not 2 <= len(given["columns"]) <= MOST_COLUMNS:
                raise BadRequest(f"{len(given['columns'])} columns", f"accepted are 2 to {MOST_COLUMNS}")
        if given.get("panel", "") not in PANELS:
            raise BadRequest(f"panel is {given['panel']!r}", f"accepted are {', '.join(PANELS[1:])} or nothing")
        after = replace(self, **given)
        return replace(after, chosen=min(max(1, after.chosen), len(after.columns) - 1))

    def conversation(self) -> Conversation:
        """The request. Errors: `BadRequest` with line and column."""
        return Conversation.from_json(self.request_text)

    @property
    def names(self) -> tuple[str, ...]:
        """A name of its own for each column."""
        names = [column.name for column in self.columns]
        return tuple(
            f"{name} ({names[: i + 1].count(name)})" if name in names[:i] else name for i, name in enumerate(names)
        )

    def ready(self, *, make: bool, progress: Progress | None = None, cancel: Cancel | None = None) -> Ready:
        """The setups, files made where they are not there: of a large base only with `make`.

        A column that cannot be had is among the errors. Errors: those of the base file, `Cancelled`.
        """
        path = str(expanded(self.model))
        header = read_header(path)
        recipes = {c.weights: recipe_of(header, c.weights) for c in self.columns if c.is_type}
        files = self._files(header, recipes, make, progress, cancel)
        setups: dict[str, Setup] = {}
        errors: dict[str, WorkbenchError] = {}
        for name, column in zip(self.names, self.columns, strict=True):
            file = files[column.weights] if column.is_type else column.weights.removeprefix(FILE) or path
            if isinstance(file, WorkbenchError):
                errors[name] = file
            else:
                setups[name] = self._setup(str(expanded(file)), column)
        held = tuple(name for name, error in errors.items() if isinstance(error, NotMade))
        return Ready(setups, {name: str(error) for name, error in errors.items()}, held)

    def _files(
        self,
        header: Header,
        recipes: dict[str, Recipe],
        make: bool,
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> dict[str, str | WorkbenchError]:
        """Each type's file; the disk is looked at for all of them before the first is made."""
        missing = {kind: r for kind, r in recipes.items() if not cached_path(header.path, r).is_file()}
        files: dict[str, str | WorkbenchError] = {}
        room = sum(recipe.most_bytes(header) for recipe in missing.values())
        held_back = bool(missing) and not make and header.file_size > MADE_AT_ONCE_BYTES
        for kind, recipe in recipes.items():
            try:
                if kind in missing and held_back:
                    raise NotMade(f"{kind} is not made yet: all that is missing takes {size(room)} at most")
                if kind in missing:
                    require_space(
                        cached_path(header.path, recipe).parent, room, f"{', '.join(missing)} of {header.path}"
                    )
                files[kind] = str(quantised(header.path, recipe, progress=progress, cancel=cancel))
            except (BadRequest, CannotRun) as error:
                files[kind] = error
        return files

    def _setup(self, path: str, column: Column) -> Setup:
        chosen = {"type_k": column.type_k, "type_v": column.type_v, "flash_attn": FLASH[column.flash]}
        applies = self.base.effective()["runtime"]
        changes = {f"runtime.{name}": value for name, value in chosen.items() if applies[name] != value}
        return self.base.replace(model=path, **changes)


class NotMade(CannotRun):
    """A file that is made when the user says so."""

    code = "not-made"


CHANGED = tuple(f.name for f in fields(Precisions) if f.name != "base")
TEXTS = {"model", "request", "request_text", "text"}
NUMBERS = {"chosen", "n_ctx"}


def _required(name: str, value: Any, kinds: tuple[type, ...], words: str) -> Any:
    """The value, a path as text. Errors: `BadRequest` where it is of no such kind."""
    if not isinstance(value, kinds) or isinstance(value, bool):
        raise BadRequest(f"{name} is {value!r}", f"accepted is {words}")
    return str(value) if isinstance(value, Path) else value


def recipe_of(header: Header, kind: str) -> Recipe:
    """A file type made of this base; one that is quantised already is accepted, for the lab says what it is."""
    return Recipe(kind, requantise=any(name not in PLAIN_BITS for name in header.tensor_types()))


def as_dict(choices: Precisions) -> dict[str, Any]:
    """What the page shows, by name."""
    return {name: value for name, value in asdict(choices).items() if name in CHANGED}
