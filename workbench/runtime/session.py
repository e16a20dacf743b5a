"""A loaded model with its context: what the model's process holds between two calls."""

from __future__ import annotations

import ctypes
import ctypes.util
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from workbench.errors import BadFile, Cancelled, CannotRun
from workbench.gguf.altered import ALTERED
from workbench.runtime import params
from workbench.runtime.cost import of_context
from workbench.runtime.devices import Device, read_devices
from workbench.runtime.layers import LayerTap
from workbench.runtime.library import bindings, ggml
from workbench.runtime.log import LogWriter
from workbench.runtime.memory import available
from workbench.runtime.placement import Layout, require_fit, taking_part
from workbench.runtime.refusals import notes, refuse_devices, unlocked
from workbench.runtime.rpc import Servers
from workbench.runtime.scoring import Array, Rows
from workbench.runtime.vocabulary import Vocabulary

Report = Callable[[str, int, int], None]
DECODE_ABORTED = 2  # llama.h: llama_decode's return values
DECODE_NO_SLOT = 1
MAPPED = "_Mapped"  # in the name of a buffer that is the file's own pages


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
        self.tap: LayerTap | None = None
        self.others: list[Session] = []  # further models beside this one, see kld.py
        self.identity: Any = None  # which file and settings such a one has loaded
        self.model_params: Any = None
        self.context_params: Any = None
        self.servers = Servers(self.ggml)
        self.named: list[params.Device] | None = None  # the devices that the setup names
        self.devices: list[Device] = []  # those that share the layers
        self.notes: list[str] = []  # what the settings do otherwise than they sound
        self.n_ctx_train = 0  # as the file says: a context with YaRN changes what the model says of itself
        self._context_settings: dict[str, Any] = {}
        self._locked = False
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
        self,
        path: str,
        runtime: dict[str, Any],
        overrides: dict[str, Any],
        wanted: Layout,
        report: Report,
        *,
        tapped: bool = False,
    ) -> None:
        """The weights and a context, each loaded only where it is not there yet or has other settings.

        `tapped`: the context shows its layers' outputs (`tap`), and is slower; an ordinary one takes its place again.
        Errors: `CannotRun` where they do not fit in memory, `BadFile`, `Cancelled`.
        """
        if not self.has_weights:
            self.close()
            self.find_devices(runtime)
            require_fit(path, wanted, runtime, self.devices, available(), loaded=False)
            self._load(path, runtime, overrides, vocab_only=False, report=report)
            self.notes += unlocked(self.log.errors)
            self._locked = runtime["use_mlock"]
        settings = of_context(runtime, tapped=tapped)
        if self.context is not None and settings != self._context_settings:
            self.close_context()
        if self.context is None:
            require_fit(path, wanted, runtime, self.devices, available(), loaded=True)
            self._open_context(runtime, tapped=tapped)
            self._context_settings = settings
        self.library.llama_set_n_threads(self.context, runtime["n_threads"], runtime["n_threads"])

    def find_devices(self, runtime: dict[str, Any]) -> None:
        """Start and register the RPC servers that the setup names; see which devices share the layers, as `devices`.

        Errors: `BadRequest` for a device that is not there, `CannotRun`, `Cancelled`.
        """
        names, named = runtime["devices"], None
        self.named = None
        if names is not None:
            resolved = self.servers.resolve(names, n_threads=runtime["n_threads"], stopped=lambda: bool(self.stop))
            self.named = params.chosen_devices(resolved, params.list_devices(self.ggml))
            named = [device.name for device in self.named]
        present = read_devices(self.ggml)
        chosen = None if named is None else [present[name] for name in named]
        every = taking_part(runtime | {"split_mode": "layer"}, chosen, present.devices)
        refuse_devices(self.ggml, runtime, every)
        self.devices = taking_part(runtime, chosen, present.devices)
        self.notes = notes(self.library, runtime, self.devices)

    def _load(
        self, path: str, runtime: dict[str, Any], overrides: dict[str, Any], *, vocab_only: bool, report: Report
    ) -> None:
        given = params.model_params(
            self.library,
            runtime,
            devices=None if vocab_only else self.named,
            overrides=overrides,
            vocab_only=vocab_only,
            keep=self._keep,
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
        self.n_ctx_train = params.trained_n_ctx(self.library, model)
        self.vocabulary = Vocabulary(self.library, model)
        ignored = sorted(set(overrides) - self.log.overridden)
        if ignored and not vocab_only:  # a vocabulary alone reads none of the model's own keys
            self.close()
            raise CannotRun(
                f"llama.cpp does not read the metadata {', '.join(ignored)} of this model",
                "an override that changes nothing is refused",
                "remove it from the setup's metadata",
            )

    def _open_context(self, runtime: dict[str, Any], *, tapped: bool = False) -> None:
        given = params.context_params(self.library, runtime, n_ctx_train=self.n_ctx_train)
        given.abort_callback, given.abort_callback_data = self.stop.callback, self.stop.data
        if tapped:
            n_layer, n_embd = self.library.llama_model_n_layer(self.model), self.library.llama_model_n_embd(self.model)
            self.tap = LayerTap(self.library, n_layer, n_embd)
            given.cb_eval = self.tap.callback
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
            self.log.forget_context()
        self.context = self.tap = None
        self.cached, self.scored, self.rows = [], [], None

    def close(self) -> None:
        """Free everything."""
        self.close_context()
        if self.model is not None:
            self.library.llama_model_free(self.model)
        self.model, self.vocabulary, self.has_weights = None, None, False
        self._keep.clear()

    def opened(self) -> dict[str, Any] | None:
        """The context's settings (None: no context) and the memory that is held, MiB by buffer; None without weights.

        The pages of a file that is mapped and not locked are left out: the system counts them as free.
        """
        if not self.has_weights:
            return None
        held = {n: mib for n, mib in self.log.buffers_mib.items() if self._locked or MAPPED not in n.split()[0]}
        return {"context": self._context_settings if self.context is not None else None, "held_mib": held}

    # Computing

    @property
    def n_ctx(self) -> int:
        """Tokens that the context holds."""
        return int(self.library.llama_n_ctx(self.context))

    @property
    def n_ubatch(self) -> int:
        """Tokens that are computed at once."""
        return int(self.library.llama_n_ubatch(self.context))

    def require_tap(self) -> LayerTap:
        """The layers' outputs of this context, which was opened for them."""
        if self.tap is None:
            raise RuntimeError("this context shows no layer outputs")
        return self.tap

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

    def decode(self, ids: list[int], *, all_logits: bool, skip: int = 0) -> None:
        """Evaluate `ids` behind what is cached; with `all_logits` the first `skip` of them give none, the last always.

        Errors: `Cancelled` where the stop flag was set, `CannotRun`.
        """
        library, n = self.library, len(ids)
        silent = min(skip, n - 1) if all_logits else n - 1
        at = len(self.cached)
        tokens = (ctypes.c_int32 * n)(*ids)
        flags = (ctypes.c_int8 * n)(*([0] * silent + [1] * (n - silent)))
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
        """The last `n` rows that `decode` computed, (n, v) float32, in llama.cpp's own memory until the next call.

        Errors: `CannotRun` where they are no numbers.
        """
        rows = self.unchecked_logits(n)
        require_numbers(rows, len(self.cached) - n)
        return rows

    def unchecked_logits(self, n: int) -> Array:
        """The same for one who sees by its own sums where they are no numbers."""
        n_vocab = self.vocabulary.n_vocab if self.vocabulary else 0
        place = self.library.llama_get_logits(self.context)
        rows: Array = np.ctypeslib.as_array(place, shape=(n, n_vocab))
        return rows


def require_numbers(rows: Array, at: int) -> None:
    """Errors: `CannotRun` for a NaN or an infinity in `rows` (n, v), the first of which stands behind token `at`.

    An id that is never given, -inf, is a number here. One sum tells rows that are sound; it costs a hundredth of
    what computing them does.
    """
    if math.isfinite(rows.sum()):
        return
    bad = np.flatnonzero((np.isnan(rows) | np.isposinf(rows)).any(axis=1))
    if len(bad):
        raise no_numbers(at + int(bad[0]))


def no_numbers(position: int) -> CannotRun:
    """The error for a position whose logits are no numbers."""
    return CannotRun(
        f"the model's logits behind token {position:,} are no numbers (NaN or infinite)",
        "accepted are sound weights, and rope and YaRN settings that they can be computed with",
        "leave out the runtime settings one by one; if none is the cause, the file is damaged",
    )


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
