"""What a request really gets: every sampling setting with its value and who decided it, under one runtime's preset."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from workbench.errors import BadRequest
from workbench.sampling.presets import SETTINGS, Preset, presets
from workbench.setup import SAMPLERS, SAMPLING_DEFAULTS, Setup
from workbench.values import FrozenJSON, Value

if TYPE_CHECKING:
    from workbench.conversation import Conversation

Source = Literal["setup", "request", "model file", "preset", "program", "workbench"]
# A model file's keys that llama-server reads, as `Setup.sampling` calls them.
# https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-arch.cpp#L171
MODEL_KEYS = {
    "general.sampling.top_k": "top_k",
    "general.sampling.top_p": "top_p",
    "general.sampling.min_p": "min_p",
    "general.sampling.xtc_probability": "xtc_probability",
    "general.sampling.xtc_threshold": "xtc_threshold",
    "general.sampling.temp": "temperature",
    "general.sampling.penalty_last_n": "repeat_last_n",
    "general.sampling.penalty_repeat": "repeat_penalty",
    "general.sampling.mirostat": "mirostat",
    "general.sampling.mirostat_tau": "mirostat_tau",
    "general.sampling.mirostat_eta": "mirostat_eta",
}
SEQUENCE_KEY = "general.sampling.sequence"
# The names that llama.cpp reads for its samplers, in any case.
# https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/common/sampling.cpp#L833
SAMPLER_NAMES = {"temp": "temperature", "typ": "typ_p", "nucleus": "top_p"}
for _way in ("_", "-", ""):
    SAMPLER_NAMES |= {name.replace("_", _way): name for name in (*SAMPLERS, "adaptive_p")}
_WHOLE = re.compile(r"\s*[-+]?\d+")
_NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
WHY = {
    "setup": "set in the setup",
    "request": "asked for by the request",
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
    """The settings of one request under one preset; `ignored` are the request's fields that change nothing there."""

    preset: str
    settings: FrozenJSON
    stop: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Setting]:
        return (Setting(*row) for row in self.settings.value())

    def __getitem__(self, name: str) -> Setting:
        if name not in SETTINGS:
            raise BadRequest(f"there is no sampling setting {name!r}", f"accepted are {', '.join(SETTINGS)}")
        return {setting.name: setting for setting in self}[name]

    @property
    def sampling(self) -> dict[str, Any]:
        """All settings by name, with `stop`: what `Host.generate` takes."""
        return {setting.name: setting.value for setting in self} | {"stop": list(self.stop)}

    @property
    def ignored(self) -> tuple[str, ...]:
        """The request's fields whose value does not reach the samplers, though it is another one."""
        return tuple(setting.name for setting in self if setting.dropped is not None)

    def setup(self, base: Setup) -> Setup:
        """`base` with these settings as its own: the request runs as that program would run it."""
        return base.replace(sampling={setting.name: setting.value for setting in self if setting.value is not None})

    def diff(self, other: Effective) -> dict[str, tuple[Any, Any]]:
        """The settings whose value differs, each with both values."""
        mine, theirs = self.sampling, other.sampling
        return {name: (mine[name], theirs[name]) for name in mine if mine[name] != theirs[name]}

    def to_dict(self) -> dict[str, Any]:
        """`{preset, settings: [{name, value, source, dropped}], stop, notes}`."""
        rows = [setting._asdict() for setting in self]
        return {"preset": self.preset, "settings": rows, "stop": list(self.stop), "notes": list(self.notes)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Effective:
        """The inverse of `to_dict`."""
        rows = FrozenJSON([list(Setting(**row)) for row in data["settings"]])
        return cls(data["preset"], rows, tuple(data["stop"]), tuple(data["notes"]))

    def _rows(self) -> list[dict[str, Any]]:
        return [setting._asdict() | {"why": WHY[setting.source]} for setting in self]

    def __repr__(self) -> str:
        decided = ", ".join(f"{s.name}={s.value!r}" for s in self if s.source in ("setup", "request", "model file"))
        dropped = f"; ignores {', '.join(f'{s.name}={s.dropped!r}' for s in self if s.dropped is not None)}"
        return f"Effective({self.preset}: {decided or 'all defaults'}{dropped if self.ignored else ''})"


def effective(
    request: Conversation,
    preset: Preset | str,
    setup: Setup | None = None,
    *,
    model_keys: Mapping[str, Any] | None = None,
) -> Effective:
    """What `request` gets from the program of `preset`.

    What the program always does goes first, then the setup's own key, the request's field where it reaches the
    samplers, the model file's (`model_keys`: its metadata; read by llama-server alone), the preset's default, and
    for what that leaves open the workbench's. Errors: `BadRequest` for an unknown preset or a bad value.
    """
    preset = preset if isinstance(preset, Preset) else presets()[preset]
    notes = preset.notes
    if preset.takes is not None and "max_completion_tokens" in request.sampling:  # a name that llama-server knows
        request, notes = request.replace(max_completion_tokens=None), (*notes, "max_completion_tokens is not read")
    asked = Setup().sampling_for(request)  # checked, with defaults
    named = {"max_tokens" if name == "max_completion_tokens" else name for name in request.sampling}
    sources = _sources(preset, setup or Setup(), {name: asked[name] for name in named if name != "stop"}, model_keys)
    rows = [_decided(name, sources, preset) for name in SETTINGS]
    stop = asked["stop"] if preset.takes is None or "stop" in preset.takes else []
    return Effective(preset.name, FrozenJSON([list(row) for row in rows]), tuple(stop), notes)


def _sources(
    preset: Preset, setup: Setup, asked: dict[str, Any], model_keys: Mapping[str, Any] | None
) -> list[tuple[Source, dict[str, Any]]]:
    """Who decides, first one first."""
    known = _written(model_keys or {})
    defaults = Setup(sampling=SAMPLING_DEFAULTS).to_dict()["sampling"]
    return [
        ("program", preset.fixed.value()),
        ("setup", setup.to_dict().get("sampling", {})),
        ("request", asked),
        ("model file", known if preset.reads_model_file else {}),
        ("preset", preset.values.value()),
        ("workbench", defaults),
    ]


def _written(keys: Mapping[str, Any]) -> dict[str, Any]:
    """What a model file says of sampling, read as llama-server reads it: a text's leading number, a list with `;`.

    A number that cannot be read changes nothing, as there; a sampler that is not known is left out, be it the last.
    https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/common/common.cpp#L1117
    """
    found: dict[str, Any] = {}
    for key, name in MODEL_KEYS.items():
        kind, form = (int, _WHOLE) if isinstance(getattr(SAMPLING_DEFAULTS, name), int) else (float, _NUMBER)
        if number := form.match(str(keys.get(key, ""))):
            found[name] = kind(number[0])
    order = str(keys.get(SEQUENCE_KEY) or "").lower()
    known = [SAMPLER_NAMES[part] for part in order.split(";") if part in SAMPLER_NAMES]
    return found | ({"samplers": known} if order else {})


def _decided(name: str, sources: list[tuple[Source, dict[str, Any]]], preset: Preset) -> Setting:
    asked = dict(sources)["request"].get(name)
    for source, values in sources:
        if name in values and (source != "request" or preset.reaches(name)):
            return Setting(name, values[name], source, asked if asked != values[name] else None)
    return Setting(name, None, "workbench", asked)


def chain_settings(given: Mapping[str, Any], setup: Setup, request: Conversation) -> dict[str, Any]:
    """What one side of a comparison samples with: changes to the setup's settings. Errors: `BadRequest`."""
    if not isinstance(given, Mapping):
        raise BadRequest(f"a chain is given as {given!r}", 'accepted are settings such as {"top_k": 1}, or a preset')
    return setup.replace(**{f"sampling.{name}": value for name, value in given.items()}).sampling_for(request)
