"""Each template engine's warm render of a long conversation against jinja2 alone, in one run.

The conversation and the template are those of render.py, so llama-server and the built-in formats write ChatML too;
`ollama` gets a Go template that does the same. Every render has another last message; origins are not asked for.
"""

from __future__ import annotations

import statistics
from datetime import datetime

from jinja2.sandbox import ImmutableSandboxedEnvironment
from render import CHATML, conversation, timed

from workbench.conversation import Conversation
from workbench.engines import ENGINES, Template, render
from workbench.engines.environment import Clock, configure

GO = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"


def main() -> None:
    plain = configure(ImmutableSandboxedEnvironment, Clock(datetime(2024, 7, 26))).from_string(CHATML)  # noqa: DTZ001
    text = plain.render(**conversation(0), add_generation_prompt=True)
    base = statistics.median(timed(lambda body: plain.render(**body, add_generation_prompt=True)))
    print(f"| jinja2 alone, {len(text):,} characters | median {base:.2f} ms | the yardstick |")
    for engine in ENGINES:
        template = Template(GO if engine.name == "ollama" else CHATML)

        def call(body, name=engine.name, template=template):
            return render(Conversation.from_dict(body), template, engine=name, track=False)

        found = call(conversation(0))
        assert found.text == text, (engine.name, found.error)
        times = timed(call)
        median, p95 = statistics.median(times), times[int(len(times) * 0.95)]
        print(f"| {engine.name} | median {median:.1f} ms, p95 {p95:.1f} ms: {median / base:.1f} x jinja2 alone | |")


if __name__ == "__main__":
    main()
