"""One request as several engines wrote it: which agree, and where the others part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from workbench.compare.fields import Measured
from workbench.compare.rewrites import Rewritten
from workbench.compare.text import Difference, FirstDifference, differences, first_difference
from workbench.compare.tokens import TokenAlignment, align_tokens
from workbench.stages import Rendered, Tokens
from workbench.values import Value


class Absent(NamedTuple):
    """An engine that was not evaluated, and why."""

    engine: str
    reason: str


def _was_stopped(rendered: Rendered) -> bool:
    """Whether our limits ended the render: then nobody knows what it would have written."""
    return rendered.error is not None and rendered.error.type in ("TimeLimit", "MemoryLimit", "Crash")


@dataclass(frozen=True)
class Renders(Value):
    """The same request, each as one engine wrote it, in the order of the engines.

    `ids`: token ids by engine where they were asked for: two texts can have the same ids. `package`: what the
    transformers package writes where it is installed, in words why it was not asked. `rewritten`: what engines
    changed in the request before. `tokens`: each text's tokens by engine, where they were asked for. `measured`: what
    each engine does with each field of the request, and what of it is not in the prompt.
    """

    renders: tuple[Rendered, ...]
    absent: tuple[Absent, ...] = ()
    ids: tuple[tuple[str, tuple[int, ...]], ...] = ()
    package: Rendered | str | None = None
    rewritten: tuple[Rewritten, ...] = ()
    tokens: tuple[tuple[str, Tokens], ...] = ()
    measured: tuple[Measured, ...] = ()

    def __getitem__(self, engine: str) -> Rendered:
        found = next((rendered for rendered in self.renders if rendered.engine == engine), None)
        if found is None:
            raise KeyError(engine)
        return found

    @property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """The engines that wrote the same text together, in order; one that wrote none stands alone."""
        found: dict[Any, list[str]] = {}
        for rendered in self.renders:
            key = rendered.text if rendered.text is not None else (rendered.engine,)
            found.setdefault(key, []).append(rendered.engine)
        return tuple(tuple(engines) for engines in found.values())

    @property
    def agree(self) -> bool:
        """Whether all that rendered wrote the same text."""
        return len({rendered.text for rendered in self.renders if rendered.text is not None}) == 1

    @property
    def base(self) -> str | None:
        """The engine that the others are held against: the first that wrote a text, None for none."""
        return next((rendered.engine for rendered in self.renders if rendered.text is not None), None)

    def differences(self, a: str, b: str) -> tuple[Difference, ...]:
        """What differs between the texts of two engines; empty where one of them wrote none."""
        one, other = self[a].text, self[b].text
        return differences(one, other) if one is not None and other is not None else ()

    def first_difference(self, a: str, b: str) -> FirstDifference | None:
        """Where the texts of two engines part, None where they are equal or one wrote none."""
        one, other = self[a].text, self[b].text
        return first_difference(one, other) if one is not None and other is not None else None

    def same_ids(self, a: str, b: str) -> bool | None:
        """Whether two engines' texts have the same token ids; None where they were not asked for."""
        ids = dict(self.ids)
        return ids[a] == ids[b] if a in ids and b in ids else None

    @property
    def package_agrees(self) -> bool | None:
        """Whether the installed transformers package writes (or refuses) what `transformers` does; None: not known."""
        ours = next((rendered for rendered in self.renders if rendered.engine == "transformers"), None)
        if ours is None or not isinstance(self.package, Rendered) or _was_stopped(ours) or _was_stopped(self.package):
            return None
        return ours.text == self.package.text

    def package_words(self) -> str:
        """What the installed transformers package says of the engine's text, in one sentence; "" without the engine."""
        if all(rendered.engine != "transformers" for rendered in self.renders):
            return ""
        if not isinstance(self.package, Rendered):
            return f"the package transformers was not asked: {self.package}" if self.package else ""
        if self.package_agrees is None:
            return f"{self.package.version}, not evaluated: a render was stopped by its limits"
        if self.package_agrees:
            did = "writes the same text" if self.package.error is None else "refuses it too"
            return f"{self.package.version}, {did}"
        ours = self["transformers"].text
        if ours is None or self.package.text is None:
            error = self.package.error
            return f"{self.package.version}, {f'refuses it: {error.message}' if error else 'writes a text'}"
        where = first_difference(ours, self.package.text)
        return f"{self.package.version}, writes another text from character {where.offset:,} on" if where else ""

    def alignment(self, a: str, b: str) -> TokenAlignment | None:
        """The tokens of two engines' texts, block by block; None where they were not asked for."""
        tokens = dict(self.tokens)
        if a not in tokens or b not in tokens:
            return None
        one, other = self[a].text or "", self[b].text or ""
        return align_tokens(tokens[a], tokens[b], one, other, names=(a, b))

    def to_dict(self) -> dict[str, Any]:
        """`{renders, not_evaluated, groups, differences, package, rewritten}`; a difference is to `base`'s text.

        A render has `fields`, `missing`, `quiet` and `untold` beside its own keys, where they were measured.
        """
        found = self.package if isinstance(self.package, Rendered) else None
        known = {one.engine: one.to_dict() for one in self.measured}
        package = {"version": found.version, "same": self.package_agrees} if found is not None else None
        return {
            "package": package,
            "rewritten": [one.to_dict() for one in self.rewritten],
            "renders": [{**known.get(one.engine, {}), **one.to_dict()} for one in self.renders],
            "not_evaluated": [{"engine": item.engine, "reason": item.reason} for item in self.absent],
            "groups": [list(group) for group in self.groups],
            "differences": [self._difference(self.base, group[0]) for group in self.groups if self._other(group)],
        }

    def _other(self, group: tuple[str, ...]) -> bool:
        return self.base not in group and self[group[0]].text is not None

    def _difference(self, first: str | None, engine: str) -> dict[str, Any]:
        assert first is not None
        where = self.first_difference(first, engine)
        found = {"engines": [first, engine], "first": where._asdict() if where else None}
        return found | {"count": len(self.differences(first, engine)), "same_ids": self.same_ids(first, engine)}

    def _rows(self) -> list[dict[str, Any]]:
        group_of = {engine: number for number, group in enumerate(self.groups, 1) for engine in group}
        first = self.base
        return [
            {
                "engine": rendered.engine,
                "version": rendered.version,
                "group": group_of[rendered.engine],
                "characters": len(rendered.text) if rendered.text is not None else None,
                "first difference": where.offset
                if first is not None and (where := self.first_difference(first, rendered.engine))
                else None,
                "error": rendered.error.message if rendered.error else None,
            }
            for rendered in self.renders
        ]

    def __repr__(self) -> str:
        groups = "; ".join(" = ".join(group) for group in self.groups)
        return f"Renders({groups}{f'; {len(self.absent)} not evaluated' if self.absent else ''})"


@dataclass(frozen=True)
class Agreement(Value):
    """Several requests by each engine: which engines write the same text where; `requests` by name."""

    requests: tuple[tuple[str, Renders], ...]

    @property
    def engines(self) -> tuple[str, ...]:
        """All engines that were asked, in order."""
        every = [rendered.engine for _, found in self.requests for rendered in found.renders]
        every += [item.engine for _, found in self.requests for item in found.absent]
        return tuple(dict.fromkeys(every))

    def letters(self, name: str) -> dict[str, str]:
        """For each engine of a request the letter of its text (A is the first), `error` or `not evaluated`."""
        found = dict(self.requests)[name]
        letters: dict[str, str] = {}
        written = 0
        for group in found.groups:
            failed = found[group[0]].text is None
            letters |= dict.fromkeys(group, "error" if failed else _letter(written))
            written += not failed
        return letters | {item.engine: "not evaluated" for item in found.absent}

    def to_dict(self) -> dict[str, Any]:
        """`{requests: [{name, engines: {engine: letter}}]}`; for the texts see the single `Renders`."""
        return {"requests": [{"name": name, "engines": self.letters(name)} for name, _ in self.requests]}

    def _rows(self) -> list[dict[str, Any]]:
        found = [(name, self.letters(name)) for name, _ in self.requests]
        return [{"request": name, **{one: by.get(one, "") for one in self.engines}} for name, by in found]

    def __repr__(self) -> str:
        agree = sum(found.agree for _, found in self.requests)
        return f"Agreement({len(self.requests)} requests, all engines that wrote a text agree on {agree})"


def _letter(number: int) -> str:
    return chr(ord("A") + number) if number < 26 else str(number + 1)
