"""The child process that renders with jinja2 as transformers does."""

from __future__ import annotations

import json
import random
from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime
from typing import Any, NamedTuple

from jinja2 import TemplateSyntaxError
from jinja2.environment import Template
from jinja2.exceptions import TemplateError

from . import environment as rules
from .containers import TrackedDict, TrackedList, wrap
from .instrument import CannotTrack, Instrumented, TrackedEnvironment
from .lenient import LenientEnvironment, given, lenient_tojson
from .origins import Source, Tracked, run
from .positions import Position
from .record import spans_of
from .relex import ResumingEnvironment
from .scalars import tracked_scalar
from .serving import Meta, Send, send_text, serve
from .watch import WatchGenerator, WatchRecorder, watched

_MESSAGE = 100_000  # characters of an error message that are kept
_CACHED = 16  # compiled templates of each kind
random.seed(0)
_SEEDED = random.getstate()


class _Run(NamedTuple):
    """A template's run on tracked values: its text, or the error; neither where the request was refused."""

    instrumented: Instrumented | None
    text: Tracked | None
    error: Exception | None


class Worker:
    """Renders with templates it compiles once; `clock` is what `strftime_now` tells."""

    def __init__(self) -> None:
        self.clock = rules.Clock(datetime.now())  # noqa: DTZ005  each request brings its own
        self._plain_environment = rules.configure(ResumingEnvironment, self.clock)
        self._tracked_environment = tracked_environment(self.clock)
        self._lenient_environment = lenient_environment(self.clock)
        self._plain: OrderedDict[str, Template] = OrderedDict()
        self._tracked: OrderedDict[str, Instrumented] = OrderedDict()
        self._lenient: OrderedDict[str, Instrumented] = OrderedDict()

    def plain(self, source: str, body: Any, special: dict[str, str]) -> tuple[str | None, Meta]:
        """The text as jinja2 writes it, or None and the error; what was changed in the request."""
        rewrites: list[str] = []
        self.clock.used = False
        random.seed(0)
        try:
            variables = plain_variables(body, special, rewrites)
            template = _cached(self._plain, source, self._plain_environment.from_string)
            return template.render(**variables), self._facts(source, rewrites)
        except Exception as error:  # noqa: BLE001  a template may raise anything, and each is a result
            return None, self._facts(source, rewrites) | {"error": error_of(error)}

    def _facts(self, source: str, rewrites: list[str]) -> Meta:
        chance = ("random" in source or "lipsum" in source) and random.getstate() != _SEEDED
        return {"rewrites": rewrites, "clock_used": self.clock.used, "random_used": chance}

    def tracked(self, source: str, body: Any, special: dict[str, str], text: str | None) -> Meta:
        """Spans and events of the same render, which wrote `text`; the error's column where it failed."""
        run = self._follow(source, body, special)
        if run.text is None or run.instrumented is None:
            return self._untold(run, text)
        if text is None:
            return {"note": "origins are unknown: the run that follows them wrote another text"}
        if str.__eq__(run.text, text):
            return _found(run.text, run.instrumented)
        try:
            return self._aligned(run.instrumented, body, special, text)
        except Exception as error:  # noqa: BLE001  a template may raise anything
            return self._untold(run._replace(error=error), text)

    def alone(self, source: str, body: Any, special: dict[str, str]) -> tuple[str | None, Meta]:
        """What `tracked` tells without a plain run before it, and the text that it wrote: to be compared."""
        run = self._follow(source, body, special)
        if run.text is None or run.instrumented is None:
            return None, self._untold(run, None)
        return str.__getitem__(run.text, slice(None)), _found(run.text, run.instrumented)

    def lenient(self, source: str, body: Any, special: dict[str, str]) -> tuple[str | None, Meta]:
        """What `alone` tells of a run that forgives what jinja2 would raise for."""
        random.seed(0)
        try:
            instrumented = _cached(self._lenient, source, self._forgive)
            text = instrumented.run(given(tracked_variables(body, special)))
        except Exception:  # noqa: BLE001  a template may raise anything: then nothing is told
            return None, {}
        return str.__getitem__(text, slice(None)), _found(text, instrumented)

    def watch(self, source: str, body: Any, special: dict[str, str], text: str | None) -> Meta:
        """What `tracked` tells, and `watched`: variables, and who wrote each stretch of the text."""
        run = self._follow(source, body, special, watch=True)
        if run.instrumented is None or (run.text is None and text is not None):
            return self._untold(run, text)
        if run.text is None:  # both failed: the steps up to there
            return self._untold(run, text) | {"watched": watched(run.instrumented, Tracked(""))}
        if text is None or not str.__eq__(run.text, text):
            return {"note": "the steps cannot be followed: the run that follows them wrote another text"}
        return _found(run.text, run.instrumented) | {"watched": watched(run.instrumented, run.text)}

    def _follow(self, source: str, body: Any, special: dict[str, str], *, watch: bool = False) -> _Run:
        """Run the template on values that know where they are from."""
        random.seed(0)
        instrumented = None
        try:
            variables = tracked_variables(body, special)
        except RecursionError as error:  # these values take more of the stack than the plain run's
            return _Run(None, None, error)
        except Exception:  # noqa: BLE001  the plain run says it: no template has run, so there is no place and no event
            return _Run(None, None, None)
        try:
            instrumented = self._watching(source) if watch else _cached(self._tracked, source, self._instrument)
            return _Run(instrumented, instrumented.run(variables), None)
        except Exception as error:  # noqa: BLE001  a template may raise anything
            return _Run(instrumented, None, error)

    def _aligned(self, instrumented: Instrumented, body: Any, special: dict[str, str], text: str) -> Meta:
        """Spans where an output's origins could not be followed: only what that output wrote is unknown.

        What each output wrote is told by the same code on plain values; both runs must have taken the same steps.
        """
        random.seed(0)
        plain = instrumented.plain_run(self._plain_environment, plain_variables(body, special, []))
        random.seed(0)
        result = instrumented.run(tracked_variables(body, special), plain.pieces)
        same = "".join(plain.pieces) == text and str.__eq__(result, text)
        if not same or [*map(len, plain.pieces)] != [*map(len, instrumented.recorder.pieces)]:
            return {"note": "origins are unknown: the run that follows them wrote another text"}
        if plain.steps() != instrumented.recorder.steps():
            return {"note": "origins are unknown: the run that follows them took other steps"}
        note = "some origins are unknown: what one expression does to a text (such as |safe) is not followed"
        return _found(result, instrumented) | {"note": note}

    def _instrument(self, source: str) -> Instrumented:
        return Instrumented(self._tracked_environment, source)

    def _forgive(self, source: str) -> Instrumented:
        return Instrumented(self._lenient_environment, source)

    def _watching(self, source: str) -> Instrumented:
        return Instrumented(self._tracked_environment, source, WatchRecorder(), WatchGenerator)

    def _untold(self, run: _Run, text: str | None) -> Meta:
        """What there is to tell of a run that came to nothing; `text` is what the plain one wrote."""
        if isinstance(run.error, CannotTrack):
            return {"note": f"origins are not followed: {run.error}"}
        return self._failed(run.error, run.instrumented, text) if run.error is not None else {}

    def _failed(self, error: BaseException, instrumented: Instrumented | None, text: str | None) -> Meta:
        if text is not None:
            return {"note": f"origins are unknown: following them failed ({type(error).__name__}: {str(error)[:200]})"}
        found = error_of(error)
        if instrumented is None:
            return {"place": {"type": found["type"], "line": None, "column": self._syntax_column(error)}}
        line, column = instrumented.place_of(error) or instrumented.recorder.place
        if found["line"] is not None and found["line"] != line:
            line, column = instrumented.source_map.expression_on(instrumented.tree, found["line"])
        events = instrumented.recorder.events
        events.append(
            ["error", line, column, found["type"], instrumented.recorder.position, instrumented.recorder.position]
        )
        place = {"type": found["type"], "line": found["line"] or line or None, "column": column or None}
        return {"place": place, "events": events, "dropped": instrumented.recorder.dropped}

    def _syntax_column(self, error: BaseException) -> int | None:
        if not isinstance(error, TemplateSyntaxError):
            return None
        line = getattr(error, "lineno", None)
        lexer = self._tracked_environment.lexer
        source_map = lexer.source_map  # type: ignore[attr-defined]
        if isinstance(line, Position):
            return int(source_map.place(line.offset).column)
        if line is None:
            return None
        place = source_map.place(source_map.skip_space(lexer.reached))  # type: ignore[attr-defined]
        return int(place.column) if place.line == line else 1


def _found(result: Tracked, instrumented: Instrumented) -> Meta:
    spans = spans_of(result, instrumented.source_map)
    return {"spans": spans, "events": instrumented.recorder.events, "dropped": instrumented.recorder.dropped}


def tracked_environment(clock: rules.Clock, kind: type[TrackedEnvironment] = TrackedEnvironment) -> TrackedEnvironment:
    """The environment of the second run: the rules of the first, and origins."""
    from . import filters

    environment = rules.configure(kind, clock)
    filters.install(environment)
    plain_now: Any = environment.globals["strftime_now"]
    environment.globals["strftime_now"] = lambda *args, **kwargs: _now(plain_now(*args, **kwargs))
    return environment  # type: ignore[return-value]


def lenient_environment(clock: rules.Clock) -> TrackedEnvironment:
    """The same, more forgiving."""
    environment = tracked_environment(clock, LenientEnvironment)
    environment.filters["tojson"] = lenient_tojson
    return environment


def _now(text: str) -> Tracked:
    return Tracked(text, run(text, Source("default", "strftime_now")))


def plain_variables(body: Any, special: dict[str, str], rewrites: list[str]) -> dict[str, Any]:
    """The template's variables. Errors: those of `prepare`."""
    given = rules.prepare(body)
    rewrites += given.rewrites
    return {
        **special,
        **rules.visible(given.kwargs),
        "messages": rules.alias_reasoning(given.messages, rewrites),
        "tools": given.tools,
        "documents": given.documents,
        "add_generation_prompt": given.add_generation_prompt,
    }


def tracked_variables(body: Any, special: dict[str, str]) -> dict[str, Any]:
    """The same variables, every value knowing its path."""
    given = rules.prepare(body)
    kwargs = wrap(rules.visible(given.kwargs), "chat_template_kwargs")
    asked = Source("message" if "add_generation_prompt" in body else "default", "add_generation_prompt")
    return {
        **{name: Tracked(text, run(text, Source("default", name, text), 0)) for name, text in special.items()},
        **{str.__getitem__(name, slice(None)): value for name, value in kwargs.items()},
        "messages": _aliased(wrap(given.messages, "messages")),
        "tools": _or_none(given.tools, "tools", "tool"),
        "documents": _or_none(given.documents, "documents", "message"),
        "add_generation_prompt": tracked_scalar(given.add_generation_prompt, asked),
    }


def _or_none(value: Any, name: str, origin: str) -> Any:
    """A list of the request, or the null that the engine passes in its place."""
    return wrap(value, name, "default" if value is None else origin)


def _aliased(messages: Any) -> TrackedList:
    """The messages with the names of their reasoning; a name that the engine adds is the engine's."""
    result = TrackedList()
    result.source_ = messages.source_
    for message, aliased in zip(messages, rules.alias_reasoning(messages, []), strict=True):
        added = {name: Tracked(name, run(name, Source("default", name))) for name in aliased if name not in message}
        again = TrackedDict({added.get(name, name): value for name, value in aliased.items()})
        again.source_ = message.source_
        result.append(again)
    return result


def error_of(error: BaseException) -> Meta:
    """`{type, message, line, column}` of whatever a template raised."""
    if isinstance(error, MemoryError):
        return {"type": "MemoryLimit", "message": "", "line": None, "column": None}
    if isinstance(error, TemplateSyntaxError):
        return {"type": type(error).__name__, "message": str(error.message), "line": int(error.lineno), "column": None}
    if isinstance(error, SyntaxError):  # of the code that jinja2 made: its lines are not the template's
        return {"type": type(error).__name__, "message": _of_generated_code(error), "line": None, "column": None}
    message = str(error.message) if isinstance(error, TemplateError) and error.message is not None else str(error)
    line = None
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            template = trace.tb_frame.f_globals.get("__jinja_template__")
            line = template.get_corresponding_lineno(trace.tb_lineno) if template else trace.tb_lineno
        trace = trace.tb_next
    return {"type": type(error).__name__, "message": _short(message), "line": line, "column": None}


def _of_generated_code(error: SyntaxError) -> str:
    """What Python says about a template's code, without the line of that code."""
    if "nested" in error.msg or "too many" in error.msg:
        return f"the template is nested too deeply for Python: {error.msg}"
    return error.msg


def _short(message: str) -> str:
    """A message of at most `_MESSAGE` characters, with a word where it was longer."""
    if len(message) <= _MESSAGE:
        return message
    return f"{message[:_MESSAGE]}… (cut: the message has {len(message):,} characters)"


def _cached(cache: OrderedDict[str, Any], source: str, build: Callable[[str], Any]) -> Any:
    if source not in cache:
        cache[source] = build(source)
        if len(cache) > _CACHED:
            cache.popitem(last=False)
    cache.move_to_end(source)
    return cache[source]


class Answers:
    """Answers requests with one worker: the plain render, then the one that follows origins."""

    def __init__(self) -> None:
        self.worker = Worker()

    def __call__(self, options: Meta, body_text: bytes, send: Send) -> None:
        """The frames of one request's answer."""
        worker = self.worker
        body = json.loads(body_text.decode("utf-8", "surrogatepass"))
        worker.clock.now = datetime.fromisoformat(options["clock"])
        source, special = options["template"], options["special"]
        if options.get("alone"):
            run = worker.lenient if options.get("lenient") else worker.alone
            text, found = run(source, body, special)
            send_text(send, text, {"rewrites": []})
            send(json.dumps(found).encode())
            return
        text, meta = worker.plain(source, body, special)
        send_text(send, text, meta)
        failed_by_memory = (meta.get("error") or {}).get("type") == "MemoryLimit"
        follow = worker.watch if options.get("watch") else worker.tracked
        found = follow(source, body, special, text) if options["track"] and not failed_by_memory else {}
        send(json.dumps(found).encode())


def main() -> None:
    """Serve standard input."""
    serve(Answers)
