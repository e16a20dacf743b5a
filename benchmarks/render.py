"""Rendering a long conversation again after an edit: with origins, without, and jinja2 alone, in one run.

Prints milliseconds (median and 95th percentile) and the ratio to plain jinja2 for a conversation of
some 8,000 tokens (40 kB, 120 messages), every time with another last message, as an editor does.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Callable
from datetime import datetime

from jinja2.sandbox import ImmutableSandboxedEnvironment

from workbench.conversation import Conversation
from workbench.engines import Template, render
from workbench.engines.environment import Clock, configure

CHATML = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\\n' }}"
    "{%- if message.content is string %}{{- message.content | trim }}{%- endif %}{{- '<|im_end|>\\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
)
WORDS = [
    "the",
    "quick",
    "brown",
    "fox",
    "jumps",
    "over",
    "a",
    "lazy",
    "dog",
    "while",
    "an",
    "editor",
    "renders",
    "its",
    "prompt",
    "again",
]
ROUNDS = 60


def conversation(edit: int) -> dict[str, object]:
    """120 messages of some 340 characters, the last one ending in `edit`."""
    turns = [" ".join(WORDS[(i * 7 + j) % len(WORDS)] for j in range(66)) for i in range(120)]
    messages = [{"role": ("user", "assistant")[i % 2], "content": text} for i, text in enumerate(turns)]
    return {"messages": [*messages, {"role": "user", "content": f"edit {edit}"}]}


def timed(call: Callable[[dict[str, object]], object]) -> list[float]:
    """Milliseconds of each round, the first ones left out."""
    bodies = [conversation(i) for i in range(ROUNDS + 5)]
    times = []
    for body in bodies:
        began = time.perf_counter()
        call(body)
        times.append((time.perf_counter() - began) * 1000)
    return sorted(times[5:])


def main() -> None:
    """Measure the three, print one line each and one JSON object."""
    plain_template = configure(ImmutableSandboxedEnvironment, Clock(datetime(2024, 7, 26))).from_string(CHATML)  # noqa: DTZ001
    template = Template(CHATML)
    text = plain_template.render(**conversation(0), add_generation_prompt=True)
    assert render(Conversation.from_dict(conversation(0)), template).text == text
    results = {
        "jinja2 alone": timed(lambda body: plain_template.render(**body, add_generation_prompt=True)),
        "without origins": timed(lambda body: render(Conversation.from_dict(body), template, track=False)),
        "with origins and events": timed(lambda body: render(Conversation.from_dict(body), template)),
    }
    base = statistics.median(results["jinja2 alone"])
    figures = {}
    for name, times in results.items():
        median, p95 = statistics.median(times), times[int(len(times) * 0.95)]
        figures[name] = {"median_ms": round(median, 2), "p95_ms": round(p95, 2), "ratio": round(median / base, 1)}
        print(f"{name:<26} median {median:6.2f} ms   p95 {p95:6.2f} ms   {median / base:5.1f} x jinja2 alone")
    print(json.dumps({"characters": len(text), "figures": figures}))


if __name__ == "__main__":
    main()
