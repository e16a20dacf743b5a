"""A template compiled by jinja2's own compiler so that it tells where each character comes from and what it does."""

# ruff: noqa: N802, ARG002  the methods' names and arguments are those of jinja2's visitor

from __future__ import annotations

from collections.abc import Callable
from io import StringIO
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2 import Environment, nodes
from jinja2.compiler import CodeGenerator, Frame
from jinja2.environment import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment

from . import filters
from .containers import unwrap
from .formatting import TrackedFormatter
from .origins import UNKNOWN, Source, Tracked
from .positions import Place, PositionLexer, SourceMap
from .record import PlainRecorder, Recorder
from .relex import ResumingEnvironment
from .scalars import SCALARS, tracked_scalar


class CannotTrack(Exception):
    """The template uses something whose origins are not followed; the message says what."""


class TrackedEnvironment(ResumingEnvironment):
    """The sandbox with a lexer that knows columns, filters that keep origins, and formats that do."""

    concat = staticmethod(filters.joined)
    lexer_class = PositionLexer

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        """`str.format` in the sandbox, with origins."""
        if not isinstance(value, MethodType | BuiltinMethodType):
            return None
        wrapped = super().wrap_str_format(value)
        pattern = getattr(value, "__self__", None)
        if wrapped is None or type(pattern) is not Tracked:
            return wrapped if wrapped is None else lambda *args, **kwargs: Tracked(wrapped(*args, **kwargs))
        if value.__name__ == "format_map":
            return lambda mapping: TrackedFormatter(self).tracked(pattern, (), mapping)
        return lambda *args, **kwargs: TrackedFormatter(self).tracked(pattern, args, kwargs)

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: PYI063, N805  as jinja does
        """A call; a number or text that a tracked value's method gives is from nowhere that is known."""
        result = super().call(__context, __obj, *args, **kwargs)
        if isinstance(result, bytes):
            raise CannotTrack("the template encodes a text to bytes")
        owner = getattr(__obj, "__self__", None)
        if isinstance(owner, (Tracked, *SCALARS, list, dict, tuple)) and not isinstance(result, Tracked):
            return Tracked(result) if isinstance(result, str) else _unknown_number(result)
        return result


def _unknown_number(value: Any) -> Any:
    return tracked_scalar(value, UNKNOWN) if type(value) in (int, float) else value


class Instrumented:
    """A template ready to run with origins: `run(variables)` gives the text, `recorder` the events.

    Errors: those of jinja's parser and compiler, `CannotTrack`.
    """

    def __init__(
        self,
        environment: ImmutableSandboxedEnvironment,
        source: str,
        recorder: Recorder | None = None,
        generator: type[Generator] | None = None,
    ) -> None:
        self.environment = environment
        self.recorder = recorder or Recorder()
        self.source_map = SourceMap(source)
        self._source = source
        self.tree = environment._parse(source, None, None)  # noqa: SLF001  `parse` would lose where a syntax error stands
        made = (generator or Generator)(environment, self.source_map)
        self._namespace = made.loaded(self.tree, self.recorder)
        self._namespace["str_join"] = filters.joined
        self._places = made.places
        self.probed = frozenset(made.probed)  # the lines on which something is told when it runs
        self._template = _template(environment, self._namespace)

    def place_of(self, error: BaseException) -> Place | None:
        """Where in the template `error` was raised: its innermost statement, None where none was running."""
        line, trace = None, error.__traceback__
        while trace is not None:
            line = trace.tb_lineno if trace.tb_frame.f_globals is self._namespace else line
            trace = trace.tb_next
        return None if line is None else self._places.get(line)

    def run(self, variables: dict[str, Any], expected: list[str] | None = None) -> Tracked:
        """The text with origins. Errors: whatever the template raises.

        `expected` are the pieces that `plain_run` wrote: an output that writes another text is
        given the expected one, with an unknown origin.
        """
        self.recorder.reset(expected)
        context = self._template.new_context(variables)
        return self.recorder.root(self._template.root_render_func(context))  # type: ignore[arg-type]

    def plain_run(self, environment: Environment, variables: dict[str, Any]) -> PlainRecorder:
        """The same template on plain values, in jinja's own sandbox: what each output wrote, and every step."""
        recorder = PlainRecorder()
        tree = self.environment._parse(self._source, None, None)  # noqa: SLF001  its lexer knows columns
        namespace = Generator(environment, self.source_map).loaded(tree, recorder)
        namespace["_literals"] = [*map(unwrap, namespace["_literals"])]
        template = _template(environment, namespace)
        recorder.pieces = [*template.root_render_func(template.new_context(variables))]
        return recorder


def _template(environment: Environment, namespace: dict[str, Any]) -> Template:
    return Template._from_namespace(  # noqa: SLF001  `from_code` makes its own namespace
        environment, namespace, environment.make_globals(None)
    )


class Generator(CodeGenerator):
    """Jinja's code generator; literals come from a table, and probes stand around what is worth telling."""

    def __init__(self, environment: Environment, source_map: SourceMap) -> None:
        self.written = StringIO()
        super().__init__(environment, None, None, self.written, optimized=False)
        self.literals: list[Any] = []
        self._items: dict[int, nodes.Node] = {}  # by identity; holding them, so that no other node is given it
        self._map = source_map
        self.places: dict[int, Place] = {}  # by line of the generated code
        self.probed: set[int] = set()
        self._probes: dict[int, tuple[str, Place, nodes.Node]] = {}

    def loaded(self, tree: nodes.Template, recorder: Recorder) -> dict[str, Any]:
        """The module that `tree` becomes, telling `recorder`."""
        self.visit(tree)
        namespace: dict[str, Any] = {"environment": self.environment, "__file__": "<template>"}
        namespace |= {"_literals": self.literals, "_record": recorder}
        code = compile(self.written.getvalue(), "<template>", "exec")
        exec(code, namespace)  # noqa: S102  this is how jinja2 loads its own compiled templates
        return namespace

    def _literal(self, text: str, position: object) -> str:
        self.literals.append(Tracked(text, self._map.literal(text, position)))
        return f"_literals[{len(self.literals) - 1}]"

    def _probe(self, node: nodes.Node, method: str, at: nodes.Node, *extra: str) -> None:
        place = self._map.place_of(at) if at is node else self._map.place(at.lineno.offset)  # type: ignore[attr-defined]
        self.probed.add(place.line)
        self._probes[id(node)] = (
            f"_record.{method}({', '.join([str(place.line), str(place.column), *extra])}, ",
            place,
            node,
        )

    def visit(self, node: nodes.Node, *args: Any, **kwargs: Any) -> Any:
        """Jinja's visit, inside the node's probe where it has one."""
        probe = self._probes.pop(id(node), None)
        if probe is None:
            return super().visit(node, *args, **kwargs)
        self.write(probe[0])
        self.places.setdefault(self.code_lineno, probe[1])
        super().visit(node, *args, **kwargs)
        self.write(")")
        return None

    def visit_Const(self, node: nodes.Const, frame: Frame) -> None:
        """A constant; a text one with the place of its literal."""
        if isinstance(node.value, str):
            self.write(self._literal(node.value, node.lineno))
        elif id(node) in self._items and (node.value is None or isinstance(node.value, bool)):
            place = self._map.place_of(node)
            self.literals.append(tracked_scalar(node.value, Source("template", line=place.line, column=place.column)))
            self.write(f"_literals[{len(self.literals) - 1}]")
        else:
            super().visit_Const(node, frame)

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:
        """An attribute; how many turns a loop has hangs on what it goes over."""
        counts = node.attr in ("length", "revindex", "revindex0")
        self.write("_record.counted(" if counts else "")
        super().visit_Getattr(node, frame)
        self.write(")" if counts else "")

    def visit_List(self, node: nodes.List, frame: Frame) -> None:
        """A list; true, false and none in it are known to be the template's."""
        self._items.update((id(item), item) for item in node.items)
        super().visit_List(node, frame)

    def visit_Tuple(self, node: nodes.Tuple, frame: Frame) -> None:
        """A tuple, the same."""
        self._items.update((id(item), item) for item in node.items)
        super().visit_Tuple(node, frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        """A dict, the same."""
        self._items.update((id(pair.value), pair.value) for pair in node.items)
        super().visit_Dict(node, frame)

    def visit_TemplateData(self, node: nodes.TemplateData, frame: Frame) -> None:
        """Text between tags."""
        self.write(self._literal(node.data, node.lineno))

    def visit_Output(self, node: nodes.Output, frame: Frame) -> None:
        """One statement for each part, so that events and text keep their order."""
        if frame.eval_ctx.volatile or frame.eval_ctx.autoescape:
            raise CannotTrack("the template switches automatic escaping on")
        if frame.require_output_check:
            if self.has_known_extends:
                return
            self.writeline("if parent_template is None:")
            self.indent()
        for child in node.nodes:
            self.writeline("yield " if frame.buffer is None else f"{frame.buffer}.append(", child)
            if not isinstance(child, nodes.TemplateData):
                root, constant = str(frame.buffer is None), str(isinstance(child, nodes.Const))
                self._probe(child, "out", child, root, constant)
            self.visit(child, frame)
            self.write("" if frame.buffer is None else ")")
        if frame.require_output_check:
            self.outdent()

    def visit_If(self, node: nodes.If, frame: Frame) -> None:
        """Conditions tell whether they were taken."""
        for branch in (node, *node.elif_):
            self._probe(branch.test, "test", branch)
        super().visit_If(node, frame)

    def visit_CondExpr(self, node: nodes.CondExpr, frame: Frame) -> None:
        """So do those inside an expression."""
        self._probe(node.test, "test", node.test)
        super().visit_CondExpr(node, frame)

    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        """Every turn is told."""
        self._probe(node.iter, "enter", node)
        count = nodes.Name("loop", "load", lineno=node.lineno) if node.recursive else None
        node.body.insert(0, self._told("turn", node, value=count))
        super().visit_For(node, frame)

    def _told(self, method: str, node: nodes.Node, *extra: str, value: nodes.Expr | None = None) -> nodes.Node:
        value = value or nodes.Const(None, lineno=node.lineno)
        self._probe(value, method, node, *extra)
        return nodes.ExprStmt(value, lineno=node.lineno)

    def visit_Assign(self, node: nodes.Assign, frame: Frame) -> None:
        """An assignment tells the new value."""
        self._probe(node.node, "set", node, repr(_target(node.target)))
        super().visit_Assign(node, frame)

    def visit_AssignBlock(self, node: nodes.AssignBlock, frame: Frame) -> None:
        """A block assignment is told as it begins."""
        node.body.insert(0, self._told("set", node, repr(f"{_target(node.target)} (a block)")))
        super().visit_AssignBlock(node, frame)

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:
        """A call tells what is called, if it is a macro."""
        self._probe(node.node, "at", node.node)
        super().visit_Call(node, frame, forward_caller=forward_caller)

    def visit_ScopedEvalContextModifier(self, node: nodes.ScopedEvalContextModifier, frame: Frame) -> None:
        """Automatic escaping is not followed."""
        raise CannotTrack("the template switches automatic escaping on or off")


def _target(node: nodes.Node) -> str:
    if isinstance(node, nodes.NSRef):
        return f"{node.name}.{node.attr}"
    if isinstance(node, nodes.Tuple):
        return ", ".join(_target(item) for item in node.items)
    return str(getattr(node, "name", "?"))
