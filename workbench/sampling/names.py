"""Names of one setting in many programs: which setting a name means, and which field that is read it looks like."""

from __future__ import annotations

import re
from collections.abc import Mapping

from workbench.sampling.reads_data import SETTINGS

# What programs call a setting: llama.cpp's flags, Hugging Face's generate and vLLM ("repetition_penalty",
# "max_new_tokens"), Ollama ("num_predict"), KoboldCpp ("rep_pen"), text-generation-webui ("grammar_string"), LM Studio
# ("max_output_tokens"), Anthropic ("stop_sequences"), Mistral ("random_seed").
# https://github.com/LostRuins/koboldcpp/blob/2da346a5ff2cfd1debac59066553d45d098e95a4/koboldcpp.py#L1219
# https://github.com/oobabooga/text-generation-webui/blob/1dcde41d03d13fc768316f4d2256a8a6dd044268/modules/api/typing.py#L10
SYNONYMS: dict[str, tuple[str, ...]] = {
    "seed": ("random_seed", "sampler_seed", "rng_seed"),
    "temperature": ("temp",),
    "repeat_penalty": ("repetition_penalty", "rep_pen", "penalty_repeat", "repeat_pen", "repetition_pen"),
    "repeat_last_n": (
        *("repetition_penalty_range", "rep_pen_range", "penalty_last_n", "last_n_tokens_size", "repeat_last_tokens"),
        *("repeat_penalty_last_n", "penalty_range"),
    ),
    "max_tokens": (
        *("n_predict", "num_predict", "max_completion_tokens", "max_output_tokens", "max_new_tokens", "max_length"),
        *("max_gen_len", "max_tokens_to_sample", "predict", "max_gen_tokens"),
    ),
    "presence_penalty": ("penalty_present", "presence_pen"),
    "frequency_penalty": ("penalty_freq", "freq_penalty", "freq_pen"),
    "typical_p": ("typical", "typ_p"),
    "top_n_sigma": ("nsigma", "top_nsigma"),
    "dynatemp_exponent": ("dynatemp_exp",),
    "mirostat": ("mirostat_mode",),
    "mirostat_tau": ("mirostat_ent",),
    "mirostat_eta": ("mirostat_lr",),
    "min_keep": ("min_tokens_to_keep",),
    "samplers": ("sampler_order", "sampler_priority", "sampling_seq", "sampler_seq"),
    "grammar": ("grammar_string", "guided_grammar", "gbnf"),
    "stop": ("stop_sequence", "stop_sequences", "stop_strings", "stopping_strings", "custom_stopping_strings"),
    "runtime.n_ctx": ("num_ctx", "n_ctx", "ctx_size", "context_length", "max_context_length", "context_size"),
    "runtime.n_batch": ("num_batch", "n_batch", "batch_size"),
    "runtime.n_gpu_layers": ("num_gpu", "n_gpu_layers", "gpu_layers"),
    "runtime.n_threads": ("num_thread", "n_threads", "threads"),
    "runtime.use_mmap": ("use_mmap",),
    "runtime.main_gpu": ("main_gpu",),
}
# Names of other settings, however near they are to one of the above.
OTHERS = (
    *("top_a", "tfs", "tfs_z", "top_h", "min_tokens", "min_new_tokens", "best_of", "smoothing_factor", "min_k"),
    *("dynatemp_low", "dynatemp_high", "encoder_repetition_penalty", "rep_pen_slope", "max_time", "num_keep", "n_keep"),
    *("logprobs", "top_logprobs", "logprob", "n_probs", "stop_token_ids", "ignore_eos", "no_repeat_ngram_size"),
    *("temperature_last", "smoothing_curve", "prompt_logprobs", "logit_bias_type", "n_cmpl", "min_length"),
)
FAR, NEAR = 9, 6  # characters from which two letters, and one, may be wrong in a name that is still recognised
_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")


def plain(name: str) -> str:
    """A name without the dashes of a flag and the humps of a camel: --top-k and topK are top_k."""
    return _HUMP.sub("_", name.lstrip("-")).replace("-", "_").lower()


def setting_of(name: str) -> str | None:
    """The setting that a name means in some program, in any of the usual spellings; None where it means none."""
    return _SETTING.get(plain(name)) or _SQUASHED.get(plain(name).replace("_", ""))


def looks_like(path: str, reads: Mapping[str, str]) -> str | None:
    """The field of `reads` that one which is not read there looks like, None where it looks like none."""
    name = path.rpartition(".")[2]
    setting = setting_of(name) or _misspelt(plain(name))
    return next((field for field, sets in reads.items() if setting and sets == setting and field != path), None)


def _misspelt(name: str) -> str | None:
    """The setting of the one name that is only a letter or two away."""
    from rapidfuzz.distance import DamerauLevenshtein

    if len(name) < NEAR or name in OTHERS:
        return None
    far = 2 if len(name) >= FAR else 1
    distances = {known: DamerauLevenshtein.distance(name, known, score_cutoff=far) for known in _SETTING}
    nearest = min(distances.values())
    found = {_SETTING[known] for known, distance in distances.items() if distance == nearest <= far}
    return found.pop() if len(found) == 1 else None


_SETTING = {name: name for name in (*SETTINGS, "stop") if name != "chain"} | {
    name: setting for setting, names in SYNONYMS.items() for name in names
}
_SQUASHED = {name.replace("_", ""): setting for name, setting in _SETTING.items() if "_" in name}
