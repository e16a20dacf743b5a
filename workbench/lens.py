"""The logit lens: what each layer of a setup would have said at some positions of a prompt."""

from __future__ import annotations

import contextlib
import operator
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from workbench.compare.lens import Lens
from workbench.errors import BadRequest
from workbench.prompt import Prompt, prompt_of
from workbench.runtime.host import Host
from workbench.runtime.protocol import unpack_arrays
from workbench.setup import Setup
from workbench.values import clip

if TYPE_CHECKING:
    from workbench.progress import Cancel, Progress
    from workbench.prompt import Given

MOST_POSITIONS = 512
OFF_LIMIT_NATS = 0.5  # batch shapes alone move a log-probability by some hundredths


def lens(
    given: Given,
    setup: Setup | str | Path,
    positions: Sequence[int] | None = None,
    *,
    top_k: int = 10,
    tensor: str = "l_out",
    host: Host | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Lens:
    """What every layer would say behind the tokens at `positions` (None: the last one; negative: from the end).

    The layers' outputs are caught while llama.cpp computes, and put through the model's own final norm and
    output matrix, by llama.cpp too: nothing is dequantised or written anew. `tensor` is the name that the
    model's graph gives a layer's output. Where that is not to be had the value says why (`not_evaluated`).

    Errors: `BadRequest` for positions outside the prompt, and those of every call of a `Host`.
    """
    setup = setup if isinstance(setup, Setup) else Setup(model=str(setup))
    with contextlib.ExitStack() as stack:
        running = host or stack.enter_context(Host(setup))
        running.use(setup)
        prompt = prompt_of(given, setup, host=running, progress=progress, cancel=cancel)
        wanted = _positions(positions, len(prompt.ids))
        arguments = {"ids": prompt.ids, "positions": wanted, "top_k": max(1, int(top_k)), "tensor": tensor}
        frame = running.ask("lens", arguments, progress=progress, cancel=cancel)
        values, arrays = frame.header["values"], unpack_arrays(frame.header["arrays"], frame.buffers)
        missing = values["missing"] or _off(values["off_nats"], tensor)
        return _absent(missing, values["off_nats"]) if missing else _lens(running, prompt, wanted, arrays, values)


def _positions(positions: Sequence[int] | None, n: int) -> list[int]:
    accepted = f"accepted are some from 0 to {n - 1}, or from the end -1 to -{n}"
    try:
        asked = [operator.index(i) for i in positions] if positions is not None else [-1]
    except TypeError as error:
        raise BadRequest(f"positions are {clip(repr(positions), 80)}", f"{accepted}, in a list") from error
    if not asked or any(not -n <= i < n for i in asked):
        raise BadRequest(f"positions are {asked[:8]}", accepted)
    wanted = sorted({i % n for i in asked})
    if len(wanted) > MOST_POSITIONS:
        raise BadRequest(f"{len(wanted):,} positions are asked for", f"accepted are up to {MOST_POSITIONS} at once")
    return wanted


def _off(off_nats: float, tensor: str) -> str:
    if off_nats <= OFF_LIMIT_NATS:
        return ""
    return (
        f"put through the model's head, the last layer's {tensor} is {off_nats:.2f} nats from the model's own "
        "log-probabilities: in this architecture more than the head stands between them"
    )


def _lens(host: Host, prompt: Prompt, positions: list[int], arrays: dict[str, Any], values: dict[str, Any]) -> Lens:
    p = len(positions)
    shaped = {name: arrays[name].reshape(-1, p) for name in ("logprob", "rank", "entropy")}
    shaped |= {name: arrays[name].reshape(-1, p, arrays[name].shape[-1]) for name in ("top_ids", "top_logprobs")}
    following = [prompt.ids[i + 1] if i + 1 < len(prompt.ids) else -1 for i in positions]
    at_hand = [prompt.ids[i] for i in positions]
    named = sorted({*np.unique(shaped["top_ids"]).tolist(), *at_hand, *(i for i in following if i >= 0)})
    pieces = host.pieces(named)
    return Lens(
        positions=np.array(positions),
        following=np.array(following),
        **shaped,
        here=tuple(pieces[i] for i in at_hand),
        pieces=tuple(pieces.items()),
        off_nats=values["off_nats"],
    )


def _absent(why: str, off_nats: float) -> Lens:
    arrays = {name: np.zeros(0, dtype) for name, dtype in Lens.ARRAYS.items()}
    return Lens(**arrays, here=(), pieces=(), off_nats=off_nats, not_evaluated=why)
