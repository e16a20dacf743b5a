"""A template's run watched step by step: the variables in scope behind each, and the step that wrote each stretch."""

# ruff: noqa: N802  the methods' names are those of jinja2's visitor

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

from jinja2 import nodes
from jinja2.compiler import Frame
from jinja2.utils import Namespace

from .instrument import Generator, Instrumented
from .origins import Tracked
from .positions import SourceMap
from .record import Event, Recorder, shown
from .scopes import Scopes

_ITEMS = 4  # of a list or an object that are shown
_GIVEN = ("caller", "kwargs", "varargs")  # arguments that jinja itself looks for in a macro's body
# [events so far, length of the text so far, {name: value in a few words, None where it is seen no longer}, whether a
# scope ended: what stood in it is still seen where its last step happened]
Change = list[Any]


class WatchRecorder(Recorder):
    """A recorder that keeps the scopes of a run: a stack of frames, each a scope and the values in it."""

    def reset(self, expected: list[str] | None = None) -> None:
        """Forget the last run."""
        super().reset(expected)
        self.frames: list[tuple[str, dict[str, Any]]] = [("", {})]
        self.changes: list[Change] = []
        self.ats: list[int] = []
        self.ran: set[int] = set()
        self._seen: dict[str, str] = {}
        self._bases: dict[tuple[str, int], int] = {}

    def _add(self, kind: str, line: int, column: int, detail: str) -> Event:
        self.ran.add(line)
        event = super()._add(kind, line, column, detail)
        if not self.dropped:
            self.ats.append(self.position)
        return event

    def enter(self, line: int, column: int, value: Any) -> Any:
        """What a loop goes over: its line ran, however many turns it has."""
        self.ran.add(line)
        return super().enter(line, column, value)

    def at(self, line: int, column: int, value: Any) -> Any:
        """What is about to be called."""
        self.ran.add(line)
        return super().at(line, column, value)

    def depth(self) -> int:
        """How many frames there are."""
        return len(self.frames)

    def begin(
        self, scope: str, base: int | None, recursive: bool, names: tuple[str, ...], values: tuple[Any, ...]
    ) -> None:
        """A body begins, with its variables; `base` is how many frames stand below it (None: all that there are).

        A recursive loop, whose `loop` is the last value, has a base for each of its depths.
        """
        if recursive:
            *rest, loop = values
            values, at = tuple(rest), (scope, loop.depth0)
            base = self._bases[at] = len(self.frames) if loop.index0 == 0 else self._bases[at]
        if base is not None:
            del self.frames[base:]
        self.frames.append((scope, {}))
        self.bind(names, values)

    def bind(self, names: tuple[str, ...], values: tuple[Any, ...]) -> None:
        """Variables of the frame that runs get their values."""
        self.frames[-1][1].update(zip(names, values, strict=True))
        self._note()

    def cut(self, base: int) -> None:
        """The frames above the first `base` end."""
        del self.frames[base:]
        self._note(ends=True)

    def returned(self, base: int, value: Any) -> Any:
        """What a call gives; the frames that it began end."""
        self.cut(base)
        return value

    def _note(self, *, ends: bool = False) -> None:
        """Keep what has changed in what is seen."""
        if self.dropped:
            return
        now = self._visible()
        changed: dict[str, str | None] = {name: text for name, text in now.items() if self._seen.get(name) != text}
        changed |= {name: None for name in self._seen if name not in now}
        if changed:
            self.changes.append([len(self.events), self.position, changed, ends])
            self._seen = now

    def _visible(self) -> dict[str, str]:
        """The variables that the frame on top sees: its own and those of the scopes around it, innermost first."""
        parts = self.frames[-1][0].split("/") if self.frames[-1][0] else []
        found: dict[str, Any] = {}
        for count in range(len(parts) + 1):
            scope = "/".join(parts[:count])
            found |= next((values for name, values in reversed(self.frames) if name == scope), {})
        return {name: in_words(value) for name, value in found.items()}


def in_words(value: Any) -> str:
    """A value in a few words; a namespace with what it holds."""
    if isinstance(value, Namespace):
        held: dict[str, Any] = value._Namespace__attrs  # noqa: SLF001  there is no other way to read it
        return "namespace(" + ", ".join(f"{name}={shown(item)}" for name, item in held.items()) + ")"
    return _items(value) if isinstance(value, dict | list | tuple) and value else shown(value)


def _items(value: dict[Any, Any] | list[Any] | tuple[Any, ...]) -> str:
    """The first items of a list or an object, each in a few words."""
    first = list(islice(value.items() if isinstance(value, dict) else value, _ITEMS))
    more = f", … ({len(value):,} items)" if len(value) > len(first) else ""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{shown(name)}: {shown(item)}" for name, item in first) + more + "}"
    return "[" + ", ".join(map(shown, first)) + more + "]"


class WatchGenerator(Generator):
    """The code generator of the run that keeps origins, and beside it where each scope begins and ends."""

    def loaded(self, tree: nodes.Template, recorder: Recorder) -> dict[str, Any]:
        """The module that `tree` becomes, telling `recorder`."""
        self._scopes = Scopes(tree, self._map)
        self._bases = 0
        for block in tree.find_all(nodes.Block):
            block.body.insert(0, self._begin(block, None, ()))
        return super().loaded(tree, recorder)

    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        """A loop: every turn begins its scope anew, and so does `else`."""
        base = self._mark()
        node.body.insert(
            0, self._begin(node, None if node.recursive else base, _names(node.target), loop=node.recursive)
        )
        if node.else_:
            node.else_.insert(0, self._begin(node, base, (), part="else"))
        super().visit_For(node, frame)
        self.writeline(f"_record.cut({base})")

    def visit_Macro(self, node: nodes.Macro, frame: Frame) -> None:
        """A macro begins its scope with its arguments; who calls it ends it."""
        node.body.insert(0, self._begin(node, None, _arguments(node)))
        super().visit_Macro(node, frame)

    def visit_CallBlock(self, node: nodes.CallBlock, frame: Frame) -> None:
        """The macro that a call block hands over."""
        node.body.insert(0, self._begin(node, None, _arguments(node)))
        super().visit_CallBlock(node, frame)

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:
        """A call: whatever scopes it began end with it."""
        self.write("_record.returned(_record.depth(), ")
        super().visit_Call(node, frame, forward_caller=forward_caller)
        self.write(")")

    def visit_With(self, node: nodes.With, frame: Frame) -> None:
        """A block with variables of its own, which it tells."""
        names = tuple(name for target in node.targets for name in _names(target))
        base = self._mark()
        told = [self._told("set", node, repr(name), value=nodes.Name(name, "load")) for name in names]
        node.body[:0] = [*told, self._begin(node, base, names)]
        super().visit_With(node, frame)
        self.writeline(f"_record.cut({base})")

    def visit_FilterBlock(self, node: nodes.FilterBlock, frame: Frame) -> None:
        """What is set in a filter's block stays there."""
        self._enclosed(node, frame, ())

    def visit_Block(self, node: nodes.Block, frame: Frame) -> None:
        """A named block's scope ends with it."""
        base = self._mark()
        super().visit_Block(node, frame)
        self.writeline(f"_record.cut({base})")

    def visit_Assign(self, node: nodes.Assign, frame: Frame) -> None:
        """An assignment: the variables have their values behind it."""
        super().visit_Assign(node, frame)
        self._bound(_names(node.target), frame)

    def visit_AssignBlock(self, node: nodes.AssignBlock, frame: Frame) -> None:
        """A block whose text a variable gets."""
        self._enclosed(node, frame, ())
        self._bound(_names(node.target), frame)

    def _enclosed(self, node: nodes.Node, frame: Frame, names: tuple[str, ...]) -> None:
        base = self._mark()
        node.body.insert(0, self._begin(node, base, names))  # type: ignore[attr-defined]
        getattr(super(), f"visit_{type(node).__name__}")(node, frame)
        self.writeline(f"_record.cut({base})")

    def _mark(self) -> str:
        """A variable of the generated code that holds how many frames there are now."""
        self._bases += 1
        self.writeline(f"wb_base_{self._bases} = _record.depth()")
        return f"wb_base_{self._bases}"

    def _begin(
        self, node: nodes.Node, base: str | None, names: tuple[str, ...], *, loop: bool = False, part: str = ""
    ) -> nodes.Node:
        """A statement that begins a body's scope with the values of `names`."""
        read = (*names, "loop") if loop else names
        value = nodes.Tuple([nodes.Name(name, "load", lineno=node.lineno) for name in read], "load", lineno=node.lineno)
        call = f"_record.begin({self._scopes.inside(node, part)!r}, {base}, {loop}, {names!r}, "
        self._probes[id(value)] = (call, self._map.place_of(node), value)
        return nodes.ExprStmt(value, lineno=node.lineno)

    def _bound(self, names: tuple[str, ...], frame: Frame) -> None:
        self.writeline(f"_record.bind({names!r}, ")
        self.visit(nodes.Tuple([nodes.Name(name, "load") for name in names], "load"), frame)
        self.write(")")


def _arguments(node: nodes.Macro | nodes.CallBlock) -> tuple[str, ...]:
    return tuple(argument.name for argument in node.args if argument.name not in _GIVEN)


def _names(target: nodes.Node) -> tuple[str, ...]:
    """The variables that an assignment sets; none for an attribute of a namespace."""
    if isinstance(target, nodes.Tuple):
        return tuple(name for item in target.items for name in _names(item))
    return (target.name,) if isinstance(target, nodes.Name) else ()


def watched(instrumented: Instrumented, text: Tracked) -> dict[str, Any]:
    """What a watched run tells beside spans and events.

    `stretches`: `[start, end, event, line]` tile the text; the event is -1 for the template's own text, -2 for one
    that was not kept. `changes`: see `Change`. `positions`: how long the text was when each event happened. `never`:
    lines on which something could have run and did not. `lines`: the template as jinja counts its lines.
    """
    recorder: Any = instrumented.recorder
    numbers = {id(event): number for number, event in enumerate(recorder.events)}
    stretches: list[list[int]] = []
    at = 0
    for length, source, offset, event in text.runs_:
        number = -1 if event is None else numbers.get(id(event), -2)
        if source.origin == "template" and offset >= 0:
            stretches += _by_lines(instrumented.source_map, offset, length, at, number)
        elif length:
            stretches.append([at, at + length, number, event[1] if event is not None else source.line or 0])
        at += length
    return {
        "stretches": stretches,
        "changes": recorder.changes,
        "positions": [*recorder.ats, *[recorder.position] * (len(recorder.events) - len(recorder.ats))],
        "never": sorted(instrumented.probed - recorder.ran),
        "lines": instrumented.source_map.text.split("\n"),
    }


def _by_lines(source_map: SourceMap, offset: int, length: int, at: int, number: int) -> Iterator[list[int]]:
    """A stretch of the template's own text, cut at its line ends."""
    begin, end = offset, offset + length
    while begin < end:
        feed = source_map.text.find("\n", begin, end)
        until = end if feed < 0 else feed + 1
        yield [at + begin - offset, at + until - offset, number, source_map.place(begin).line]
        begin = until
