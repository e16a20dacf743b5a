"""What is known of each token of a prompt: its score, whose text it is, whether it looks like a control token."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from workbench.compare.token_differences import DIFFERENCES, Block, Bytes, Differences, blocks_of_ids, of_blocks
from workbench.stages import Floats, Ints, Rendered, Scores, Span, Tokens, show_bytes
from workbench.tokenizers.lookalikes import looks_like_control
from workbench.values import Value

Number = TypeVar("Number", np.float32, np.int32)

# Whose text a token is. "message": of a role that is none of the four; "added": by the tokenizer, not from the text;
# "mixed": its characters have several origins.
TOKEN_ORIGINS = (
    "system",
    "user",
    "assistant",
    "tool",
    "message",
    "template",
    "default",
    "added",
    "mixed",
    "unknown",
)
_ROLES = {"developer": "system", "function": "tool", "ipython": "tool", "model": "assistant"}
_MESSAGE = re.compile(r"messages\[(\d+)\](\.role$)?")


class Other(NamedTuple):
    """A second sequence of ids; `pieces` and the `blocks` that hold the two against each other where they are known."""

    ids: tuple[int, ...]
    pieces: tuple[bytes, ...] = ()
    blocks: tuple[Block, ...] = ()


@dataclass(frozen=True)
class TokenFacts(Value):
    """Tokens with what other stages say of them; n tokens. Every array's row i is about token i itself.

    `roles` are those of the request's messages, by index. What was not given is not known: then the figures
    that rest on it are NaN, 0, "unknown" or "same".
    """

    tokens: Tokens
    scores: Scores | None = None
    rendered: Rendered | None = None
    roles: tuple[str, ...] = ()
    other: Other | None = None

    def __len__(self) -> int:
        return len(self.tokens)

    @cached_property
    def logprob(self) -> Floats:
        """Log-probability of each token, nats, (n,) float32; NaN for the first, before which nothing stands."""
        return self._behind("logprob", np.float32(np.nan))

    @cached_property
    def rank(self) -> Ints:
        """Rank of each token, 1 is first place, (n,) int32; 0 for the first."""
        return self._behind("rank", np.int32(0))

    @cached_property
    def entropy(self) -> Floats:
        """Entropy of the distribution that each token was drawn from, nats, (n,) float32; NaN for the first."""
        return self._behind("entropy", np.float32(np.nan))

    @cached_property
    def control_like(self) -> npt.NDArray[np.bool_]:
        """Whether a token is typed normal and looks like a control token, (n,)."""
        pairs = zip(self.tokens.pieces, self.tokens.types, strict=True)
        return np.array([kind == "normal" and looks_like_control(show_bytes(piece)) for piece, kind in pairs], np.bool_)

    @cached_property
    def origin(self) -> Bytes:
        """An index into `TOKEN_ORIGINS` for each token, (n,) uint8."""
        spans = self.rendered.spans if self.rendered else ()
        whose = [TOKEN_ORIGINS.index(self._whose(span)) for span in spans]
        kinds = [set(whose[first:end]) for first, end in self._bounds]
        mixed, unknown, added = (TOKEN_ORIGINS.index(name) for name in ("mixed", "unknown", "added"))
        origin = np.array([mixed if len(kind) > 1 else min(kind, default=unknown) for kind in kinds], np.uint8)
        origin[[index for index, _ in self.tokens.added]] = added
        return origin

    @cached_property
    def differences(self) -> Differences:
        """How each token stands to the second sequence; without one all are the same."""
        if self.other is not None and self.other.blocks:
            return of_blocks(self.other.blocks, len(self))
        other = self.tokens.ids if self.other is None else np.array(self.other.ids, np.int32)
        return of_blocks(blocks_of_ids(self.tokens.ids, other), len(self))

    def path(self, i: int) -> str:
        """Where the characters of token i are from: the request's fields or the engine's variables, "" for none.

        What stands beside such a field in the same token is named by its origin: `messages[0].content + template`.
        """
        spans = self._spans(i)
        return " + ".join(dict.fromkeys(s.path or s.origin for s in spans)) if any(s.path for s in spans) else ""

    def to_dict(self) -> dict[str, Any]:
        """`{tokens, logprob, rank, entropy, control_like, origin, path, difference, others}`, one entry a token."""
        return {
            "tokens": self.tokens.to_dict(),
            "logprob": self.logprob.tolist(),
            "rank": self.rank.tolist(),
            "entropy": self.entropy.tolist(),
            "control_like": self.control_like.tolist(),
            "origin": [TOKEN_ORIGINS[k] for k in self.origin],
            "path": [self.path(i) for i in range(len(self))],
            "difference": [DIFFERENCES[k] for k in self.differences.kinds],
            "others": self.differences.others.tolist(),
        }

    def _rows(self) -> list[dict[str, Any]]:
        names = ("logprob", "rank", "entropy", "control_like", "origin", "path", "difference")
        data = self.to_dict()
        rows = self.tokens._rows()  # noqa: SLF001 (a value's rows are the start of another's)
        return [row | {name: data[name][i] for name in names} for i, row in enumerate(rows)]

    def __repr__(self) -> str:
        known = [name for name in ("scores", "rendered", "other") if getattr(self, name) is not None]
        with_words = f" with {', '.join(known)}" if known else ""
        return f"TokenFacts({len(self):,} tokens{with_words}, {int(self.control_like.sum())} look like control tokens)"

    def _behind(self, name: str, first: Number) -> npt.NDArray[Number]:
        """A column of the scores, moved so that row i is about token i."""
        column = np.full(len(self), first)
        if self.scores is not None and len(self):
            known = getattr(self.scores, name)[: len(self) - 1]
            column[1 : 1 + len(known)] = known
        column.setflags(write=False)
        return column

    def _spans(self, i: int) -> tuple[Span, ...]:
        """The rendered spans that token i overlaps."""
        return self.rendered.spans[slice(*self._bounds[i])] if self.rendered else ()

    @cached_property
    def _bounds(self) -> list[tuple[int, int]]:
        """For each token the rendered spans [first, end) that it overlaps, an empty range for none."""
        starts = [span.start for span in self.rendered.spans] if self.rendered else []
        start, end = self.tokens.spans.T
        first = np.maximum(np.searchsorted(starts, start, side="right") - 1, 0)
        last = np.searchsorted(starts, end, side="left")
        nowhere = (start < 0) | (end <= start)
        return list(zip(np.where(nowhere, 0, first).tolist(), np.where(nowhere, 0, last).tolist(), strict=True))

    def _whose(self, span: Span) -> str:
        message = _MESSAGE.match(span.path or "")
        if span.origin != "message" or message is None:
            return span.origin
        role = self._roles.get(int(message[1]), "message")
        role = _ROLES.get(role, role)
        return role if role in TOKEN_ORIGINS[:4] else "message"

    @cached_property
    def _roles(self) -> dict[int, str]:
        """The roles by message: those given, else those that the template wrote out."""
        if self.roles or self.rendered is None:
            return dict(enumerate(self.roles))
        text, found = self.rendered.text or "", {}
        for span in self.rendered.spans:
            message = _MESSAGE.match(span.path or "")
            if message is not None and message[2] and span.verbatim:
                found[int(message[1])] = text[span.start : span.end]
        return found
