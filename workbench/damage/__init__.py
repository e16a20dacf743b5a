"""How much a setup damages a model: the held-out requests of toolsmith answered under it, counted and compared."""

from workbench.damage.measure import measure
from workbench.damage.result import MEASURES, SIGNIFICANT, Change, Damage, Measure, Outcome, Paired, Row
from workbench.damage.tasks import KINDS, Task, tasks

__all__ = [
    "KINDS",
    "MEASURES",
    "SIGNIFICANT",
    "Change",
    "Damage",
    "Measure",
    "Outcome",
    "Paired",
    "Row",
    "Task",
    "measure",
    "tasks",
]
