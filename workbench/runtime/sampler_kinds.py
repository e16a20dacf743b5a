"""Every sampler of a chain as one of llama.cpp's own: what `sampling.chain` describes, started."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, NamedTuple

from workbench.errors import BadRequest, CannotRun
from workbench.sampling.asked import words
from workbench.sampling.chain import Sampler


class Place(NamedTuple):
    """What samplers are started with: llama.cpp, its vocabulary and that one's size, ids that the file bans.

    `named` is what an error calls the settings, see `Host.generate`.
    """

    library: Any
    vocab: Any
    n_vocab: int
    banned: list[int]
    named: dict[str, str]


def start(sampler: Sampler, place: Place) -> Any:
    """llama.cpp's sampler with these parameters. Errors: `CannotRun` where this llama.cpp has none of the kind."""
    try:
        return _KINDS[sampler.name](place, sampler.parameters)
    except AttributeError as error:
        raise CannotRun(
            f"this llama.cpp has no sampler {sampler.name}", "", "use a newer llama-cpp-python, or leave it out"
        ) from error


def c_text(place: Place, name: str, text: str) -> bytes:
    """A text for llama.cpp, which ends it at the first NUL. Errors: `BadRequest` for one with a NUL inside."""
    if "\0" in text:
        raise BadRequest(f"{words(name, place.named)} holds a NUL", "accepted is a text without", "remove it")
    return text.encode("utf-8", "surrogatepass")


def _logit_bias(place: Place, given: dict[str, Any]) -> Any:
    """The setup's biases first, then the bans of the file, as llama.cpp merges them."""
    wanted = [(int(token), float("-inf") if bias is False else bias) for token, bias in given.get("biases", {}).items()]
    wanted += [(token, float("-inf")) for token in place.banned]
    biases = (place.library.llama_logit_bias * len(wanted))()
    for item, (token, bias) in zip(biases, wanted, strict=True):
        item.token, item.bias = token, bias
    return place.library.llama_sampler_init_logit_bias(place.n_vocab, len(biases), biases)


def _penalties(place: Place, given: dict[str, Any]) -> Any:
    init = place.library.llama_sampler_init_penalties
    values = (given["last_n"], given["repeat"], given["frequency"], given["presence"])
    # with the vocabulary's size in front, since llama-cpp-python 0.3.35
    return init(place.n_vocab, *values) if len(init.argtypes) == 5 else init(*values)


def _dry(place: Place, given: dict[str, Any]) -> Any:
    init = place.library.llama_sampler_init_dry
    texts = [c_text(place, "dry_sequence_breakers", text) for text in given["breakers"]]
    breakers = (ctypes.c_char_p * len(texts))(*texts)
    values = [given[name] for name in ("multiplier", "base", "allowed_length", "penalty_last_n")]
    if len(init.argtypes) == 8:  # with the length that the model was trained on, before llama-cpp-python 0.3.35
        values.insert(0, max(1, given["penalty_last_n"]))
    return init(place.vocab, *values, breakers, len(texts))


def _top_n_sigma(place: Place, given: dict[str, Any]) -> Any:
    return place.library.llama_sampler_init_top_n_sigma(given["n"])


def _top_k(place: Place, given: dict[str, Any]) -> Any:
    return place.library.llama_sampler_init_top_k(given["k"])


def _typical(place: Place, given: dict[str, Any]) -> Any:
    return place.library.llama_sampler_init_typical(given["p"], given["min_keep"])


def _top_p(place: Place, given: dict[str, Any]) -> Any:
    return place.library.llama_sampler_init_top_p(given["p"], given["min_keep"])


def _min_p(place: Place, given: dict[str, Any]) -> Any:
    return place.library.llama_sampler_init_min_p(given["p"], given["min_keep"])


def _xtc(place: Place, given: dict[str, Any]) -> Any:
    init = place.library.llama_sampler_init_xtc
    return init(given["probability"], given["threshold"], given["min_keep"], given["seed"])


def _temperature(place: Place, given: dict[str, Any]) -> Any:
    return place.library.llama_sampler_init_temp_ext(given["temperature"], given["range"], given["exponent"])


def _mirostat(place: Place, given: dict[str, Any]) -> Any:
    init = place.library.llama_sampler_init_mirostat
    return init(place.n_vocab, given["seed"], given["tau"], given["eta"], given["m"])


def _mirostat_v2(place: Place, given: dict[str, Any]) -> Any:
    return place.library.llama_sampler_init_mirostat_v2(given["seed"], given["tau"], given["eta"])


def _adaptive(place: Place, given: dict[str, Any]) -> Any:
    return place.library.llama_sampler_init_adaptive_p(given["target"], given["decay"], given["seed"])


def _dist(place: Place, given: dict[str, Any]) -> Any:
    return place.library.llama_sampler_init_dist(given["seed"])


# By the names of `sampling.chain`.
_KINDS: dict[str, Callable[[Place, dict[str, Any]], Any]] = {
    "logit-bias": _logit_bias,
    "penalties": _penalties,
    "dry": _dry,
    "top-n-sigma": _top_n_sigma,
    "top-k": _top_k,
    "typical": _typical,
    "top-p": _top_p,
    "min-p": _min_p,
    "xtc": _xtc,
    "temperature": _temperature,
    "mirostat": _mirostat,
    "mirostat-v2": _mirostat_v2,
    "adaptive-p": _adaptive,
    "dist": _dist,
}
