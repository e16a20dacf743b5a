"""The child process in which llama.cpp's own server runs, from the package xllamacpp, on a port of the loopback."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import sys
from collections.abc import Iterator
from typing import Any, NamedTuple

import xllamacpp

from .llama_server_http import apply, error_of, with_arguments, works
from .seen import ABSENT, CARRIED, SWITCH, VARIABLES, Change, changes, shown, words_of
from .server_log import DidNotStart, started
from .serving import MIB, Meta, Send, send_text, serve

_NO_HEADER = "\n"  # no value that a header can have, so that the server leaves the header out
_WAIT_S = 600.0  # for the server: this process' own limits end before
_FIELDS = 16  # of a request that are looked at for what they set
_ROOM = 512 * MIB  # by which one request may let this process grow


class Running(NamedTuple):
    """A server that is up: what it was started with, and the key that a request must bring."""

    template: str
    model: str
    server: Any
    key: str


class Answers:
    """Answers requests with one server at a time, which stays up until another template or model is asked for."""

    def __init__(self) -> None:
        self._running: Running | None = None

    def __call__(self, options: Meta, body_text: bytes, send: Send) -> None:
        """The frames of one request's answer."""
        body = json.loads(body_text.decode("utf-8", "surrogatepass"))
        with said_to_stderr():
            text, facts = self.apply(options["override"], options["model"], with_arguments(body, options["more"]))
        send_text(send, text, facts)
        with said_to_stderr():
            told = self.seen(options, body, facts.get("caps")) if text is not None and options.get("tell", True) else {}
        send(json.dumps(told).encode())

    def apply(self, template: str, model: str, body: bytes) -> tuple[str | None, Meta]:
        """The prompt that `/apply-template` gives, None and the error."""
        try:
            running = self._ready(template, model)
        except DidNotStart as error:
            words, line, column = error.reason
            place = {"line": line, "column": column}
            return None, {"error": error_of("DoesNotStart", f"llama-server does not start: {words}") | place}
        with limited():
            return apply(running.server.listening_address, body, _WAIT_S, key=running.key)

    def seen(self, options: Meta, body: Meta, caps: Any) -> Meta:
        """`seen`, the variables as the server handed them on, and `rewrites`; neither where it does not tell."""
        asked = with_arguments(body, {**options["more"], SWITCH: True})
        text, facts = self.apply(options["showing"]["override"], options["showing"]["model"], asked)
        values = shown(text) if text is not None and facts.get("caps") == caps else None
        if values is None:
            return {}
        found = changes(body, values, options["template"])
        return {"seen": values, "rewrites": words_of([self._caused(change, options, body) for change in found])}

    def _caused(self, change: Change, options: Meta, body: Meta) -> Change:
        """A variable that was added, with the field of the request without which it would be another one."""
        name = change.path
        if change.before is not None or change.after is None or name not in VARIABLES:
            return change
        for field in [field for field in body if field not in CARRIED][:_FIELDS]:
            without = {key: value for key, value in body.items() if key != field}
            asked = with_arguments(without, {**options["more"], SWITCH: True})
            text, _ = self.apply(options["showing"]["override"], options["showing"]["model"], asked)
            values = shown(text) if text is not None else None
            if values is not None and values.get(name, ABSENT) != json.loads(change.after):
                return change._replace(words=f"{change.after}, set by the request's {field}")
        return change

    def _ready(self, template: str, model: str) -> Running:
        """The server of this template and model; another one is stopped before: one port is open at most."""
        running = self._running
        if running is not None and (running.template, running.model) == (template, model):
            return running
        running = self._running = None
        key = new_key()
        server = started(lambda: xllamacpp.Server(parameters(template, model, key)))
        works(server.listening_address, _WAIT_S, key=key)
        self._running = Running(template, model, server, key)
        return self._running


def new_key() -> str:
    """A key that nobody guesses."""
    return secrets.token_urlsafe(32)


def parameters(template: str, model: str, key: str) -> Any:
    """Parameters of a server that renders and never generates: the smallest context, nothing unpacked or warmed up.

    Only this machine reaches it, on a port that the system chooses, and only who brings `key`; no page of a browser
    may read what it answers: it sends no header of CORS, for which a header that cannot be written is asked for.
    https://github.com/ggml-org/llama.cpp/blob/aa6192d38defc9a5d9fb2987413f71b18f214270/tools/server/server-http.cpp
    """
    found = xllamacpp.CommonParams()
    found.hostnames, found.port, found.reuse_port = ["127.0.0.1"], 0, False
    found.api_keys = [key]
    found.cors_origins = found.cors_methods = found.cors_headers = _NO_HEADER
    found.cors_credentials = False
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
