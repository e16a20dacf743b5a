"""Runs a text through a base and its candidates, chunk by chunk, and keeps figures only."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np

from workbench.conversation import read_text
from workbench.cpu import cpu_name
from workbench.environment import versions
from workbench.errors import BadFile, BadRequest, Cancelled, HostDied
from workbench.gguf.fingerprint import fingerprint
from workbench.gguf.grid import Grids, weight_grids
from workbench.gguf.header import Header, read_header
from workbench.progress import Cancel, Progress
from workbench.quality.result import PERCENTILES, Candidate, Quality, positions_per_chunk
from workbench.quality.state import Floats, State
from workbench.quality.statistics import FEWEST, figures, percentile
from workbench.runtime import records
from workbench.runtime.host import Host
from workbench.runtime.limits import Limits
from workbench.runtime.model_file import model_file
from workbench.runtime.placement import layout
from workbench.runtime.protocol import unpack_arrays
from workbench.runtime.refusals import refuse
from workbench.setup import Setup

TOKENS = "tokenizer.ggml.tokens"
BATCH = 512  # tokens at once, where the setup does not say
LOGITS_BYTES = 128 << 20  # of a batch's logits, where the setup does not say
FLAGS = {"tokenizer.add_special": True, "tokenizer.parse_special": False}  # as llama-perplexity tokenises

Given = Setup | str | Path


def measure(
    base: Given,
    candidates: Sequence[Given],
    text: str | Path,
    *,
    n_ctx: int = 512,
    resume: bool = True,
    on_chunk: Callable[[Quality], None] | None = None,
    progress: Progress | None = None,
    cancel: Cancel | None = None,
) -> Quality:
    """How far each candidate is from `base` on `text` (a text, or the `Path` of a file with one).

    The statistics of `llama-perplexity --kl-divergence` on the same chunks of `n_ctx` tokens and the same
    positions. All models are loaded in one process and read a chunk after the other: no file of logits, and
    memory for one batch of logits a model. Each chunk that is done is kept, so that a measurement that was
    cancelled, or that the machine ended, goes on there; `resume=False` measures all of it anew. `on_chunk` gets
    the figures of the chunks so far behind each one that was measured, as soon as there are enough positions.

    Errors: `BadRequest` for another vocabulary or a text of less than two chunks, `BadFile`, `CannotRun` where
    the models do not fit in memory together or the disk is full, `HostDied`, `Cancelled`.
    """
    if not candidates:
        raise BadRequest("no candidate was given", "accepted is one model or more to hold against the base")
    if n_ctx < 4:
        raise BadRequest(f"n_ctx is {n_ctx}", "accepted is 4 or more, as a rule 512")
    setups = [_for_chunks(setup, n_ctx) for setup in (base, *candidates)]
    return _Measurement(setups, n_ctx, resume, on_chunk, progress, cancel).run(_text(text))


def _text(text: str | Path) -> str:
    """The text; of a file's, the last line end is left out, as llama.cpp's tools do.

    https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/common/arg.cpp#L1807
    """
    return read_text(text, "a text").removesuffix("\n") if isinstance(text, Path) else text


def _for_chunks(given: Given, n_ctx: int) -> Setup:
    """The setup with a context for one chunk and, unless it says how many, batches whose logits stay small."""
    setup = given if isinstance(given, Setup) else Setup(model=str(given))
    if setup.model is None:
        raise BadRequest("a setup has no model", 'accepted is {"model": "PATH"}', "name a GGUF file")
    n_vocab = read_header(setup.model).n_vocab or 1
    batch = max(32, min(BATCH, n_ctx, LOGITS_BYTES // (4 * n_vocab)))
    changes: dict[str, Any] = {"runtime.n_ctx": n_ctx}
    changes |= {"runtime.n_batch": batch} if setup.runtime.n_batch is None else {}
    return setup.replace(**changes)


class _Measurement:
    """The work of one `measure()` call; `setups` are the base's and the candidates'."""

    def __init__(
        self,
        setups: list[Setup],
        n_ctx: int,
        resume: bool,
        on_chunk: Callable[[Quality], None] | None,
        progress: Progress | None,
        cancel: Cancel | None,
    ) -> None:
        self.setups, self.n_ctx, self.resume, self.on_chunk = setups, n_ctx, resume, on_chunk
        self.progress, self.cancel = progress, cancel
        self.resumed = 0
        self._own_notes: list[str] = []
        self.files = [model_file(setup) for setup in setups]
        for setup, file in zip(setups, self.files, strict=True):
            file.require_weights()
            refuse(file.header, setup.effective()["runtime"])
        _require_same_vocabulary([file.header for file in self.files])

    def run(self, text: str) -> Quality:
        with _beside(str(self.setups[0].model)) as grids, Host(self.setups[0].replace(**FLAGS)) as host:
            ids = host.tokenize(text, progress=self.progress, cancel=self.cancel).ids
            chunks = self._chunks(len(ids))
            state = self._state(ids, host)
            known = [state.load(i) if self.resume else None for i in range(chunks)]
            self.resumed = sum(chunk is not None for chunk in known)
            for i in range(chunks):
                if known[i] is None:
                    part = ids[i * self.n_ctx : (i + 1) * self.n_ctx].tolist()
                    held, known[i] = host.limits, self._chunk(host, part, i, chunks)
                    if host.limits != held:
                        state = self._state(ids, host)
                    state.save(i, known[i])  # type: ignore[arg-type]  # it was measured the line before
                    self._tell(known, self._wait_for(grids))
            reference = self._wait_for(grids)  # who leaves the block cancels them
        state.remove_old()
        return self._quality([chunk for chunk in known if chunk is not None], reference)

    def _state(self, ids: Any, host: Host) -> State:
        """What is kept of this measurement, as the host computes it; what it does of its own is noted."""
        self._own_notes = [note for setup in self.setups for note in host.limits.notes(setup)]
        return State(self._facts(ids, host.limits), (1 + 3 * (len(self.setups) - 1), positions_per_chunk(self.n_ctx)))

    def _wait_for(self, grids: Future[Grids]) -> Grids:
        """The grids, which are there long before the first chunk as a rule. Errors: `Cancelled`, `BadFile`."""
        while not wait([grids], timeout=0.05).done:
            if self.cancel is not None and self.cancel.is_set():
                raise Cancelled(f"looking at the weights of {Path(str(self.setups[0].model)).name} was cancelled")
        return grids.result()

    def _tell(self, known: list[Floats | None], reference: Grids) -> None:
        """The figures of what is measured so far, for whoever follows."""
        chunks = [chunk for chunk in known if chunk is not None]
        if self.on_chunk is not None and len(chunks) * positions_per_chunk(self.n_ctx) >= FEWEST:
            self.on_chunk(self._quality(chunks, reference))

    def _quality(self, chunks: list[Floats], reference: Grids) -> Quality:
        measured = np.concatenate(chunks, axis=1)  # (1 + 3c, positions)
        return Quality(
            base=self.setups[0],
            candidates=tuple(_candidate(setup, measured, i) for i, setup in enumerate(self.setups[1:])),
            n_ctx=self.n_ctx,
            chunks=len(chunks),
            reference=reference,
            notes=tuple(self._notes(reference)),
            resumed=self.resumed,
        )

    def _chunks(self, n: int) -> int:
        """How many whole chunks `n` tokens make. Errors: `BadRequest` for less than two, or too few positions."""
        chunks = n // self.n_ctx
        if chunks < 2 or chunks * positions_per_chunk(self.n_ctx) < FEWEST:
            least = max(2, -(-FEWEST // positions_per_chunk(self.n_ctx))) * self.n_ctx
            raise BadRequest(
                f"the text has {n:,} token{'' if n == 1 else 's'}",
                f"accepted are {least:,} or more: two chunks of {self.n_ctx} tokens, and {FEWEST} positions to compare",
                "give a longer text or a smaller n_ctx",
            )
        return chunks

    def _chunk(self, host: Host, ids: list[int], number: int, chunks: int) -> Floats:
        """One chunk through all models: rows `nll_base`, then for each candidate `nll`, `kld`, `same_top`."""

        def arguments(held: Limits) -> dict[str, Any]:
            others = [self._order(i, held) for i in range(1, len(self.files))]
            return {"ids": ids, "first": self.n_ctx // 2, "others": others}

        def tell(what: str, done: int, total: int) -> None:
            if self.progress is not None:
                whole = (number * total + done, chunks * total) if what == "comparing" else (done, total)
                self.progress(what, *whole)

        try:
            frame = host.ask("divergence", arguments, progress=tell, cancel=self.cancel)
        except Cancelled as stop:
            raise Cancelled(
                f"{stop.given} after {number:,} of {chunks:,} chunks", "", "measured again, it goes on from there"
            ) from stop
        except HostDied:
            self._require_unchanged()  # a mapped file that is cut off ends the process
            raise
        self._require_unchanged()
        found = unpack_arrays(frame.header["arrays"], frame.buffers)
        others = np.stack([found["nll"], found["kld"], found["same_top"].astype(np.float32)], axis=1)  # (c, 3, n)
        return np.concatenate([found["nll_base"][None], others.reshape(-1, others.shape[-1])])

    def _order(self, i: int, held: Limits) -> dict[str, Any]:
        """What the host needs to load a candidate."""
        file, runtime = self.files[i], held.runtime(self.setups[i])
        return {
            "path": file.path(weights=True, progress=self.progress, cancel=self.cancel),
            "overrides": file.live,
            "runtime": runtime,
            "need": layout(file.header, runtime)._asdict(),
            "identity": list(file.identity),
        }

    def _require_unchanged(self) -> None:
        """Errors: `BadFile` where a file was written anew since the measurement began."""
        for setup, file in zip(self.setups, self.files, strict=True):
            if model_file(setup).identity != file.identity:
                raise BadFile(f"{file.header.path} was changed while it was measured", "", "measure again")

    def _facts(self, ids: Any, held: Limits) -> dict[str, Any]:
        """All that the figures depend on."""
        models = [
            [fingerprint(file.header.path), file.live, file.copied, held.runtime(setup)]
            for setup, file in zip(self.setups, self.files, strict=True)
        ]
        build = [versions().get("llama-cpp-python"), cpu_name(), records.fingerprint()]
        return {"ids": hashlib.sha256(ids.tobytes()).hexdigest(), "n_ctx": self.n_ctx, "models": models, "build": build}

    def _notes(self, reference: Grids) -> list[str]:
        notes = [*dict.fromkeys(self._own_notes), *([reference.as_reference] if reference.on_grid else [])]
        trained = self.files[0].header.context_length
        if trained and self.n_ctx > trained:
            notes.append(f"the model was trained on {trained:,} tokens of context, and chunks have {self.n_ctx:,}")
        return notes


@contextlib.contextmanager
def _beside(model: str) -> Iterator[Future[Grids]]:
    """The grids of a model's weights, looked for while it is loaded; who leaves early does not wait for them."""
    left = Cancel()
    with ThreadPoolExecutor(1, thread_name_prefix="workbench-grids") as pool:
        try:
            yield pool.submit(weight_grids, model, cancel=left)
        finally:
            left.set()


def _candidate(setup: Setup, measured: Floats, number: int) -> Candidate:
    nll, kld, same_top = measured[1 + 3 * number : 4 + 3 * number]
    found = figures(measured[0], nll, kld, same_top)
    return Candidate(setup, tuple(found.items()), tuple((p, percentile(kld, p)) for p in PERCENTILES))


def _require_same_vocabulary(headers: list[Header]) -> None:
    """Errors: `BadRequest` where a candidate's tokens are not the base's."""
    base, *others = headers
    tokens = base.array(TOKENS) if base.n_vocab else []
    for other in others:
        if other.n_vocab != base.n_vocab:
            how = f"{other.n_vocab:,} tokens against {base.n_vocab:,}"
        else:
            theirs = other.array(TOKENS) if other.n_vocab else []
            differ = next((i for i, pair in enumerate(zip(tokens, theirs, strict=True)) if pair[0] != pair[1]), None)
            if differ is None:
                continue
            how = f"token {differ} is {theirs[differ]!r} against {tokens[differ]!r}"
        raise BadRequest(
            f"{other.path} has another vocabulary than {base.path}: {how}",
            "accepted are models with the same tokens, as quantisations of one model have",
        )
