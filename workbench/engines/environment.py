"""jinja2 and the request's data set up as transformers sets them up for chat templates.

Followed are `utils/chat_template_utils.py` and `tokenization_utils_base.py` of transformers 5.23.0; each rule has its
link.
"""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any, NamedTuple

import jinja2.ext
from jinja2 import nodes
from jinja2.exceptions import SecurityError, TemplateError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.runtime import Macro
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, pass_eval_context

# https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/utils/chat_template_utils.py#L676
REASONING_FIELDS = ("reasoning_content", "thinking", "reasoning")


class Clock:
    """The time that `strftime_now` tells; `used` says whether a template asked."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.used = False

    def strftime(self, pattern: str) -> str:
        """The time as text."""
        self.used = True
        return self.now.strftime(pattern)


class Generation(Extension):
    """`{% generation %}…{% endgeneration %}`, which writes its body.

    https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/utils/chat_template_utils.py#L573
    """

    tags = {"generation"}  # noqa: RUF012  jinja2 declares it as a plain set

    def parse(self, parser: Parser) -> nodes.Node:
        """The block as a call of `_generation_support` with the body as its caller."""
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.CallBlock(self.call_method("_generation_support"), [], [], body).set_lineno(line)

    @pass_eval_context
    def _generation_support(self, _context: nodes.EvalContext, caller: Macro) -> str:
        return caller()


class TemplateDict:
    """What a template sees as `dict`.

    https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/utils/chat_template_utils.py#L633
    """

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """`dict(...)`."""
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        """`dict.fromkeys`."""
        return dict.fromkeys(*args, **kwargs)


class TemplateNamespace(Namespace):
    """What a template sees as `namespace`; names with a leading underscore are refused.

    https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/utils/chat_template_utils.py#L642
    """

    def __init__(*args: Any, **kwargs: Any) -> None:
        self, rest = args[0], args[1:]
        attributes = dict(*rest, **kwargs)
        for name in attributes:
            TemplateNamespace._check_name(name)
        Namespace.__init__(self, attributes)

    def __setitem__(self, name: str, value: Any) -> None:
        TemplateNamespace._check_name(name)
        Namespace.__setitem__(self, name, value)

    @staticmethod
    def _check_name(name: Any) -> None:
        if isinstance(name, str) and name.startswith("_"):
            raise SecurityError(
                f"Chat templates cannot store underscore-prefixed attributes on a namespace, but got {name!r}. "
                "Please rename the attribute."
            )


def raise_exception(message: Any) -> None:
    """What a template calls to refuse a conversation. Errors: `TemplateError`, always."""
    raise TemplateError(message)


def tojson(
    x: Any, ensure_ascii: Any = False, indent: Any = None, separators: Any = None, sort_keys: Any = False
) -> str:
    """The filter `tojson`, without jinja's HTML escapes.

    https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/utils/chat_template_utils.py#L625
    """
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def configure(kind: type[ImmutableSandboxedEnvironment], clock: Clock) -> ImmutableSandboxedEnvironment:
    """An environment of `kind` with the options, filters and globals that transformers gives it.

    https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/utils/chat_template_utils.py#L664
    """

    def strftime_now(format: str) -> str:  # noqa: A002  templates may pass it by name
        return clock.strftime(format)

    for function in (strftime_now, raise_exception, tojson):  # the name that a wrong call's message shows
        function.__qualname__ = f"_cached_compile_jinja_template.<locals>.{function.__name__}"
    environment = kind(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    environment.filters["tojson"] = tojson
    environment.globals["raise_exception"] = raise_exception
    environment.globals["strftime_now"] = strftime_now
    environment.globals["dict"] = TemplateDict()
    environment.globals["namespace"] = TemplateNamespace
    return environment


class Prepared(NamedTuple):
    """The template's variables, by what they are, and what was changed in the request, in words."""

    messages: list[dict[str, Any]]
    tools: list[Any] | None
    documents: list[Any] | None
    add_generation_prompt: bool
    kwargs: dict[str, Any]
    rewrites: list[str]


def prepare(body: dict[str, Any]) -> Prepared:
    """A request body as `apply_chat_template` hands it to the template, but for the names of the reasoning.

    Null fields of messages are dropped:
    https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/tokenization_utils_base.py#L3140
    Errors: those of transformers for tools and documents that are no objects, and for arguments given twice.
    """
    rewrites = []
    if len(body["messages"]) == 0:
        raise ValueError("Cannot apply chat template to an empty conversation. Provide at least one message.")
    messages = [{name: value for name, value in message.items() if value is not None} for message in body["messages"]]
    for index, message in enumerate(body["messages"]):
        dropped = [name for name, value in message.items() if value is None]
        rewrites += [f"messages[{index}].{name}: null, the field is left out" for name in dropped]
    tools, documents = body.get("tools"), body.get("documents")
    _check(tools, documents)
    kwargs = body.get("chat_template_kwargs") or {}
    _check_kwargs(kwargs)
    rewrites += [f"chat_template_kwargs.{name}: not handed on" for name in kwargs if name not in visible(kwargs)]
    return Prepared(messages, tools, documents, bool(body.get("add_generation_prompt", True)), kwargs, rewrites)


def _check(tools: Any, documents: Any) -> None:
    """https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/utils/chat_template_utils.py#L745"""
    for tool in tools or ():
        if not isinstance(tool, dict):
            raise ValueError(  # noqa: TRY004  as transformers does
                "Tools should either be a JSON schema, or a callable function with type hints "
                "and a docstring suitable for auto-conversion to a schema."
            )
    for document in documents or ():
        if not isinstance(document, dict):
            raise TypeError("Documents should be a list of dicts with 'title' and 'text' keys!")


# Arguments of apply_chat_template that never become template variables
_GIVEN = ("conversation", "tools", "documents", "add_generation_prompt", "tokenize")
_TAKEN = ("chat_template", "continue_final_message", "sanitize_control_tokens", "return_assistant_tokens_mask")
SWALLOWED = ("padding", "truncation", "max_length", "return_tensors", "return_dict", "tokenizer_kwargs")


def _check_kwargs(kwargs: dict[str, Any]) -> None:
    """https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/tokenization_utils_base.py#L3020"""
    for name, value in kwargs.items():
        if name in _GIVEN:
            raise TypeError(f"apply_chat_template() got multiple values for keyword argument {name!r}")
        if name in _TAKEN and value:
            raise ValueError(
                f"chat_template_kwargs.{name} is an option of apply_chat_template, not a template variable"
            )
        if name == "messages":
            raise TypeError("jinja2.environment.Template.render() got multiple values for keyword argument 'messages'")
        if name in ("self", "conversations"):
            raise TypeError(f"render_jinja_template() got multiple values for argument {name!r}")


def visible(kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments that the template sees: those that `apply_chat_template` does not take for itself."""
    return {name: value for name, value in kwargs.items() if name not in SWALLOWED and name not in _TAKEN}


def alias_reasoning(messages: list[dict[str, Any]], rewrites: list[str]) -> list[dict[str, Any]]:
    """Messages whose reasoning stands under all the names that templates read.

    https://github.com/huggingface/transformers/blob/v5.23.0/src/transformers/utils/chat_template_utils.py#L679
    """
    aliased = []
    for index, sent in enumerate(messages):
        message = sent
        name = next((name for name in REASONING_FIELDS if message.get(name) is not None), None)
        if name is not None:
            copies = [copy for copy in ("thinking", "reasoning_content") if copy not in message]
            replaced = name != "reasoning_content" and "reasoning_content" in message
            copies += ["reasoning_content"] if replaced else []
            rewrites += [f"messages[{index}].{copy}: filled from {name}" for copy in copies]
            message = {"thinking": message[name], **message, "reasoning_content": message[name]}
        aliased.append(message)
    return aliased
