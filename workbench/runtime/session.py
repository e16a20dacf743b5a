"""A loaded model with its context: what the model's process holds between two calls."""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import BadFile, Cancelled, CannotRun
from workbench.gguf.altered import ALTERED
from workbench.runtime import params
from workbench.runtime.cost import cost_of
from workbench.runtime.library import bindings, ggml
from workbench.runtime.log import LogWriter
from workbench.runtime.memory import Need, available, require_room
from workbench.runtime.scoring import Array, Rows
from workbench.runtime.vocabulary import Vocabulary

Report = Callable[[str, int, int], None]
DECODE_ABORTED = 2  # llama.h: llama_decode's return values
DECODE_NO_SLOT = 1


class StopFlag:
    """A byte that stops a computation from another thread, without Python in llama.cpp's way.

    llama.cpp asks its abort callback before every node of the graph. Here that callback is libc's
    `strlen` on a two-byte buffer: length 0 (go on) while the first byte is 0, length 1 (stop) once it
    is set. No Python runs and no interpreter lock is taken.
    """

    def __init__(self, library: Any) -> None:
        self._buffer = ctypes.create_string_buffer(2)
        strlen = ctypes.CDLL(ctypes.util.find_library("c")).strlen
        self.callback = ctypes.cast(strlen, library.ggml_abort_callback)
        self.data = ctypes.cast(self._buffer, ctypes.c_void_p)

    def set(self, stop: bool) -> None:
        """Stop what runs, or allow the next to run."""
        self._buffer[0] = b"\1" if stop else b"\0"

    def __bool__(self) -> bool:
        return self._buffer[0] != b"\0"


class Session:
    """One model: nothing, its vocabulary alone, or its weights with a context.

    `cached` are the ids whose keys and values are in the context, from position 0; `rows` what was
    scored for the first `n_rows` of them.
    """

    def __init__(self) -> None:
        self.library = bindings()
        self.ggml = ggml()
        self.log = LogWriter(self.library)
        self.library.llama_backend_init()
        self.stop = StopFlag(self.library)
        self.model: Any = None
        self.context: Any = None
        self.vocabulary: Vocabulary | None = None
        self.has_weights = False
        self.cached: list[int] = []
        self.scored: list[int] = []
        self.rows: Rows | None = None
        self.evaluated = 0
        self.model_params: Any = None
        self.context_params: Any = None
        self._context_settings: dict[str, Any] = {}
        self._keep: list[Any] = []

    # Loading

    def open_vocabulary(self, path: str, runtime: dict[str, Any], overrides: dict[str, Any]) -> Vocabulary:
        """The vocabulary, loaded without weights where nothing is loaded yet."""
        if self.vocabulary is None:
            self._load(path, runtime, overrides, vocab_only=True, report=lambda *_: None)
        if self.vocabulary is None:
            raise RuntimeError("loading left no vocabulary")
        return self.vocabulary

    def open_weights(
        self, path: str, runtime: dict[str, Any], overrides: dict[str, Any], wanted: Need, report: Report
    ) -> None:
        """The weights and a context, each loaded only where it is not there yet or has other settings.

        Errors: `CannotRun` where they do not fit in memory, `BadFile`, `Cancelled`.
        """
        if not self.has_weights:
            self.close()
            if not self._offloads(runtime):
                require_room(path, wanted, available())
            self._load(path, runtime, overrides, vocab_only=False, report=report)
        settings = {name: value for name, value in runtime.items() if cost_of(f"runtime.{name}") == "context"}
        if self.context is not None and settings != self._context_settings:
            self.close_context()
        if self.context is None:
            if not self._offloads(runtime):
                require_room(path, wanted._replace(weights=0), available())
            self._open_context(runtime)
            self._context_settings = settings
        self.library.llama_set_n_threads(self.context, runtime["n_threads"], runtime["n_threads"])

    def _offloads(self, runtime: dict[str, Any]) -> bool:
        """Whether a device with memory of its own takes part of the model."""
        kinds = [device.type for device in params.list_devices(self.ggml)]
        return runtime["n_gpu_layers"] != 0 and any(kind != "CPU" for kind in kinds)

    def _load(
        self, path: str, runtime: dict[str, Any], overrides: dict[str, Any], *, vocab_only: bool, report: Report
    ) -> None:
        devices = None
        if runtime["devices"] is not None:
            devices = params.chosen_devices(runtime["devices"], params.list_devices(self.ggml))
        given = params.model_params(
            self.library, runtime, devices=devices, overrides=overrides, vocab_only=vocab_only, keep=self._keep
        )
        thousandths = 0

        def on_progress(share: float, _user_data: Any) -> bool:
            nonlocal thousandths
            thousandths = int(share * 1000)
            report("loading the model", thousandths, 1000)
            return not self.stop

        given.progress_callback = self.library.llama_progress_callback(on_progress)
        self.log.errors.clear()
        self.log.overridden.clear()
        self.log.buffers_mib.clear()
        model = self.library.llama_model_load_from_file(path.encode("utf-8", "surrogateescape"), given)
        if not model:
            if self.stop:
                raise Cancelled(f"loading was stopped at {thousandths / 10:.0f} %")
            raise _load_error(path, self.log.last_error(), overrides)
        self.model, self.has_weights = model, not vocab_only
        self.model_params = given
        self.vocabulary = Vocabulary(self.library, model)
        ignored = sorted(set(overrides) - self.log.overridden)
        if ignored and not vocab_only:  # a vocabulary alone reads none of the model's own keys
            self.close()
            raise CannotRun(
                f"llama.cpp does not read the metadata {', '.join(ignored)} of this model",
                "an override that changes nothing is refused",
                "remove it from the setup's metadata",
            )

    def _open_context(self, runtime: dict[str, Any]) -> None:
        trained = self.library.llama_model_n_ctx_train(self.model)
        given = params.context_params(self.library, runtime, n_ctx_train=trained)
        given.abort_callback, given.abort_callback_data = self.stop.callback, self.stop.data
        self.log.errors.clear()
        context = self.library.llama_init_from_model(self.model, given)
        if not context:
            why = self.log.last_error() or "llama.cpp gave no reason"
            raise CannotRun(
                f"llama.cpp made no context of {given.n_ctx:,} tokens: {why}",
                "accepted are runtime settings that this model and machine can run",
                "lower n_ctx, n_batch or n_ubatch, or use other KV-cache types",
            )
        self.context, self.context_params = context, given
        self.cached, self.scored, self.rows = [], [], None

    def close_context(self) -> None:
        """Free the context and its KV cache; the weights stay."""
        if self.context is not None:
            self.library.llama_free(self.context)
        self.context = None
        self.cached, self.scored, self.rows = [], [], None

    def close(self) -> None:
        """Free everything."""
        self.close_context()
        if self.model is not None:
            self.library.llama_model_free(self.model)
        self.model, self.vocabulary, self.has_weights = None, None, False
        self._keep.clear()

    # Computing

    @property
    def n_ctx(self) -> int:
        """Tokens that the context holds."""
        return int(self.library.llama_n_ctx(self.context))

    @property
    def context_size(self) -> str:
        """`256 tokens (n_ctx 33, which llama.cpp rounds up)`; the real size, where it was rounded also the asked one.

        Behaviour: a multiple of 256, which llama-server uses whole too:
        https://github.com/ggml-org/llama.cpp/blob/0c1e57098bba43ac29e6e3b677cdceebdd22334f/src/llama-context.cpp#L290
        """
        asked = int(self.context_params.n_ctx)
        rounded = f" (n_ctx {asked:,}, which llama.cpp rounds up)" if asked < self.n_ctx else ""
        return f"{self.n_ctx:,} tokens{rounded}"

    def keep_prefix(self, ids: list[int], limit: int) -> int:
        """Keep the KV cache of the ids that `ids` has in common with it, at most `limit`; how many stay."""
        n = min(common_prefix(self.cached, ids), limit)
        memory = self.library.llama_get_memory(self.context)
        window = self.library.llama_model_n_swa(self.model) if hasattr(self.library, "llama_model_n_swa") else 0
        oldest = self.library.llama_memory_seq_pos_min(memory, 0)
        lost = n > 0 and oldest > max(0, n - window)  # a sliding window has dropped what the next token needs
        if n and (lost or not self.library.llama_memory_seq_rm(memory, 0, n, -1)):
            n = 0  # a recurrent state cannot be cut back
        if n == 0:
            self.library.llama_memory_clear(memory, False)
        del self.cached[n:]
        return n

    def decode(self, ids: list[int], *, all_logits: bool) -> None:
        """Evaluate `ids` behind what is cached. Errors: `Cancelled` where the stop flag was set, `CannotRun`."""
        library, n = self.library, len(ids)
        at = len(self.cached)
        tokens = (ctypes.c_int32 * n)(*ids)
        flags = (ctypes.c_int8 * n)(*([1] * n if all_logits else [0] * (n - 1) + [1]))
        batch = library.llama_batch(n_tokens=n, token=tokens, logits=flags)
        result = library.llama_decode(self.context, batch)
        if result == 0:
            self.cached += ids
            self.evaluated += n
            return
        # What a stopped or failed pass left in the cache is uncertain: forget it.
        library.llama_memory_seq_rm(library.llama_get_memory(self.context), 0, at, -1)
        if result == DECODE_ABORTED or self.stop:
            raise Cancelled(f"the computation was stopped behind token {at:,}")
        why = "no room in the KV cache" if result == DECODE_NO_SLOT else self.log.last_error()
        raise CannotRun(f"llama.cpp could not evaluate {n:,} tokens at position {at:,} (code {result}): {why}")

    def logits(self, n: int) -> Array:
        """The last `n` rows that `decode` computed, (n, v) float32, in llama.cpp's own memory until the next call."""
        n_vocab = self.vocabulary.n_vocab if self.vocabulary else 0
        place = self.library.llama_get_logits(self.context)
        return np.ctypeslib.as_array(place, shape=(n, n_vocab))


def common_prefix(a: list[int], b: list[int]) -> int:
    """How many leading items are equal."""
    n = min(len(a), len(b))
    different = np.flatnonzero(np.array(a[:n], np.int64) != np.array(b[:n], np.int64))
    return int(different[0]) if len(different) else n


def _load_error(path: str, why: str, overrides: dict[str, Any]) -> CannotRun | BadFile:
    """The error for a file that llama.cpp refused; with metadata of the setup's own it is not the file's fault."""
    if "alloc" in why or "memory" in why:
        return CannotRun(f"{path} does not fit in memory: {why}", "", "use a smaller file or free memory")
    if overrides or Path(path).parent.name == ALTERED:
        named = f" ({', '.join(overrides)})" if overrides else ""
        return CannotRun(
            f"llama.cpp does not load the model with the setup's metadata{named}: {why or 'it gave no reason'}",
            "accepted are metadata that fit this model and that this llama.cpp knows",
            "correct or remove the setup's metadata",
        )
    return BadFile(
        f"llama.cpp does not load {path}: {why or 'it gave no reason'}",
        "accepted is a GGUF file of an architecture that this llama.cpp knows",
        "a newer llama-cpp-python may know it",
    )
