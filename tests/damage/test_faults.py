"""The usual faults: each changes what it says, and nothing else; the damage that must show does."""

import pytest

from workbench.damage import measure
from workbench.damage.faults import FAULTS, LADDER, healthy, quantised
from workbench.engines import render, resolve_template
from workbench.errors import BadRequest
from workbench.gguf.header import read_header
from workbench.setup import Setup

LAYERS = (
    "template",
    "engine",
    "template-choice",
    "tokenizer",
    "context",
    "precision",
    "backend",
    "sampling",
    "parsing",
)
BY_NAME = {fault.name: fault for fault in FAULTS}


def prompt_of(setup):
    header = read_header(setup.model)
    tools = [
        {
            "type": "function",
            "function": {
                "name": "read_file",
                "description": "read a file",
                "parameters": {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]},
            },
        }
    ]
    calls = [{"id": "1", "type": "function", "function": {"name": "read_file", "arguments": {"path": "a.py"}}}]
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "read a.py"},
        {"role": "assistant", "content": "", "tool_calls": calls},
        {"role": "tool", "content": '{"content": "x"}', "tool_call_id": "1"},
    ]
    from workbench.conversation import Conversation

    request = Conversation.from_dict({"messages": messages, "tools": tools})
    result = render(request, resolve_template(setup, header))
    assert result.error is None, result.error
    return result.text


def test_names_are_unique_and_layers_known_and_all_but_none_covered():
    assert len(BY_NAME) == len(FAULTS)
    assert {fault.layer for fault in FAULTS} == set(LAYERS)


@pytest.mark.model
@pytest.mark.parametrize("name", [fault.name for fault in FAULTS if fault.name not in LADDER])
def test_each_fault_changes_its_own_layer_only(name):
    fault, base = BY_NAME[name], healthy()
    changed = set(base.diff(fault.setup(base)))
    assert changed
    sections = {key.partition(".")[0] for key in changed}
    allowed = {
        "template": {"template"},
        "engine": {"template"},
        "template-choice": {"template", "metadata"},
        "tokenizer": {"template", "metadata", "tokenizer"},
        "context": {"runtime"},
        "precision": {"runtime"},
        "backend": {"runtime"},
        "sampling": {"sampling"},
        "parsing": {"parser"},
    }
    assert sections <= allowed[fault.layer]


@pytest.mark.model
@pytest.mark.parametrize(
    "fault", [f for f in FAULTS if f.layer in ("template", "engine", "template-choice")], ids=lambda f: f.name
)
def test_each_template_fault_renders_another_prompt(fault):
    assert prompt_of(fault.setup(healthy())) != prompt_of(healthy())


@pytest.mark.model
@pytest.mark.parametrize(
    ("name", "lost", "found"),
    [
        ("no generation prompt", "<|turn|>assistant\n", None),
        ("wrong role tag", "<|turn|>assistant", "<|turn|>model"),
        ("tools without parameters", '"path": "string"', '"parameters": {}'),
        ("tools as sent", '"parameters": {"path": "string"}', '"properties": {"path": {"type": "string"}}'),
        ("JSON without spaces", '"name": "read_file", "desc', '"name":"read_file","desc'),
        ("quotes escaped", None, "{&#34;name&#34;: &#34;read_file&#34;"),
        ("earlier calls lost", '{"name": "read_file", "arguments"', None),
        ("None printed", None, "assistant\nNone<tool_call>"),
        ("the wrong one of two templates", "<tools>", None),
    ],
)
def test_what_a_fault_writes(name, lost, found):
    before, after = prompt_of(healthy()), prompt_of(BY_NAME[name].setup(healthy()))
    if lost:
        assert before.count(lost) > after.count(lost)
    if found:
        assert found in after
        assert found not in before


def test_a_fault_for_another_template_is_refused(demo_model):
    with pytest.raises(BadRequest, match=r"made for toolsmith's template"):
        BY_NAME["no generation prompt"].setup(Setup(model=str(demo_model)))


@pytest.mark.model
def test_the_ladder_uses_the_types_that_it_names(tmp_path, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path))
    model, sizes = str(healthy().model), []
    for kind in LADDER:
        path = quantised(model, kind)
        header = read_header(str(path))
        types = {name: entry["count"] for name, entry in header.tensor_types().items() if name != "F32"}
        main = kind.removesuffix("_M")
        assert max(types, key=types.get) == main, types
        assert set(types) <= {main, "Q3_K", "Q4_K", "Q5_K", "Q6_K"}, types  # a mixture's better types; no fallback
        sizes.append(header.file_size)
        assert quantised(model, kind) == path  # from the cache
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.model
@pytest.mark.parametrize(
    "name", ["no generation prompt", "special tokens as text", "rope base missing", "calls not parsed"]
)
def test_heavy_faults_are_significant_on_sixty_requests(name):
    well = measure(healthy(), requests=60)
    change = well.against(measure(BY_NAME[name].setup(healthy()), requests=60)).change("exact")
    assert change.significant
    assert change.difference.value < 0
