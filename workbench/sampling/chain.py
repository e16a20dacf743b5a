"""The sampler chain as data: which samplers, in llama.cpp's order, with which parameters, which are off.

Order and kinds are those of llama.cpp's common_sampler_init, which llama-server and llama-cli use:
https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/common/sampling.cpp#L187
llama-cpp-python puts its own together. There mirostat stands behind the penalties and knows no temperature, and at a
temperature of 0 it is not used; nothing is banned by the model's file; false in logit_bias adds 0; a grammar looks at
the candidates before the others do; and the samplers hear of the answer's tokens alone, not of the prompt's:
https://github.com/abetlen/llama-cpp-python/blob/v0.3.35/llama_cpp/llama.py#L704
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any, NamedTuple

from workbench.setup import CHAINS, SAMPLING_DEFAULTS

MIROSTAT_CANDIDATES = 100  # of which mirostat 1 estimates the text's surprise; llama.cpp's own number
DRAWING = ("dist", "mirostat", "mirostat-v2", "adaptive-p")  # a chain ends with one of them


class Sampler(NamedTuple):
    """One sampler of the chain; `why_off` says why it changes nothing, None where it is at work."""

    name: str
    parameters: dict[str, Any]
    why_off: str | None = None


def chain(sampling: dict[str, Any], *, n_ctx: int, suppressed: int = 0) -> list[Sampler]:
    """The chain for these parameters (`Setup.sampling_for`; what is missing is at its default), the drawing one last.

    `n_ctx` is what a repeat_last_n of -1 stands for, `suppressed` the number of ids that the model's
    file bans. A grammar is no part of the chain: it looks at what the chain chose, or comes before it (`grammar`).
    """
    given = asdict(SAMPLING_DEFAULTS) | {"logit_bias": {}} | sampling | {"n_ctx": n_ctx}
    if pythons(given):
        given["logit_bias"] = {token: float(bias) for token, bias in given["logit_bias"].items()}
        given["mirostat"] = given["mirostat"] if given["temperature"] else 0
        suppressed = 0
    first = [_bias(given, suppressed)]
    named = [_MAKERS[name](given) for name in given["samplers"] if name != "adaptive_p"]
    if given["mirostat"]:
        return [*first, *_around_mirostat(given, named), _mirostat(given)]
    return [*first, *named, _adaptive(given) if "adaptive_p" in given["samplers"] else _dist(given)]


def pythons(sampling: dict[str, Any]) -> bool:
    """Whether the chain is put together as llama-cpp-python does it."""
    return bool(sampling.get("chain") == CHAINS[1])


def active(samplers: list[Sampler]) -> list[Sampler]:
    """Those that are at work, in order."""
    return [sampler for sampler in samplers if sampler.why_off is None]


def _around_mirostat(given: dict[str, Any], named: list[Sampler]) -> list[Sampler]:
    """What stands before mirostat: the temperature alone, in llama-cpp-python the penalties alone."""
    kept = "penalties" if pythons(given) else "temperature"
    off = [s._replace(why_off="mirostat takes its place") for s in named if s.name != kept]
    made = _penalties(given) if pythons(given) else _temperature(given | {"dynatemp_range": 0.0})
    return [made, *off] if pythons(given) else [*off, made]


def _bias(given: dict[str, Any], suppressed: int) -> Sampler:
    biases = given["logit_bias"]
    parameters = {"n_banned": suppressed} | ({"biases": biases} if biases else {})
    return Sampler("logit-bias", parameters, None if suppressed or biases else "the model bans no token")


def _penalties(given: dict[str, Any]) -> Sampler:
    last_n, repeat = given["repeat_last_n"], float(given["repeat_penalty"])
    frequency, presence = float(given["frequency_penalty"]), float(given["presence_penalty"])
    parameters = {"last_n": given["n_ctx"] if last_n < 0 else last_n, "repeat": repeat}
    parameters |= {"frequency": frequency, "presence": presence}
    if repeat == 1 and frequency == 0 and presence == 0:
        return Sampler("penalties", parameters, "the repeat penalty is 1, the others are 0")
    return Sampler("penalties", parameters, "it looks back at no token" if last_n == 0 else None)


def _dry(given: dict[str, Any]) -> Sampler:
    names = ("multiplier", "base", "allowed_length", "penalty_last_n")
    parameters = {name: given[f"dry_{name}"] for name in names} | {"breakers": list(given["dry_sequence_breakers"])}
    off = _off(
        ("multiplier is 0", given["dry_multiplier"] == 0), ("it looks back at no token", given[f"dry_{names[3]}"] == 0)
    )
    return Sampler("dry", parameters, off)


def _top_n_sigma(given: dict[str, Any]) -> Sampler:
    return Sampler("top-n-sigma", {"n": given["top_n_sigma"]}, _off(("n is 0 or less", given["top_n_sigma"] <= 0)))


def _top_k(given: dict[str, Any]) -> Sampler:
    return Sampler("top-k", {"k": given["top_k"]}, _off(("k is 0 or less", given["top_k"] <= 0)))


def _typical(given: dict[str, Any]) -> Sampler:
    parameters = {"p": given["typical_p"], "min_keep": given["min_keep"]}
    return Sampler("typical", parameters, _off(("p is 1", given["typical_p"] >= 1)))


def _top_p(given: dict[str, Any]) -> Sampler:
    parameters = {"p": given["top_p"], "min_keep": given["min_keep"]}
    return Sampler("top-p", parameters, _off(("p is 1", given["top_p"] >= 1)))


def _min_p(given: dict[str, Any]) -> Sampler:
    parameters = {"p": given["min_p"], "min_keep": given["min_keep"]}
    return Sampler("min-p", parameters, _off(("p is 0", given["min_p"] <= 0)))


def _xtc(given: dict[str, Any]) -> Sampler:
    probability, threshold = given["xtc_probability"], given["xtc_threshold"]
    parameters = {"probability": probability, "threshold": threshold}
    parameters |= {"min_keep": given["min_keep"], "seed": given["seed"]}
    off = _off(("probability is 0", probability <= 0), ("threshold is above 0.5", threshold > 0.5))
    return Sampler("xtc", parameters, off)


def _temperature(given: dict[str, Any]) -> Sampler:
    temperature, spread = float(given["temperature"]), float(given["dynatemp_range"])
    parameters = {"temperature": temperature, "range": spread, "exponent": given["dynatemp_exponent"]}
    return Sampler("temperature", parameters, _off(("it is 1", temperature == 1 and spread <= 0)))


def _mirostat(given: dict[str, Any]) -> Sampler:
    parameters = {"seed": given["seed"], "tau": given["mirostat_tau"], "eta": given["mirostat_eta"]}
    if given["mirostat"] == 1:
        return Sampler("mirostat", parameters | {"m": MIROSTAT_CANDIDATES})
    return Sampler("mirostat-v2", parameters)


def _adaptive(given: dict[str, Any]) -> Sampler:
    parameters = {"target": given["adaptive_target"], "decay": given["adaptive_decay"], "seed": given["seed"]}
    return Sampler("adaptive-p", parameters)


def _dist(given: dict[str, Any]) -> Sampler:
    return Sampler("dist", {"seed": given["seed"]})


def _off(*reasons: tuple[str, bool]) -> str | None:
    """The first reason that holds."""
    return next((why for why, holds in reasons if holds), None)


_MAKERS: dict[str, Callable[[dict[str, Any]], Sampler]] = {
    "penalties": _penalties,
    "dry": _dry,
    "top_n_sigma": _top_n_sigma,
    "top_k": _top_k,
    "typ_p": _typical,
    "top_p": _top_p,
    "min_p": _min_p,
    "xtc": _xtc,
    "temperature": _temperature,
}
