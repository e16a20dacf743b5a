"""The process that may die: `python -m workbench.proof.worker`, cases in as JSON, one JSON line out for each step.

A line before each step says where it was when a process ends without a word.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from workbench.cpu import of_build
from workbench.gguf.header import read_header
from workbench.proof.cases import N_CTX, figures, nats_from, prompts
from workbench.runtime.placement import layout
from workbench.runtime.session import Session
from workbench.setup import Setup


def main(order: dict[str, Any]) -> int:
    """Try each case of `order["cases"]`: `{kind, extra_buffers, path}`."""
    _no_core_dumps()
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what llama.cpp prints is no line of ours

    def say(**line: Any) -> None:
        print(json.dumps(line), file=out, flush=True)

    session = Session()
    info = session.library.llama_print_system_info().decode("utf-8", "replace")
    say(features=list(of_build(info).names))
    for case in order["cases"]:
        for flash in (False, True):
            _try(session, case, flash, say)
        say(case=[case["kind"], case["extra_buffers"]], through=True)
        session.close()
    return 0


def _try(session: Session, case: dict[str, Any], flash: bool, say: Callable[..., None]) -> None:
    """One context: every prompt's last row against the figures."""
    base = {"case": [case["kind"], case["extra_buffers"]], "flash_attn": flash}
    say(**base, doing="loading the weights")
    runtime = {"n_ctx": N_CTX, "n_gpu_layers": 0, "devices": ["CPU"], "op_offload": False, "flash_attn": flash}
    runtime |= {"n_threads": min(2, os.cpu_count() or 1), "use_extra_bufts": case["extra_buffers"]}
    settings = Setup.from_dict({"model": case["path"], "runtime": runtime}).effective()["runtime"]
    session.open_weights(case["path"], settings, {}, layout(read_header(case["path"]), settings), lambda *_: None)
    for expected, ids in zip(figures()[case["kind"]], prompts(), strict=True):
        doing = f"a prompt of {len(ids)} token{'s' if len(ids) > 1 else ''}"
        say(**base, doing=doing)
        session.keep_prefix(ids, 0)
        session.decode(ids, all_logits=False)
        nats = nats_from(expected, log_softmax(session.unchecked_logits(1)[0]))
        say(**base, doing=doing, nats=nats if np.isfinite(nats) else None)


def log_softmax(logits: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Log-probabilities of one row of logits (vocabulary,), in float64."""
    wide = logits.astype(np.float64)
    wide -= wide.max()
    found: np.ndarray[Any, Any] = wide - np.log(np.exp(wide).sum())
    return found


def _no_core_dumps() -> None:
    try:
        import resource
    except ImportError:  # not on Windows
        return
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main(json.load(sys.stdin)))
