"""What a setup did to the held-out requests, and two setups on the same requests held against each other."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from workbench.damage.judge import Facts
from workbench.damage.statistics import (
    Interval,
    differs_from_zero,
    mcnemar,
    mean,
    ratio,
    share,
    share_difference,
)
from workbench.damage.tasks import CALL_KINDS, KINDS
from workbench.errors import BadRequest
from workbench.setup import Setup
from workbench.values import Plotted, Value

if TYPE_CHECKING:
    import pandas as pd

SIGNIFICANT = 0.01


class Outcome(NamedTuple):
    """One request: what was right, what the model wrote, and how likely the right answer was to it.

    `nats`: negative log-likelihood of the right answer with the token that ends it, over `tokens` tokens; NaN
    where it could not be scored. `why`: what kept the answer from being had, empty where it was.
    """

    id: str
    kind: str
    unseen: bool
    facts: Facts
    answer: str
    stop: str
    nats: float
    tokens: int
    seed: int | None
    why: str

    def to_dict(self) -> dict[str, Any]:
        """The fields by name; the facts among them."""
        data = self._asdict()
        return data | {"facts": self.facts._asdict(), "nats": None if math.isnan(self.nats) else self.nats}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Outcome:
        """The inverse of `to_dict`."""
        nats = math.nan if data["nats"] is None else float(data["nats"])
        return cls(**(data | {"facts": Facts(**data["facts"]), "nats": nats}))


class Measure(NamedTuple):
    """A share of requests: `of` gives True or False, None for a request that does not count."""

    name: str
    title: str
    of: Callable[[Outcome], bool | None]


def _exact_of(*kinds: str) -> Callable[[Outcome], bool | None]:
    return lambda outcome: outcome.facts.exact if outcome.kind in kinds else None


MEASURES: tuple[Measure, ...] = (
    Measure("exact", "right answers, all kinds", lambda o: o.facts.exact),
    Measure("exact unseen", "the same, on unseen tools and names", lambda o: o.facts.exact if o.unseen else None),
    Measure("exact calls", "exact tool calls", _exact_of(*CALL_KINDS)),
    Measure("parsed calls", "tool calls that parse", lambda o: o.facts.parsed),
    Measure("right names", "right tools", lambda o: o.facts.names),
    Measure("right arguments", "right arguments", lambda o: o.facts.arguments),
    Measure("code parses", "Python that parses", lambda o: o.facts.code),
    *(Measure(f"exact: {kind}", f"right answers of the kind “{kind}”", _exact_of(kind)) for kind in KINDS),
)
LIKELIHOOD = "nats per token"


class Row(NamedTuple):
    """One figure: a share (0 to 1) of `n` requests, or nats per token; with its 95 % interval."""

    name: str
    title: str
    n: int
    right: int | None
    estimate: Interval


@dataclass(frozen=True)
class Damage(Plotted, Value):
    """The held-out requests under one setup: one outcome a request, and the figures made of them."""

    setup: Setup
    outcomes: tuple[Outcome, ...]
    notes: tuple[str, ...] = ()

    def figures(self) -> list[Row]:
        """Every share with its interval, then the likelihood of the right answers."""
        rows = []
        for measure in MEASURES:
            votes = [vote for outcome in self.outcomes if (vote := measure.of(outcome)) is not None]
            rows.append(Row(measure.name, measure.title, len(votes), sum(votes), share(sum(votes), len(votes))))
        scored = [outcome for outcome in self.outcomes if not math.isnan(outcome.nats)]
        estimate = ratio([o.nats for o in scored], [float(o.tokens) for o in scored])
        title = "negative log-likelihood of the right answer"
        return [*rows, Row(LIKELIHOOD, title, len(scored), None, estimate)]

    def figure(self, name: str) -> Row:
        """One figure by its name. Errors: `BadRequest`."""
        rows = {row.name: row for row in self.figures()}
        if name not in rows:
            raise BadRequest(f"there is no figure {name!r}", f"accepted are {', '.join(rows)}")
        return rows[name]

    def against(self, other: Damage) -> Paired:
        """This setup (before) and another (after) on the same requests. Errors: `BadRequest` for other requests."""
        if [o.id for o in self.outcomes] != [o.id for o in other.outcomes]:
            raise BadRequest(
                f"{len(self.outcomes)} requests were measured here and {len(other.outcomes)} there, not the same ones",
                "accepted are two measurements of the same requests",
                "measure both with the same tasks, to the end",
            )
        return Paired(self, other)

    def requests_frame(self) -> pd.DataFrame:
        """One row a request: its facts, the answer, the likelihood."""
        import pandas as pd

        rows = [outcome._asdict() | outcome.facts._asdict() for outcome in self.outcomes]
        return pd.DataFrame(rows).drop(columns=["facts"], errors="ignore")

    def to_dict(self) -> dict[str, Any]:
        """`{setup, figures, outcomes, notes}`."""
        return {
            "setup": self.setup.to_dict(),
            "figures": self._rows(),
            "outcomes": [outcome.to_dict() for outcome in self.outcomes],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Damage:
        """The inverse of `to_dict`; the figures are made anew."""
        outcomes = tuple(Outcome.from_dict(outcome) for outcome in data["outcomes"])
        return cls(Setup.from_dict(data["setup"]), outcomes, tuple(data.get("notes", ())))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Damage) and self.to_json() == other.to_json()

    def __hash__(self) -> int:
        return hash((self.setup, len(self.outcomes)))

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {"figure": r.name, "n": r.n, "right": r.right, "value": r.estimate.value}
            | {"low": r.estimate.low, "high": r.estimate.high}
            for r in self.figures()
        ]

    def __repr__(self) -> str:
        exact, nats = self.figure("exact"), self.figure(LIKELIHOOD)
        return f"Damage({exact.right} of {exact.n} right, {nats.estimate.value:.4f} nats per token, {self.setup!r})"


class Change(NamedTuple):
    """One figure before and after; `only_before` and `only_after` count requests that only one of them got right.

    `difference` is after minus before with its 95 % interval; `p` two-sided, of a paired test: McNemar's exact
    one for shares, for the likelihood a test of the mean difference, there in nats per right answer.
    """

    name: str
    title: str
    n: int
    before: float
    after: float
    difference: Interval
    only_before: int | None
    only_after: int | None
    p: float

    @property
    def significant(self) -> bool:
        """Whether chance alone would give such a difference in less than one of a hundred trials."""
        return self.p < SIGNIFICANT


@dataclass(frozen=True)
class Paired(Plotted, Value):
    """Two setups on the same requests."""

    before: Damage
    after: Damage

    def changes(self) -> list[Change]:
        """Every share, then the likelihood (nats per right answer, so that other tokens do not matter)."""
        return [*(self._change(measure) for measure in MEASURES), self._likelihood()]

    def change(self, name: str) -> Change:
        """One change by its figure's name. Errors: `BadRequest`."""
        found = {change.name: change for change in self.changes()}
        if name not in found:
            raise BadRequest(f"there is no figure {name!r}", f"accepted are {', '.join(found)}")
        return found[name]

    def _change(self, measure: Measure) -> Change:
        pairs = [
            (bool(first), bool(measure.of(b)))
            for a, b in zip(self.before.outcomes, self.after.outcomes, strict=True)
            if (first := measure.of(a)) is not None
        ]
        n, only = len(pairs), [sum(a and not b for a, b in pairs), sum(b and not a for a, b in pairs)]
        before, after = (sum(pair[i] for pair in pairs) / n if n else math.nan for i in range(2))
        difference = share_difference(only[0], only[1], n)
        return Change(measure.name, measure.title, n, before, after, difference, only[0], only[1], mcnemar(*only))

    def _likelihood(self) -> Change:
        both = [
            (a.nats, b.nats)
            for a, b in zip(self.before.outcomes, self.after.outcomes, strict=True)
            if not math.isnan(a.nats + b.nats)
        ]
        gaps = [after - before for before, after in both]
        before, after = (mean([pair[i] for pair in both]).value for i in range(2))
        title = "negative log-likelihood of a right answer, nats"
        p = differs_from_zero(gaps)
        return Change("nats per answer", title, len(both), before, after, mean(gaps), None, None, p)

    def to_dict(self) -> dict[str, Any]:
        """`{before, after, changes}`."""
        return {"before": self.before.to_dict(), "after": self.after.to_dict(), "changes": self._rows()}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Paired:
        """The inverse of `to_dict`; the changes are made anew."""
        return cls(Damage.from_dict(data["before"]), Damage.from_dict(data["after"]))

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {"figure": c.name, "n": c.n, "before": c.before, "after": c.after, "difference": c.difference.value}
            | {"low": c.difference.low, "high": c.difference.high}
            | {"only_before": c.only_before, "only_after": c.only_after, "p": c.p}
            for c in self.changes()
        ]

    def __repr__(self) -> str:
        exact = self.change("exact")
        before, after = f"{100 * exact.before:.1f} %", f"{100 * exact.after:.1f} %"
        return f"Paired(right answers {before} → {after}, p {exact.p:.2g}, n {exact.n})"
