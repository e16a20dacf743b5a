"""The child process in which llama.cpp's own server runs, from the package xllamacpp, on a port of the loopback."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import xllamacpp

from .llama_server_http import apply, error_of, with_arguments
from .seen import SWITCH, changes, shown
from .server_log import DidNotStart, started
from .serving import MIB, Meta, Send, send_text, serve

_KEPT = 4  # servers
_ROOM = 512 * MIB  # by which one request may let this process grow


class Answers:
    """Answers requests with servers that stay up, one for each template and model."""

    def __init__(self) -> None:
        self._servers: OrderedDict[tuple[str, str], Any] = OrderedDict()

    def __call__(self, options: Meta, body_text: bytes, send: Send) -> None:
        """The frames of one request's answer."""
        body = json.loads(body_text.decode("utf-8", "surrogatepass"))
        with said_to_stderr():
            text, facts = self.apply(options["override"], options["model"], with_arguments(body, options["more"]))
        send_text(send, text, facts)
        with said_to_stderr():
            told = self.seen(options, body, facts.get("caps")) if text is not None else {}
        send(json.dumps(told).encode())

    def apply(self, template: str, model: str, body: bytes) -> tuple[str | None, Meta]:
        """The prompt that `/apply-template` gives, None and the error."""
        try:
            server = self._server(template, model)
        except DidNotStart as error:
            words, line, column = error.reason
            place = {"line": line, "column": column}
            return None, {"error": error_of("DoesNotStart", f"llama-server does not start: {words}") | place}
        with limited():
            return apply(server.listening_address, body)

    def seen(self, options: Meta, body: Meta, caps: Any) -> Meta:
        """`seen`, the variables as the server handed them on, and `rewrites`; neither where it does not tell."""
        asked = with_arguments(body, {**options["more"], SWITCH: True})
        text, facts = self.apply(options["showing"]["override"], options["showing"]["model"], asked)
        values = shown(text) if text is not None and facts.get("caps") == caps else None
        if values is None:
            return {}
        return {"seen": values, "rewrites": [str(change) for change in changes(body, values, options["template"])]}

    def _server(self, template: str, model: str) -> Any:
        key = (template, model)
        if key not in self._servers:
            self._servers[key] = started(lambda: xllamacpp.Server(parameters(template, model)))
            if len(self._servers) > _KEPT:
                self._servers.popitem(last=False)
        self._servers.move_to_end(key)
        return self._servers[key]


def parameters(template: str, model: str) -> Any:
    """Parameters of a server that renders and never generates: the smallest context, nothing unpacked or warmed up."""
    found = xllamacpp.CommonParams()
    found.model.path = model
    found.chat_template = template
    found.use_jinja = True
    found.n_ctx, found.n_parallel, found.n_gpu_layers = 256, 1, 0
    found.n_threads_http = found.cpuparams.n_threads = found.cpuparams_batch.n_threads = 1
    found.warmup = found.ui = found.fit_params = False
    found.no_extra_bufts = True
    found.verbosity = 1  # errors: why it does not start
    return found


@contextlib.contextmanager
def said_to_stderr() -> Iterator[None]:
    """Whatever C++ prints on standard output goes to standard error: the first carries our answers."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """One request may let this process grow by `_ROOM`, where the system can limit that."""
    try:
        import resource
        from pathlib import Path

        pages = int(Path("/proc/self/statm").read_text("ascii").split()[0])
    except (ImportError, OSError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + _ROOM, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def main() -> None:
    """Serve standard input; each request to the server has its own memory limit."""
    serve(Answers, limit=False)
