"""Which fields each program reads at which address, as its source or documentation has them.

A table is {field: setting}: the field as it is sent, with its place ("options.num_ctx"), and what it sets by
`Setup`'s names; "" for a field that is read there and is no setting of the workbench. Of several fields of one setting
the first in the table counts. Fields about messages, tools and the transport are not listed.
"""

from __future__ import annotations

from dataclasses import fields

from workbench.sampling.asked import LENGTHS, STOP
from workbench.setup import Sampling

Reads = dict[str, str]
SETTINGS = tuple(f.name for f in fields(Sampling))


def _plain(*names: str) -> Reads:
    """Fields that are called as the workbench's settings are."""
    return {name: name for name in names}


def _other(*names: str) -> Reads:
    """Fields that are read and are no setting of the workbench."""
    return dict.fromkeys(names, "")


# What the workbench itself reads of a request.
OWN: Reads = dict.fromkeys(LENGTHS, "max_tokens") | _plain(*(n for n in SETTINGS if n != "chain"), STOP)
# https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/tools/server/server-schema.cpp#L11
LLAMA_SERVER: Reads = OWN | _other(
    *("verbose", "timings_per_token", "cache_prompt", "return_tokens", "return_progress", "sse_ping_interval"),
    *("n_indent", "n_keep", "n_discard", "n_cmpl", "n", "n_cache_reuse", "t_max_predict_ms", "response_fields"),
    *("n_probs", "logprobs", "backend_sampling", "post_sampling_probs", "lora", "json_schema", "grammar_type"),
    *("grammar_lazy", "grammar_triggers", "preserved_tokens", "chat_format", "reasoning_format", "generation_prompt"),
    *("parse_tool_calls", "chat_parser", "continue_final_message", "echo", "reasoning_control", "ignore_eos"),
    *("reasoning_budget_tokens", "reasoning_budget_start_tag", "reasoning_budget_end_tags", "id_slot"),
    *("reasoning_budget_end_tag", "reasoning_budget_message"),
)
# https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/tools/server/server-common.cpp#L1224
LLAMA_SERVER_CHAT: Reads = LLAMA_SERVER | _other(
    *("response_format", "tool_choice", "parallel_tool_calls", "top_logprobs", "reasoning_effort"),
    "thinking_budget_tokens",
)
_PYTHON = (
    *("seed", "temperature", "top_k", "top_p", "min_p", "repeat_penalty", "max_tokens", "presence_penalty"),
    *("frequency_penalty", "mirostat_tau", "mirostat_eta", "logit_bias", "grammar", STOP),
)
_PYTHON_OTHER = ("response_format", "logprobs", "top_logprobs", "functions", "function_call", "tool_choice")
# https://github.com/abetlen/llama-cpp-python/blob/v0.3.35/llama_cpp/llama.py#L2004
PYTHON: Reads = (
    _plain(*_PYTHON, "typical_p") | {"mirostat_mode": "mirostat"} | _other(*_PYTHON_OTHER, "tfs_z", "logits_processor")
)
# https://github.com/abetlen/llama-cpp-python/blob/v0.3.35/llama_cpp/server/types.py#L192
PYTHON_SERVER: Reads = (
    _plain(*_PYTHON) | {"mirostat_mode": "mirostat"} | _other(*_PYTHON_OTHER, "min_tokens", "logit_bias_type")
)
_OLLAMA_OPTIONS: Reads = _plain(
    *("seed", "top_k", "top_p", "min_p", "typical_p", "repeat_last_n", "temperature", "repeat_penalty"),
    *("presence_penalty", "frequency_penalty", STOP),
) | {
    "num_predict": "max_tokens",
    "num_ctx": "runtime.n_ctx",
    "num_batch": "runtime.n_batch",
    "num_gpu": "runtime.n_gpu_layers",
    "main_gpu": "runtime.main_gpu",
    "use_mmap": "runtime.use_mmap",
    "num_thread": "runtime.n_threads",
    "num_keep": "",
}
_OLLAMA_OTHER = ("format", "keep_alive", "think", "truncate", "shift", "logprobs", "top_logprobs")
# https://github.com/ollama/ollama/blob/v0.24.0/api/types.go#L582
OLLAMA_0_24: Reads = {f"options.{name}": setting for name, setting in _OLLAMA_OPTIONS.items()} | _other(*_OLLAMA_OTHER)
# https://github.com/ollama/ollama/blob/v0.32.10/api/types.go#L568
OLLAMA: Reads = OLLAMA_0_24 | _other("options.draft_num_predict")
# https://github.com/ollama/ollama/blob/v0.32.10/openai/openai.go#L106
OLLAMA_OPENAI: Reads = _plain(
    "max_tokens", "seed", STOP, "temperature", "frequency_penalty", "presence_penalty", "top_p"
) | _other("response_format", "reasoning", "reasoning_effort", "logprobs", "top_logprobs")
# https://github.com/lmstudio-ai/docs/blob/c6854fba2575bf21e07702ee210e1bed09e7c577/1_developer/3_openai-compat/chat-completions.md#L39
LM_STUDIO: Reads = _plain(
    *("top_p", "top_k", "temperature", "max_tokens", STOP, "presence_penalty", "frequency_penalty"),
    *("logit_bias", "repeat_penalty", "seed"),
) | _other("response_format")
# https://github.com/lmstudio-ai/docs/blob/c6854fba2575bf21e07702ee210e1bed09e7c577/1_developer/2_rest/chat.md#L118
LM_STUDIO_REST: Reads = (
    _plain("temperature", "top_p", "top_k", "min_p", "repeat_penalty")
    | {"max_output_tokens": "max_tokens", "context_length": "runtime.n_ctx"}
    | _other("input", "system_prompt", "integrations", "reasoning", "previous_response_id")
)
