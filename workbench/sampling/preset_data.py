"""The presets as they were read in the programs' sources; a value that is not there is not here."""

from __future__ import annotations

from typing import Any

from workbench.sampling import reads_data as reads

READ = "2026-11-24"
LLAMA_CPP = "https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f"
LLAMA_CPP_PYTHON = "https://github.com/abetlen/llama-cpp-python/blob/v0.3.35/llama_cpp"
OLLAMA = "https://github.com/ollama/ollama/blob"
LM_STUDIO = "https://github.com/lmstudio-ai/docs/blob/c6854fba2575bf21e07702ee210e1bed09e7c577"

# llama.cpp's own: what a program that starts its samplers by default leaves as it is.
LLAMA_CPP_VALUES: dict[str, Any] = {
    "seed": -1,
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "repeat_penalty": 1.0,
    "repeat_last_n": 64,
    "max_tokens": -1,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "typical_p": 1.0,
    "top_n_sigma": -1.0,
    "xtc_probability": 0.0,
    "xtc_threshold": 0.1,
    "dry_multiplier": 0.0,
    "dry_base": 1.75,
    "dry_allowed_length": 2,
    "dry_penalty_last_n": 64,
    "dry_sequence_breakers": ["\n", ":", '"', "*"],
    "dynatemp_range": 0.0,
    "dynatemp_exponent": 1.0,
    "mirostat": 0,
    "mirostat_tau": 5.0,
    "mirostat_eta": 0.1,
    "adaptive_target": -1.0,
    "adaptive_decay": 0.9,
    "min_keep": 0,
    "samplers": ["penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature"],
}
LLAMA_CPP_FIXED = {"chain": "llama.cpp"}
# What the chat address of 2023 put in where a request said nothing, whatever the server was started with.
ZEROED: dict[str, Any] = {
    "seed": 0,
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.95,
    "repeat_last_n": 0,
    "max_tokens": -1,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "typical_p": 0.0,
    "mirostat": 0,
    "mirostat_tau": 0.0,
    "mirostat_eta": 0.0,
}
LLAMA_SERVER_REFUSES = {"repeat_last_n": [0, 2**31 - 1]}  # it answers 400 to what is outside
# What a program that knows fewer samplers leaves out.
OFF: dict[str, Any] = {"top_n_sigma": -1.0, "xtc_probability": 0.0, "dry_multiplier": 0.0, "dynatemp_range": 0.0}
PYTHON_VALUES: dict[str, Any] = {
    "seed": 872737089,  # random.Random(2**32 - 1).randint(0, 2**32)
    "temperature": 0.2,
    "top_k": 40,
    "top_p": 0.95,
    "min_p": 0.05,
    "repeat_penalty": 1.0,
    "repeat_last_n": 64,
    "max_tokens": -1,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "typical_p": 1.0,
    "mirostat": 0,
    "mirostat_tau": 5.0,
    "mirostat_eta": 0.1,
}
# What its chain is made with whatever is asked.
PYTHON_FIXED: dict[str, Any] = OFF | {
    "chain": "llama-cpp-python",
    "min_keep": 1,
    "samplers": ["penalties", "top_k", "typ_p", "top_p", "min_p", "temperature"],
}
PYTHON_FILLS = [name for name in PYTHON_VALUES if name != "repeat_last_n"]  # which Llama is started with
PYTHON_NOTES = [
    "penalties count the answer's tokens alone, not the prompt's; repeat_last_n is Llama's last_n_tokens_size",
    "a first request without a seed gets 872737089, each further one the next of a fixed series; -1 is a random one",
    "mirostat goes by the name mirostat_mode: it takes the place of the temperature, and at temperature 0 is not used",
    "false in logit_bias bans nothing, and neither does the model's file",
]
OLLAMA_VALUES: dict[str, Any] = {
    "seed": -1,
    "temperature": 0.8,
    "top_k": 40,
    "top_p": 0.9,
    "min_p": 0.0,
    "repeat_penalty": 1.0,
    "repeat_last_n": 64,
    "max_tokens": -1,
    "presence_penalty": 0.0,
    "frequency_penalty": 0.0,
    "typical_p": 1.0,
}
# What Ollama does not hand on to its llama-server, so that this one's defaults hold.
OLLAMA_FIXED = LLAMA_CPP_FIXED | {n: value for n, value in LLAMA_CPP_VALUES.items() if n not in OLLAMA_VALUES}
OPENAI_FILLS = "where the request names no temperature or top_p, this endpoint fills in 1.0"
REPEATS = "an answer that writes the same token more than 30 times in a row is ended"
UNPUBLISHED = "its documentation names the settings and gives no default; what is set in the app for the model applies"
GO_NOTE = "its random numbers are Go's: the same seed gives other ids than llama.cpp's"

OLLAMA_OWN = ("seed", "temperature", "top_k", "top_p", "min_p", "max_tokens")  # of its own engine's sampler
OLLAMA_UNUSED = ("repeat_penalty", "presence_penalty", "frequency_penalty", "typical_p")  # which that engine only reads


def _ollama(native: dict[str, Any], openai_source: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A version of Ollama at its two addresses: settings in `options`, or OpenAI's few beside the messages."""
    shared = native | {"read": READ}
    options = "a request's settings stand in its options, max_tokens as num_predict"
    parameters = "PARAMETER lines of the model go before these defaults"
    filled = {"temperature": 1.0, "top_p": 1.0}
    openai = {
        "name": f"{native['name']}-openai",
        "address": "/v1/chat/completions",
        "reads": reads.OLLAMA_OPENAI,
        "fills": list(filled),
        "values": native["values"] | filled,
        "more": [openai_source, *native["more"]],
        "notes": [OPENAI_FILLS, "PARAMETER lines of the model go before the other defaults", *native["notes"]],
    }
    at_home = {"address": "/api/chat", "notes": [options, parameters, *native["notes"]]}
    return shared | at_home, shared | openai


PRESETS: tuple[dict[str, Any], ...] = (
    {
        "name": "llama-server",
        "program": "llama-server of llama.cpp 0c1e57098",
        "address": "/v1/chat/completions",
        "reads": reads.LLAMA_SERVER_CHAT,
        "refuses": LLAMA_SERVER_REFUSES,
        "values": LLAMA_CPP_VALUES,
        "fixed": LLAMA_CPP_FIXED,
        "source": f"{LLAMA_CPP}/common/common.h#L226",
        "more": [f"{LLAMA_CPP}/tools/server/server-schema.cpp#L75", f"{LLAMA_CPP}/common/common.cpp#L1165"],
        "reads_model_file": True,
        "notes": ["general.sampling.* keys of the model's file go before these defaults"],
        "read": READ,
    },
    {
        "name": "llama-server-completion",
        "program": "llama-server of llama.cpp 0c1e57098",
        "address": "/completion",
        "reads": reads.LLAMA_SERVER,
        "refuses": LLAMA_SERVER_REFUSES,
        "values": LLAMA_CPP_VALUES,
        "fixed": LLAMA_CPP_FIXED,
        "source": f"{LLAMA_CPP}/common/common.h#L226",
        "more": [f"{LLAMA_CPP}/tools/server/server-schema.cpp#L75", f"{LLAMA_CPP}/common/common.cpp#L1165"],
        "reads_model_file": True,
        "notes": ["general.sampling.* keys of the model's file go before these defaults"],
        "read": READ,
    },
    {
        "name": "llama-server-2023",
        "program": "llama-server before December 2023's fixes",
        "address": "/v1/chat/completions",
        "reads": {name: name for name in (*ZEROED, "stop")},
        "unread": "unknown",
        "fills": list(ZEROED),
        "values": ZEROED,
        "unknown": ["min_p", "repeat_penalty"],
        "fixed": LLAMA_CPP_FIXED,
        "source": "https://github.com/ggml-org/llama.cpp/pull/4675/files",
        "more": ["https://github.com/ggml-org/llama.cpp/pull/4668", "https://github.com/ggml-org/llama.cpp/pull/7109"],
        "notes": [
            "it also had tfs_z 0, of a sampler that llama.cpp no longer has",
            "min_p and repeat_penalty came from the command line; with repeat_last_n 0 no penalty counts",
        ],
        "read": READ,
    },
    {
        "name": "llama-cpp-python",
        "program": "llama-cpp-python 0.3.35 and 0.3.36",
        "address": "Llama.create_chat_completion",
        "reads": reads.PYTHON,
        "unread": "refused",
        "fills": PYTHON_FILLS,
        "values": PYTHON_VALUES,
        "fixed": PYTHON_FIXED,
        "source": f"{LLAMA_CPP_PYTHON}/llama.py#L2004",
        "more": [f"{LLAMA_CPP_PYTHON}/llama.py#L704", f"{LLAMA_CPP_PYTHON}/llama.py#L1387"],
        "notes": ["a keyword that it does not take is a TypeError there", *PYTHON_NOTES],
        "read": READ,
    },
    {
        "name": "llama-cpp-python-server",
        "program": "python -m llama_cpp.server 0.3.35 and 0.3.36",
        "address": "/v1/chat/completions",
        "reads": reads.PYTHON_SERVER,
        "fills": PYTHON_FILLS,
        "values": PYTHON_VALUES | {"temperature": 0.8, "repeat_penalty": 1.1},
        "fixed": PYTHON_FIXED | {"typical_p": 1.0},
        "source": f"{LLAMA_CPP_PYTHON}/server/types.py#L25",
        "more": [
            f"{LLAMA_CPP_PYTHON}/{place}" for place in ("server/types.py#L192", "llama.py#L704", "llama.py#L1387")
        ],
        "notes": PYTHON_NOTES,
        "read": READ,
    },
    *_ollama(
        {
            "name": "ollama",
            "program": "Ollama since 0.32.10 (August 2026)",
            "reads": reads.OLLAMA,
            "values": OLLAMA_VALUES,
            "fixed": OLLAMA_FIXED,
            "source": f"{OLLAMA}/v0.32.10/api/types.go#L1096",
            "more": [f"{OLLAMA}/v0.32.10/llm/llama_server.go#L1557"],
            "notes": [REPEATS],
        },
        f"{OLLAMA}/v0.32.10/openai/openai.go#L636",
    ),
    *_ollama(
        {
            "name": "ollama-0.32.9",
            "program": "Ollama 0.30.0 to 0.32.9 (May to August 2026)",
            "reads": reads.OLLAMA,
            "values": OLLAMA_VALUES | {"repeat_penalty": 1.1},
            "fixed": OLLAMA_FIXED,
            "source": f"{OLLAMA}/v0.32.9/api/types.go#L1096",
            "more": ["https://github.com/ollama/ollama/commit/6a261db7d87b13d76c5197cec636a0a3951afb36"],
            "notes": ["the repeat penalty of 1.1 reached every model that sets none; 0.32.10 made it 1.0", REPEATS],
        },
        f"{OLLAMA}/v0.32.9/openai/openai.go#L636",
    ),
    *_ollama(
        {
            "name": "ollama-0.24",
            "program": "Ollama 0.18.0 to 0.24.0 (March to May 2026), its own engine's sampler",
            "reads": reads.OLLAMA_0_24,
            "values": {name: OLLAMA_VALUES[name] for name in OLLAMA_OWN},
            "fixed": OFF
            | {name: OLLAMA_VALUES[name] for name in OLLAMA_UNUSED}
            | {
                "chain": "llama.cpp",
                "repeat_last_n": 64,
                "min_keep": 0,
                "mirostat": 0,
                "samplers": ["top_k", "temperature", "top_p", "min_p"],
            },
            "source": f"{OLLAMA}/v0.24.0/api/types.go#L1070",
            "more": [
                f"{OLLAMA}/v0.24.0/runner/ollamarunner/runner.go#L897",
                f"{OLLAMA}/v0.24.0/sample/samplers.go#L130",
                "https://github.com/ollama/ollama/issues/15783",
            ],
            "notes": [
                "repeat, presence and frequency penalty (default 1.1, 0, 0) and typical_p are read and not used",
                GO_NOTE,
                REPEATS,
            ],
        },
        f"{OLLAMA}/v0.24.0/openai/openai.go#L588",
    ),
    {
        "name": "lm-studio",
        "program": "LM Studio",
        "address": "/v1/chat/completions",
        "reads": reads.LM_STUDIO,
        "unread": "unknown",
        "values": {},
        "unknown": [
            "temperature",
            "top_k",
            "top_p",
            "min_p",
            "repeat_penalty",
            "presence_penalty",
            "frequency_penalty",
        ],
        "source": f"{LM_STUDIO}/1_developer/3_openai-compat/chat-completions.md#L33",
        "more": [f"{LM_STUDIO}/1_developer/2_rest/chat.md"],
        "notes": [
            UNPUBLISHED,
            "min_p is documented for its own /api/v1/chat alone",
        ],
        "read": READ,
    },
    {
        "name": "lm-studio-rest",
        "program": "LM Studio",
        "address": "/api/v1/chat",
        "reads": reads.LM_STUDIO_REST,
        "unread": "unknown",
        "values": {},
        "unknown": ["temperature", "top_k", "top_p", "min_p", "repeat_penalty"],
        "source": f"{LM_STUDIO}/1_developer/2_rest/chat.md#L118",
        "notes": [UNPUBLISHED],
        "read": READ,
    },
)
