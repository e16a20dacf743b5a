"""How much a run tries: `WORKBENCH_TESTS` is quick, full (the default) or thorough."""

from __future__ import annotations

import os

import hypothesis

PROFILES = ("quick", "full", "thorough")
_SHARE = {"quick": 0.25, "full": 1.0, "thorough": 10.0}
PROFILE = os.environ.get("WORKBENCH_TESTS", "full")
if PROFILE not in PROFILES:
    raise SystemExit(f"WORKBENCH_TESTS is {PROFILE!r}; accepted are {', '.join(PROFILES)}; leave it unset for full")


def examples(full: int) -> int:
    """How many examples a property is tried on in this run, of the number that a full run takes."""
    return max(1, round(full * _SHARE[PROFILE]))


def load() -> None:
    """Hypothesis' settings of this run; how long an example takes says nothing on a busy machine."""
    for name in PROFILES:
        hypothesis.settings.register_profile(name, deadline=None, max_examples=round(100 * _SHARE[name]))
    hypothesis.settings.load_profile(PROFILE)
