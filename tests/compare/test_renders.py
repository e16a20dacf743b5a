"""Which engines agree, from hand-made renders; and all engines on real templates."""

from __future__ import annotations

import json

import pytest

from workbench.compare.renders import Absent, Agreement, Renders
from workbench.data import requests
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
    assert "<b>" not in shown.replace("<b>Rewritten", "").replace("<b>Not evaluated", "").replace("<b>Note", "")
    assert "part from transformers at character 2, line 1; same ids" in shown


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
