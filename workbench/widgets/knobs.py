"""The runtime's controls: one list of them, and what the user typed for one side as a setup, or what is wrong."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Literal, NamedTuple

from workbench.errors import BadRequest, WorkbenchError
from workbench.gguf.header import Header, read_header
from workbench.gguf.library import shared_library
from workbench.runtime.refusals import refuse
from workbench.runtime.rpc import LOCAL
from workbench.setup import KV_TYPES, ROPE_SCALINGS, RUNTIME_DEFAULTS, SPLIT_MODES, Setup
from workbench.widgets.choices import expanded

Kind = Literal["whole", "real", "choice", "switch", "layers", "names", "shares", "model"]
RPC = "rpc"  # the switch for `rpc:local` in runtime.devices
FLASH = {"auto": "auto", "on": True, "off": False}
AS_FILE = ("", "of the file")


class Knob(NamedTuple):
    """One control: its name in the setup's section `runtime`, what it is called, and what it holds."""

    name: str
    words: str
    kind: Kind
    unset: str = ""  # what an empty field means, where no default applies
    options: tuple[tuple[str, str], ...] = ()

    @property
    def dotted(self) -> str:
        """Its name in the setup."""
        return "model" if self.kind == "model" else f"runtime.{'devices' if self.name == RPC else self.name}"


def _pairs(names: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    return tuple((name, name) for name in names)


GROUPS: tuple[tuple[str, tuple[Knob, ...]], ...] = (
    (
        "Model, devices and layers",
        (
            Knob("model", "model", "model"),
            Knob(RPC, "loopback RPC", "switch"),
            Knob("devices", "devices", "names", "all"),
            Knob("n_gpu_layers", "layers moved", "layers"),
            Knob("split_mode", "split", "choice", options=_pairs(SPLIT_MODES)),
            Knob("tensor_split", "tensor split", "shares", "by memory"),
            Knob("main_gpu", "main device", "whole"),
            Knob("offload_kqv", "offload KV", "switch"),
            Knob("op_offload", "offload ops", "switch"),
        ),
    ),
    (
        "Attention and KV cache",
        (
            Knob("flash_attn", "flash attention", "choice", options=_pairs(tuple(FLASH))),
            Knob("type_k", "type of K", "choice", options=_pairs(KV_TYPES)),
            Knob("type_v", "type of V", "choice", options=_pairs(KV_TYPES)),
            Knob("n_ctx", "context", "whole", "as trained"),
        ),
    ),
    (
        "Batches, threads, weights",
        (
            Knob("n_batch", "batch", "whole"),
            Knob("n_ubatch", "micro-batch", "whole"),
            Knob("n_threads", "threads", "whole"),
            Knob("use_extra_bufts", "repacking", "switch"),
            Knob("use_mmap", "mmap", "switch"),
            Knob("use_mlock", "mlock", "switch"),
        ),
    ),
    (
        "RoPE and YaRN",
        (
            Knob("rope_freq_base", "frequency base", "real", "of the file"),
            Knob("rope_freq_scale", "frequency scale", "real", "of the file"),
            Knob("rope_scaling", "scaling", "choice", options=(AS_FILE, *_pairs(ROPE_SCALINGS))),
            Knob("yarn_ext_factor", "YaRN extrapolation", "real", "auto"),
            Knob("yarn_attn_factor", "YaRN attention", "real", "auto"),
            Knob("yarn_beta_fast", "YaRN beta, fast", "real", "auto"),
            Knob("yarn_beta_slow", "YaRN beta, slow", "real", "auto"),
            Knob("yarn_orig_ctx", "YaRN trained context", "whole", "of the file"),
        ),
    ),
)
KNOBS: dict[str, Knob] = {knob.name: knob for _, knobs in GROUPS for knob in knobs}


@dataclass(frozen=True)
class Knobs:
    """One side's controls: the setup that was given, and what the user did since, as typed: wrong input stays."""

    base: Setup = field(default_factory=Setup)
    typed: tuple[tuple[str, Any], ...] = ()

    def changed(self, changes: Mapping[str, Any]) -> Knobs:
        """With what the page or a script gives. Errors: `BadRequest` for a control that there is not."""
        unknown = [name for name in changes if name not in KNOBS]
        if unknown:
            raise BadRequest(f"the controls have no {', '.join(unknown)}", f"accepted are {', '.join(KNOBS)}")
        given = {name: _as_typed(KNOBS[name], value) for name, value in changes.items()}
        before = dict(self.typed)
        if isinstance(given.get(RPC), bool):
            before.pop(RPC, None)
            given["devices"] = _with_server(str(self.values()["devices"]), wanted=given.pop(RPC))
        return replace(self, typed=tuple((before | given).items()))

    def read(self) -> tuple[Setup | None, dict[str, str]]:
        """The setup, None where there is none, and what is wrong by control's name."""
        setup, errors = self.base, {}
        for name, given in self.typed:
            try:
                setup = _put(setup, KNOBS[name], given)
            except WorkbenchError as error:
                errors[name] = str(error)
        if not errors:
            errors = _refused(setup)
        return (None if errors else setup), errors

    def header(self) -> Header | None:
        """The chosen model's header, None where it cannot be read."""
        path = dict(self.typed).get("model", self.base.model)
        try:
            return read_header(str(expanded(str(path)))) if path else None
        except WorkbenchError:
            return None

    def values(self) -> dict[str, Any]:
        """What each control shows: what was typed, else what applies."""
        applies = self.base.effective()["runtime"]
        shown = {name: _shown(knob, applies.get(name)) for name, knob in KNOBS.items() if name not in ("model", RPC)}
        shown |= {"model": self.base.model or ""} | dict(self.typed)
        return shown | {RPC: LOCAL in _names(str(shown["devices"]))}


@cache
def missing_rpc() -> str:
    """Why this build has no RPC device, "" where it has."""
    try:
        shared_library("ggml-rpc")
    except WorkbenchError:
        return 'this llama-cpp-python was built without RPC; reinstall it with CMAKE_ARGS="-DGGML_RPC=ON"'
    return ""


def _put(setup: Setup, knob: Knob, given: Any) -> Setup:
    """`setup` with one control; what is as it would be anyway stays unset. Errors: `BadRequest`."""
    value = _parsed(knob, given)
    unset = setup.replace(**{knob.dotted: None})
    return unset if value is None or unset.flat()[knob.dotted] == value else setup.replace(**{knob.dotted: value})


def _parsed(knob: Knob, given: Any) -> Any:
    """What was typed as the setup's value, None for nothing. Errors: `BadRequest`."""
    if knob.kind == "switch":
        if not isinstance(given, bool):
            raise BadRequest(f"{knob.words} is {given!r}", "accepted is true or false")
        return given
    text = str(given).strip()
    if knob.kind == "model":
        if not text:
            raise BadRequest("no model is chosen", "accepted is a GGUF file's path", "pick one or type its path")
        return str(expanded(text))
    if not text:
        return None
    if knob.kind == "names":
        return _names(text)
    if knob.kind == "choice":
        return FLASH[text] if knob.name == "flash_attn" and text in FLASH else text
    numbers = [_number(knob, part) for part in (re.split(r"[\s,;]+", text) if knob.kind == "shares" else [text])]
    return numbers if knob.kind == "shares" else numbers[0]


def _number(knob: Knob, text: str) -> int | float:
    whole = knob.kind in ("whole", "layers")
    try:
        return int(text) if whole else float(text)
    except ValueError as error:
        raise BadRequest(f"{knob.words} is {text!r}", f"accepted is a {'whole ' if whole else ''}number") from error


def _names(text: str) -> list[str]:
    return [name for name in re.split(r"[\s,;]+", text) if name]


def _as_typed(knob: Knob, given: Any) -> Any:
    """What the control would hold: a script may give the setup's own values, and None for what applies anyway."""
    if given is None:
        return _shown(knob, getattr(RUNTIME_DEFAULTS, knob.name, None))
    if knob.kind == "switch":
        return given
    if knob.name == "flash_attn" and isinstance(given, bool):
        return _shown(knob, given)
    return ", ".join(map(str, given)) if isinstance(given, (list, tuple)) else str(given)


def _with_server(devices: str, *, wanted: bool) -> str:
    """The list of devices with a server of our own on loopback, or without any."""
    others = [name for name in _names(devices) if name != LOCAL]
    return ", ".join([*others, LOCAL] if wanted else others)


def _shown(knob: Knob, value: Any) -> Any:
    if knob.kind == "switch":
        return bool(value)
    if knob.name == "flash_attn":
        return next(name for name, meaning in FLASH.items() if meaning is value or meaning == value)
    if value is None:
        return ""
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _refused(setup: Setup) -> dict[str, str]:
    """What this model or build cannot do, by the control that asks for it."""
    try:
        header = read_header(str(setup.model)) if setup.model else None
    except WorkbenchError as error:
        return {"model": str(error)}
    if header is None:
        return {"model": "no model is chosen; pick one or type its path"}
    if LOCAL in (setup.runtime.devices or ()) and (why := missing_rpc()):
        return {RPC: why}
    try:
        refuse(header, setup.effective()["runtime"])
    except WorkbenchError as error:
        named = re.search(r"runtime\.(\w+)", error.given)
        return {named[1] if named is not None else "model": str(error)}
    return {}
