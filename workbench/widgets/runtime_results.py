"""What the runtime lab shows below its controls: the table of both sides, charts, and both strips of tokens."""

from __future__ import annotations

from typing import Any, Literal

import ipywidgets
import traitlets

from workbench.compare.token_facts import TokenFacts
from workbench.values import Plotted
from workbench.versus import Versus
from workbench.views import html_of, strip
from workbench.views import versus as views
from workbench.views.html import heading, wrong
from workbench.widgets.copy import CLASS
from workbench.widgets.outputs import close_widgets
from workbench.widgets.strip import TokenStrip

STRIPS = "wb-runtime-strips"  # the page's style sheet takes the strips' own buttons away by this class
COLOUR = "probability"


class Results:
    """Fed with values by `show`; everything drawn is static HTML, a plotly figure as JSON, or a `TokenStrip`."""

    def __init__(self) -> None:
        self.table, self.kl, self.drift, self.more = (ipywidgets.Output() for _ in range(4))
        self.strips = ipywidgets.VBox([])
        self.strips.add_class(STRIPS)
        self.box = ipywidgets.VBox([self.table, self.kl, self.drift, self.strips, self.more])
        self._theme: Literal["light", "dark"] = "light"
        self._shown: Versus | None = None
        self._pair: Any = None
        self._links: list[Any] = []

    def show(self, value: Versus) -> None:
        """The result so far; strips are drawn anew only where their scores changed."""
        self._shown = value
        self.table.outputs = (_output({"text/html": views.summary(value), "text/plain": repr(value)}),)
        self.more.outputs = (_output({"text/html": views.details(value), "text/plain": ""}),)
        self._draw()
        if value.pair is None or value.pair.kl is not self._pair:
            self._pair = value.pair.kl if value.pair is not None else None
            self._replace_strips(facts_of(value))

    def use_theme(self, theme: str) -> None:
        """Draw the charts for a light or a dark page."""
        self._theme = "dark" if theme == "dark" else "light"
        self._draw()

    def close(self) -> None:
        """End its widgets."""
        self._replace_strips(())
        close_widgets(self.box, self.table, self.kl, self.drift, self.more, self.strips)

    def _draw(self) -> None:
        value = self._shown
        self.kl.outputs = _chart(value.pair if value is not None else None, self._theme)
        drift = value.drift if value is not None and value.drift is not None and not value.drift.not_evaluated else None
        self.drift.outputs = _chart(drift, self._theme)

    def _replace_strips(self, facts: tuple[TokenFacts, ...]) -> None:
        old, made = self.strips.children, [TokenStrip(one) for one in facts]
        for link in self._links:
            link.unlink()
        self._links = [traitlets.link((made[0], n), (made[1], n)) for n in ("selection", "colour", "query") if made]
        titles = [ipywidgets.HTML(heading(f"{name} reads the prompt")) for name in "AB"[: len(made)]]
        self.strips.children = tuple(widget for pair in zip(titles, made, strict=True) for widget in pair)
        close_widgets(*old)


def facts_of(value: Versus) -> tuple[TokenFacts, ...]:
    """The tokens of a's prompt with the scores of each side, nothing where they were not compared."""
    trace = value.a.trace
    if value.pair is None or trace is None or trace.tokens is None:
        return ()
    roles = tuple(str(message.get("role")) for message in trace.conversation.messages)
    return tuple(TokenFacts(trace.tokens, scores, trace.rendered, roles) for scores in (value.pair.a, value.pair.b))


def static_copy(value: Versus | None, trouble: str = "") -> str:
    """Both sides, what parts them, and both strips, as HTML that needs no kernel, no script and no style sheet."""
    parts = [f'<div class="{CLASS}"><b>Runtime lab, static copy</b>', wrong(trouble) if trouble else ""]
    parts.append(html_of(value) if value is not None else "<p>nothing was computed yet</p>")
    for name, facts in zip("AB", facts_of(value) if value is not None else (), strict=False):
        parts.append(heading(f"{name} reads the prompt") + strip.view(facts, COLOUR))
    return "".join([*parts, "</div>"])


def _chart(value: Plotted | None, theme: Literal["light", "dark"]) -> tuple[dict[str, Any], ...]:
    return () if value is None else (_output(value.plot(theme=theme).bundle),)


def _output(bundle: dict[str, Any]) -> dict[str, Any]:
    return {"output_type": "display_data", "data": bundle, "metadata": {}}
