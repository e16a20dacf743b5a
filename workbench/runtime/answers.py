"""Frames from the model's process as the values of `workbench.stages`."""

from __future__ import annotations

import base64
import itertools
from typing import Any

from workbench.runtime.entries import Entries
from workbench.runtime.protocol import Frame, unpack_arrays
from workbench.stages import Generation, SamplerStage, Scores, Step, Tokens, show_bytes
from workbench.values import FrozenJSON


def build_tokens(frame: Frame) -> Tokens:
    """The answer to "tokenize"."""
    values, arrays = frame.header["values"], unpack_arrays(frame.header["arrays"], frame.buffers)
    ends = [0, *itertools.accumulate(arrays["lengths"].tolist())]
    joined = arrays["pieces"].tobytes()
    return Tokens(
        ids=arrays["ids"],
        pieces=tuple(joined[a:b] for a, b in itertools.pairwise(ends)),
        types=tuple(values["types"]),
        spans=arrays["spans"],
        byte_spans=arrays["byte_spans"],
        added=tuple((index, by) for index, by in values["added"]),
        n_vocab=values["n_vocab"],
        notes=tuple(values["notes"]),
    )


def build_pieces(ids: list[int], frame: Frame) -> dict[int, bytes]:
    """The answer to "pieces": by id."""
    arrays = unpack_arrays(frame.header["arrays"], frame.buffers)
    ends = [0, *itertools.accumulate(arrays["lengths"].tolist())]
    joined = arrays["pieces"].tobytes()
    return {token: joined[a:b] for token, (a, b) in zip(ids, itertools.pairwise(ends), strict=True)}


def build_text(frame: Frame) -> bytes:
    """The answer to "text_of"."""
    return unpack_arrays(frame.header["arrays"], frame.buffers)["text"].tobytes()


def build_entries(frame: Frame) -> Entries:
    """The answer to "entries"."""
    arrays = unpack_arrays(frame.header["arrays"], frame.buffers)
    parts = []
    for name in ("texts", "pieces"):
        joined, ends = arrays[name].tobytes(), [0, *itertools.accumulate(arrays[f"{name} lengths"].tolist())]
        parts.append(tuple(joined[a:b] for a, b in itertools.pairwise(ends)))
    return Entries(parts[0], parts[1], arrays["types"], arrays["ends"])


def build_scores(frame: Frame) -> Scores:
    """The answer to "score"."""
    arrays = unpack_arrays(frame.header["arrays"], frame.buffers)
    logits = {int(name.split()[1]): array for name, array in arrays.items() if name.startswith("logits ")}
    return Scores(**{name: arrays[name] for name in Scores.ARRAYS}, logits=tuple(sorted(logits.items())))


def build_step(data: dict[str, Any]) -> tuple[Step, bytes]:
    """A streamed step and the bytes of it that a client sees."""
    fields = dict(data)
    shown = base64.b64decode(fields.pop("shown"))
    stages = tuple(SamplerStage.of(stage) for stage in fields.pop("stages"))
    piece = base64.b64decode(fields.pop("piece"))
    pieces = tuple(base64.b64decode(other) for other in fields.pop("pieces", ()))
    fields |= {name: tuple(fields.get(name, ())) for name in ("top_ids", "top_logprobs", "watched", "before")}
    return Step(**fields, piece=piece, pieces=pieces, stages=stages), shown


def build_generation(steps: list[tuple[Step, bytes]], stopped: dict[str, Any], sampling: dict[str, Any]) -> Generation:
    """All steps and why they ended; the text is decoded once, so a character split over tokens comes out whole."""
    shown = b"".join(part for _, part in steps)
    if stopped["stop_reason"] == "stop-text":
        places = [at for stop in sampling["stop"] if (at := shown.find(stop.encode("utf-8", "surrogatepass"))) >= 0]
        shown = shown[: min(places, default=0)]  # none: it began before the first step
    really = sampling | ({"seed": stopped["seed"]} if "seed" in stopped else {})
    return Generation(
        steps=tuple(step for step, _ in steps),
        stop_reason=stopped["stop_reason"],
        stop_detail=stopped["stop_detail"],
        text=show_bytes(shown),
        sampling=FrozenJSON(really),
    )
