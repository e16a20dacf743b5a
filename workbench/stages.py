"""What one request becomes, stage by stage: Rendered, Tokens, Scores, Generation, Parsed."""

from __future__ import annotations

import base64
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

from workbench.values import FrozenJSON, Value, clip, frozen_array, same_array

Origin = Literal["template", "message", "tool", "default", "unknown"]
ORIGINS: tuple[Origin, ...] = ("template", "message", "tool", "default", "unknown")
Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]

# llama.cpp's token attributes, most telling first: https://github.com/ggml-org/llama.cpp/blob/b6900/include/llama.h#L95
TOKEN_TYPES = ("normal", "unknown", "control", "user_defined", "unused", "byte")


class Span(NamedTuple):
    """Where `text[start:end]` came from. Offsets are Unicode code points.

    `path` names the request's field (`messages[0].content`, `tools[1]`) or the engine's variable
    (`bos_token`); `offset` is where in that field the text starts, for verbatim text. `line` and
    `column` (both from 1) are the place in the template that wrote it. `verbatim` is false where the
    text was changed on the way (escaped, cased, dumped as JSON, computed).
    """

    start: int
    end: int
    origin: Origin
    path: str | None = None
    line: int | None = None
    column: int | None = None
    verbatim: bool = True
    offset: int | None = None


class Event(NamedTuple):
    """One step of the template's execution.

    `kind` is output, if, loop, set, call or error; `line` and `column` (from 1) the place in the
    template; `detail` what happened, in words; `start` and `end` the text that stands after it was
    written (equal where nothing was).
    """

    kind: str
    line: int
    column: int
    detail: str
    start: int
    end: int


class RenderError(NamedTuple):
    """A template that raised, did not compile or hit its limits: `type`, `message`, place in the template (from 1)."""

    type: str
    message: str
    line: int | None = None
    column: int | None = None


@dataclass(frozen=True)
class Rendered(Value):
    """The prompt as one engine wrote it, or the error; `spans` tile the text without gaps or overlaps.

    `rewrites` lists what the engine changed in the request before rendering, in words; `notes` what
    the user should know about this render (origins lost, the clock used, events cut). `request` is the request as
    the template was given it, where the engine rewrites requests and tells.
    """

    engine: str
    version: str
    text: str | None
    error: RenderError | None = None
    spans: tuple[Span, ...] = ()
    events: tuple[Event, ...] = ()
    rewrites: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    request: FrozenJSON | None = None

    def to_dict(self) -> dict[str, Any]:
        """`{engine, version, text, error, spans, rewrites, events, notes, request}`."""
        return {
            "engine": self.engine,
            "version": self.version,
            "text": self.text,
            "error": self.error._asdict() if self.error else None,
            "spans": [span._asdict() for span in self.spans],
            "rewrites": list(self.rewrites),
            "events": [event._asdict() for event in self.events],
            "notes": list(self.notes),
            "request": self.request.value() if self.request is not None else None,
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Rendered:
        """The inverse of `to_dict`."""
        return cls(
            engine=data["engine"],
            version=data["version"],
            text=data["text"],
            error=RenderError(**data["error"]) if data.get("error") else None,
            spans=tuple(Span(**span) for span in data.get("spans", ())),
            events=tuple(Event(**event) for event in data.get("events", ())),
            rewrites=tuple(data.get("rewrites", ())),
            notes=tuple(data.get("notes", ())),
            request=FrozenJSON(data["request"]) if data.get("request") is not None else None,
        )

    def span_at(self, position: int) -> Span | None:
        """The span that covers the character at `position`, None outside the text."""
        starts = self._starts
        index = int(np.searchsorted(starts, position, side="right")) - 1
        if index < 0 or position >= self.spans[index].end:
            return None
        return self.spans[index]

    @cached_property
    def _starts(self) -> npt.NDArray[np.int64]:
        return np.array([span.start for span in self.spans], dtype=np.int64)

    def _rows(self) -> list[dict[str, Any]]:
        text = self.text or ""
        return [span._asdict() | {"text": text[span.start : span.end]} for span in self.spans]

    def __repr__(self) -> str:
        if self.error:
            where = f" at line {self.error.line}" if self.error.line else ""
            return f"Rendered({self.engine}, {self.error.type}{where}: {clip(self.error.message, 80)})"
        text = self.text or ""
        return f"Rendered({self.engine}, {len(text):,} characters, {clip(repr(text), 80)})"


@dataclass(frozen=True, eq=False)
class Tokens(Value):
    """Token ids and what they stand for; n tokens.

    `ids`: (n,) int32. `pieces`: n byte strings, as llama.cpp prints each token, special ones included.
    `types`: n names out of `TOKEN_TYPES`. `spans`: (n, 2) int32, code points of the rendered text
    [start, end); empty at its place for a token that was added; (-1, -1) where it could not be aligned.
    `byte_spans`: the same in bytes of the UTF-8 text. `added`: for each token that is not from the text
    its index and who added it, e.g. `(0, "bos: tokenizer.ggml.add_bos_token")`.
    """

    ids: Ints
    pieces: tuple[bytes, ...]
    types: tuple[str, ...]
    spans: npt.NDArray[np.int32]
    byte_spans: npt.NDArray[np.int32]
    added: tuple[tuple[int, str], ...] = ()
    n_vocab: int = 0
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "ids", frozen_array(self.ids, np.int32))
        for name in ("spans", "byte_spans"):
            object.__setattr__(self, name, frozen_array(getattr(self, name), np.int32).reshape(-1, 2))

    def __len__(self) -> int:
        return len(self.ids)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Tokens) and (
            same_array(self.ids, other.ids)
            and (self.pieces, self.types, self.added, self.n_vocab, self.notes)
            == (other.pieces, other.types, other.added, other.n_vocab, other.notes)
            and same_array(self.spans, other.spans)
            and same_array(self.byte_spans, other.byte_spans)
        )

    def __hash__(self) -> int:
        return hash((self.ids.tobytes(), self.n_vocab))

    def tokens_at(self, start: int, end: int) -> range:
        """The indices of the tokens that overlap the code points [start, end), an empty range for none."""
        covers = np.flatnonzero((self.spans[:, 0] < end) & (self.spans[:, 1] > start))
        return range(int(covers[0]), int(covers[-1]) + 1) if len(covers) else range(0)

    def to_dict(self) -> dict[str, Any]:
        """`{ids, pieces (base64), types, spans, byte_spans, added, n_vocab, notes}`."""
        return {
            "ids": self.ids.tolist(),
            "pieces": [base64.b64encode(piece).decode("ascii") for piece in self.pieces],
            "types": list(self.types),
            "spans": self.spans.tolist(),
            "byte_spans": self.byte_spans.tolist(),
            "added": [{"index": index, "by": by} for index, by in self.added],
            "n_vocab": self.n_vocab,
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Tokens:
        """The inverse of `to_dict`."""
        return cls(
            ids=np.array(data["ids"], dtype=np.int32),
            pieces=tuple(base64.b64decode(piece) for piece in data["pieces"]),
            types=tuple(data["types"]),
            spans=np.array(data["spans"], dtype=np.int32),
            byte_spans=np.array(data["byte_spans"], dtype=np.int32),
            added=tuple((item["index"], item["by"]) for item in data.get("added", ())),
            n_vocab=data.get("n_vocab", 0),
            notes=tuple(data.get("notes", ())),
        )

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "id": int(self.ids[i]),
                "piece": show_bytes(self.pieces[i]),
                "bytes": self.pieces[i],
                "type": self.types[i],
                "start": int(self.spans[i, 0]),
                "end": int(self.spans[i, 1]),
            }
            for i in range(len(self))
        ]

    def __repr__(self) -> str:
        head = "|".join(show_bytes(piece) for piece in self.pieces[:12])
        return f"Tokens({len(self):,} tokens, {clip(repr(head), 90)})"


@dataclass(frozen=True, eq=False)
class Scores(Value):
    """What the model gave every prompt position; natural logarithms, nats. n positions, k candidates.

    Row i is about the token at i + 1: `logprob` (n,) and `rank` (n,; 1 is first place) of the token
    that really follows, NaN and 0 in the last row. `top_ids`, `top_logprobs`: (n, k), best first.
    `entropy`, `logsumexp`, `margin` (log-probability of first minus second place): (n,) for each row's
    whole distribution. `logits`: full rows by position, only for those that were asked for.
    """

    logprob: Floats
    rank: Ints
    entropy: Floats
    logsumexp: Floats
    margin: Floats
    top_ids: Ints
    top_logprobs: Floats
    logits: tuple[tuple[int, Floats], ...] = ()

    ARRAYS = ("logprob", "rank", "entropy", "logsumexp", "margin", "top_ids", "top_logprobs")

    def __post_init__(self) -> None:
        for name in self.ARRAYS:
            dtype = np.int32 if name in ("rank", "top_ids") else np.float32
            object.__setattr__(self, name, frozen_array(getattr(self, name), dtype))
        rows = tuple((int(i), frozen_array(row, np.float32)) for i, row in self.logits)
        object.__setattr__(self, "logits", rows)

    def __len__(self) -> int:
        return len(self.entropy)

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Scores)
            and all(same_array(getattr(self, name), getattr(other, name)) for name in self.ARRAYS)
            and [i for i, _ in self.logits] == [i for i, _ in other.logits]
            and all(same_array(a, b) for (_, a), (_, b) in zip(self.logits, other.logits, strict=True))
        )

    def __hash__(self) -> int:
        return hash((self.top_ids.tobytes(), self.logprob.tobytes()))

    def to_dict(self) -> dict[str, Any]:
        """`{logprob, rank, entropy, logsumexp, margin, top_ids, top_logprobs}`; last `logprob`, `rank` null."""
        data: dict[str, Any] = {name: getattr(self, name).tolist() for name in self.ARRAYS}
        data["logprob"] = [None if math.isnan(x) else x for x in data["logprob"]]
        data["rank"] = [rank or None for rank in data["rank"]]
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Scores:
        """The inverse of `to_dict`, but for the full logits and the infinities, which JSON does not carry."""
        rank = [rank or 0 for rank in data["rank"]]
        floats: dict[str, Any] = {
            name: np.array(data[name], dtype=np.float32)
            for name in ("logprob", "entropy", "logsumexp", "margin", "top_logprobs")
        }
        return cls(rank=np.array(rank, np.int32), top_ids=np.array(data["top_ids"], np.int32), **floats)

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "logprob": float(self.logprob[i]),
                "rank": int(self.rank[i]) or None,
                "entropy": float(self.entropy[i]),
                "margin": float(self.margin[i]),
                "top_id": int(self.top_ids[i, 0]),
                "top_logprob": float(self.top_logprobs[i, 0]),
            }
            for i in range(len(self))
        ]

    def __repr__(self) -> str:
        known = self.logprob[:-1]
        mean = f", mean log-probability {known.mean():.3f} nats" if len(known) else ""
        return f"Scores({len(self):,} positions, top {self.top_ids.shape[1]}{mean})"


class Draw(NamedTuple):
    """A random choice: a number in [0, 1) and the part of that range, `low` to `high`, on which its result stands.

    Of a sampler that draws a token it is that token's share of the cumulated probabilities, in llama.cpp's
    order of the candidates; of xtc the range in which it is at work. `number` is None where it is not known:
    llama.cpp does not tell it, and what the seed gives did not fit the result.
    """

    number: float | None
    low: float
    high: float


class SamplerStage(NamedTuple):
    """One sampler of the chain at one step: candidates left after it, how many it removed, the best few.

    `top_ids` and `top_probs` are its output, best first, probabilities over the candidates left. `kept` is
    the share of the probability before it that the candidates left had; `probs` the probability after it of
    each of `Step.watched`, 0 for a removed one; `draw` the random number of a sampler that draws.
    """

    name: str
    n_left: int
    n_removed: int
    top_ids: tuple[int, ...]
    top_probs: tuple[float, ...]
    kept: float = 1.0
    probs: tuple[float, ...] = ()
    draw: Draw | None = None

    @classmethod
    def of(cls, data: dict[str, Any]) -> SamplerStage:
        """From its JSON form."""
        lists: dict[str, Any] = {"top_ids": tuple(data["top_ids"]), "kept": float(data.get("kept", 1.0))}
        lists |= {name: tuple(map(_float, data.get(name, ()))) for name in ("top_probs", "probs")}
        return cls(**(data | lists | {"draw": Draw(*data["draw"]) if data.get("draw") else None}))


@dataclass(frozen=True)
class Step:
    """One generated token: `logprob` (nats) and `rank` under the model itself, before any sampler.

    `top_ids` and `top_logprobs` are the model's own candidates, best first; `stages` what each sampler
    left of them, in the chain's order; the last stage drew `id`. `watched` are the candidates that are
    followed through all samplers, with their `pieces` and their probability `before` the first one.
    """

    id: int
    piece: bytes
    type: str
    logprob: float
    rank: int
    entropy: float
    margin: float
    top_ids: tuple[int, ...]
    top_logprobs: tuple[float, ...]
    stages: tuple[SamplerStage, ...]
    watched: tuple[int, ...] = ()
    pieces: tuple[bytes, ...] = ()
    before: tuple[float, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """The fields by name; `piece` in base64."""
        return {
            "id": self.id,
            "piece": base64.b64encode(self.piece).decode("ascii"),
            "type": self.type,
            "logprob": self.logprob,
            "rank": self.rank,
            "entropy": self.entropy,
            "margin": self.margin,
            "top_ids": list(self.top_ids),
            "top_logprobs": list(self.top_logprobs),
            "stages": [
                {name: list(value) if isinstance(value, tuple) else value for name, value in stage._asdict().items()}
                for stage in self.stages
            ],
            "watched": list(self.watched),
            "pieces": [base64.b64encode(piece).decode("ascii") for piece in self.pieces],
            "before": list(self.before),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Step:
        """The inverse of `to_dict`."""
        return cls(
            id=data["id"],
            piece=base64.b64decode(data["piece"], validate=True),
            type=data["type"],
            logprob=_float(data["logprob"]),
            rank=data["rank"],
            entropy=_float(data["entropy"]),
            margin=_float(data["margin"]),
            top_ids=tuple(data["top_ids"]),
            top_logprobs=tuple(-np.inf if x is None else float(x) for x in data["top_logprobs"]),
            stages=tuple(SamplerStage.of(stage) for stage in data["stages"]),
            watched=tuple(data.get("watched", ())),
            pieces=tuple(base64.b64decode(piece, validate=True) for piece in data.get("pieces", ())),
            before=tuple(map(_float, data.get("before", ()))),
        )


StopReason = Literal["end-of-generation", "max-tokens", "stop-text", "context-full", "cancelled", "error"]


@dataclass(frozen=True)
class Generation(Value):
    r"""The answer token by token and why it stopped; `sampling` are the parameters that really applied.

    `text` is what a client would show: the pieces joined and decoded once, control tokens and the stop
    text left out; bytes that are no UTF-8 stand as \\xNN escapes. `raw` are all pieces joined.
    """

    steps: tuple[Step, ...]
    stop_reason: StopReason
    stop_detail: str
    text: str
    sampling: FrozenJSON = field(default_factory=lambda: FrozenJSON({}))

    @property
    def ids(self) -> tuple[int, ...]:
        """The sampled ids, the one that ended the generation included."""
        return tuple(step.id for step in self.steps)

    @property
    def raw(self) -> bytes:
        """All pieces joined, control tokens included."""
        return b"".join(step.piece for step in self.steps)

    def answer(self, preserved: frozenset[str] = frozenset()) -> str:
        """The text an output parser reads: `text` with the control tokens in `preserved` left in.

        llama-server does the same with the tokens that its output format names as preserved.
        """
        steps = self.steps[:-1] if self.stop_reason == "end-of-generation" else self.steps
        kept = [s for s in steps if s.type != "control" or show_bytes(s.piece) in preserved]
        text = show_bytes(b"".join(step.piece for step in kept))
        if self.stop_reason == "stop-text":
            cuts = [at for stop in self.sampling.value().get("stop", []) if (at := text.find(stop)) >= 0]
            return text[: min(cuts)] if cuts else text
        return text

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Step]:
        return iter(self.steps)

    def to_dict(self) -> dict[str, Any]:
        """`{ids, text, raw (base64), stop_reason, stop_detail, sampling, steps}`."""
        return {
            "ids": list(self.ids),
            "text": self.text,
            "raw": base64.b64encode(self.raw).decode("ascii"),
            "stop_reason": self.stop_reason,
            "stop_detail": self.stop_detail,
            "sampling": self.sampling.value(),
            "steps": [step.to_dict() for step in self.steps],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Generation:
        """The inverse of `to_dict`."""
        return cls(
            steps=tuple(Step.from_dict(step) for step in data["steps"]),
            stop_reason=data["stop_reason"],
            stop_detail=data["stop_detail"],
            text=data["text"],
            sampling=FrozenJSON(data.get("sampling", {})),
        )

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "id": step.id,
                "piece": show_bytes(step.piece),
                "type": step.type,
                "logprob": step.logprob,
                "rank": step.rank,
                "entropy": step.entropy,
                "margin": step.margin,
                "left": step.stages[-1].n_left if step.stages else None,
            }
            for step in self.steps
        ]

    def __repr__(self) -> str:
        return f"Generation({len(self.steps)} tokens, {self.stop_reason}, {clip(repr(self.text), 80)})"


class ToolCall(NamedTuple):
    """A call found in the text: `arguments` an object where it parsed, else as written; `span` in code points."""

    name: str
    arguments: Any
    span: tuple[int, int]


class ParseNote(NamedTuple):
    """A repair or an error: what, in words, and where in the raw text (code points)."""

    message: str
    span: tuple[int, int]


class CodeBlock(NamedTuple):
    """A fenced block: its language tag, its text, where it stands, and what is wrong with it (Python only) or None."""

    language: str
    code: str
    span: tuple[int, int]
    error: str | None


@dataclass(frozen=True)
class Parsed(Value):
    """What an output parser made of the answer; `raw` is the text it read, unchanged. Never an exception."""

    parser: str
    raw: str
    content: str
    reasoning: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    repairs: tuple[ParseNote, ...] = ()
    errors: tuple[ParseNote, ...] = ()
    code: tuple[CodeBlock, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """`{parser, raw, content, reasoning, tool_calls, repairs, errors, code}`."""
        return {
            "parser": self.parser,
            "raw": self.raw,
            "content": self.content,
            "reasoning": self.reasoning,
            "tool_calls": [call._asdict() | {"span": list(call.span)} for call in self.tool_calls],
            "repairs": [note._asdict() | {"span": list(note.span)} for note in self.repairs],
            "errors": [note._asdict() | {"span": list(note.span)} for note in self.errors],
            "code": [block._asdict() | {"span": list(block.span)} for block in self.code],
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Parsed:
        """The inverse of `to_dict`."""

        def spanned(kind: Any, items: Any) -> tuple[Any, ...]:
            return tuple(kind(**(item | {"span": (item["span"][0], item["span"][1])})) for item in items)

        return cls(
            parser=data["parser"],
            raw=data["raw"],
            content=data["content"],
            reasoning=data.get("reasoning"),
            tool_calls=spanned(ToolCall, data.get("tool_calls", ())),
            repairs=spanned(ParseNote, data.get("repairs", ())),
            errors=spanned(ParseNote, data.get("errors", ())),
            code=spanned(CodeBlock, data.get("code", ())),
        )

    def __hash__(self) -> int:
        return hash((self.parser, self.raw))

    def _rows(self) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = [{"part": "content", "value": self.content, "span": None}]
        if self.reasoning is not None:
            rows.append({"part": "reasoning", "value": self.reasoning, "span": None})
        rows += [{"part": f"call {c.name}", "value": c.arguments, "span": c.span} for c in self.tool_calls]
        rows += [{"part": "repair", "value": n.message, "span": n.span} for n in self.repairs]
        rows += [{"part": "error", "value": n.message, "span": n.span} for n in self.errors]
        rows += [{"part": f"code {b.language}", "value": b.error or "ok", "span": b.span} for b in self.code]
        return rows

    def __repr__(self) -> str:
        calls = ", ".join(call.name for call in self.tool_calls)
        parts = [self.parser, f"content {clip(repr(self.content), 60)}"]
        parts += [f"calls [{calls}]"] if calls else []
        parts += [f"{len(self.errors)} errors"] if self.errors else []
        return f"Parsed({', '.join(parts)})"


def _float(value: Any) -> float:
    return float("nan") if value is None else float(value)


def show_bytes(piece: bytes) -> str:
    r"""A token's bytes as text, every byte that is no valid UTF-8 as \\xNN: nothing is dropped."""
    return piece.decode("utf-8", "backslashreplace")
