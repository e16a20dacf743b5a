"""What runtimes sample with where nobody says otherwise: their defaults by name, each with the lines that say so."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields, replace
from typing import Any

from workbench.errors import BadRequest
from workbench.sampling.fields import Verdict
from workbench.sampling.names import setting_of
from workbench.sampling.preset_data import PRESETS
from workbench.sampling.reads_data import OWN, SETTINGS
from workbench.setup import SAMPLING_DEFAULTS, Setup, checked
from workbench.values import FrozenJSON, Value


@dataclass(frozen=True)
class Preset(Value):
    """One runtime's defaults at one address: `values` by `Setup.sampling`'s names, exactly as its source has them.

    `reads` are the request's fields that are read there, see `reads_data`; `unread` is what becomes of all others.
    `fixed` are settings that neither request nor configuration changes there; `fills` those of `values` that this
    address puts in itself where a request says nothing, so that the server's own settings never count; `flags` the
    server's own settings, of its start or its configuration; `refuses` the lowest and highest value of a request's
    settings that are answered with an error beyond. `unknown` are settings whose default is not published. `source`
    is where `values` stand, `more` where the rest stands; both were read on `read` (ISO date).
    """

    name: str
    program: str
    values: FrozenJSON
    source: str
    read: str
    address: str = ""
    reads: FrozenJSON = field(default_factory=lambda: FrozenJSON({}))
    unread: Verdict = "ignored"
    fixed: FrozenJSON = field(default_factory=lambda: FrozenJSON({}))
    fills: tuple[str, ...] = ()
    flags: FrozenJSON = field(default_factory=lambda: FrozenJSON({}))
    refuses: FrozenJSON = field(default_factory=lambda: FrozenJSON({}))
    unknown: tuple[str, ...] = ()
    more: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    reads_model_file: bool = False

    @property
    def takes(self) -> tuple[str, ...]:
        """The settings, and "stop", that a request sets here, under whatever name."""
        fixed = self.fixed.value()
        return tuple(dict.fromkeys(name for name in self.reads.value().values() if name and name not in fixed))

    def reaches(self, name: str) -> bool:
        """Whether a request's value of this setting reaches the samplers."""
        return name in self.takes

    def started(self, **flags: Any) -> Preset:
        """The program started with settings of its own: `presets()["llama-server"].started(presence_penalty=1.5)`.

        They go below a request's fields and above the program's defaults. Names are `Setup.sampling`'s, or the
        program's own flags ("temp"). Errors: `BadRequest` for an unknown name or a bad value.
        """
        return replace(self, flags=FrozenJSON(self.flags.value() | _flags(flags)))

    def apply(self, setup: Setup) -> Setup:
        """The setup with these defaults as its own settings, but for those that it sets itself.

        A setup's own keys go before a request's: for what a request gets use `effective`.
        """
        own = setup.to_dict().get("sampling", {})
        return setup.replace(sampling=self.values.value() | self.flags.value() | own | self.fixed.value())

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
            {"preset": preset.name, "program": preset.program, "address": preset.address}
            | {name: values.get(name) for name in shown}
            | {"source": preset.source, "read": preset.read}
            for preset, values in zip(self.items, named, strict=True)
        ]

    def __repr__(self) -> str:
        return f"Presets({', '.join(self)})"


def _flags(given: dict[str, Any]) -> dict[str, Any]:
    """A server's own settings by the settings' names. Errors: `BadRequest`."""
    found: dict[str, Any] = {}
    for name, value in given.items():
        setting = setting_of(name)
        if setting is None or setting not in SETTINGS:
            raise BadRequest(f"the server's {name!r} is no sampling setting", f"accepted are {', '.join(SETTINGS)}")
        if setting in found:
            raise BadRequest(f"the server's {setting} is given twice", "accepted is one of its names", "remove one")
        found[setting] = value
    return checked("sampling", found, "the server's own ", {name: name for name in found})


def presets() -> Presets:
    """The defaults of llama-server, llama-cpp-python, Ollama and LM Studio, older ones where a change is known."""
    return Presets(tuple(Preset.from_dict(data) for data in PRESETS))


# The workbench itself, as a program that a request is sent to.
WORKBENCH = Preset(
    name="workbench",
    program="this workbench",
    address="trace()",
    values=FrozenJSON(Setup(sampling=SAMPLING_DEFAULTS).to_dict()["sampling"]),
    reads=FrozenJSON(OWN),
    source="workbench/setup.py",
    read="",
)
