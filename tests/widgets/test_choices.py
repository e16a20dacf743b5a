"""What the user chose and typed becomes a request and a setup; what is wrong is said beside it and stays."""

from __future__ import annotations

import json

import pytest

from workbench.conversation import Conversation
from workbench.errors import BadRequest
from workbench.setup import Setup
from workbench.widgets.choices import Choices, of_setup
from workbench.widgets.sources import Sources, request_text

HELLO = '{"messages": [{"role": "user", "content": "Hello"}]}'


def test_untouched_controls_change_nothing():
    base = Setup(model="m.gguf").replace(**{"runtime.n_ctx": 64})
    assert Choices(base=base, **of_setup(base)).setup() == base


@pytest.mark.parametrize(
    "changes",
    [
        {"template.source": "text:{{ messages }}", "tokenizer.add_special": False},
        {"template.source": "file:/t.jinja", "tokenizer.parse_special": False, "sampling.top_k": 3},
        {"template.source": "text:", "tokenizer.add_special": True, "sampling.temperature": 0.5},
        {"sampling.typical_p": 0.5, "sampling.samplers": ["top_k"], "sampling.logit_bias": {"3": False}},
    ],
)
def test_a_given_setup_comes_back(changes):
    base = Setup(model="m.gguf").replace(**changes)
    assert Choices(base=base, **of_setup(base)).setup() == base


def test_changes_reach_the_setup():
    before = Choices(model="m.gguf")
    after = before.changed({"temperature": "0.7", "top_k": "5", "add_special": "add", "parse_special": False})
    assert after.setup() == Setup(model="m.gguf").replace(
        **{
            "sampling.temperature": 0.7,
            "sampling.top_k": 5,
            "tokenizer.add_special": True,
            "tokenizer.parse_special": False,
        }
    )
    assert after.changed({"temperature": ""}).setup().sampling.temperature is None


@pytest.mark.parametrize(
    ("changes", "place", "words"),
    [
        ({"temperature": "warm"}, "settings", "'warm'"),
        ({"top_p": "7"}, "settings", "top_p is 7"),
        ({"seed": "1e999"}, "settings", "seed"),
        ({"model": ""}, "settings", "no model"),
        ({"template": "file"}, "settings", "no template file"),
        ({"request_text": '{"messages": ['}, "request", "line 1 column 15"),
        ({"request_text": "{}"}, "request", "messages"),
    ],
)
def test_what_is_wrong_is_named_and_kept(changes, place, words):
    choices = Choices(model="m.gguf", request_text=HELLO).changed(changes)
    _, _, errors = choices.read()
    assert words in errors[place]
    for name, value in changes.items():
        assert (dict(choices.sampling) | choices.__dict__)[name] == value


def test_an_unknown_change_is_refused():
    with pytest.raises(BadRequest, match="colour"):
        Choices().changed({"colour": "red"})


def test_picking_a_sample_does_not_lose_what_was_typed():
    sources = Sources(requests={"hello": HELLO})
    typed = sources.applied(Choices(), {"request_text": "{ half typed"})
    assert typed.request == ""
    picked = sources.applied(typed, {"request": "hello"})
    assert picked.request_text == HELLO
    assert sources.applied(picked, {"request": ""}).request_text == "{ half typed"


def test_typing_a_template_makes_it_count_and_the_models_own_does_not_lose_it():
    sources = Sources()
    typed = sources.applied(Choices(model="m.gguf"), {"template_text": "{{ 1 }}"})
    assert typed.template == "text"
    own = sources.applied(typed, {"template": "model"})
    assert own.setup().template.source is None
    assert sources.applied(own, {"template": "text"}).setup().template.source == "text:{{ 1 }}"


def test_a_template_that_was_typed_can_be_had_again_after_another_one_is_edited():
    sources = Sources()
    first = sources.applied(Choices(model="m.gguf"), {"template_text": "{{ 1 }}"})
    other = sources.applied(sources.applied(first, {"template": "format:chatml"}), {"template_text": "{{ 2 }}"})
    other = sources.applied(other, {"template_text": "{{ 22 }}"})  # more typing in the same text is no other one
    offered = {words: value for value, words in sources.options(other)["template"] if "before" in words}
    assert list(offered) == ["edited here before, 1"]
    again = sources.applied(other, {"template": offered["edited here before, 1"]})
    assert (again.template, again.template_text) == ("text", "{{ 1 }}")
    offered = {words: value for value, words in sources.options(again)["template"] if "before" in words}
    back = sources.applied(again, {"template": offered["edited here before, 2"]})
    assert back.setup().template.source == "text:{{ 22 }}"


def test_a_request_that_was_typed_can_be_had_again_after_a_sample_is_edited():
    sources = Sources(requests={"hello": HELLO})
    own = sources.applied(Choices(), {"request_text": "{ mine"})
    sample = sources.applied(own, {"request": "hello"})
    edited = sources.applied(sample, {"request_text": HELLO + " "})
    assert sources.applied(edited, {"request": ""}).request_text == HELLO + " "
    name = next(value for value, _ in sources.options(edited)["request"] if "before" in value)
    assert sources.applied(edited, {"request": name}).request_text == "{ mine"


def test_a_typed_path_replaces_the_list():
    assert Sources().applied(Choices(model="m.gguf"), {"model_path": " /x.gguf "}).setup().model == "/x.gguf"


def test_a_request_with_a_lone_surrogate_can_be_edited():
    body = {"messages": [{"role": "user", "content": "é \ud800"}]}
    text = request_text(Conversation.from_dict(body))
    text.encode()
    assert json.loads(text) == body
    assert "é" in request_text(Conversation.from_dict({"messages": [{"role": "user", "content": "é"}]}))


def test_a_well_known_format_and_an_engine_are_chosen() -> None:
    from workbench.data import templates

    choices = Choices(model="m.gguf").changed({"template": "format:llama-3", "engine": "llama.cpp"})
    setup = choices.setup()
    assert setup.template.source == f"file:{templates()['llama-3']}"
    assert setup.template.engine == "llama.cpp"
    assert Choices(model="m.gguf").setup().template.engine is None
    _, _, errors = choices.changed({"template": "format:nothing"}).read()
    assert "there is no format 'nothing'" in errors["settings"]
