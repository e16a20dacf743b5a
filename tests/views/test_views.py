"""Every view with every kind of text that has broken one: markup, quotes, emoji, lone bytes, controls, nothing."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from tests.widgets import examples
from workbench import views
from workbench.compare.token_facts import Other, TokenFacts
from workbench.conversation import Conversation
from workbench.damage import Damage, Outcome
from workbench.damage.judge import Facts
from workbench.environment import collect
from workbench.errors import BadRequest, HostDied
from workbench.setup import Setup
from workbench.stages import Generation, Parsed, ParseNote, Rendered, RenderError, Scores, Span, Tokens
from workbench.trace import Trace
from workbench.views import html_of

TEXTS = [
    "<x>",
    "</script>",
    "<img src=x onerror=alert(1)>",
    "\"'&amp;",
    "👩‍🚀",
    "\ud800",
    "\x00\x07\u202e",
    "",
    "a\n\n b",
]
ALLOWED = {"div", "span", "b", "i", "p", "pre", "code", "table", "tr", "th", "td", "details", "summary"}


class Reader(HTMLParser):
    """What a browser makes of it: the tags, their attributes and the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.depth = 0
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.depth += 1

    def handle_endtag(self, tag: str) -> None:
        self.depth -= 1

    def handle_data(self, data: str) -> None:
        self.text += data


def is_plain(page: str) -> None:
    """A view's page: tags that are closed, no script, nothing hidden, and no fall-back to the text repr."""
    read = Reader(page)
    assert read.tags <= ALLOWED
    assert read.attributes <= {"style", "title", "open"}
    assert read.depth == 0
    page.encode("utf-8")  # a lone surrogate would not
    assert not set(page) & set("\x00\x07\u202e\u200d")
    assert not page.startswith('<pre style="white-space:pre-wrap">')


def values(text: str) -> dict[str, Any]:
    """One value of each kind with `text` wherever a text can stand."""
    stages = examples.stages(text, text)
    setup = Setup(model="m.gguf").replace(**{"template.source": "text:" + text, "metadata": {"a.b": text}})
    error = BadRequest(text or "empty", text, text)
    died = HostDied(signal="SIGSEGV", exit_code=None, operation=text, settings=text, log=(text,))
    tools = [{"type": "function", "function": {"name": text, "description": text}}]
    body = {"messages": [{"role": text, "content": text, "x": [text]}], "tools": tools, text or "k": text}
    whole = {name: value for name, value in stages.items() if name != "messages"}
    facts = (Facts(True, True, True, True, None), Facts(False, False, False, False, None))
    measured, lost = (
        Damage(setup, (Outcome(text, "call", False, fact, text, text, 1.0, 3, None, text),), (text,)) for fact in facts
    )
    return {
        **stages,
        "conversation": Conversation.from_dict(body),
        "setup": setup,
        "strip": TokenFacts(stages["tokens"], stages["scores"], stages["rendered"], (text,), Other((1, 2))),
        "environment": collect(runtime={"device": text}, files={"model": {"name": text}}),
        "failed": Rendered("transformers", "0", None, RenderError("TemplateError", text, 3, 1), rewrites=(text,)),
        "trace": Trace(setup, stages["messages"], log=(text,), **whole),
        "damage": measured,
        "damage-paired": measured.against(lost),
        "bad-request": error,
        "host-died": died,
    }


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("name", [*values("x")])
def test_text_stays_text(name, text):
    is_plain(html_of(values(text)[name]))


@pytest.mark.parametrize("text", ["<x>", "</script>", "👩", "\\xff"])
def test_what_was_said_can_be_read(text):
    for name in ("messages", "rendered", "tokens", "generation", "parsed"):
        shown = Reader(html_of(examples.stages(text, text)[name])).text.replace("│", "")
        assert text.replace(" ", "·") in shown, name


def test_hidden_characters_are_written_out():
    shown = Reader(html_of(examples.prompt("a\u202eb\u200b\x00\t\ud800\xa0"))).text
    for written in ("⟨U+202E⟩", "⟨U+200B⟩", "⟨U+0000⟩", "⇥", "⟨U+D800⟩", "⟨U+00A0⟩"):
        assert written in shown


def test_a_lone_byte_is_shown_as_hex():
    tokens = examples.token_values([b"\xf0\x9f", b"\xff"], ["byte", "byte"], [(0, 1), (0, 1)])
    assert "\\xf0\\x9f" in Reader(html_of(tokens)).text
    assert "\\xff" in Reader(html_of(tokens)).text


def test_token_boundaries_survive_without_styles():
    tokens = examples.token_values([b"ab", b"cd"], ["normal", "normal"], [(0, 2), (2, 4)])
    assert "ab│cd" in Reader(html_of(tokens)).text


def test_nothing_at_all():
    empty = np.zeros((0, 2))
    none = Tokens(np.zeros(0), (), (), empty, empty)
    flat = np.zeros(0)
    assert "no tokens" in html_of(none)
    assert "no position" in html_of(Scores(flat, flat, flat, flat, flat, np.zeros((0, 5)), np.zeros((0, 5))))
    assert "empty answer" in html_of(Generation((), "max-tokens", "", ""))
    assert "empty" in html_of(Parsed("plain", "", ""))
    assert "empty text" in html_of(Rendered("e", "0", ""))


def test_long_values_are_cut_with_a_count():
    tokens = examples.token_values([b"x"] * 5000, ["normal"] * 5000, [(i, i + 1) for i in range(5000)])
    assert "3,500 more tokens not shown (of 5,000)" in html_of(tokens)
    assert len(html_of(tokens)) < 500_000
    text = "y" * 100_000
    assert "80,000 more characters" in html_of(Rendered("e", "0", text, spans=(Span(0, 100_000, "unknown"),)))
    many = Conversation.from_dict({"messages": [{"role": "user", "content": "z"}] * 1000})
    assert "800 more messages" in html_of(many)


def test_every_character_of_the_prompt_says_where_it_came_from():
    page = html_of(examples.prompt("Hello"))
    assert 'title="message: messages[0].content from character 0; template line 4"' in page
    assert "written by the template: 24 characters" in page


def test_the_most_surprising_position_comes_first():
    stages = examples.stages()
    page = html_of(Trace(Setup(), stages["messages"], tokens=stages["tokens"], scores=stages["scores"]))
    table = page[page.index("Most surprising") :]
    assert table.index("1e-04") < table.index("0.40 %")


def test_errors_say_what_to_do():
    page = html_of(BadRequest("given this", "accepted is that", "do so"))
    assert all(part in page for part in ("given this", "accepted is that", "do so"))


def test_a_parse_error_names_its_place():
    parsed = Parsed("hermes", "<tool_call>{", "", errors=(ParseNote("not closed", (0, 12)),))
    assert "not closed (characters 0–12)" in html_of(parsed)


def test_a_failing_view_raises_here_and_names_itself_elsewhere(monkeypatch):
    def broken(_value):
        raise ValueError("no <luck>")

    monkeypatch.setattr(views, "VIEWS", (("Parsed", broken),))
    value = Parsed("plain", "<b>", "<b>")
    with pytest.raises(ValueError, match="no <luck>"):
        html_of(value)
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    page = html_of(value)
    assert "The view of Parsed failed" in page
    assert "no &lt;luck&gt;" in page
    assert "content &#x27;&lt;b&gt;&#x27;" in page


def test_what_has_no_view_is_shown_as_text():
    assert html_of({"a": "<b>"}) == '<pre style="white-space:pre-wrap">{&#x27;a&#x27;: &#x27;&lt;b&gt;&#x27;}</pre>'


def test_values_show_themselves():
    assert examples.prompt("Hi")._repr_html_() == html_of(examples.prompt("Hi"))
