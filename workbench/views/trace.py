"""A whole trace: every stage that was reached, in order, and why it ended."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from workbench.compare import reach
from workbench.views import conversation, environment, generation, parsed, rendered, scores, setup, tokens
from workbench.views import reach as reach_view
from workbench.views.error import log_lines
from workbench.views.html import escape, fold, wrong

if TYPE_CHECKING:
    from workbench.trace import Trace


def view(value: Trace) -> str:
    """Every stage under a fold; candidates are named as far as the trace itself knows their pieces."""
    return view_with(value, {})


def view_with(value: Trace, pieces: Mapping[int, bytes]) -> str:
    """Every stage under a fold; `pieces` by id name the candidates."""
    known = {**pieces, **own_pieces(value)}
    parts = [fold(f"Messages · {len(value.conversation.messages)}", conversation.view(value.conversation))]
    if value.rendered is not None:
        goes = reach.reach(value.conversation, value.rendered, value.tokens)
        content = rendered.view(value.rendered) + (reach_view.view(goes) if goes is not None else "")
        parts.append(fold(_title("Rendered", value, "rendered"), content, is_open=True))
    if value.tokens is not None:
        parts.append(fold(_title("Tokens", value, "tokens"), tokens.view(value.tokens), is_open=True))
    if value.scores is not None and value.tokens is not None:
        content = scores.view_with(value.scores, value.tokens, known)
        parts.append(fold(_title("Scores", value, "scores"), content, is_open=True))
    if value.generation is not None:
        content = generation.view_with(value.generation, known)
        parts.append(fold(_title("Answer", value, "generation"), content, is_open=True))
    if value.parsed is not None:
        parts.append(fold(_title("Parsed", value, "parsed"), parsed.view(value.parsed), is_open=True))
    if value.stopped:
        words = value.stopped.error.value().get("message", "")
        parts.append(wrong(f"The trace ends before {value.stopped.stage}: {words}"))
    parts += [fold("Setup", setup.view(value.setup)), fold("Environment", environment.view(value.environment))]
    return f'<div style="font-size:13px">{"".join(parts)}{log_lines(value.log)}</div>'


def own_pieces(value: Trace) -> dict[int, bytes]:
    """The pieces that the trace itself holds, by token id."""
    known: dict[int, bytes] = {}
    if value.tokens is not None:
        known |= {int(i): piece for i, piece in zip(value.tokens.ids, value.tokens.pieces, strict=True)}
    if value.generation is not None:
        known |= {step.id: step.piece for step in value.generation.steps}
    return known


def _title(name: str, value: Trace, stage: str) -> str:
    elapsed = value.elapsed_ms.value().get(stage)
    how = "reused" if stage in value.reused else f"{elapsed:.0f} ms" if elapsed is not None else ""
    if stage == "scores" and value.from_cache:
        how = f"{how}, {value.from_cache}"
    return escape(f"{name} · {how}") if how else name
