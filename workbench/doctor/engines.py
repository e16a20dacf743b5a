"""Every template engine renders one request in its own process, and what it wrote is held against the exact text."""

from __future__ import annotations

import os
from collections.abc import Iterator

from workbench.conversation import Conversation
from workbench.doctor.check import Check, failed, passed, python, quoted, unknown, warned
from workbench.doctor.installed import reinstall
from workbench.doctor.look import Look
from workbench.engines import ENGINES, Engine, Job, Template
from workbench.engines.llama_server import URL
from workbench.engines.ollama_build import module_path
from workbench.errors import Cancelled, WorkbenchError
from workbench.stages import Rendered

CLOCK = "2026-01-31T12:00:00"
MESSAGES = (
    {"role": "system", "content": "Antworte kurz: ü, 漢, 😀."},
    {"role": "user", "content": 'Is 1 < 2 & "x" > "y"?'},
)
EXPECTED = (
    "<|im_start|>system\nAntworte kurz: ü, 漢, 😀.<|im_end|>\n"
    '<|im_start|>user\nIs 1 < 2 & "x" > "y"?<|im_end|>\n'
    "<|im_start|>assistant\n"
)
JINJA = """\
{%- for message in messages -%}
{{ '<|im_start|>' + message.role + '\\n' + message.content | trim + '<|im_end|>\\n' }}
{%- endfor -%}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
GO = "{{ range .Messages }}<|im_start|>{{ .Role }}\n{{ .Content }}<|im_end|>\n{{ end }}<|im_start|>assistant\n"
LANGUAGES = {"ollama": GO}  # the others take Jinja
BROUGHT_BY = {
    "transformers": ("jinja2", "markupsafe"),
    "llama.cpp": ("ggufdoctor", "wasmtime"),
    "llama.cpp-legacy": ("llama-cpp-python",),
    "llama-cpp-python": ("llama-cpp-python", "jinja2"),
    "llama-server": ("xllamacpp",),
    "ollama": ("ggufdoctor", "wasmtime"),
}
ATTEMPTS, LATE = 3, "TimeLimit"  # a busy machine may take longer than a render has


def check(look: Look) -> Iterator[Check]:
    """One line an engine."""
    for engine in ENGINES:
        if look.cancel.is_set():
            raise Cancelled("the examination was stopped")
        yield _one(engine, look)


def _one(engine: Engine, look: Look) -> Check:
    name = f"engine {engine.name}"
    if (missing := engine.missing()) is not None:
        return warned(name, "it is not installed; the other engines work", missing)
    job = Job(Conversation.of(list(MESSAGES)), Template(LANGUAGES.get(engine.name, JINJA)), CLOCK, track=False)
    try:
        found = _render(engine, job, look)
    except Cancelled:
        raise
    except WorkbenchError as error:
        return failed(name, str(error), _again(engine, look))
    look.engines[engine.name] = found.version
    if found.error is not None and found.error.type == LATE:
        words = f"{found.error.message}, {ATTEMPTS} times: this machine is busy, or the engine hangs"
        return warned(name, words, "end other programs, and run it again: workbench doctor")
    if found.error is not None:
        return failed(name, f"{found.error.type}: {found.error.message}", _again(engine, look))
    if found.text == EXPECTED:
        return passed(name, f"{found.version} writes what it should")
    if os.environ.get(URL) and engine.name == "llama-server":
        return unknown(name, f"{found.version} renders with a template of its own, so that its text is not known here")
    return failed(name, f"it wrote {found.text!r} instead of {EXPECTED!r}", _again(engine, look))


def _render(engine: Engine, job: Job, look: Look) -> Rendered:
    found = engine.render(job, cancel=look.cancel)
    for _ in range(ATTEMPTS - 1):
        if found.error is None or found.error.type != LATE:
            break
        found = engine.render(job, cancel=look.cancel)
    return found


def _again(engine: Engine, look: Look) -> str:
    """The command that brings what an engine needs, anew."""
    there = [look.by_name[name] for name in BROUGHT_BY.get(engine.name, ()) if name in look.by_name]
    commands = [reinstall(*there)] if there else []
    if engine.name == "ollama":
        commands += [f"rm -f {quoted(module_path())}", f"{python()} -m workbench.ollama_engine"]
    return " && ".join(commands)
