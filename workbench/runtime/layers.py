"""Layer outputs as llama.cpp computes them, caught by its evaluation callback in the model's process.

llama.cpp names the nodes of its graph: `embd` is what enters the first layer, `l_out-N` what layer N gives
to the next one. A context that has a callback computes its graph in pieces, up to each node that somebody
asked for: https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/ggml/src/ggml-backend.cpp#L1814
So such a context is made for this alone; an ordinary one has none.

Shapes: L layers, d values a position, v ids. Stage 0 is the embedding, stage N + 1 the output of layer N.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from workbench.gguf.library import shared_library
from workbench.runtime.scoring import Array, Rows, Scorer

if TYPE_CHECKING:
    from workbench.runtime.session import Report, Session

LAYER_OUTPUT = "l_out"
EMBEDDINGS = ("embd", "inp_embd")  # today's name and an older one
OnStage = Callable[[int, Array], bool]
"""`on_stage(stage, values)`: values (r, d) float32, valid during the call; True: they were changed, put them back."""


class LayerTap:
    """The callback of one context and what it is to do with each layer's output."""

    def __init__(self, library: Any, n_layer: int, n_embd: int) -> None:
        self.callback = library.ggml_backend_sched_eval_callback(self._on_node)  # must outlive the context
        self.caught: set[int] = set()
        self._ggml = _graph_functions()
        self._n_layer, self._n_embd = n_layer, n_embd
        self._stages: dict[bytes, int] = {}
        self._buffer = np.empty((0, n_embd), np.float32)
        self._on_stage: OnStage | None = None
        self._failure: Exception | None = None

    def evaluate(self, session: Session, ids: list[int], on_stage: OnStage, *, tensor: str = LAYER_OUTPUT) -> None:
        """Evaluate `ids` (n,) behind what is cached, logits for all of them; `on_stage` sees every layer's rows."""
        self._stages = dict.fromkeys((name.encode() for name in EMBEDDINGS), 0)
        self._stages |= {f"{tensor}-{layer}".encode(): layer + 1 for layer in range(self._n_layer)}
        self._buffer = np.empty((len(ids), self._n_embd), np.float32)
        self.caught, self._failure, self._on_stage = set(), None, on_stage
        try:
            session.decode(ids, all_logits=True)
        finally:
            self._on_stage = None
            if self._failure is not None:
                raise self._failure

    def missing(self, tensor: str) -> str:
        """Why the last evaluation gave no layer outputs, in words; empty where it gave all of them."""
        found = len(self.caught - {0})
        if found == self._n_layer:
            return ""
        return (
            f"llama.cpp's graph of this model has {found} of {self._n_layer} tensors {tensor}-0 to "
            f"{tensor}-{self._n_layer - 1} with {self._n_embd:,} values a position"
        )

    def _on_node(self, tensor: int, ask: bool, _user_data: Any) -> bool:
        """Asked of each node: is it wanted? Then, of a wanted one, when it is computed: go on?"""
        stage = self._stages.get(self._ggml.ggml_get_name(tensor)) if self._on_stage is not None else None
        if stage is None or ask:
            return (stage is not None) == ask
        try:
            self._take(tensor, stage)
        except Exception as failure:  # noqa: BLE001  ctypes would print it and go on
            self._failure = failure
        return self._failure is None

    def _take(self, tensor: int, stage: int) -> None:
        size = self._buffer.nbytes
        if self._ggml.ggml_nbytes(tensor) != size or self._ggml.ggml_nelements(tensor) != self._buffer.size:
            return  # another shape or type: no output of a layer as it is meant here
        self._ggml.ggml_backend_tensor_get(tensor, self._buffer.ctypes.data, 0, size)
        self.caught.add(stage)
        if self._on_stage is not None and self._on_stage(stage, self._buffer):
            self._ggml.ggml_backend_tensor_set(tensor, self._buffer.ctypes.data, 0, size)


class LensRows(NamedTuple):
    """(L + 1) x p rows, stage by stage; `missing` why there are none; `off_nats` as in `compare.lens.Lens`."""

    rows: Rows
    missing: str
    off_nats: float


class LensReader:
    """What the model's own head gives for each stage's output at `positions` (p,), sorted.

    First the prompt is evaluated and the stages' outputs at the positions are kept, (L + 1, p, d). Then they
    are put, as many as a batch holds at a time, in the place of the last layer's output: llama.cpp's own
    graph goes on from there with the final norm and the output matrix, whatever these are in this model.
    """

    def __init__(self, session: Session, ids: list[int], positions: list[int], tensor: str, report: Report) -> None:
        self._session, self._ids, self._positions = session, ids, positions
        self._tensor, self._report = tensor, report
        self._n_layer = int(session.library.llama_model_n_layer(session.model))
        self._n_embd = int(session.library.llama_model_n_embd(session.model))
        self._targets = np.array([ids[i + 1] if i + 1 < len(ids) else -1 for i in positions], np.int64)  # (p,)

    def read(self, scorer: Scorer) -> LensRows:
        """The rows. Errors: `Cancelled`, `CannotRun`."""
        n = len(self._positions)
        kept = np.zeros((self._n_layer + 1, n, self._n_embd), np.float32)
        real = Rows(n, scorer.top_k)
        missing = self._keep_outputs(kept, real, scorer)
        if missing:
            return LensRows(Rows(0, scorer.top_k), missing, float("nan"))
        rows = Rows(len(kept) * n, scorer.top_k)
        self._through_the_head(kept.reshape(-1, self._n_embd), rows, scorer)
        last = slice(self._n_layer * n, None)
        gaps = np.abs(rows.top_logprobs[last] - real.top_logprobs), np.abs(rows.logsumexp[last] - real.logsumexp)
        return LensRows(rows, "", max(float(np.nanmax(gap, initial=0.0)) for gap in gaps))

    def _keep_outputs(self, kept: Array, real: Rows, scorer: Scorer) -> str:
        """Evaluate the prompt up to the last position; fill `kept` (L + 1, p, d) and the real rows (p,)."""
        session, ids, end = self._session, self._ids, self._positions[-1] + 1
        tap, chunk = session.require_tap(), session.n_ubatch
        for at in range(session.keep_prefix(ids, self._positions[0]), end, chunk):
            part = ids[at : min(at + chunk, end)]
            here = [i for i, position in enumerate(self._positions) if at <= position < at + len(part)]
            if not here:
                session.decode(part, all_logits=False)
                continue
            rows = [self._positions[i] - at for i in here]

            def keep(stage: int, values: Array, here: list[int] = here, rows: list[int] = rows) -> bool:
                kept[stage, here] = values[rows]
                return False

            tap.evaluate(session, part, keep, tensor=self._tensor)
            if missing := tap.missing(self._tensor):
                return missing
            logits = np.ascontiguousarray(session.logits(len(part))[rows])
            scorer.score(logits, self._targets[here], real, here[0])
            self._report("reading layer outputs", at + len(part), end)
        return ""

    def _through_the_head(self, vectors: Array, rows: Rows, scorer: Scorer) -> None:
        """Score `vectors` (m, d), each as if it were the last layer's output; the first token carries it."""
        session = self._session
        tap, chunk = session.require_tap(), min(session.n_ubatch, session.n_ctx)
        targets = np.tile(self._targets, self._n_layer + 1)  # (m,)
        for at in range(0, len(vectors), chunk):
            part = vectors[at : at + chunk]

            def put(stage: int, values: Array, part: Array = part) -> bool:
                if stage == self._n_layer:
                    values[:] = part
                return stage == self._n_layer

            session.keep_prefix([], 0)
            tap.evaluate(session, [self._ids[0]] * len(part), put, tensor=self._tensor)
            scorer.score(session.logits(len(part)), targets[at : at + chunk], rows, at)
            self._report("logit lens", at + len(part), len(vectors))
        session.keep_prefix([], 0)


def _graph_functions() -> ctypes.CDLL:
    """The functions of ggml on a node of a graph; they reach into a device's memory too."""
    library = ctypes.CDLL(str(shared_library("ggml-base")))
    node, size = ctypes.c_void_p, ctypes.c_size_t
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "ggml_get_name": (ctypes.c_char_p, [node]),
        "ggml_nbytes": (size, [node]),
        "ggml_nelements": (ctypes.c_int64, [node]),
        "ggml_backend_tensor_get": (None, [node, ctypes.c_void_p, size, size]),
        "ggml_backend_tensor_set": (None, [node, ctypes.c_void_p, size, size]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
