"""The chat templates that tests render: our own always, published ones where they are at hand."""

# ruff: noqa: E501  templates are written as their authors write them

from __future__ import annotations

import os
import tarfile
from functools import cache
from pathlib import Path

from tests.profiles import PROFILE

SPECIAL = (("bos_token", "<s>"), ("eos_token", "</s>"), ("unk_token", "<unk>"), ("pad_token", "<pad>"))

OWN: dict[str, str] = {
    "own: chatml": (
        "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    ),
    "own: one string": (
        "{%- for m in messages -%}\n  {{- '<|' + m['role'] + '|>\\n' + (m['content'] or '')|trim ~ eos_token }}\n{%- endfor %}"
    ),
    "own: namespace and macro": """\
{%- macro turn(who, text) %}
[{{ who | upper }}]{{ text }}[/{{ who | upper }}]
{%- endmacro %}
{%- set ns = namespace(text='', count=0) %}
{%- for m in messages if m.content %}
    {%- set ns.text = ns.text ~ turn(m.role, m.content) %}
    {%- set ns.count = ns.count + 1 %}
{%- endfor %}
{{ bos_token }}{{ ns.text }} ({{ ns.count }} of {{ messages | length }})
""",
    "own: set block and filter block": """\
{%- set body %}{% for m in messages %}{{ loop.index }}. {{ m.content }}
{% endfor %}{% endset -%}
{% filter indent(2) %}{{ body }}{% endfilter %}{{ body | replace('.', '<e>') | title }}
""",
    "own: everything as JSON": """\
{{ messages | tojson }}
{{ messages[0] | tojson(indent=2) }}{% if tools %}{{ tools | tojson(indent=4) }}{% endif %}
{{ documents | tojson(sort_keys=true, separators=(',', ':')) }}
{{ {'first': messages[0].role, 'n': messages | length, 'yes': true, 'none': none} | tojson(ensure_ascii=true) }}
""",
    "own: everything as Python": "{{ messages }}|{{ messages[0] }}|{{ tools }}|{{ [1, 'a', messages[0].role] }}|{{ ('x',) }}",
    "own: arguments and tools by hand": """\
{%- for tool in tools or [] %}
tool {{ loop.index0 }}: {{ tool.function.name }}: {{ tool.function.description }}
{%- for name, spec in tool.function.parameters.properties.items() %}
  - {{ name }} ({{ spec.type }}){{ ' = ' ~ spec.default if spec.default is defined }}
{%- endfor %}
{%- endfor %}
{%- for m in messages %}{% for call in m.tool_calls or [] %}
call {{ call.function.name }}{{ call.function.arguments if call.function.arguments is string
    else call.function.arguments | tojson }}
{%- if call.function.arguments is mapping %}{% for k, v in call.function.arguments.items() %}
 {{ k }}={{ v | tojson if v is not string else v }};{{ v }}
{%- endfor %}{% endif %}{% endfor %}{% endfor %}
""",
    "own: strings taken apart": """\
{%- for m in messages if m.content is string %}
{%- set parts = m.content.split('</think>') %}
{{ parts[-1].lstrip('\\n') }}|{{ m.content.split() | join('-') }}|{{ m.content[1:-1] }}|{{ m.content[::-1] }}|
{{- m.content.partition(' ')[2] }}|{{ m.content.rsplit(' ', 1)[-1] }}|{{ m.content.splitlines() | join(' / ') }}|
{{- m.content.upper() }}|{{ m.content | lower }}|{{ m.content.swapcase() }}|{{ m.content | capitalize }}|{{ m.content * 2 }}|
{{- '%s says %s (%d)' % (m.role, m.content, loop.index) }}|{{ '{} and {x}'.format(m.role, x=m.content) }}|
{{- m.content | center(30) }}|{{ m.content.ljust(20, '.') }}|{{ m.content | truncate(9) }}|{{ m.content | e }}|
{{- m.content.removesuffix('.') }}|{{ m.content.replace(' ', m.role) }}|{{ m.content | list | join('·') }}|
{{- m.content | wordwrap(5) }}|{{ m.content | first }}{{ m.content | last }}
{%- endfor %}
""",
    "own: values of every kind": """\
{%- for m in messages %}
{%- for key, value in m.items() %}
{{ key }}: {{ value }} {{ value is none }} {{ value is boolean }} {{ value is integer }} {{ value is number }}
{{- ' ' ~ value ~ ' ' }}{{ value | string }} {{ value | tojson }} {{ value is string }} {{ value + 1 if value is number }}
{%- endfor %}
{%- endfor %}
{{ add_generation_prompt }} {{ true }} {{ none }} {{ 1 + 2 }} {{ 7 // 2 }} {{ 2 ** 10 }} {{ undefined_name }}
""",
    "own: the clock": "{{ strftime_now('%d %B %Y %H:%M') }} {{ strftime_now('%Y-%m-%d')[:4] }} {{ messages[0].content }}",
    "own: generation block": (
        "{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}"
        "{% else %}<{{ m.role }}>{{ m.content }}{% endif %}{% endfor %}"
    ),
    "own: loop controls and recursion": """\
{%- for m in messages recursive %}{% if loop.index > 3 %}{% break %}{% endif %}{% if not m.content %}{% continue %}{% endif %}
{{ loop.cycle('odd', 'even') }}{{ loop.first }}{{ loop.last }} {{ m.content }}{{ loop.previtem.role if loop.previtem }}
{%- endfor %}
{%- macro deep(n) %}{{ n }}{% if n > 0 %}{{ deep(n - 1) }}{% endif %}{% endmacro %}{{ deep(3) }}
{%- call(x) deep(1) %}{{ x }}{% endcall %}
""",
    "own: refuses": (
        "{% if messages[0].role != 'system' %}{{ raise_exception('the first message must be a system message, not '"
        " ~ messages[0].role) }}{% endif %}{{ messages[0].content + messages[1].content }}"
    ),
    "own: kwargs": "{{ enable_thinking }} {{ bos_token }} {{ date_string | default('no date') }} {{ builtin_tools | tojson }}",
    "own: documents": (
        "{% for d in documents or [] %}{{ d.title }}: {{ d['text'] }}{{ d.doc_id }}{% endfor %}{{ documents is none }}"
    ),
    "own: filters that lose": (
        "{{ messages[0].content | urlencode }}|{{ messages[0].content | striptags }}|{{ messages[0].content | wordcount }}|"
        "{{ messages[0].content | pprint }}|{{ 12345 | filesizeformat }}|{{ '12' | int + 1 }}|{{ 3.7 | round | int }}"
    ),
    "own: safe text": "{% for m in messages %}{{ (m.content | safe) ~ '<' }}{{ m.content | escape | upper }}{% endfor %}",
    "own: carriage returns": "a\r\nb\rc {{ messages[0].content }}\r\n  {# no #}\r\n{%- raw %}{{ x }}{% endraw %}\r\n\r\n",
    "own: escapes": "{{ 'tab\\there \\u00e9\\x41 \\' \\\\n' }}{{ 'two' ' parts' }}{{ \"\n\" }}{{ messages[0].role }}",
}


@cache  # the source package takes seconds to read
def published() -> dict[str, str]:
    """Templates of published models by name, from the folder beside the project and the cache, else the source package there."""
    found: dict[str, str] = {}
    cache = Path(os.environ.get("GGUF_WORKBENCH_CACHE") or _cache_home() / "gguf-workbench")
    beside = Path(__file__).resolve().parents[3] / "shared" / "data" / "templates"
    for folder in (beside, cache / "templates"):
        for path in sorted(folder.glob("*.jinja")):
            found.setdefault(path.stem, path.read_bytes().decode("utf-8"))
    for archive in [] if found else sorted((cache / "sdist").glob("llama_cpp_python-*.tar.gz")):
        for name, text in _packed(archive):
            found.setdefault(name, text)
    return found


def _packed(archive: Path) -> list[tuple[str, str]]:
    with tarfile.open(archive) as package:
        members = [m for m in package if m.name.endswith(".jinja") and "/models/templates/" in m.name]
        return [(Path(m.name).stem, package.extractfile(m).read().decode("utf-8")) for m in members]


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def some(templates: dict[str, str]) -> dict[str, str]:
    """All of them; in a quick run every eighth."""
    step = 8 if PROFILE == "quick" else 1
    return {name: templates[name] for name in sorted(templates)[::step]}


TEMPLATES: dict[str, str] = {**OWN, **some(published())}
