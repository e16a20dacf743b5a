"""The switches of a tokenizer for one setup: what the file says, what the setup says, how that reaches llama.cpp."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

from workbench.errors import BadRequest
from workbench.gguf.altered import why_no_copy
from workbench.gguf.header import Header, read_header
from workbench.gguf.overrides import split_overrides
from workbench.gguf.token_types import NAMES, TOKENS, TYPES, token_types
from workbench.setup import TOKENIZER_DEFAULTS, Setup
from workbench.values import Value

KEY = "metadata.tokenizer.ggml."
Kind = Literal["mode", "flag", "text", "id"]
# Kinds of vocabularies by tokenizer.ggml.model.
VOCABULARIES = {
    "llama": "SPM",
    "gpt2": "BPE",
    "hybriddna": "BPE",
    "whitespace": "BPE",
    "gemma4": "BPE",
    "bert": "WPM",
    "t5": "UGM",
    "rwkv": "RWKV",
    "plamo2": "PLaMo-2",
}
FLAG, OVERRIDE, COPY = "said with every call", "llama.cpp's override while loading", "an altered copy in the cache"


class Known(NamedTuple):
    """A switch by its name in `Setup.replace`, and the kinds of vocabularies for which llama.cpp reads it (none: all).

    Behaviour: https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-vocab.cpp
    (`load` and `tokenize`)
    """

    name: str
    words: str
    kind: Kind
    read_by: tuple[str, ...] = ()


KNOWN: tuple[Known, ...] = (
    Known("tokenizer.add_special", "add BOS and EOS", "mode"),
    Known("tokenizer.parse_special", "special tokens in the text", "flag"),
    Known(KEY + "add_bos_token", "BOS in front", "flag", ("SPM", "BPE", "UGM")),
    Known(KEY + "add_eos_token", "EOS behind", "flag", ("SPM", "BPE", "UGM")),
    Known(KEY + "add_space_prefix", "space in front", "flag", ("SPM", "UGM")),
    Known(KEY + "pre", "pre-tokenizer", "text", ("BPE",)),
    Known(KEY + "bos_token_id", "id of BOS", "id"),
    Known(KEY + "eos_token_id", "id of EOS", "id"),
    Known(KEY + "eot_token_id", "id of EOT", "id"),
)


class Switch(NamedTuple):
    """One switch: `own` is the file's (or the default), None where there is none; `value` what the setup makes of it.

    `replaced`: whether the setup decides; `value` None then takes the key out. `way`: how a value reaches llama.cpp.
    `idle`: why this file cannot take it, or why it would change nothing; empty where it can.
    """

    name: str
    words: str
    kind: Kind
    own: Any
    value: Any
    replaced: bool
    way: str
    idle: str


class Retyped(NamedTuple):
    """A token to which the setup gives another type than the file: types by their names."""

    id: int
    text: str
    own: str
    type: str


@dataclass(frozen=True)
class Switches(Value):
    """Every switch of a setup's tokenizer. `vocabulary` is its kind; `no_copy` why no altered copy can be made here.

    `copy_bytes` is what a copy takes for tokenising (the vocabulary alone), `weights_bytes` for running the model.
    """

    model: str
    vocabulary: str
    switches: tuple[Switch, ...]
    retyped: tuple[Retyped, ...]
    copies: bool
    copy_bytes: int
    weights_bytes: int
    no_copy: str

    def __getitem__(self, name: str) -> Switch:
        """A switch by its name. Errors: `KeyError`."""
        return {switch.name: switch for switch in self.switches}[name]

    def to_dict(self) -> dict[str, Any]:
        """`{model, vocabulary, switches, retyped, copies, copy_bytes, weights_bytes, no_copy}`."""
        return {
            "model": self.model,
            "vocabulary": self.vocabulary,
            "switches": self._rows(),
            "retyped": [item._asdict() for item in self.retyped],
            "copies": self.copies,
            "copy_bytes": self.copy_bytes,
            "weights_bytes": self.weights_bytes,
            "no_copy": self.no_copy,
        }

    def _rows(self) -> list[dict[str, Any]]:
        return [switch._asdict() for switch in self.switches]

    def __repr__(self) -> str:
        changed = [switch.name for switch in self.switches if switch.replaced]
        types = [f"type of {item.id}" for item in self.retyped]
        return f"Switches({self.model}, {self.vocabulary}: {', '.join(changed + types) or 'nothing'} replaced)"


def switches(setup: Setup | str | Path) -> Switches:
    """The switches of a setup or of a model file. Errors: `BadFile`, `BadRequest` for a setup that cannot be."""
    setup = setup if isinstance(setup, Setup) else Setup(model=str(setup))
    if setup.model is None:
        raise BadRequest("the setup names no model", "accepted is a GGUF file's path", "set its key model")
    header = read_header(setup.model)
    given = setup.metadata.value()
    model = str(given.get("tokenizer.ggml.model", header.tokenizer_model) or "none")
    kind = VOCABULARIES.get(model, model)
    ways = split_overrides(header, given)
    return Switches(
        model=Path(header.path).name,
        vocabulary=kind,
        switches=tuple(_switch(known, setup, header, model) for known in KNOWN),
        retyped=_retyped(header, given),
        copies=bool(ways.copied),
        copy_bytes=header.data_offset,
        weights_bytes=header.file_size,
        no_copy=why_no_copy(header),
    )


def _switch(known: Known, setup: Setup, header: Header, model: str) -> Switch:
    if not known.name.startswith("metadata."):
        name = known.name.removeprefix("tokenizer.")
        own, chosen = getattr(TOKENIZER_DEFAULTS, name), getattr(setup.tokenizer, name)
        value = own if chosen is None else chosen
        return Switch(known.name, known.words, known.kind, own, value, chosen is not None, FLAG, _idle(known, model))
    key = known.name.removeprefix("metadata.")
    given = setup.metadata.value()
    own, replaced = header.get(key), key in given
    value = given[key] if replaced else own
    way = OVERRIDE
    if replaced and split_overrides(header, {key: value}).copied:
        way = COPY
    return Switch(known.name, known.words, known.kind, own, value, replaced, way, _idle(known, model))


def _idle(known: Known, model: str) -> str:
    """Why llama.cpp would not read this switch for such a vocabulary."""
    kind = VOCABULARIES.get(model, model)
    if model in ("none", "no_vocab"):
        return "this file has no tokenizer"
    if model == "gemma4" and known.name in (KEY + "pre", KEY + "add_bos_token"):
        return "llama.cpp takes gemma4's own, whatever the file says"
    if known.read_by and kind not in known.read_by:
        return f"llama.cpp reads it for {', '.join(known.read_by)} alone; this vocabulary is {kind}"
    return ""


def _retyped(header: Header, given: dict[str, Any]) -> tuple[Retyped, ...]:
    """The tokens whose types the setup replaces."""
    if TYPES not in given or not isinstance(given[TYPES], list):
        return ()
    own, texts = token_types(header, {}, {}), header.array(TOKENS)
    return tuple(
        Retyped(i, texts[i], NAMES.get(a, "normal"), NAMES.get(b, "normal"))
        for i, (a, b) in enumerate(zip(own, given[TYPES], strict=False))
        if a != b
    )
