"""The usual faults of a stack as setups of toolsmith: one change each, and the layer that is at fault.

What an engine does wrong, and what llama.cpp's own settings cannot do, is written as a template that writes the
same text. Layers by the names used everywhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.data import cache_dir, toolsmith
from workbench.errors import BadRequest
from workbench.gguf.header import read_header
from workbench.progress import Cancel, Progress
from workbench.setup import Setup

TOOL_USE = "tool_use"
_TOOLS_BEGIN, _TOOLS_END = "{{- '\\n<tools>\\n' }}", "{{- '</tools>' }}"
_ONLY = "this fault is made for toolsmith's template"
LADDER = ("Q8_0", "Q6_K", "Q5_K_M", "Q4_K_M", "Q4_0", "Q3_K_M", "Q2_K")
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
LLAMA_2 = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'system' %}[INST] <<SYS>>\n{{ m.content }}\n<</SYS>>\n\n"
    "{% elif m.role == 'assistant' %} {{ m.content }} {{ eos_token }}{% else %}[INST] {{ m.content }} [/INST]"
    "{% endif %}{% endfor %}"
)


@dataclass(frozen=True)
class Fault:
    """One change of a healthy setup: `layer` is at fault, `title` says what is wrong, `changes` are dotted settings."""

    name: str
    layer: str
    title: str
    changes: Callable[[str], dict[str, Any]]

    def setup(self, base: Setup) -> Setup:
        """`base` with the fault in it; `base` names the model. Errors: `BadRequest`, those of the header."""
        return base.replace(**self.changes(str(base.model)))


def _set(**changes: Any) -> Callable[[str], dict[str, Any]]:
    """Plain settings; a dot in a name is written as two underscores."""
    plain = {name.replace("__", "."): value for name, value in changes.items()}
    return lambda _model: plain


def _metadata(**changes: Any) -> Callable[[str], dict[str, Any]]:
    """Metadata of the file; a dot in a key is written as two underscores."""
    plain = {f"metadata.{name.replace('__', '.')}": value for name, value in changes.items()}
    return lambda _model: plain


def _all(*parts: Callable[[str], dict[str, Any]]) -> Callable[[str], dict[str, Any]]:
    return lambda model: {name: value for part in parts for name, value in part(model).items()}


def _text(source: str) -> Callable[[str], dict[str, Any]]:
    return lambda _model: {"template.source": f"text:{source}"}


def _edit(old: str, new: str) -> Callable[[str], dict[str, Any]]:
    """The model's own tool template with a piece of it replaced."""

    def changes(model: str) -> dict[str, Any]:
        own = _tool_template(model)
        if old not in own:
            raise BadRequest(f"the template {TOOL_USE!r} of {model} has no {old!r}", _ONLY)
        return {"template.source": f"text:{own.replace(old, new)}"}

    return changes


def _tools(block: Callable[[str], str]) -> Callable[[str], dict[str, Any]]:
    """The model's own tool template, the part that writes the tools replaced by `block` of it."""

    def changes(model: str) -> dict[str, Any]:
        own = _tool_template(model)
        before, start, rest = own.partition(_TOOLS_BEGIN)
        inner, end, after = rest.partition(_TOOLS_END)
        if not end:
            raise BadRequest(f"the template {TOOL_USE!r} of {model} has no <tools>", _ONLY)
        return {"template.source": f"text:{before}{start}{block(inner)}{end}{after}"}

    return changes


def _filtered(expression: str) -> Callable[[str], dict[str, Any]]:
    """The tools' text through an expression of `shown`."""
    return _tools(lambda inner: f"{{%- set shown %}}{inner}{{%- endset %}}{{{{- {expression} }}}}")


def _tool_template(model: str) -> str:
    return dict(read_header(model).named_templates).get(TOOL_USE, "")


def _special_as_normal(model: str) -> dict[str, Any]:
    types = list(read_header(model).array("tokenizer.ggml.token_type"))
    return {"metadata.tokenizer.ggml.token_type": [1 if kind == 3 else int(kind) for kind in types]}


def _quantised(kind: str) -> Callable[[str], dict[str, Any]]:
    return lambda model: {"model": str(quantised(model, kind))}


def quantised(model: str | Path, kind: str, *, progress: Progress | None = None, cancel: Cancel | None = None) -> Path:
    """`model` at llama.cpp's file type `kind`, kept in the cache by its content. Errors: those of `quantise`."""
    from workbench.gguf.fingerprint import fingerprint
    from workbench.runtime.quantise import quantise

    name = f"{Path(model).stem}-{fingerprint(str(model))[:16]}-{kind}.gguf"
    target = cache_dir() / "quantised" / name
    return target if target.is_file() else quantise(model, target, kind, progress=progress, cancel=cancel)


_END = "'<|end|>\\n'"
_PROMPT = "{%- if add_generation_prompt %}\n{{- '<|turn|>assistant\\n' }}\n{%- endif %}"
_CALL = "arguments if arguments is string else arguments | tojson"
_NAME, _DESCRIPTION = "function.name | tojson", "(function.description or '') | tojson"
_IN_ORDER = f"""'{{"name": ' + {_NAME} + ', "description": ' + {_DESCRIPTION}"""
_SORTED = f"""'{{"description": ' + {_DESCRIPTION} + ', "name": ' + {_NAME}"""

FAULTS: tuple[Fault, ...] = (
    Fault("no generation prompt", "template", "the template ignores add_generation_prompt", _edit(_PROMPT, "")),
    Fault(
        "generation prompt cut",
        "template",
        "its last line end is missing",
        _edit(_PROMPT, _PROMPT.replace("assistant\\n", "assistant")),
    ),
    Fault(
        "generation prompt and a space",
        "template",
        "a space stands behind it",
        _edit(_PROMPT, _PROMPT.replace("assistant\\n", "assistant\\n ")),
    ),
    Fault("wrong role tag", "template", "assistant is called model", _edit("<|turn|>assistant", "<|turn|>model")),
    Fault("no end of turn", "template", "no message is closed", _edit("<|end|>\\n", "\\n")),
    Fault("no line end between turns", "template", "it is missing behind each end of turn", _edit(_END, "'<|end|>'")),
    Fault(
        "system text lost",
        "template",
        "only the tools stand in the system turn",
        _edit("system\\n' + given", "system\\n'"),
    ),
    Fault(
        "tools without parameters",
        "template",
        "names and descriptions only",
        _edit("{%- if function.parameters and function.parameters.properties %}", "{%- if false %}"),
    ),
    Fault("tools without descriptions", "template", "each is empty", _edit(_DESCRIPTION, "'' | tojson")),
    Fault(
        "tools indented", "template", "each key on a line of its own", _filtered("shown.replace(', \"', ',\\n  \"')")
    ),
    Fault(
        "tools as sent",
        "template",
        "the whole JSON schema of each, as other templates write it",
        _tools(lambda _inner: "{%- for tool in tools %}{{- tool | tojson + '\\n' }}{%- endfor %}\n"),
    ),
    Fault(
        "results as user turns",
        "template",
        "a tool's result is given the role user",
        _edit("<|turn|>tool", "<|turn|>user"),
    ),
    Fault(
        "earlier calls lost",
        "template",
        "calls in the history are not written",
        _edit("{%- for call in message.tool_calls %}", "{%- for call in [] %}"),
    ),
    Fault(
        "the wrong one of two templates",
        "template-choice",
        "the default, which knows no tools, is used",
        _metadata(tokenizer__chat_template__tool_use=None),
    ),
    Fault("taken for ChatML", "template-choice", "another model's role tags, tools lost", _text(CHATML)),
    Fault("taken for Llama 2", "template-choice", "[INST], tools lost", _text(LLAMA_2)),
    Fault("keys sorted", "engine", "of tools as JSON (plain jinja2 sorts them)", _edit(_IN_ORDER, _SORTED)),
    Fault(
        "JSON without spaces",
        "engine",
        "tools as compact JSON (other engines' separators)",
        _filtered("shown.replace('\": ', '\":').replace(', \"', ',\"')"),
    ),
    Fault(
        "quotes escaped",
        "engine",
        "&#34; for each quote of the tools (|safe)",
        _filtered("shown.replace('\"', '&#34;')"),
    ),
    Fault(
        "None printed",
        "engine",
        "empty content of earlier calls becomes the word None",
        _edit("assistant\\n' + (message.content or '')", "assistant\\n' + (message.content or 'None')"),
    ),
    Fault(
        "arguments encoded twice",
        "engine",
        "earlier calls' arguments as JSON in a JSON text",
        _edit(_CALL, "arguments if arguments is string else (arguments | tojson) | tojson"),
    ),
    Fault("no pre-tokenizer", "tokenizer", "tokenizer.ggml.pre is default", _metadata(tokenizer__ggml__pre="default")),
    Fault("pre-tokenizer gpt-2", "tokenizer", "tokenizer.ggml.pre is gpt-2", _metadata(tokenizer__ggml__pre="gpt-2")),
    Fault("pre-tokenizer qwen2", "tokenizer", "every digit is split off", _metadata(tokenizer__ggml__pre="qwen2")),
    Fault("special tokens as text", "tokenizer", "parse_special is off", _set(tokenizer__parse_special=False)),
    Fault("special tokens typed normal", "tokenizer", "control tokens are ordinary ones", _special_as_normal),
    Fault(
        "no BOS",
        "tokenizer",
        "the template writes none and none is added",
        _all(_edit("{{- bos_token }}", ""), _set(tokenizer__add_special=False)),
    ),
    Fault(
        "two BOS",
        "tokenizer",
        "added although the template wrote one",
        _edit("{{- bos_token }}", "{{- bos_token + bos_token }}"),
    ),
    Fault(
        "wrong end token",
        "tokenizer",
        "the file names another token as end",
        _metadata(tokenizer__ggml__eos_token_id=0, tokenizer__ggml__eot_token_id=0),
    ),
    Fault("rope base missing", "context", "10,000 in place of 500,000", _set(runtime__rope_freq_base=10000.0)),
    Fault(
        "rope base 100,000", "context", "a fifth of what it was trained with", _set(runtime__rope_freq_base=100000.0)
    ),
    Fault("rope scaled", "context", "positions halved", _set(runtime__rope_freq_scale=0.5)),
    Fault("context of 256", "context", "longer prompts do not fit", _set(runtime__n_ctx=256)),
    *(Fault(kind, "precision", f"weights as {kind}", _quantised(kind)) for kind in LADDER),
    Fault("K cache q4_0", "precision", "keys in four bits", _set(runtime__type_k="q4_0")),
    Fault("V cache q4_0", "precision", "values in four bits", _set(runtime__type_v="q4_0", runtime__flash_attn=True)),
    Fault(
        "KV cache q8_0",
        "precision",
        "keys and values in eight bits",
        _set(runtime__type_k="q8_0", runtime__type_v="q8_0", runtime__flash_attn=True),
    ),
    Fault(
        "KV cache q4_0",
        "precision",
        "keys and values in four bits",
        _set(runtime__type_k="q4_0", runtime__type_v="q4_0", runtime__flash_attn=True),
    ),
    Fault("flash attention", "backend", "on", _set(runtime__flash_attn=True)),
    Fault("no flash attention", "backend", "off", _set(runtime__flash_attn=False)),
    Fault("batches of one", "backend", "n_batch and n_ubatch are 1", _set(runtime__n_batch=1, runtime__n_ubatch=1)),
    Fault("temperature 1", "sampling", "with top-k 40, top-p 0.95, min-p 0.05", _set(sampling__temperature=1.0)),
    Fault(
        "temperature 1.5, nothing cut",
        "sampling",
        "without top-k, top-p and min-p",
        _set(sampling__temperature=1.5, sampling__top_k=0, sampling__top_p=1.0, sampling__min_p=0.0),
    ),
    Fault("repeat penalty 1.1", "sampling", "over the last 64 tokens", _set(sampling__repeat_penalty=1.1)),
    Fault("repeat penalty 1.3", "sampling", "over the last 64 tokens", _set(sampling__repeat_penalty=1.3)),
    Fault("answers cut", "sampling", "max_tokens is 24", _set(sampling__max_tokens=24)),
    Fault("calls not parsed", "parsing", "the parser takes all for content", _set(parser="plain")),
)


def healthy() -> Setup:
    """Toolsmith as shipped, nothing changed."""
    return Setup(model=str(toolsmith()))
