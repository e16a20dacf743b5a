"""Colours, as pairs of ground and ink that read on light and dark pages, and the bounds they stand for."""

from __future__ import annotations

import math

Pair = tuple[str, str]

MONO = "font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,monospace"
LINE = "#8a94a6"
FAINT: Pair = ("#eceff3", "#4a5568")
NOTE: Pair = ("#fdf0c8", "#4a3400")
WRONG: Pair = ("#fbd9d5", "#641409")
GOOD: Pair = ("#d8efdc", "#123f1f")

ORIGINS: dict[str, Pair] = {
    "template": ("#e4e8ee", "#253041"),
    "message": ("#cfe2fd", "#0c2c5a"),
    "tool": ("#e6dafa", "#3a1a66"),
    "default": ("#fbe6b2", "#4a3200"),
    "unknown": ("#f9d2d0", "#63100c"),
}
ORIGIN_WORDS: dict[str, str] = {
    "template": "written by the template",
    "message": "from a message",
    "tool": "from a tool",
    "default": "added by the engine",
    "unknown": "origin unknown",
}

# Least probability of each step and its colours: what the model expected is calm, what surprised it stands out.
PROBABILITIES: tuple[tuple[float, str, Pair], ...] = (
    (0.5, "≥ 50 %", ("#eef2f0", "#24302a")),
    (0.1, "10–50 %", ("#fbf3cf", "#463a05")),
    (0.01, "1–10 %", ("#fbd995", "#4a2d00")),
    (0.001, "0.1–1 %", ("#f5ab6f", "#401a00")),
    (0.0, "< 0.1 %", ("#c33f31", "#ffffff")),
)

TYPES: dict[str, str] = {
    "normal": "",
    "control": "border:1px solid #7b3fa0;font-weight:600",
    "user_defined": "border:1px solid #2a7f62",
    "byte": "border:1px dashed #555555",
    "unknown": "text-decoration:line-through",
    "unused": "text-decoration:line-through",
}


def style(pair: Pair) -> str:
    """Ground and ink as an inline style."""
    return f"background-color:{pair[0]};color:{pair[1]}"


def probability_pair(probability: float | None) -> Pair:
    """The colours of a probability (0 to 1); quiet for None or NaN, where there is none."""
    if probability is None or math.isnan(probability):
        return FAINT
    return next(pair for least, _, pair in PROBABILITIES if probability >= least)
