"""The lexer that is resumed finds what jinja's own finds, whatever was edited, and so does the compiler behind it."""

from __future__ import annotations

from datetime import datetime
from itertools import accumulate

import jinja2
import jinja2.lexer
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tests.engines.templates import published, some
from tests.profiles import examples
from workbench.engines import environment as rules
from workbench.engines.positions import Position, PositionLexer
from workbench.engines.relex import ResumingEnvironment, ResumingLexer, common_head, common_tail, normalised
from workbench.engines.worker import tracked_environment

CLOCK = rules.Clock(datetime(2026, 1, 2))  # noqa: DTZ001  as the templates are told it
STOCK = rules.configure(ImmutableSandboxedEnvironment, CLOCK)
SNIPPETS = (
    *("{%", "%}", "{{", "}}", "{#", "#}", "-%}", "{%-", "-}}", "{{-", "{%+", "-#}", "{", "}", "%", "#", "-", "(", ")"),
    *(
        "\n",
        "  \n",
        "\r\n",
        "\r",
        "\n    ",
        " ",
        "\t",
        "'",
        '"',
        "\\",
        "x",
        "é",
        "9",
        "1_0",
        ".",
        "[",
        "]",
        "~",
        "|",
        "\u2028",
    ),
    *(
        "{% raw %}",
        "{% endraw %}\n",
        "{%- raw -%}\n ",
        "{%- endraw -%}\n",
        "{% if x %}\n",
        "{% endif %}\n",
        "{% endif -%}\n\n  ",
    ),
    *(
        "{{ a }}",
        "{{ (a }}",
        "{{ {'a': 1} }}\n",
        "{#- note -#}\n",
        "{{ '%}' }}",
        "{% set a = 'b\n' %}",
        "\n\n{{ x -}} \n y",
    ),
)
TEMPLATES = some(published())
DENSE = (
    "{# a #}\n{%- if a -%}\n  one {{ a }}\n{%- else %}\n\ttwo\n    {% endif %}\n\n"
    "{% raw %} {{ no }} {% endraw %}\n{{- 'x\\n' ~ \"y\" -}} \n z\n{% for m in n %}{{ m['k'][0] }}{% endfor %}\n"
)


def tokens_of(lexer: jinja2.lexer.Lexer, source: str) -> list[tuple[int, int | None, str, object]] | tuple[str, str]:
    """Every token with line and, where it is known, offset; or the error and its words."""
    try:
        found = [*lexer.tokenize(source)]
    except Exception as error:  # noqa: BLE001  jinja's lexer raises more than its own errors
        return type(error).__name__, f"{error} {getattr(error, 'lineno', '')}"
    return [(int(t.lineno), getattr(t.lineno, "offset", None), t.type, t.value) for t in found]


@st.composite
def edited(draw: st.DrawFn) -> list[str]:
    """A template, then what a few edits make of it, one after the other."""
    text = draw(st.sampled_from([DENSE, *[t[:4_000] for t in TEMPLATES.values()]]))
    edits = draw(
        st.lists(
            st.tuples(st.floats(0, 1), st.integers(0, 12), st.lists(st.sampled_from(SNIPPETS), max_size=2)),
            min_size=1,
            max_size=5,
        )
    )

    def apply(before: str, edit: tuple[float, int, list[str]]) -> str:
        at = int(edit[0] * len(before))
        return before[:at] + "".join(edit[2]) + before[at + edit[1] :]

    return [*accumulate(edits, apply, initial=text)]


@settings(max_examples=examples(400))
@given(edited())
@example(
    ["{{ a }}\n\n{{ b }}\n\n", "{{ a }}\n\n{{ b }}\n", "{{ a }}\n\n{{ b }}", "{{ a }}\n\n", "{{ a }}\n", "{{ a }}", ""]
)
@example(
    ["{% if a %}\n  {% endif %}", "{% if a %}\n x {% endif %}", "{% if a %}\n  {% endif %}", "{% if a %}  {% endif %}"]
)
@example(["{% if a -%}  \n{{ b }}", "{% if a -%}  \n\n\n{{ b }}", "{% if a -%}{{ b }}", "{% if a %}\n\n{{ b }}"])
def test_a_resumed_lexer_finds_what_a_new_one_finds(texts: list[str]) -> None:
    own, placed = ResumingLexer(STOCK), PositionLexer(STOCK)
    for text in texts:
        stock = tokens_of(jinja2.lexer.Lexer(STOCK), text)
        assert tokens_of(own, text) == stock
        if isinstance(stock, list):
            found = [*placed.tokenize(text)]
            assert [(int(t.lineno), None, t.type, t.value) for t in found] == stock
            assert all(isinstance(t.lineno, Position) for t in found)
            assert tokens_of(placed, text) == tokens_of(PositionLexer(STOCK), text)
            assert_places(placed, text, found)


def assert_places(lexer: PositionLexer, text: str, found: list[jinja2.lexer.Token]) -> None:
    """Each token's offset is on its line, and names stand where they are said to."""
    source = normalised(text)
    assert lexer.source_map.text == source
    for token in found:
        offset = token.lineno.offset  # type: ignore[attr-defined]
        assert source.count("\n", 0, offset) + 1 == int(token.lineno)
        assert token.type != "name" or source.startswith(token.value, offset)


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_edits_of_published_templates_compile_to_the_same_code(name: str) -> None:
    own, text = rules.configure(ResumingEnvironment, CLOCK), TEMPLATES[name]
    middle = text.find("\n", len(text) // 2) + 1
    for edit in (text, "0" + text, text[:middle] + "x\n" + text[middle:], text + "{{ messages }}\n", text):
        assert code_of(own, edit) == code_of(STOCK, edit)


def code_of(environment: jinja2.Environment, text: str) -> str:
    """The Python that a template becomes, or the error."""
    try:
        return environment.compile(text, raw=True)
    except jinja2.TemplateSyntaxError as error:
        return f"{error.message} on line {error.lineno}"


def test_only_what_was_edited_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    whole = jinja2.lexer.Lexer.tokeniter

    def listening(self, source, name, *rest):
        for one in whole(self, source, name, *rest):
            read.append(one[2])
            yield one

    monkeypatch.setattr(jinja2.lexer.Lexer, "tokeniter", listening)
    lexer, text = ResumingLexer(STOCK), "{% if a %}\nb\n{% endif %}\n" * 200
    lexer.tokenize(text)
    assert len(read) > 1_000
    read.clear()
    lexer.tokenize(text[:2_500] + "!" + text[2_500:])
    assert len(read) < 20


def test_an_error_of_the_parser_comes_before_one_of_the_lexer() -> None:
    text = "{% if %}\n{{ 'open }}"
    with pytest.raises(jinja2.TemplateSyntaxError) as stock:
        STOCK.parse(text)
    own = rules.configure(ResumingEnvironment, CLOCK)
    own.parse("{% if a %}\n{% endif %}")
    with pytest.raises(jinja2.TemplateSyntaxError) as found:
        own.parse(text)
    assert (found.value.message, found.value.lineno) == (stock.value.message, stock.value.lineno)


@pytest.mark.parametrize("text", ["{% if a %}\n{% elif %}\n{{ b }}", "{{ a b }}\n{{ c }}", "{% for x %}\n{{ x }}"])
def test_where_the_parser_stood_is_known_as_before(text: str) -> None:
    fresh, again = tracked_environment(CLOCK), tracked_environment(CLOCK)
    again.parse("{{ z }}" + text.replace("{%", "{{ 1 }}{#").replace("%}", "#}").replace("a b", "a"))
    for environment in (fresh, again):
        with pytest.raises(jinja2.TemplateSyntaxError):
            environment._parse(text, None, None)
    assert again.lexer.reached == fresh.lexer.reached > 0  # type: ignore[attr-defined]


@given(st.text("ab", max_size=12), st.text("ab", max_size=12))
def test_what_two_texts_have_in_common(a: str, b: str) -> None:
    head = common_head(a, b)
    tail = common_tail(a, b, head)
    assert a[:head] == b[:head]
    assert head == min(len(a), len(b)) or a[head] != b[head]
    assert a[len(a) - tail :] == b[len(b) - tail :]
    assert tail + head == min(len(a), len(b)) or a[-tail - 1] != b[-tail - 1]
