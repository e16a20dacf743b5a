"""What a model's own file says of sampling, as llama-server reads it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from workbench.setup import SAMPLERS, SAMPLING_DEFAULTS

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


def written(keys: Mapping[str, Any]) -> dict[str, Any]:
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
