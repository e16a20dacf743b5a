"""The loops, macros and blocks around each part of a template: what its variables belong to."""

from __future__ import annotations

from collections.abc import Iterator

from jinja2 import nodes

from .positions import SourceMap

# What begins a scope of its own, and the name of its kind.
KINDS: dict[type[nodes.Node], str] = {
    nodes.For: "for",
    nodes.Macro: "macro",
    nodes.CallBlock: "call",
    nodes.With: "with",
    nodes.AssignBlock: "set",
    nodes.FilterBlock: "filter",
    nodes.Block: "block",
}


class Scopes:
    """The scope of every node: "" for the whole template, else such as `for 3:1/with 4:5`, outermost first."""

    def __init__(self, tree: nodes.Node, source_map: SourceMap) -> None:
        self._map = source_map
        self._found: dict[int, str] = {}
        waiting = [(tree, "")]
        while waiting:
            node, scope = waiting.pop()
            self._found[id(node)] = scope
            waiting += self._parts(node, scope)

    def inside(self, node: nodes.Node, part: str = "") -> str:
        """The scope of the body of a loop, macro or block; of a loop's `else` with `part`."""
        outer = "" if isinstance(node, nodes.Block) else self._found[id(node)]  # a block sees no loop around it
        place = self._map.place_of(node)
        return f"{outer}/{part or KINDS[type(node)]} {place.line}:{place.column}".lstrip("/")

    def _parts(self, node: nodes.Node, scope: str) -> Iterator[tuple[nodes.Node, str]]:
        if type(node) not in KINDS:
            yield from ((child, scope) for child in node.iter_child_nodes())
            return
        body = {id(child) for child in node.body}  # type: ignore[attr-defined]
        otherwise = {id(child) for child in node.else_} if isinstance(node, nodes.For) else set()
        for child in node.iter_child_nodes():
            inner = (
                self.inside(node)
                if id(child) in body
                else self.inside(node, "else")
                if id(child) in otherwise
                else scope
            )
            yield child, inner
