"""A strip of tokens for notebooks: coloured, searched and selected, in step with Python both ways."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets

from workbench.compare.token_differences import DIFFERENCES
from workbench.compare.token_facts import TOKEN_ORIGINS, Other, TokenFacts
from workbench.compare.token_search import Ranges, find
from workbench.compare.tokens import TokenAlignment, align_tokens
from workbench.conversation import Conversation
from workbench.errors import BadRequest
from workbench.stages import Rendered, Scores, Tokens
from workbench.trace import Trace
from workbench.views import strip as static
from workbench.views.colouring import SPEAKERS, colouring, colours
from workbench.widgets import payload
from workbench.widgets.outputs import CellOutputs, close_widgets
from workbench.widgets.panes import HERE, styles
from workbench.widgets.payload import WIRE, Payload, clean

SCRIPTS = ("text", "dom", "data", "token_words", "token_search", "token_box", "token_strip")


@cache
def script() -> str:
    """The widget's JavaScript: one module, joined of the files in `js/`."""
    return "\n".join((HERE / "js" / f"{name}.js").read_text(encoding="utf-8") for name in SCRIPTS)


@cache
def sheet() -> str:
    """The explorer's style sheet and what the strip adds to it."""
    return styles() + (HERE / "strip.css").read_text(encoding="utf-8")


def payload_of(facts: TokenFacts) -> Payload:
    """The tokens and everything known of them: small lists as JSON, one flat array for each column."""
    sent = payload.tokens(facts.tokens)
    looks = [colouring(facts, name) for name in colours(facts)]
    arrays: dict[str, tuple[str, Any]] = {"control_like": ("u8", facts.control_like)}
    arrays |= {f"look_{look.name}": ("u8", look.steps_of) for look in looks}
    more: dict[str, Any] = {
        "colours": {look.name: [[step.key, step.words] for step in look.steps] for look in looks},
    }
    if facts.scores is not None:
        arrays |= {
            "logprob": ("f32", facts.logprob),
            "rank": ("i32", facts.rank),
            "entropy": ("f32", facts.entropy),
        }
    if facts.rendered is not None:
        paths = [facts.path(i) for i in range(len(facts))]
        known = {path: k for k, path in enumerate(dict.fromkeys(paths))}
        arrays |= {"origin": ("u8", facts.origin), "path": ("i32", [known[path] for path in paths])}
        more |= {"paths": [clean(path) for path in known], "origins": [SPEAKERS[name][0] for name in TOKEN_ORIGINS]}
    if facts.other is not None:
        kinds, others = facts.differences
        arrays |= {"difference": ("u8", kinds), "others": ("i32", others), "other_ids": ("i32", facts.other.ids)}
        more |= {"differences": DIFFERENCES}
        if facts.other.pieces:
            ends = np.cumsum([0, *map(len, facts.other.pieces)])
            joined = np.frombuffer(b"".join(facts.other.pieces), np.uint8)
            arrays |= {"other_pieces": ("u8", joined), "other_offsets": ("i32", ends)}
    buffers = [np.ascontiguousarray(array, WIRE[kind]).tobytes() for kind, array in arrays.values()]
    names = [(name, kind) for name, (kind, _) in arrays.items()]
    return Payload(sent.facts | more, sent.arrays + names, sent.buffers + buffers)


class TokenStrip(anywidget.AnyWidget):  # type: ignore[misc]  # the library carries no types
    """Tokens on screen; what the user selects, searches and chooses is here, and what is set here is on screen.

    `facts` is what it shows. `selection` is a range [start, end) of tokens, (0, 0) for none; `colour` one of
    `colours`; `query` a search (see `workbench.compare.token_search.find`). The tokens travel once, as arrays,
    to each page that opens; none of them is kept in the widget's saved state.
    """

    _esm = script()
    _css = sheet()
    selection = traitlets.Tuple(traitlets.Int(), traitlets.Int(), default_value=(0, 0)).tag(sync=True)
    colour = traitlets.Unicode().tag(sync=True)
    query = traitlets.Unicode().tag(sync=True)

    def __init__(self, facts: TokenFacts) -> None:
        self.facts = facts
        self.colours = colours(facts)
        self._outputs = CellOutputs(self.html)
        super().__init__(colour=self.colours[0])
        self.on_msg(self._received)
        self.observe(lambda _: self._outputs.refresh_soon(), ["selection", "colour", "query"])

    @property
    def found(self) -> Ranges:
        """The places of `query`, ranges [start, end) of tokens, (m, 2). Errors: `BadRequest` for a wrong query."""
        return find(self.facts, self.query)

    def html(self) -> str:
        """What it shows as static HTML."""
        shown = static.view(self.facts, self.colour, self.selection, self.query)
        return f'<div class="workbench-copy"><b>Token strip, static copy</b>{shown}</div>'

    def freeze(self) -> None:
        """Replace the live view by static HTML of what it shows."""
        self._outputs.freeze()
        close_widgets(self)

    def __repr__(self) -> str:
        start, end = self.selection
        chosen = f", {start}–{end - 1} selected" if end > start else ""
        return f"TokenStrip({len(self.facts):,} tokens by {self.colour}{chosen})"

    def _ipython_display_(self) -> None:
        self._outputs.display(self, repr(self))

    def _repr_mimebundle_(self, **options: Any) -> dict[str, Any]:
        """The data alone: the library adds metadata, which a display handle takes elsewhere."""
        data: dict[str, Any] = super()._repr_mimebundle_(**options)[0]
        return data

    @traitlets.validate("selection")
    def _valid_selection(self, proposal: dict[str, Any]) -> tuple[int, int]:
        start, end = proposal["value"]
        if not 0 <= start <= end <= len(self.facts):
            raise BadRequest(
                f"the selection is ({start}, {end})", f"accepted is a range [start, end) within 0 to {len(self.facts)}"
            )
        return (start, end) if end > start else (0, 0)

    @traitlets.validate("colour")
    def _valid_colour(self, proposal: dict[str, Any]) -> str:
        if (name := str(proposal["value"])) not in self.colours:
            raise BadRequest(
                f"the colour is {name!r}",
                f"accepted are {', '.join(self.colours)}",
                "probability, rank and entropy need scores, origin the rendered prompt, difference a second sequence",
            )
        return name

    def _received(self, _widget: Any, message: dict[str, Any], _buffers: list[Any]) -> None:
        if message.get("type") == "hello":
            sent = payload_of(self.facts)
            self.send({"type": "tokens", "facts": sent.facts, "arrays": sent.arrays}, sent.buffers)
        elif message.get("type") == "freeze":
            self.freeze()


def strip(
    tokens: Tokens | Trace,
    scores: Scores | None = None,
    rendered: Rendered | None = None,
    other: Tokens | Trace | TokenAlignment | Sequence[int] | None = None,
    *,
    request: Conversation | dict[str, Any] | list[Any] | str | Path | None = None,
) -> TokenStrip:
    """Tokens as a strip to look at, with whatever else is known: scores, where the text came from, a second sequence.

    A trace brings its tokens, scores, prompt and request. `request` names the speakers (system, user, ...) of the
    prompt's text; without it they are those that the template wrote out. Two traces are held against each other
    by their texts, as `align_tokens` does it, an alignment as it is; ids alone by the fewest changes.
    Errors: `BadRequest` for a trace without tokens, scores or an alignment of other tokens, or a bad request.
    """
    if isinstance(tokens, Trace):
        scores, rendered = scores or tokens.scores, rendered or tokens.rendered
        request = request if request is not None else tokens.conversation
    own = _tokens_of(tokens)
    if scores is not None and len(scores) != len(own):
        raise BadRequest(f"{len(scores):,} scores for {len(own):,} tokens", "accepted are the scores of these tokens")
    messages = Conversation.of(request).messages if request is not None else []
    roles = tuple(str(message.get("role")) for message in messages)
    if isinstance(tokens, Trace) and isinstance(other, Trace):
        other = _aligned(tokens, other)
    return TokenStrip(TokenFacts(own, scores, rendered, roles, None if other is None else _other(other, own)))


def _tokens_of(value: Tokens | Trace) -> Tokens:
    found = value.tokens if isinstance(value, Trace) else value
    if found is None:
        raise BadRequest("the trace has no tokens", "accepted is one that got as far as tokens")
    if not isinstance(found, Tokens):
        raise BadRequest(f"the tokens are of the type {type(found).__name__}", "accepted are Tokens or a Trace")
    return found


def _aligned(a: Trace, b: Trace) -> TokenAlignment | Trace:
    """Two traces by their texts; the second alone where a text is missing."""
    texts = [value.rendered.text if value.rendered else None for value in (a, b)]
    if texts[0] is None or texts[1] is None:
        return b
    return align_tokens(_tokens_of(a), _tokens_of(b), texts[0], texts[1])


def _other(value: Tokens | Trace | TokenAlignment | Sequence[int], own: Tokens) -> Other:
    if isinstance(value, TokenAlignment):
        if value.a.ids.tolist() != own.ids.tolist():
            raise BadRequest("the alignment is of other tokens", "accepted is one whose first tokens are those shown")
        return Other(tuple(value.b.ids.tolist()), value.b.pieces, tuple(block[:3] for block in value.blocks))
    if isinstance(value, Tokens | Trace):
        found = _tokens_of(value)
        return Other(tuple(found.ids.tolist()), found.pieces)
    return Other(tuple(int(i) for i in value))
