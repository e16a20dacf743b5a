"""One text under two setups or by two tokenizers: what strings tokenizers together and compares their tokens."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.errors import BadRequest, CannotRun, WorkbenchError

if TYPE_CHECKING:
    from workbench.compare.beside import Beside
    from workbench.compare.effect import Effect
    from workbench.compare.injection import Injection
    from workbench.compare.round_trip import RoundTrip
    from workbench.compare.tokens import By, TokenAlignment
    from workbench.conversation import Conversation
    from workbench.progress import Cancel, Progress
    from workbench.runtime.host import Host
    from workbench.setup import Setup
    from workbench.stages import Rendered, Tokens
    from workbench.tokenizers import Source

    Request = Conversation | dict[str, Any] | list[Any] | Path
    Hosts = tuple[Host, Host]

TYPES_KEY = "tokenizer.ggml.token_type"
ENDS_CHANGE_WITH = ("model", "metadata.tokenizer.ggml.")  # settings that may change which tokens end an answer


class Prompt(NamedTuple):
    """A text to tokenise, and the render that it is from."""

    text: str
    rendered: Rendered | None


def effect(
    given: str | Request,
    setup: Setup | str | Path,
    *,
    types: Mapping[int | str, str] | None = None,
    hosts: Hosts | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
    **changes: Any,
) -> Effect:
    """What a change does to a text (a str) or to a request, rendered under both setups.

    `changes` are those of `Setup.replace`, such as `**{"metadata.tokenizer.ggml.pre": "qwen2"}` (None removes the
    key); `types` gives single tokens another type, by id or text: `{"<|im_end|>": "normal"}`. `hosts` are the caller's
    own, one for each side: they stay open, so that the next call need not load what it has in common with this one.
    Errors: `BadRequest`, `CannotRun` where llama.cpp refuses the change, those of the host and of the template.
    """
    from workbench.compare.effect import Effect
    from workbench.values import FrozenJSON

    before = _setup(setup)
    after = with_token_types(before.replace(**changes), types or {})
    difference = before.diff(after)
    asks_ends = any(name.startswith(ENDS_CHANGE_WITH) for name in difference)
    sides: list[_Side] = []
    ends: list[tuple[int, ...]] = []
    for name, host in _open(hosts, before=before, after=after):
        sides.append(_side(given, name, host, progress, cancel))
        if asks_ends:
            ends.append(host.ends(cancel=cancel))
    told = {name: [_told(one), _told(other)] for name, (one, other) in difference.items()}
    told |= {f"type of {which}": kinds for which, kinds in _kinds(before, types or {}).items()}
    return Effect(FrozenJSON(told), _aligned(*sides), (ends[0], ends[1]) if ends else None)


def effect_on(
    given: str | Request,
    known: Effect,
    hosts: Hosts,
    *,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Effect:
    """What a known change does to another text or request; `hosts` are those of the call of `effect` that gave it.

    Nothing is loaded, or worked out of the settings, again. Errors: those of the host and of the template.
    """
    sides = [_side(given, n, host, progress, cancel) for n, host in zip(("before", "after"), hosts, strict=True)]
    return replace(known, alignment=_aligned(*sides))


class _Side(NamedTuple):
    """What one setup makes of the text: its tokens, and the text as that setup renders it."""

    tokens: Tokens
    text: str


def _side(given: str | Request, name: str, host: Host, progress: Progress | None, cancel: Cancel | None) -> _Side:
    if progress is not None:
        progress(f"tokenising {name}", int(name == "after"), 2)
    text = _prompt(given, host.setup, cancel).text
    return _Side(host.tokenize(text, progress=progress, cancel=cancel), text)


def _aligned(before: _Side, after: _Side) -> TokenAlignment:
    from workbench.compare.tokens import align_tokens

    return align_tokens(before.tokens, after.tokens, before.text, after.text, names=("before", "after"))


def _open(hosts: Hosts | None, **setups: Setup) -> Iterator[tuple[str, Host]]:
    """For each setup a host that uses it, by its name: the caller's own, else one that ends behind it."""
    from workbench.runtime.host import Host

    for i, (name, setup) in enumerate(setups.items()):
        if hosts is not None:
            hosts[i].use(setup)
            yield name, hosts[i]
            continue
        with Host(setup) as host:
            yield name, host


def with_token_types(setup: Setup, types: Mapping[int | str, str]) -> Setup:
    """The setup with other types for single tokens, by id or by the text that the file writes.

    Errors: `BadRequest` for no such token or type, `BadFile` for a bad model file.
    """
    from workbench.gguf.header import read_header
    from workbench.gguf.token_types import token_types

    if not types:
        return setup
    if setup.model is None:
        raise BadRequest("the setup names no model", "accepted is a GGUF file's path", "set its key model")
    listed = token_types(read_header(setup.model), setup.metadata.value(), types)
    return setup.replace(**{f"metadata.{TYPES_KEY}": listed})


def injection(request: Request, setup: Setup | str | Path, *, cancel: Cancel | None = None) -> Injection:
    """The special tokens that a request's own text becomes, and what a safe tokenisation gives.

    Errors: `CannotRun` where the origins of the prompt's characters are not known; those of the host and template.
    """
    from workbench.compare.injection import Injection, injected, trusted
    from workbench.compare.tokens import align_tokens
    from workbench.runtime.host import Host

    setup = _setup(setup)
    text, rendered = _prompt(request, setup, cancel)
    if rendered is None or (text and all(span.origin == "unknown" for span in rendered.spans)):
        raise CannotRun(
            "the origins of this prompt's characters are not known",
            "accepted is a request under an engine that tells them",
            'set template.engine to "transformers"',
        )
    with Host(setup) as host:
        found = host.tokenize(text, cancel=cancel)
        safe = host.tokenize(text, trusted=trusted(rendered), cancel=cancel)
    alignment = align_tokens(found, safe, text, names=("as it is", "safe"))
    return Injection(rendered, alignment, injected(rendered, found), injected(rendered, safe))


def round_trip(given: str | Request, source: Source, *, cancel: Cancel | None = None) -> RoundTrip:
    """A text through a tokenizer and back; a request needs a setup, which renders it.

    Errors: those of `tokenizer_of` and of the tokenizer; `BadRequest` for a request without a setup.
    """
    from workbench.compare.round_trip import RoundTrip
    from workbench.setup import Setup
    from workbench.tokenizers import tokenizer_of

    if not isinstance(given, str) and not isinstance(source, Setup):
        raise BadRequest("a request without a setup", "accepted are a text, or a request with a Setup")
    text = _prompt(given, source, cancel).text if isinstance(source, Setup) else str(given)
    with tokenizer_of(source) as tokenizer:
        tokens = tokenizer.tokenize(text, cancel=cancel)
        return RoundTrip(text, tokens, tokenizer.detokenize(tokens))


def beside(
    first: Source,
    second: Source,
    texts: str | Path | Mapping[str, str] | None = None,
    *,
    by: By = "ids",
    add_special: bool = False,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Beside:
    """Two tokenizers on a text, a whole file (a `Path`, UTF-8), texts by name, or (None) our own nasty ones.

    Each is a setup, a GGUF file, a `tokenizer.json` or a running llama-server's address. BOS and EOS are left out
    unless `add_special`; what a setup sets itself stays. A text that one of them refuses is a case with its error.
    Errors: those of `tokenizer_of`, `BadFile` for a file that is no text, `Cancelled`.
    """
    from workbench.compare.beside import Beside, Case
    from workbench.compare.tokens import align_tokens
    from workbench.errors import Cancelled
    from workbench.setup import TokenizerFlags
    from workbench.tokenizers import tokenizer_of

    flags = TokenizerFlags(add_special, True)
    wanted = _texts(texts)
    cases = []
    with tokenizer_of(first, flags=flags) as one, tokenizer_of(second, flags=flags) as other:
        names = (one.name, other.name)
        for done, (group, name, text) in enumerate(wanted):
            if progress is not None:
                progress(name, done, len(wanted))
            try:
                a, b = one.tokenize(text, cancel=cancel), other.tokenize(text, cancel=cancel)
            except Cancelled:
                raise
            except WorkbenchError as error:
                cases.append(Case(group, name, None, str(error)))
            else:
                cases.append(Case(group, name, align_tokens(a, b, text, names=names, by=by)))
            if cancel is not None and cancel.is_set():
                raise Cancelled(f"the comparison of tokenizers was cancelled at {name!r}")
    return Beside(names, tuple(cases))


def _kinds(setup: Setup, types: Mapping[int | str, str]) -> dict[int | str, list[str]]:
    """For each token the names of the type that it has under the setup, and of the one it gets."""
    from workbench.gguf.header import read_header
    from workbench.gguf.token_types import type_names

    if not types or setup.model is None:
        return {}
    old = type_names(read_header(setup.model), setup.metadata.value(), types)
    return {which: [old[which], kind] for which, kind in types.items()}


def _texts(texts: str | Path | Mapping[str, str] | None) -> list[tuple[str, str, str]]:
    """Group, name and text of each."""
    from workbench.conversation import read_text
    from workbench.tokenizers.nasty import NASTY

    if texts is None:
        return [(nasty.group, nasty.name, nasty.text) for nasty in NASTY]
    if isinstance(texts, str):
        return [("", "the text", texts)]
    if isinstance(texts, Path):
        return [("", texts.name, read_text(texts, "a text file", keep_mark=True))]
    if not isinstance(texts, Mapping):
        raise BadRequest(
            f"the texts are of the type {type(texts).__name__}", "accepted are a str, a file's Path, or texts by name"
        )
    return [("", name, text) for name, text in texts.items()]


def _setup(setup: Setup | str | Path) -> Setup:
    from workbench.setup import Setup

    return setup if isinstance(setup, Setup) else Setup(model=str(setup))


def _prompt(given: str | Request, setup: Setup, cancel: Cancel | None) -> Prompt:
    """A text as it is, a request as the setup renders it. Errors: `CannotRun` where its template raises."""
    from workbench.trace import trace

    if isinstance(given, str):
        return Prompt(given, None)
    found = trace(given, setup, until="rendered", cancel=cancel)
    if found.rendered is None or found.rendered.text is None:
        said = found.stopped.error.value()["message"] if found.stopped else "nothing was rendered"
        raise CannotRun(f"the request has no prompt: {said}", "accepted is a request that the template renders")
    return Prompt(found.rendered.text, found.rendered)


def _told(value: Any) -> Any:
    """A setting's value; a long list in words."""
    return f"a list of {len(value):,}" if isinstance(value, list) and len(value) > 64 else value
