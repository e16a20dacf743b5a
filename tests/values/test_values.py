"""The shared values: equal by content, frozen, JSON both ways, bad input named in one sentence."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench import data
from workbench.chain import first_touched
from workbench.conversation import Conversation
from workbench.environment import Environment, collect
from workbench.errors import BadFile, BadRequest, HostDied, WorkbenchError
from workbench.gguf.header import read_header
from workbench.setup import Setup, parse_clock
from workbench.stages import (
    CodeBlock,
    Event,
    Generation,
    Parsed,
    ParseNote,
    Rendered,
    RenderError,
    SamplerStage,
    Scores,
    Span,
    Step,
    Tokens,
    ToolCall,
    show_bytes,
)
from workbench.storage import load_trace, save_trace
from workbench.trace import Stopped, Trace
from workbench.values import FrozenJSON, finite

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


def step(**changes: object) -> Step:
    stage = SamplerStage("top-k", 3, 46, (5, 6, 7), (0.5, 0.3, 0.2))
    base = Step(5, b"\xf0\x9f", "normal", -0.25, 1, 1.5, 0.5, (5, 6), (-0.25, float("-inf")), (stage,))
    return dataclasses.replace(base, **changes)  # type: ignore[arg-type]


def example_trace() -> Trace:
    scores = Scores(
        logprob=np.array([-1.5, np.nan]),
        rank=np.array([3, 0]),
        entropy=np.array([2.0, 1.0]),
        logsumexp=np.array([9.0, 8.0]),
        margin=np.array([0.1, np.inf]),
        top_ids=np.array([[1, 2], [3, 4]]),
        top_logprobs=np.array([[-0.1, -0.2], [-0.3, -np.inf]]),
        logits=((1, np.array([0.5, -np.inf, np.nan, 0, 0, 0, 0, 0, 0])),),
    )
    return Trace(
        setup=Setup.from_dict({"model": "m.gguf", "runtime": {"n_ctx": 64}, "metadata": {"a.b": [1, 2]}}),
        conversation=Conversation.of([{"role": "user", "content": "a\ud800\x00</script>"}]),
        rendered=Rendered(
            "transformers",
            "x",
            "ab",
            spans=(Span(0, 1, "message", "messages[0].content", 1, 2, True, 0), Span(1, 2, "template", None, 1, 1)),
            events=(Event("output", 1, 1, "writes", 0, 1),),
        ),
        tokens=Tokens(
            np.array([5, 6]), (b"a", b"\xff"), ("normal", "byte"), np.array([[0, 1], [1, 2]]),
            np.array([[0, 1], [1, 2]]), ((0, "bos"),), 9, ("note",),
        ),
        scores=scores,
        generation=Generation((step(),), "max-tokens", "after 1 token", "\\xf0\\x9f", FrozenJSON({"seed": 1})),
        parsed=Parsed(
            "hermes", "raw", "c", "r", (ToolCall("f", {}, (0, 1)),), (ParseNote("r", (0, 1)),),
            (ParseNote("e", (1, 2)),), (CodeBlock("python", "x", (0, 1), None),),
        ),
        environment=collect(runtime={"n_ctx": 64}),
        stopped=Stopped("parsed", FrozenJSON({"code": "x", "message": "y"})),
    )  # fmt: skip


@pytest.mark.parametrize("name", ["rendered", "tokens", "generation", "parsed", "environment", "setup", "conversation"])
def test_each_value_survives_json(name: str) -> None:
    value = getattr(example_trace(), name)
    again = type(value).from_dict(json.loads(json.dumps(value.to_dict())))
    assert again == value
    assert hash(again) == hash(value)
    assert len(value.to_frame()) >= 1
    assert type(value).__name__ in repr(value)


def test_scores_survive_json_but_for_what_json_cannot_hold() -> None:
    scores = example_trace().scores
    assert scores is not None
    data = json.loads(scores.to_json())
    assert data["logprob"][-1] is None
    assert data["rank"] == [3, None]
    again = Scores.from_dict(data)
    assert np.array_equal(again.top_ids, scores.top_ids)
    assert np.isnan(again.logprob[-1])


def test_values_are_frozen() -> None:
    trace = example_trace()
    assert trace.tokens is not None
    with pytest.raises(dataclasses.FrozenInstanceError):
        trace.rendered = None  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        trace.tokens.ids[0] = 1
    with pytest.raises(AttributeError, match="cannot change"):
        trace.conversation.body.text = ""


def test_trace_saves_and_loads_without_loss(tmp_path: Path) -> None:
    trace = example_trace()
    again = load_trace(save_trace(trace, tmp_path / "t"))
    assert again == trace
    assert again.scores is not None
    assert np.isnan(again.scores.logits[0][1][2])
    assert again.scores.top_logprobs[1, 1] == -np.inf
    assert again.generation is not None
    assert again.generation.steps[0].top_logprobs[1] == -np.inf


def test_changed_trace_is_refused(tmp_path: Path) -> None:
    folder = save_trace(example_trace(), tmp_path / "t")
    (folder / "trace.json").write_text((folder / "trace.json").read_text().replace("</script>", "<script>"))
    with pytest.raises(BadFile, match="SHA-256 differs"):
        load_trace(folder)


@pytest.mark.parametrize("damage", ["missing", "empty", "not-json", "cut-arrays"])
def test_damaged_trace_is_one_sentence(tmp_path: Path, damage: str) -> None:
    folder = save_trace(example_trace(), tmp_path / "t")
    if damage == "missing":
        (folder / "arrays.npz").unlink()
    elif damage == "empty":
        (folder / "hashes.json").write_text("{}")
    elif damage == "not-json":
        (folder / "hashes.json").write_text("no")
    else:
        (folder / "arrays.npz").write_bytes((folder / "arrays.npz").read_bytes()[:100])
    with pytest.raises(BadFile) as error:
        load_trace(folder)
    assert "\n" not in str(error.value)


def test_key_order_and_number_type_count() -> None:
    assert FrozenJSON({"a": 1, "b": 2}) != FrozenJSON({"b": 2, "a": 1})
    assert FrozenJSON(1) != FrozenJSON(1.0)
    assert FrozenJSON({"a": [1]}) == FrozenJSON({"a": (1,)})


@given(JSON)
def test_frozen_json_keeps_every_value(value: object) -> None:
    assert FrozenJSON(value).value() == value


def test_finite_replaces_only_what_json_cannot_hold() -> None:
    assert finite({"a": [float("nan"), 1.5], "b": (float("inf"),)}) == {"a": [None, 1.5], "b": [None]}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "is not JSON"),
        ("{", "line 1 column 2"),
        ("[]", "JSON list"),
        ("{}", 'no "messages"'),
        ('{"messages": {}}', "JSON object"),
        ('{"messages": []}', "is empty"),
        ('{"messages": ["hi"]}', r"messages\[0\] is a JSON text"),
        ('{"messages": [{"role": "user", "content": NaN}]}', "NaN is not a JSON number"),
        ('{"messages": [{}], "tools": {}}', '"tools" is a JSON object'),
        ('{"messages": [{}], "chat_template_kwargs": []}', "accepted is an object"),
        ('{"messages": [{}], "add_generation_prompt": "no"}', "true or false"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_bad_request_is_one_sentence(text: str, says: str) -> None:
    with pytest.raises(BadRequest, match=says) as error:
        Conversation.from_json(text)
    assert "\n" not in str(error.value)


def test_request_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no file at"):
        Conversation.from_file(tmp_path / "none.json")
    with pytest.raises(BadFile, match="is a directory"):
        Conversation.from_file(tmp_path)
    (tmp_path / "latin.json").write_bytes(b'{"messages": "\xe9"}')
    with pytest.raises(BadFile, match="not UTF-8 text"):
        Conversation.from_file(tmp_path / "latin.json")
    with pytest.raises(BadFile, match="cannot be read"):
        Conversation.from_file("a\x00b")
    for nothing in (None, 5, b"{}"):
        with pytest.raises(BadRequest, match="the request is of the type"):
            Conversation.of(nothing)  # type: ignore[arg-type]


def test_odd_requests_are_kept_as_sent() -> None:
    body = {
        "messages": [{"role": "narrator", "content": None}, {"content": [{"type": "text", "text": "\ud800\x00"}]}],
        "temperature": 0.5,
        "x_custom": {"z": 1, "a": 2},
    }
    conversation = Conversation.from_dict(body)
    assert conversation.to_dict() == body
    assert list(conversation.data["x_custom"]) == ["z", "a"]
    assert conversation.unknown_fields == ["x_custom"]
    assert conversation.sampling == {"temperature": 0.5}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"modle": "x"}, '"modle" is no key of setup'),
        ({"runtime": {"ctx": 1}}, '"ctx" is no key of runtime; accepted are n_ctx'),
        ({"runtime": {"n_ctx": "4096"}}, 'runtime.n_ctx is "4096"; accepted is a whole number from 1'),
        ({"runtime": {"n_ctx": True}}, "accepted is a whole number"),
        ({"runtime": {"flash_attn": "on"}}, 'accepted is true or false or "auto"'),
        ({"runtime": {"type_k": "q9"}}, '"q8_0"'),
        ({"runtime": {"devices": "CPU"}}, "a list of names"),
        ({"sampling": {"top_p": 1.5}}, "a number from 0 to 1"),
        ({"sampling": {"temperature": -1}}, "at least 0"),
        ({"template": {"source": "my.jinja"}}, '"file:PATH"'),
        ({"template": {"clock": "yesterday"}}, "ISO time"),
        ({"metadata": {"a": {"b": 1}}}, "flat list"),
        ({"model": 3}, "accepted is a text"),
        ([], "no JSON object"),
    ],
)
def test_bad_setup_is_one_sentence(data: object, says: str) -> None:
    with pytest.raises(BadRequest) as error:
        Setup.from_dict(data)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_setup_says_only_what_is_set_and_fills_in_the_rest() -> None:
    setup = Setup.from_dict({"model": "m", "sampling": {"seed": None, "top_k": 5}})
    assert setup.to_dict() == {"model": "m", "sampling": {"top_k": 5}}
    assert setup.effective()["sampling"]["min_p"] == 0.05
    assert setup.effective()["runtime"]["n_threads"] >= 1


def test_setup_over_request_over_default() -> None:
    request = Conversation.from_dict(
        {"messages": [{}], "temperature": 0.7, "top_k": 3, "max_completion_tokens": 9, "stop": "x"}
    )
    sampling = Setup.from_dict({"sampling": {"top_k": 5}}).sampling_for(request)
    assert (sampling["top_k"], sampling["temperature"], sampling["max_tokens"]) == (5, 0.7, 9)
    assert (sampling["top_p"], sampling["stop"]) == (0.95, ["x"])
    with pytest.raises(BadRequest, match="the request: temperature"):
        Setup().sampling_for(request.replace(temperature="hot"))


def test_setup_replace_and_diff() -> None:
    before = Setup.from_dict({"model": "m"})
    after = before.replace(**{"runtime.n_ctx": 512, "metadata.tokenizer.ggml.pre": "qwen2"})
    own = ("the file's own", "qwen2")
    assert before.diff(after) == {"runtime.n_ctx": (None, 512), "metadata.tokenizer.ggml.pre": own}
    removed = before.replace(**{"metadata.tokenizer.ggml.pre": None})
    assert before.diff(removed) == {"metadata.tokenizer.ggml.pre": ("the file's own", "removed")}
    assert after.replace(**{"runtime.n_ctx": None, "metadata": {}}) == before


def test_a_change_names_the_first_stage_it_touches() -> None:
    setup = Setup.from_dict({"model": "m"})
    changes = {
        "template.clock": ("2024-01-01", "rendered"),
        "tokenizer.add_special": (False, "tokens"),
        "runtime.n_batch": (7, "scores"),
        "sampling.seed": (3, "generation"),
        "parser": ("plain", "parsed"),
    }
    for name, (value, stage) in changes.items():
        assert first_touched(setup, setup.replace(**{name: value})) == stage
    assert first_touched(setup, setup) is None


def test_relative_paths_count_from_the_setup_file(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"")
    (tmp_path / "s.json").write_text('{"model": "m.gguf", "template": {"source": "file:t.jinja"}}')
    setup = Setup.from_file(tmp_path / "s.json")
    assert setup.model == str(tmp_path / "m.gguf")
    assert setup.template.source == f"file:{tmp_path / 't.jinja'}"


def test_the_models_that_come_along_go_by_name(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"model": "toolsmith"}')
    assert Setup.from_file(tmp_path / "s.json").model == str(data.toolsmith())
    assert read_header("toolsmith") == read_header(data.toolsmith())
    (tmp_path / "toolsmith").write_bytes(b"")
    assert Setup.from_file(tmp_path / "s.json").model == str(tmp_path / "toolsmith")


def test_clock() -> None:
    assert parse_clock(None) is None
    moment = parse_clock("2024-07-26")
    assert moment is not None
    assert (moment.year, moment.month, moment.day) == (2024, 7, 26)


def test_tokens_at_and_span_at() -> None:
    trace = example_trace()
    assert trace.tokens is not None
    assert trace.rendered is not None
    assert list(trace.tokens.tokens_at(1, 2)) == [1]
    assert list(trace.tokens.tokens_at(5, 9)) == []
    span = trace.rendered.span_at(0)
    assert span is not None
    assert span.path == "messages[0].content"
    assert trace.rendered.span_at(2) is None


def test_answer_leaves_control_tokens_out_unless_they_are_preserved() -> None:
    steps = (
        step(piece=b"<tool_call>", type="control"),
        step(piece=b"hi\xf0\x9f\x98", type="normal"),
        step(piece=b"\x80", type="normal"),
        step(piece=b"<|im_end|>", type="control"),
    )
    generation = Generation(steps, "end-of-generation", "", "hi")
    assert generation.answer() == "hi😀"
    assert generation.answer(frozenset({"<tool_call>"})) == "<tool_call>hi😀"
    stopped = Generation(steps[1:3], "stop-text", "", "h", FrozenJSON({"stop": ["i"]}))
    assert stopped.answer() == "h"


def test_bytes_that_are_no_text_are_shown_as_hex() -> None:
    assert show_bytes(b"a\xff\xf0\x9f") == "a\\xff\\xf0\\x9f"


def test_errors_are_one_sentence_with_their_parts() -> None:
    died = HostDied(signal="SIGSEGV", exit_code=None, operation="score", settings="{}", log=("a\n", "b\n"))
    assert "SIGSEGV" in str(died)
    assert died.to_dict()["log"] == ["a\n", "b\n"]
    assert WorkbenchError("a\x1b[31m", "b").to_dict()["message"] == "a\\x1b[31m; b"


def test_render_error_shows_its_line() -> None:
    rendered = Rendered("transformers", "1", None, RenderError("TemplateSyntaxError", "bad", 3, 4))
    assert "line 3" in repr(rendered)
    assert Rendered.from_dict(rendered.to_dict()) == rendered


def test_environment_names_versions_and_no_path() -> None:
    environment = collect()
    assert environment.versions.value()["jinja2"]
    assert str(Path.home()) not in environment.to_json()
    assert Environment.from_dict(environment.to_dict()) == environment


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"messages": [{"content": float("inf")}]}, r"messages\[0\]\.content is inf"),
        ({"messages": [{"content": {1: 2}}]}, r"messages\[0\]\.content has the key 1"),
        ({"messages": [{"content": b"x"}]}, "is a bytes"),
    ],
)
def test_what_json_cannot_hold_is_refused(body: object, says: str) -> None:
    with pytest.raises(BadRequest, match=says):
        Conversation.from_dict(body)


def test_a_number_beyond_floating_point_is_refused() -> None:
    with pytest.raises(BadRequest, match="temperature is inf"):
        Conversation.from_json('{"messages": [{}], "temperature": 1e400}')


def test_clients_ways_to_write_numbers() -> None:
    request = Conversation.from_dict({"messages": [{}], "max_tokens": -1, "seed": -1, "top_k": 40.0})
    sampling = Setup().sampling_for(request)
    assert (sampling["max_tokens"], sampling["seed"], sampling["top_k"]) == (-1, -1, 40)
    assert isinstance(sampling["top_k"], int)
    with pytest.raises(BadRequest, match=r"the request: top_k is 1\.5"):
        Setup().sampling_for(request.replace(top_k=1.5))


def test_a_trace_is_not_saved_where_it_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(BadFile, match="cannot be written"):
        save_trace(example_trace(), tmp_path / "file")
