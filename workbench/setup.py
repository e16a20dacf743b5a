"""Every knob of one stack as a value: what is set explicitly, what that resolves to, and how two setups differ."""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from pathlib import Path
from typing import Any, get_args, get_type_hints

from workbench.bounded import TooLarge, json_of
from workbench.conversation import Conversation, read_text
from workbench.data import NAMED, model_path
from workbench.errors import BadRequest
from workbench.nesting import MOST_LEVELS, too_deep
from workbench.sampling.asked import asked, biases, is_number, shown, stops
from workbench.values import FrozenJSON, Value, clip

ENGINE_NAMES = ("transformers", "llama.cpp", "llama.cpp-legacy", "llama-cpp-python", "llama-server", "ollama")
KV_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")
SPLIT_MODES = ("layer", "none", "row")
ROPE_SCALINGS = ("none", "linear", "yarn")
# llama.cpp's samplers in its own order; "adaptive_p", where it is named, draws in place of the last one.
# https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/common/sampling.cpp#L833
SAMPLERS = ("penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature")
CHAINS = ("llama.cpp", "llama-cpp-python")  # whose program puts the samplers together, see `sampling.chain`
DEFAULT_N_CTX = 4096
FILE = "file:"  # what a template.source that is a path begins with
NOT_REPLACED, REMOVED = "the file's own", "removed"  # what `diff` says of a metadata key


@dataclass(frozen=True)
class TemplateChoice:
    """Which template, rendered by which engine, at which time. None: not set, the default applies."""

    source: str | None = None  # "model", "file:PATH" or "text:..."
    engine: str | None = None  # one of ENGINE_NAMES
    clock: str | None = None  # ISO time; None is now


@dataclass(frozen=True)
class TokenizerFlags:
    """`add_special`: "auto" (as llama-server does), True or False; `parse_special`: special tokens in text count."""

    add_special: bool | str | None = None
    parse_special: bool | None = None


@dataclass(frozen=True)
class Runtime:
    """How llama.cpp loads and runs the model. None: not set, the default in `RUNTIME_DEFAULTS` applies."""

    n_ctx: int | None = None  # tokens
    n_batch: int | None = None  # tokens handed to llama_decode at once
    n_ubatch: int | None = None  # tokens computed at once
    n_threads: int | None = None
    n_gpu_layers: int | None = None  # -1: all
    type_k: str | None = None  # one of KV_TYPES
    type_v: str | None = None
    flash_attn: bool | str | None = None  # "auto", True, False
    offload_kqv: bool | None = None
    op_offload: bool | None = None
    use_mmap: bool | None = None
    use_mlock: bool | None = None
    use_extra_bufts: bool | None = None  # CPU weight repacking
    rope_freq_base: float | None = None
    rope_freq_scale: float | None = None
    devices: tuple[str, ...] | None = None  # names, "rpc:local" or "HOST:PORT"; None: all that llama.cpp would use
    split_mode: str | None = None  # one of SPLIT_MODES: layers over all devices, all on one, rows over all
    main_gpu: int | None = None  # which of the devices, from 0, takes all in split mode "none"
    tensor_split: tuple[float, ...] | None = None  # share of each device; None: by free memory
    rope_scaling: str | None = None  # one of ROPE_SCALINGS; None: as the file says, as for all below
    yarn_ext_factor: float | None = None
    yarn_attn_factor: float | None = None
    yarn_beta_fast: float | None = None
    yarn_beta_slow: float | None = None
    yarn_orig_ctx: int | None = None  # tokens


@dataclass(frozen=True)
class Sampling:
    """The sampler chain's parameters, by llama-server's names. None: not set here, the request's or the default's.

    https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/tools/server/server-schema.cpp
    """

    seed: int | None = None  # -1: a random one, recorded in the generation
    temperature: float | None = None  # 0: the most likely token
    top_k: int | None = None  # 0 or less: off
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    repeat_last_n: int | None = None  # -1: the whole context
    max_tokens: int | None = None  # -1: as many as the context holds
    presence_penalty: float | None = None  # taken off the logit of what was written; 0: off
    frequency_penalty: float | None = None  # the same for each time that it was written
    typical_p: float | None = None  # 1: off
    top_n_sigma: float | None = None  # 0 or less: off
    xtc_probability: float | None = None  # 0: off
    xtc_threshold: float | None = None  # above 0.5: off
    dry_multiplier: float | None = None  # 0: off
    dry_base: float | None = None
    dry_allowed_length: int | None = None  # tokens
    dry_penalty_last_n: int | None = None  # tokens; 0: off
    dry_sequence_breakers: tuple[str, ...] | None = None
    dynatemp_range: float | None = None  # 0: off
    dynatemp_exponent: float | None = None
    mirostat: int | None = None  # 1 or 2: it and the temperature are the whole chain
    mirostat_tau: float | None = None
    mirostat_eta: float | None = None
    adaptive_target: float | None = None  # of the sampler adaptive_p; below 0: it only draws
    adaptive_decay: float | None = None
    min_keep: int | None = None  # candidates that top_p, min_p, typ_p and xtc leave at least
    logit_bias: FrozenJSON | None = None  # {"token id": number that is added, or false for never}
    samplers: tuple[str, ...] | None = None  # out of SAMPLERS and "adaptive_p", in the order of their work
    chain: str | None = None  # one of CHAINS
    grammar: str | None = None  # GBNF that the answer must follow


TEMPLATE_DEFAULTS = TemplateChoice("model", "transformers", None)
TOKENIZER_DEFAULTS = TokenizerFlags("auto", True)
RUNTIME_DEFAULTS = Runtime(
    n_batch=512,
    n_ubatch=512,
    n_gpu_layers=0,
    type_k="f16",
    type_v="f16",
    flash_attn="auto",
    offload_kqv=True,
    op_offload=True,
    use_mmap=True,
    use_mlock=False,
    use_extra_bufts=True,
    split_mode="layer",
    main_gpu=0,
)
SAMPLING_DEFAULTS = Sampling(
    seed=0,
    temperature=0.0,
    top_k=40,
    top_p=0.95,
    min_p=0.05,
    repeat_penalty=1.0,
    repeat_last_n=64,
    max_tokens=128,
    presence_penalty=0.0,
    frequency_penalty=0.0,
    typical_p=1.0,
    top_n_sigma=-1.0,
    xtc_probability=0.0,
    xtc_threshold=0.1,
    dry_multiplier=0.0,
    dry_base=1.75,
    dry_allowed_length=2,
    dry_penalty_last_n=64,
    dry_sequence_breakers=("\n", ":", '"', "*"),
    dynatemp_range=0.0,
    dynatemp_exponent=1.0,
    mirostat=0,
    mirostat_tau=5.0,
    mirostat_eta=0.1,
    adaptive_target=-1.0,
    adaptive_decay=0.9,
    min_keep=0,
    logit_bias=FrozenJSON({}),
    samplers=SAMPLERS,
    chain="llama.cpp",
)
SECTIONS: dict[str, type] = {
    "template": TemplateChoice,
    "tokenizer": TokenizerFlags,
    "runtime": Runtime,
    "sampling": Sampling,
}
# Smallest and largest accepted value of a number; None: no bound on that side.
BOUNDS: dict[str, tuple[float | None, float | None]] = {
    "n_ctx": (1, 2**31 - 1),
    "n_batch": (1, 2**31 - 1),
    "n_ubatch": (1, 2**31 - 1),
    "n_threads": (1, 1024),
    "n_gpu_layers": (-1, 2**31 - 1),
    "rope_freq_base": (0, None),
    "rope_freq_scale": (0, None),
    "main_gpu": (0, 2**31 - 1),
    "tensor_split": (0, None),
    "yarn_ext_factor": (0, None),
    "yarn_attn_factor": (0, None),
    "yarn_beta_fast": (0, None),
    "yarn_beta_slow": (0, None),
    "yarn_orig_ctx": (1, 2**31 - 1),
    "seed": (-1, 2**32 - 1),
    "temperature": (0, None),
    "top_k": (-(2**31), 2**31 - 1),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "repeat_penalty": (0, None),
    "repeat_last_n": (-1, 2**31 - 1),
    "max_tokens": (-1, 2**31 - 1),
    "typical_p": (0, 1),
    "xtc_probability": (0, 1),
    "xtc_threshold": (0, 1),
    "dry_multiplier": (0, None),
    "dry_base": (1, None),
    "dry_allowed_length": (0, 2**31 - 1),
    "dry_penalty_last_n": (0, 2**31 - 1),
    "dynatemp_range": (0, None),
    "dynatemp_exponent": (0, None),
    "mirostat": (0, 2),
    "mirostat_tau": (0, None),
    "mirostat_eta": (0, None),
    "adaptive_target": (-1, 1),
    "adaptive_decay": (0, 0.99),
    "min_keep": (0, 2**31 - 1),
}
CHOICES: dict[str, tuple[str, ...]] = {
    "engine": ENGINE_NAMES,
    "type_k": KV_TYPES,
    "type_v": KV_TYPES,
    "flash_attn": ("auto",),
    "split_mode": SPLIT_MODES,
    "rope_scaling": ROPE_SCALINGS,
    "add_special": ("auto",),
    "samplers": (*SAMPLERS, "adaptive_p"),
    "chain": CHAINS,
}


@dataclass(frozen=True)
class Setup(Value):
    """One stack, every knob: what is None was not set. `model` is a path, or None for rendering alone.

    A name of `data.NAMED` ("demo", "toolsmith") stands for that model's path wherever no file has the name.

    `metadata` replaces GGUF keys for this setup only; the user's file is never changed.
    """

    model: str | None = None
    template: TemplateChoice = field(default_factory=TemplateChoice)
    metadata: FrozenJSON = field(default_factory=lambda: FrozenJSON({}))
    tokenizer: TokenizerFlags = field(default_factory=TokenizerFlags)
    runtime: Runtime = field(default_factory=Runtime)
    sampling: Sampling = field(default_factory=Sampling)
    parser: str = "auto"

    @classmethod
    def from_dict(cls, data: Any, *, source: str | None = None) -> Setup:
        """A setup from its JSON form. Errors: `BadRequest` for an unknown key or a value out of range."""
        where = f"{source}: " if source else ""
        if not isinstance(data, dict):
            raise BadRequest(f"{where}the setup is no JSON object", 'accepted is {"model": "PATH", ...}')
        if too_deep(data):
            raise BadRequest(f"{where}the setup is nested too deeply", f"accepted are {MOST_LEVELS} levels")
        known = [f.name for f in fields(cls)]
        _refuse_unknown(data, known, where, "setup")
        values: dict[str, Any] = {}
        for name, value in data.items():
            if value is None:
                continue
            if name in SECTIONS:
                values[name] = _section(SECTIONS[name], name, value, where)
            elif name == "metadata":
                values[name] = _metadata(value, where)
            elif isinstance(value, str) and value:
                values[name] = value
            else:
                raise BadRequest(f'{where}"{name}" is {clip(json.dumps(value), 200)}', "accepted is a text")
        _check_template(values.get("template"), where)
        return cls(**values)

    @classmethod
    def from_file(cls, path: str | Path) -> Setup:
        """A setup from a JSON file; a relative `model` and `file:` template count from the file's folder.

        A model goes also by a name of `data.NAMED`. Errors: `BadFile`, `BadRequest`.
        """
        path = Path(path)
        text = read_text(path, "a setup as JSON")
        try:
            data = json_of(text)
        except (json.JSONDecodeError, RecursionError) as error:
            raise BadRequest(
                f"{path} is not JSON: {error}", 'accepted is a setup such as {"model": "model.gguf"}'
            ) from error
        except TooLarge as error:
            raise BadRequest(f"{path} is no setup: {error}", "give less") from error
        except ValueError as error:
            raise BadRequest(f"{path} has a number of thousands of digits", "accepted are smaller ones") from error
        return cls.from_dict(data, source=str(path)).anchored(path.parent)

    def anchored(self, folder: Path) -> Setup:
        """The same setup, its relative paths taken from `folder` where a file stands there; see `data.model_path`."""
        files = {key: _anchor(path, folder) for key, path in self.files().items()}
        changes: dict[str, Any] = {"model": model_path(files["model"])} if "model" in files else {}
        if "template.source" in files:
            changes["template.source"] = FILE + files["template.source"]
        return self.replace(**changes) if changes else self

    def files(self) -> dict[str, str]:
        """The paths that it names, by the key that names them: `model`, and `template.source` where that is a file."""
        source = self.template.source or ""
        named = {"model": self.model, "template.source": source.removeprefix(FILE) if source.startswith(FILE) else None}
        return {key: path for key, path in named.items() if path}

    def to_dict(self) -> dict[str, Any]:
        """Only what is set: `Setup.from_dict(s.to_dict()) == s`."""
        data: dict[str, Any] = {}
        if self.model is not None:
            data["model"] = self.model
        for name in SECTIONS:
            explicit = _explicit(getattr(self, name))
            if explicit:
                data[name] = explicit
        if self.metadata.value():
            data["metadata"] = self.metadata.value()
        if self.parser != "auto":
            data["parser"] = self.parser
        return data

    def replace(self, **changes: Any) -> Setup:
        """A changed copy. Names are fields (`model=...`) or dotted (`**{"runtime.n_ctx": 512}`); None unsets.

        Errors: `BadRequest` as for `from_dict`.
        """
        data = self.to_dict()
        for name, value in changes.items():
            section, _, key = name.partition(".")
            if section == "metadata" and key:
                data.setdefault("metadata", {})[key] = value
            elif key:
                data.setdefault(section, {})[key] = value
            else:
                data[section] = _plain(value)
        return Setup.from_dict(data)

    def diff(self, other: Setup) -> dict[str, tuple[Any, Any]]:
        """The dotted names whose effective value differs, each with both values.

        A metadata key that only one of them replaces is `NOT_REPLACED` in the other, one that is taken out `REMOVED`.
        """
        mine, theirs = self.flat(), other.flat()
        names = list(dict.fromkeys([*mine, *theirs]))
        pairs = {name: (mine.get(name, NOT_REPLACED), theirs.get(name, NOT_REPLACED)) for name in names}
        return {name: (_told(name, a), _told(name, b)) for name, (a, b) in pairs.items() if a != b}

    def flat(self) -> dict[str, Any]:
        """Every knob by dotted name with its effective value, as far as setup and defaults decide it."""
        flat: dict[str, Any] = {"model": self.model}
        for name, section in self.effective().items():
            flat |= {f"{name}.{key}": value for key, value in section.items()}
        flat |= {f"metadata.{key}": value for key, value in self.metadata.value().items()}
        return flat | {"parser": self.parser}

    def effective(self) -> dict[str, dict[str, Any]]:
        """Template, tokenizer, runtime and sampling with the defaults filled in (no request considered)."""
        pairs = {
            "template": (self.template, TEMPLATE_DEFAULTS),
            "tokenizer": (self.tokenizer, TOKENIZER_DEFAULTS),
            "runtime": (self.runtime, RUNTIME_DEFAULTS),
            "sampling": (self.sampling, SAMPLING_DEFAULTS),
        }
        result = {name: _filled(value, default) for name, (value, default) in pairs.items()}
        if result["runtime"]["n_threads"] is None:
            result["runtime"]["n_threads"] = default_threads()
        return result

    def sampling_for(self, conversation: Conversation) -> dict[str, Any]:
        """The sampling that applies: the setup's explicit key, else the request's, else the default.

        Holds the fields of `Sampling` and `stop` (a list of texts). Errors: `BadRequest` for a bad value.
        """
        found, where = asked(conversation.sampling), _where(conversation)
        from_request = _section(Sampling, "", found.settings, where, found.fields)
        merged = _filled(SAMPLING_DEFAULTS, SAMPLING_DEFAULTS) | _explicit(from_request) | _explicit(self.sampling)
        return merged | {"stop": stops(found.stop, where)}

    def sampling_names(self, conversation: Conversation) -> dict[str, str]:
        """How to call each setting of `sampling_for` that was asked for: the setup's key or the request's field."""
        who = f"{conversation.source}'s" if conversation.source else "the request's"
        fields = {name: f"{who} {field}" for name, field in asked(conversation.sampling).fields.items()}
        return fields | {name: f"the setup's sampling.{name}" for name in _explicit(self.sampling)}

    def _rows(self) -> list[dict[str, Any]]:
        explicit = self.to_dict()
        rows = []
        for name, value in self.flat().items():
            section, _, key = name.partition(".")
            is_set = key in explicit.get(section, {}) if key else name in explicit
            rows.append({"setting": name, "value": value, "set": is_set})
        return rows

    def __repr__(self) -> str:
        name = Path(self.model).name if self.model else None
        parts = [f"{key}={value!r}" for key, value in self.to_dict().items() if key != "model"]
        return f"Setup({', '.join([repr(name), *parts])})"


def _where(conversation: Conversation) -> str:
    return f"{conversation.source or 'the request'}: "


def _told(name: str, value: Any) -> Any:
    return REMOVED if value is None and name.startswith("metadata.") else value


def default_threads() -> int:
    """The processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return max(1, os.cpu_count() or 1)


def parse_clock(clock: str | None) -> datetime | None:
    """An ISO time as a datetime, None for None. Errors: `BadRequest`."""
    if clock is None:
        return None
    try:
        return datetime.fromisoformat(clock)
    except ValueError as error:
        raise BadRequest(
            f"{clock!r} is not a time", "accepted is an ISO time such as 2024-07-26 or 2024-07-26T14:30:00"
        ) from error


def _filled(value: Any, default: Any) -> dict[str, Any]:
    filled = {}
    for f in fields(value):
        own = getattr(value, f.name)
        filled[f.name] = _plain(own if own is not None else getattr(default, f.name))
    return filled


def _explicit(section: Any) -> dict[str, Any]:
    return {f.name: _plain(v) for f in fields(section) if (v := getattr(section, f.name)) is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, FrozenJSON):
        return value.value()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _explicit(value)
    return list(value) if isinstance(value, tuple) else value


def _section(kind: type, name: str, data: Any, where: str, named: Mapping[str, str] | None = None) -> Any:
    """A section from its JSON form; `named` are the user's own words for its keys."""
    if dataclasses.is_dataclass(data):
        data = _explicit(data)
    if not isinstance(data, Mapping):
        raise BadRequest(f'{where}"{name}" is {json.dumps(data)}', "accepted is an object")
    hints = get_type_hints(kind)
    _refuse_unknown(data, list(hints), where, name)
    start = f"{name}." if name else ""
    named = {key: start + key for key in data} | dict(named or {})
    return kind(**{key: _checked(named[key], key, value, hints[key], where) for key, value in data.items()})


def checked(
    section: str, values: Mapping[str, Any], where: str, named: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Values of a section's keys as a setup takes them; `named` are a user's own words for the keys.

    Errors: `BadRequest` for an unknown key or a value out of range.
    """
    return _explicit(_section(SECTIONS[section], section, values, where, named))


def _checked(dotted: str, key: str, value: Any, hint: Any, where: str) -> Any:
    if value is None:
        return None
    if key == "logit_bias":
        return FrozenJSON(biases(dotted, _plain(value), where))
    kinds = [kind for kind in get_args(hint) if kind is not type(None)]
    accepted = _accepted(key, kinds)
    wrong = BadRequest(f"{where}{dotted} is {shown(value)}", f"accepted is {accepted}")
    if float in kinds and isinstance(value, int) and not isinstance(value, bool):
        value = float(value) if is_number(value) else math.inf
    if isinstance(value, float) and value.is_integer() and int in kinds:
        value = int(value)  # 40.0, as some clients write a whole number
    if isinstance(value, list | tuple):
        items = _items(value, next((get_args(kind)[0] for kind in kinds if get_args(kind)), None))
        if items is None or (key in CHOICES and not set(items) <= set(CHOICES[key])):
            raise wrong
        return items
    if type(value) not in kinds:
        raise wrong
    if isinstance(value, str) and key in CHOICES and value not in CHOICES[key]:
        raise wrong
    if isinstance(value, int | float) and not isinstance(value, bool):
        low, high = BOUNDS.get(key, (None, None))
        if not is_number(value) or (low is not None and value < low) or (high is not None and value > high):
            raise wrong
    return value


def _items(values: Any, kind: Any) -> tuple[Any, ...] | None:
    """The items of a list as the hint's kind; None where one is not, or where no list is accepted."""
    if kind is str and all(isinstance(item, str) and item for item in values):
        return tuple(values)
    if kind is float and all(type(item) in (int, float) and is_number(item) and item >= 0 for item in values):
        return tuple(float(item) for item in values) if any(values) else None
    return None


def _accepted(key: str, kinds: list[Any]) -> str:
    names: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    parts = [names[kind] for kind in kinds if kind in names and not (kind is str and key in CHOICES)]
    if key in CHOICES:
        parts.append(", ".join(f'"{choice}"' for choice in CHOICES[key]))
    inside = [item for kind in kinds for item in get_args(kind)]
    if inside and key in CHOICES:
        return f"a list of {parts[-1]}"
    if inside:
        parts.append("a list of names" if str in inside else "a list of numbers, not all 0, each")
    return " or ".join(parts) + _range(*BOUNDS.get(key, (None, None)))


def _range(low: float | None, high: float | None) -> str:
    if high is not None:
        return f" from {low:.10g} to {high:.10g}"
    return f" of at least {low:g}" if low is not None else ""


def _metadata(value: Any, where: str) -> FrozenJSON:
    value = _plain(value)
    if not isinstance(value, dict):
        raise BadRequest(f'{where}"metadata" is no JSON object', "accepted are GGUF keys with their new values")
    for key, item in value.items():
        items = item if isinstance(item, list) else [item]
        if any(isinstance(part, dict | list) for part in items):
            raise BadRequest(
                f"{where}metadata {key} is {json.dumps(item)[:80]}",
                "accepted are a number, a text, true, false, null (removes the key) or a flat list of them",
            )
    return FrozenJSON(value)


def _refuse_unknown(data: Mapping[str, Any], known: list[str], where: str, what: str) -> None:
    for name in data:
        if name not in known:
            raise BadRequest(
                f'{where}"{name}" is no key of {what}', f"accepted are {', '.join(known)}", "remove or correct it"
            )


def _check_template(template: TemplateChoice | None, where: str) -> None:
    if template is None:
        return
    source = template.source
    if source is not None and source != "model" and not source.startswith(("file:", "text:")):
        raise BadRequest(f"{where}template.source is {source[:60]!r}", 'accepted is "model", "file:PATH" or "text:..."')
    parse_clock(template.clock)


def _anchor(path: str, folder: Path) -> str:
    given = Path(path).expanduser()
    if given.is_absolute():
        return str(given)
    beside = folder / given
    return str(beside if beside.exists() or not (given.exists() or path in NAMED) else given)
