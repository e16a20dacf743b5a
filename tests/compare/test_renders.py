"""Which engines agree, from hand-made renders; and all engines on real templates."""

from __future__ import annotations

import html
import json
import re
from dataclasses import replace
from importlib.metadata import version

import pytest

from workbench.compare.renders import Absent, Agreement, Renders
from workbench.data import requests, toolsmith
from workbench.renders import agreement, side_by_side
from workbench.setup import ENGINE_NAMES, Setup, TemplateChoice
from workbench.stages import Rendered, RenderError

MADE = Renders(
    (
        Rendered("transformers", "1", "a b\nc"),
        Rendered("llama.cpp", "2", "a x\nc", rewrites=('messages[0].content: null became ""',)),
        Rendered("llama-cpp-python", "3", "a b\nc"),
        Rendered("llama-server", "4", None, RenderError("HTTP 400", "no <b>", None)),
    ),
    (Absent("ollama", "it needs something"),),
    (("transformers", (1, 2)), ("llama.cpp", (1, 2))),
)
ASK = {"messages": [{"role": "user", "content": "Hi <b>"}]}


def test_engines_with_the_same_text_stand_together() -> None:
    assert MADE.groups == (("transformers", "llama-cpp-python"), ("llama.cpp",), ("llama-server",))
    assert not MADE.agree
    assert MADE.first_difference("transformers", "llama.cpp").offset == 2
    assert MADE.differences("transformers", "llama.cpp") == ((2, 3, 2, 3),)
    assert MADE.differences("transformers", "llama-server") == ()
    assert MADE.same_ids("transformers", "llama.cpp") is True
    assert MADE.same_ids("transformers", "llama-cpp-python") is None


def test_the_same_facts_in_every_form() -> None:
    facts = MADE.to_dict()
    assert [item["engine"] for item in facts["renders"]] == [
        "transformers",
        "llama.cpp",
        "llama-cpp-python",
        "llama-server",
    ]
    assert facts["not_evaluated"] == [{"engine": "ollama", "reason": "it needs something"}]
    assert facts["differences"][0]["engines"] == ["transformers", "llama.cpp"]
    assert facts["differences"][0]["first"]["offset"] == 2
    json.dumps(facts)
    assert list(MADE.to_frame()["group"]) == [1, 2, 1, 3]
    assert "transformers = llama-cpp-python" in repr(MADE)


def test_the_view_shows_each_text_once_and_escapes() -> None:
    shown = MADE._repr_html_()
    assert "2 different texts" in shown
    assert "no &lt;b&gt;" in shown
    assert "<b>" not in re.sub("<b>(Rewritten|Not evaluated|Note|transformers):", "", shown)
    assert "part from transformers at character 2, line 1; same ids" in shown


@pytest.mark.model
def test_texts_are_compared_as_tokens_too() -> None:
    chosen = Setup(
        model=str(toolsmith()), template=TemplateChoice("text:<|turn|>{{ messages[0].content }} {{ bos_token }}")
    )
    found = side_by_side(ASK, chosen, engines=["transformers", "llama-cpp-python", "llama-server"])
    aligned = found.alignment("transformers", "llama-server")
    assert aligned is not None
    assert aligned.same_ids is found.same_ids("transformers", "llama-server")
    assert MADE.alignment("transformers", "llama.cpp") is None


def package(text: str | None) -> Renders:
    error = None if text is not None else RenderError("TypeError", "no <b>")
    return replace(MADE, package=Rendered("transformers", "transformers 9, installed here", text, error))


@pytest.mark.parametrize(
    ("text", "agrees", "words"),
    [
        ("a b\nc", True, "transformers 9, installed here, writes the same text"),
        ("a b\nd", False, "transformers 9, installed here, writes another text from character 4 on"),
        (None, False, "transformers 9, installed here, refuses it: no <b>"),
    ],
)
def test_what_the_installed_package_writes_stands_beside_the_engine(text, agrees, words) -> None:
    found = package(text)
    assert (found.package_agrees, found.package_words()) == (agrees, words)
    assert found.to_dict()["package"] == {"version": "transformers 9, installed here", "same": agrees}
    assert html.escape(words) in found._repr_html_()


def test_without_the_package_nobody_claims_that_it_agrees() -> None:
    found = replace(MADE, package="it is not installed here")
    assert found.package_agrees is None
    assert found.package_words() == "the package transformers was not asked: it is not installed here"
    assert MADE.package_words() == ""


def test_a_render_that_was_stopped_agrees_with_nothing() -> None:
    stopped = Rendered("transformers", "transformers 9, installed here", None, RenderError("TimeLimit", "2 s"))
    found = replace(MADE, package=stopped)
    assert found.package_agrees is None
    assert "not evaluated" in found.package_words()


def test_the_installed_package_is_really_asked() -> None:
    found = side_by_side(
        ASK, Setup(template=TemplateChoice("text:{{ messages[0].content }}")), engines=["transformers"]
    )
    assert found.package is not None
    assert found.package.text == "Hi <b>"
    assert f"transformers {version('transformers')}, installed here, writes the same text" == found.package_words()


def test_a_rewritten_request_is_shown_as_a_difference_of_two_requests() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    ask = {"messages": [{"role": "user", "content": parts}]}
    chosen = Setup(template=TemplateChoice("text:{{ messages[0].content + '' }}"))
    found = side_by_side(ask, chosen, engines=["transformers", "llama.cpp"])
    (one,) = found.rewritten
    assert one.engine == "llama.cpp"
    assert one.before.value() == ask
    assert one.after.value() == {"messages": [{"role": "user", "content": "a\nb"}]}
    before, after = one.texts
    rebuilt, at = "", 0
    for change in one.differences:
        rebuilt += before[at : change.start_a] + after[change.start_b : change.end_b]
        at = change.end_a
    assert rebuilt + before[at:] == after
    assert Rendered.from_dict(found["llama.cpp"].to_dict()) == found["llama.cpp"]
    assert "template saw it" in found._repr_html_()


@pytest.mark.model
def test_every_engine_on_a_template_of_a_setup() -> None:
    chatml = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}"
    chatml += "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    found = side_by_side(ASK, Setup(template=TemplateChoice("text:" + chatml)))
    assert [rendered.engine for rendered in found.renders] == list(ENGINE_NAMES)
    assert found.agree, found.groups
    assert found["transformers"].text == "<|im_start|>user\nHi <b><|im_end|>\n<|im_start|>assistant\n"


def test_one_time_for_all_engines() -> None:
    found = side_by_side(
        ASK,
        Setup(template=TemplateChoice("text:{{ strftime_now('%H:%M:%S.%f') }}")),
        engines=("transformers", "llama-cpp-python"),
    )
    assert found.agree, found.groups


def test_the_others_are_held_against_the_first_that_wrote_a_text() -> None:
    failed = Rendered("transformers", "1", None, RenderError("TypeError", "no"))
    made = Renders((failed, Rendered("llama.cpp", "2", "a"), Rendered("llama-server", "3", "b")))
    assert made.base == "llama.cpp"
    assert [item["engines"] for item in made.to_dict()["differences"]] == [["llama.cpp", "llama-server"]]
    assert "part from llama.cpp" in made._repr_html_()
    assert Renders((failed,)).to_dict()["differences"] == []
    assert "none wrote a text" in Renders((failed,))._repr_html_()


def test_a_table_over_several_requests() -> None:
    made = Agreement(
        (("one", MADE), ("two", Renders((Rendered("transformers", "1", "x"), Rendered("llama.cpp", "2", "x")))))
    )
    assert made.letters("one") == {
        "transformers": "A",
        "llama-cpp-python": "A",
        "llama.cpp": "B",
        "llama-server": "error",
        "ollama": "not evaluated",
    }
    assert list(made.to_frame()["request"]) == ["one", "two"]
    assert repr(made) == "Agreement(2 requests, all engines that wrote a text agree on 1)"
    shown = made._repr_html_()
    assert "no &lt;b&gt;" in shown
    assert "it needs something" in shown


def test_agreement_of_real_engines() -> None:
    source = "text:{% for m in messages %}[{{ m.content }}]{% endfor %}"
    asks = {
        "plain": ASK,
        "null": {"messages": [*ASK["messages"], {"role": "assistant", "content": None}, *ASK["messages"]]},
    }
    found = agreement(asks, Setup(template=TemplateChoice(source)), engines=("llama-cpp-python", "llama.cpp"))
    assert set(found.letters("plain").values()) == {"A"}
    assert found.letters("null") == {"llama-cpp-python": "A", "llama.cpp": "B"}


@pytest.mark.model
def test_ids_say_whether_a_difference_reaches_the_model(demo_model) -> None:
    found = side_by_side(requests()["hello"], str(demo_model), engines=("transformers", "llama.cpp", "ollama"))
    assert found.same_ids("transformers", "llama.cpp") is True
    assert found.same_ids("transformers", "ollama") is False
    assert len(dict(found.ids)["transformers"]) == 39
    assert "39 tokens" in found._repr_html_()


def test_the_tables_columns_are_in_the_order_of_the_engines():
    texts = {"transformers": "a", "llama.cpp": "b", "llama-cpp-python": "a"}
    found = Agreement((("one", Renders(tuple(Rendered(name, "1", text) for name, text in texts.items()))),))
    assert list(found.to_frame()) == ["request", *texts]


def test_a_long_stretch_that_is_alike_is_cut_with_a_count_and_every_difference_is_there():
    alike = "a word and another\n" * 3_000
    found = Renders(
        (Rendered("transformers", "1", f"{alike}one {alike}"), Rendered("ollama", "2", f"{alike}two {alike}end"))
    )
    page = found._repr_html_()
    assert len(page) < 70_000
    assert f"{len(alike) - 2_000:,} characters that are alike" in page
    assert all(f">{word}</span>" in page for word in ("one", "two", "end"))
