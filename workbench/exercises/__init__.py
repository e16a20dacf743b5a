"""The checks of the notebooks' exercises, a file for each notebook: each tries what was answered and explains."""

from __future__ import annotations

from workbench.exercises.checked import Checked
from workbench.exercises.quantisation import does_the_damage, halves_the_cache, really_holds
from workbench.exercises.runtime import explains_the_gap, fills_the_room, is_more_than_noise
from workbench.exercises.sampling import keeps_json_in_place, settles_at, took_it_away
from workbench.exercises.templates import ends_its_turns, keeps_the_tools, leaves_the_system_text_out
from workbench.exercises.tokens import is_forged, mends_the_tokenizer, names_the_injection

__all__ = [
    "Checked",
    "does_the_damage",
    "ends_its_turns",
    "explains_the_gap",
    "fills_the_room",
    "halves_the_cache",
    "is_forged",
    "is_more_than_noise",
    "keeps_json_in_place",
    "keeps_the_tools",
    "leaves_the_system_text_out",
    "mends_the_tokenizer",
    "names_the_injection",
    "really_holds",
    "settles_at",
    "took_it_away",
]
