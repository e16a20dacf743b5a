"""What runtimes sample with where nobody says otherwise: their defaults by name, each with the lines that say so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from workbench.errors import BadRequest
from workbench.sampling.preset_data import PRESETS
from workbench.setup import Sampling
from workbench.values import FrozenJSON, Value

if TYPE_CHECKING:
    from workbench.setup import Setup

SETTINGS = tuple(f.name for f in fields(Sampling))


@dataclass(frozen=True)
class Preset(Value):
    """One runtime's defaults: `values` by `Setup.sampling`'s names, exactly as its source has them.

    `fixed` are settings that neither request nor configuration changes there; `takes` the request fields that
    reach its samplers (None: all that it knows), all others are dropped without a word. `unknown` are settings
    whose default is not published. `source` is where `values` stand, `more` where the rest stands; both were
    read on `read` (ISO date).
    """

    name: str
    program: str
    values: FrozenJSON
    source: str
    read: str
    fixed: FrozenJSON = field(default_factory=lambda: FrozenJSON({}))
    takes: tuple[str, ...] | None = None
    unknown: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reads_model_file: bool = False

    def reaches(self, name: str) -> bool:
        """Whether a request's value of this setting reaches the samplers."""
        return name not in self.fixed.value() and (self.takes is None or name in self.takes)

    def apply(self, setup: Setup) -> Setup:
        """The setup with these defaults as its own settings, but for those that it sets itself.

        A setup's own keys go before a request's: for what a request gets use `effective`.
        """
        own = setup.to_dict().get("sampling", {})
        return setup.replace(sampling=self.values.value() | own | self.fixed.value())

    def to_dict(self) -> dict[str, Any]:
        """The fields by name; tuples as lists."""
        data = {f.name: getattr(self, f.name) for f in fields(self)}
        plain = {name: value.value() for name, value in data.items() if isinstance(value, FrozenJSON)}
        lists = {name: list(value) for name, value in data.items() if isinstance(value, tuple)}
        return data | plain | lists

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Preset:
        """The inverse of `to_dict`."""
        given: dict[str, Any] = {n: tuple(value) if isinstance(value, list) else value for n, value in data.items()}
        frozen = {name: FrozenJSON(value) for name, value in given.items() if isinstance(value, dict)}
        return cls(**(given | frozen))

    def _rows(self) -> list[dict[str, Any]]:
        values, fixed = self.values.value(), self.fixed.value()
        return [
            {
                "setting": name,
                "value": fixed.get(name, values.get(name)),
                "known": name in values or name in fixed,
                "request decides": self.reaches(name),
            }
            for name in SETTINGS
        ]

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in self.values.value().items())
        unknown = f"; {len(self.unknown)} settings not published" if self.unknown else ""
        return f"Preset({self.name}: {values or 'no value'}{unknown}; {self.source}, read {self.read})"


@dataclass(frozen=True)
class Presets(Value):
    """All presets, by name: `presets()["ollama"]`."""

    items: tuple[Preset, ...]

    def __getitem__(self, name: str) -> Preset:
        found = {preset.name: preset for preset in self.items}
        if name not in tuple(found):
            raise BadRequest(f"there is no preset {name!r}", f"accepted are {', '.join(found)}")
        return found[name]

    def __iter__(self) -> Iterator[str]:
        return (preset.name for preset in self.items)

    def __len__(self) -> int:
        return len(self.items)

    def to_dict(self) -> dict[str, Any]:
        """`{presets: [...]}`, each as its own `to_dict`."""
        return {"presets": [preset.to_dict() for preset in self.items]}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Presets:
        """The inverse of `to_dict`."""
        return cls(tuple(Preset.from_dict(item) for item in data["presets"]))

    def _rows(self) -> list[dict[str, Any]]:
        named = [preset.values.value() | preset.fixed.value() for preset in self.items]
        shown = [name for name in SETTINGS if any(name in values for values in named)]
        return [
            {"preset": preset.name, "program": preset.program}
            | {name: values.get(name) for name in shown}
            | {"source": preset.source, "read": preset.read}
            for preset, values in zip(self.items, named, strict=True)
        ]

    def __repr__(self) -> str:
        return f"Presets({', '.join(self)})"


def presets() -> Presets:
    """The defaults of llama-server, llama-cpp-python, Ollama and LM Studio, older ones where a change is known."""
    return Presets(tuple(Preset.from_dict(data) for data in PRESETS))
