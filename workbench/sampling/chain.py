"""The sampler chain as data: which samplers, in llama.cpp's order, with which parameters, which are off.

The order is that of llama.cpp's common_sampler, which llama-server and llama-cli use:
https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/common/common.h#L263
"""

from __future__ import annotations

from typing import Any, NamedTuple


class Sampler(NamedTuple):
    """One sampler of the chain; `why_off` says why it changes nothing, None where it is at work."""

    name: str
    parameters: dict[str, Any]
    why_off: str | None = None


def chain(sampling: dict[str, Any], *, n_ctx: int, suppressed: int = 0) -> list[Sampler]:
    """The chain for these parameters (`Setup.sampling_for`), the drawing sampler last.

    `n_ctx` is what a repeat_last_n of -1 stands for, `suppressed` the number of ids that the model's
    file bans. Samplers without a setting of their own (dry, top-n-sigma, typical, xtc) stand at
    llama.cpp's default, which is off.
    """
    temperature = float(sampling["temperature"])
    return [
        Sampler("logit-bias", {"n_banned": suppressed}, None if suppressed else "the model bans no token"),
        _penalties(sampling, n_ctx),
        Sampler("dry", {"multiplier": 0.0}, "multiplier is 0"),
        Sampler("top-n-sigma", {"n": -1.0}, "n is below 0"),
        Sampler("top-k", {"k": sampling["top_k"]}, "k is 0 or less" if sampling["top_k"] <= 0 else None),
        Sampler("typical", {"p": 1.0}, "p is 1"),
        Sampler("top-p", {"p": sampling["top_p"]}, "p is 1" if sampling["top_p"] >= 1 else None),
        Sampler("min-p", {"p": sampling["min_p"]}, "p is 0" if sampling["min_p"] <= 0 else None),
        Sampler("xtc", {"probability": 0.0}, "probability is 0"),
        Sampler("temperature", {"temperature": temperature}, "it is 1" if temperature == 1 else None),
        Sampler("dist", {"seed": sampling["seed"]}),
    ]


def active(samplers: list[Sampler]) -> list[Sampler]:
    """Those that are at work, in order."""
    return [sampler for sampler in samplers if sampler.why_off is None]


def _penalties(sampling: dict[str, Any], n_ctx: int) -> Sampler:
    last_n, repeat = sampling["repeat_last_n"], float(sampling["repeat_penalty"])
    parameters = {"last_n": n_ctx if last_n < 0 else last_n, "repeat": repeat}
    if repeat == 1:
        return Sampler("penalties", parameters, "the repeat penalty is 1")
    return Sampler("penalties", parameters, "it looks back at no token" if last_n == 0 else None)
