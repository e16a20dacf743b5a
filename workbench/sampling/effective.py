"""What a request really gets: every sampling setting with its value and who decided it, under one program's preset."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from workbench.errors import BadRequest
from workbench.sampling.asked import STOP, stops
from workbench.sampling.fields import Field, sent
from workbench.sampling.model_keys import written
from workbench.sampling.names import setting_of
from workbench.sampling.presets import WORKBENCH, Preset, presets
from workbench.sampling.reads_data import SETTINGS
from workbench.setup import SAMPLING_DEFAULTS, Setup, checked
from workbench.values import FrozenJSON, Value

if TYPE_CHECKING:
    from workbench.conversation import Conversation

RUNTIME = "runtime."
Source = Literal["program", "setup", "request", "server", "model file", "preset", "workbench"]
Sources = list[tuple[Source, dict[str, Any]]]
WHY = {
    "setup": "set in the setup",
    "request": "asked for by the request",
    "server": "set where the server was started",
    "model file": "written in the model's file",
    "preset": "the program's default",
    "program": "always so in this program",
    "workbench": "left open by the program: the workbench's",
}


class Setting(NamedTuple):
    """One setting: its value, who decided it, and a request's value that was dropped (None: none was)."""

    name: str
    value: Any
    source: Source
    dropped: Any = None


@dataclass(frozen=True)
class Effective(Value):
    """The settings of one request at one program's address; `asked` are the rows of `fields`, the request's own.

    `elsewhere` are the same program's other addresses where they part from this one:
    `{address: {preset, settings: {name: [here, there]}, fields: {path: [verdict here, verdict there]}}}`, or
    `{address: {preset, error}}` where the request cannot be read there.
    """

    preset: str
    settings: FrozenJSON
    stop: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    address: str = ""
    asked: FrozenJSON = field(default_factory=lambda: FrozenJSON([]))
    elsewhere: FrozenJSON = field(default_factory=lambda: FrozenJSON({}))

    def __iter__(self) -> Iterator[Setting]:
        return (Setting(*row) for row in self.settings.value())

    def __getitem__(self, name: str) -> Setting:
        if name not in SETTINGS:
            raise BadRequest(f"there is no sampling setting {name!r}", f"accepted are {', '.join(SETTINGS)}")
        return {setting.name: setting for setting in self}[name]

    @property
    def fields(self) -> tuple[Field, ...]:
        """What became of each of the request's fields, in its order."""
        return tuple(Field(*row) for row in self.asked.value())

    @property
    def sampling(self) -> dict[str, Any]:
        """All settings by name, with `stop`: what `Host.generate` takes."""
        return {setting.name: setting.value for setting in self} | {STOP: list(self.stop)}

    @property
    def runtime(self) -> dict[str, Any]:
        """What the request sets of how the model is loaded, by `Setup.runtime`'s names: Ollama's num_ctx is n_ctx."""
        found = (one for one in self.fields if one.verdict == "honoured" and one.setting.startswith(RUNTIME))
        return {one.setting.removeprefix(RUNTIME): one.value for one in found}

    @property
    def ignored(self) -> tuple[str, ...]:
        """The request's fields, as they were sent, that change nothing here or are refused."""
        return tuple(one.path for one in self.fields if one.verdict in ("ignored", "refused"))

    def field(self, path: str) -> Field:
        """What became of one of the request's fields. Errors: `BadRequest` for one that it has not."""
        known = {one.path: one for one in self.fields}
        if path not in known:
            raise BadRequest(f"the request has no field {path!r}", f"it has {', '.join(known) or 'none'}")
        return known[path]

    def setup(self, base: Setup) -> Setup:
        """`base` with these settings as its own: the request runs as that program would run it."""
        sampling = {setting.name: setting.value for setting in self if setting.value is not None}
        return base.replace(sampling=sampling, **{f"{RUNTIME}{name}": value for name, value in self.runtime.items()})

    def diff(self, other: Effective) -> dict[str, tuple[Any, Any]]:
        """The settings whose value differs, each with both values."""
        mine, theirs = self.sampling, other.sampling
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}

    def to_dict(self) -> dict[str, Any]:
        """`{preset, address, settings: [{name, value, source, dropped}], stop, fields, notes, elsewhere}`."""
        rows = {
            "settings": [setting._asdict() for setting in self],
            "fields": [one._asdict() for one in self.fields],
        }
        lists = {STOP: list(self.stop), "notes": list(self.notes), "elsewhere": self.elsewhere.value()}
        return {"preset": self.preset, "address": self.address} | rows | lists

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Effective:
        """The inverse of `to_dict`."""
        rows = FrozenJSON([list(Setting(**row)) for row in data["settings"]])
        asked = FrozenJSON([list(Field(**row)) for row in data.get("fields", [])])
        told = tuple(data[STOP]), tuple(data["notes"]), data.get("address", "")
        return cls(data["preset"], rows, *told, asked, FrozenJSON(data.get("elsewhere", {})))

    def _rows(self) -> list[dict[str, Any]]:
        return [setting._asdict() | {"why": WHY[setting.source]} for setting in self]

    def __repr__(self) -> str:
        decided = ", ".join(f"{s.name}={s.value!r}" for s in self if s.source in ("setup", "request", "model file"))
        told = "".join(f"; {one.words}" for one in self.fields if one.verdict != "honoured")
        other = "".join(f"; otherwise at {address}" for address in self.elsewhere.value())
        return f"Effective({self.preset} at {self.address}: {decided or 'all defaults'}{told}{other})"


def effective(
    request: Conversation,
    preset: Preset | str,
    setup: Setup | None = None,
    *,
    model_keys: Mapping[str, Any] | None = None,
    server: Mapping[str, Any] | None = None,
) -> Effective:
    """What `request` gets from the program of `preset`, and at that program's other addresses where it is otherwise.

    Each setting is decided by the first that names it: what the program always does, the setup's own key, the
    request's field where it is read, what the address puts in, the server's own settings (`server`: what it was
    started or configured with, by the settings' names or its flags, see `Preset.started`), the model file's
    (`model_keys`: its metadata; read by llama-server alone), the preset's default, and for what that leaves open the
    workbench's. Errors: `BadRequest` for an unknown preset or a bad value.
    """
    preset = preset if isinstance(preset, Preset) else presets()[preset]
    preset = preset.started(**server) if server else preset
    found = _here(request, preset, setup or Setup(), model_keys)
    others = [
        other.started(**preset.flags.value())
        for other in presets().items
        if other.program == preset.program and other.name != preset.name
    ]
    there = {other.address: _parting(found, other, request, setup or Setup(), model_keys) for other in others}
    return replace(found, elsewhere=FrozenJSON({address: told for address, told in there.items() if told}))


def unheeded(request: Conversation, setup: Setup) -> tuple[Field, ...]:
    """The request's fields that this workbench's own `trace()` under `setup` does not follow. Errors: `BadRequest`."""
    return tuple(one for one in effective(request, WORKBENCH, setup).fields if one.verdict != "honoured")


def _here(request: Conversation, preset: Preset, setup: Setup, model_keys: Mapping[str, Any] | None) -> Effective:
    """The request at this one address."""
    found = [_allowed(one, preset) for one in sent(request.data, preset.reads.value(), preset.unread)]
    read = [one for one in found if one.verdict == "honoured" and one.setting]
    where = f"{request.source or 'the request'}: "
    stop = next((stops(one.value, where) for one in read if one.setting == STOP), [])
    asked, _ = _checked(read, "sampling", where), _checked(read, "runtime", where)
    sources = _sources(preset, setup, asked, model_keys)
    rows = [_decided(name, sources, found) for name in SETTINGS]
    fields = FrozenJSON([list(_overruled(one, rows, asked)) for one in found])
    notes = (*preset.notes, *_passed_over(preset, rows))
    return Effective(preset.name, FrozenJSON([list(row) for row in rows]), tuple(stop), notes, preset.address, fields)


def _allowed(one: Field, preset: Preset) -> Field:
    """The field, refused where the program answers its value with an error."""
    low, high = preset.refuses.value().get(one.setting, (None, None))
    if one.verdict != "honoured" or low is None or not isinstance(one.value, int) or low <= one.value <= high:
        return one
    return one._replace(verdict="refused", why=f"accepted there are {low} to {high}")


def _checked(read: list[Field], section: str, where: str) -> dict[str, Any]:
    """The values of a section's settings as a setup takes them. Errors: `BadRequest` by the field's own name."""
    start = RUNTIME if section == "runtime" else ""
    wanted = [one for one in read if one.setting != STOP and one.setting.startswith(RUNTIME) == bool(start)]
    names = {one.setting.removeprefix(start): one for one in wanted}
    values, paths = {n: one.value for n, one in names.items()}, {n: one.path for n, one in names.items()}
    return checked(section, values, where, paths)


def _sources(preset: Preset, setup: Setup, asked: dict[str, Any], model_keys: Mapping[str, Any] | None) -> Sources:
    """Who decides, first one first."""
    values = preset.values.value()
    return [
        ("program", preset.fixed.value()),
        ("setup", setup.to_dict().get("sampling", {})),
        ("request", asked),
        ("preset", {name: values[name] for name in preset.fills}),
        ("server", preset.flags.value()),
        ("model file", written(model_keys or {}) if preset.reads_model_file else {}),
        ("preset", values),
        ("workbench", Setup(sampling=SAMPLING_DEFAULTS).to_dict()["sampling"]),
    ]


def _decided(name: str, sources: Sources, found: list[Field]) -> Setting:
    """Who decides a setting; what the request asked for under any name and does not get is `dropped`."""
    nobody: tuple[Source, Any] = ("workbench", None)
    source, value = next(((who, values[name]) for who, values in sources if name in values), nobody)
    meant = [one.value for one in found if (one.setting or setting_of(one.path.rpartition(".")[2])) == name]
    asked = dict(sources)["request"].get(name, meant[0] if meant else None)
    return Setting(name, value, source, asked if asked != value else None)


def _overruled(one: Field, rows: list[Setting], asked: dict[str, Any]) -> Field:
    """The field, ignored where it is read and somebody else decides its setting."""
    row = next((row for row in rows if row.name == one.setting), None)
    if one.verdict != "honoured" or row is None or row.source == "request" or row.value == asked.get(row.name):
        return one
    why = f"the setup's sampling.{row.name} goes before it" if row.source == "setup" else "it is read and not used"
    return one._replace(verdict="ignored", why=why)


def _passed_over(preset: Preset, rows: list[Setting]) -> list[str]:
    """What the server was started with and no request gets here."""
    values = {row.name: row for row in rows if row.source in ("program", "preset")}
    return [
        f"the server's own {name} {value!r} does not count here: it is {WHY[values[name].source]}"
        for name, value in preset.flags.value().items()
        if name in values and values[name].value != value
    ]


def _parting(
    here: Effective, other: Preset, request: Conversation, setup: Setup, model_keys: Mapping[str, Any] | None
) -> dict[str, Any]:
    """What is otherwise at another address; empty where nothing is."""
    try:
        there = _here(request, other, setup, model_keys)
    except BadRequest as error:  # a value that is read there and not here
        return {"preset": other.name, "error": str(error)}
    settings = {name: list(pair) for name, pair in here.diff(there).items()}
    mine, theirs = ({one.path: one.verdict for one in value.fields} for value in (here, there))
    fields = {path: [mine.get(path), theirs.get(path)] for path in mine | theirs if mine.get(path) != theirs.get(path)}
    return {"preset": there.preset, "settings": settings, "fields": fields} if settings or fields else {}


def chain_settings(given: Mapping[str, Any], setup: Setup, request: Conversation) -> dict[str, Any]:
    """What one side of a comparison samples with: changes to the setup's settings. Errors: `BadRequest`."""
    if not isinstance(given, Mapping):
        raise BadRequest(f"a chain is given as {given!r}", 'accepted are settings such as {"top_k": 1}, or a preset')
    return setup.replace(**{f"sampling.{name}": value for name, value in given.items()}).sampling_for(request)
