"""The whole chain on a real model, toolsmith: what each stage gives, what an edit makes stale, what stops it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from workbench import data
from workbench.conversation import Conversation
from workbench.errors import BadFile, BadRequest, WorkbenchError
from workbench.progress import Cancel
from workbench.runtime.host import Host
from workbench.setup import Setup
from workbench.stages import show_bytes
from workbench.trace import STAGES, Trace, trace

pytestmark = pytest.mark.model

HELLO = [{"role": "user", "content": "read src/app_index.py"}]
PATH = {"type": "object", "properties": {"path": {"type": "string"}}, "required": ["path"]}
TOOLS = [
    {"type": "function", "function": {"name": name, "description": words, "parameters": PATH}}
    for name, words in (("read_file", "read a file"), ("rm", "delete a file"))
]
REQUEST = {"messages": HELLO, "tools": TOOLS}


@pytest.fixture(scope="module")
def setup() -> Setup:
    return Setup.from_dict({"model": str(data.toolsmith()), "sampling": {"max_tokens": 64}})


@pytest.fixture(scope="module")
def host(setup: Setup) -> Iterator[Host]:
    with Host(setup) as host:
        yield host


@pytest.fixture(scope="module")
def hello(setup: Setup, host: Host) -> Trace:
    return trace(REQUEST, setup, host=host)


def test_every_stage_is_there_and_fits_the_one_before(hello: Trace) -> None:
    assert hello.complete
    assert hello.rendered and hello.tokens and hello.scores and hello.generation and hello.parsed  # noqa: PT018 - for the type checker
    text = hello.rendered.text
    assert text is not None
    assert text.endswith("<|turn|>assistant\n")
    assert "".join(text[s.start : s.end] for s in hello.rendered.spans) == text
    assert b"".join(hello.tokens.pieces).decode() == text
    assert len(hello.scores) == len(hello.tokens)
    assert hello.generation.stop_reason == "end-of-generation"
    assert hello.parsed.raw == hello.generation.text
    assert [call[:2] for call in hello.parsed.tool_calls] == [("read_file", {"path": "src/app_index.py"})]
    assert (hello.parsed.content, hello.parsed.errors) == ("", ())
    assert set(hello.elapsed_ms.value()) == set(STAGES)
    assert any("llama" in line for line in hello.log)


def test_a_message_is_found_again_in_text_and_tokens(hello: Trace) -> None:
    assert hello.rendered and hello.tokens  # noqa: PT018 - for the type checker
    spans = [s for s in hello.rendered.spans if s.path == "messages[0].content"]
    text = hello.rendered.text or ""
    assert "".join(text[s.start : s.end] for s in spans) == HELLO[0]["content"]
    covered = hello.tokens.tokens_at(spans[0].start, spans[-1].end)
    assert b"".join(hello.tokens.pieces[i] for i in covered).decode() == HELLO[0]["content"]


def test_generation_continues_the_scored_prompt(hello: Trace) -> None:
    assert hello.scores and hello.generation  # noqa: PT018 - for the type checker
    assert hello.generation.steps[0].id == hello.scores.top_ids[-1, 0]
    assert hello.generation.steps[0].logprob == pytest.approx(float(hello.scores.top_logprobs[-1, 0]), abs=1e-4)


def test_whole_trace_survives_json_and_folder(hello: Trace, tmp_path: Path) -> None:
    assert Trace.load(hello.save(tmp_path / "t")) == hello
    again = Trace.from_dict(json.loads(hello.to_json()))
    assert again.rendered == hello.rendered
    assert again.tokens == hello.tokens
    assert again.generation == hello.generation
    assert hello._repr_html_().count("<") > 10
    assert "toolsmith" in repr(hello)
    assert list(hello.to_frame()["stage"]) == list(STAGES)


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, STAGES),
        ({"parser": "plain"}, STAGES[:4]),
        ({"sampling.repeat_penalty": 1.2}, STAGES[:3]),
        ({"runtime.n_batch": 64}, STAGES[:2]),
        ({"tokenizer.parse_special": False}, STAGES[:1]),
    ],
)
def test_only_what_a_change_touches_is_computed_again(
    setup: Setup, host: Host, hello: Trace, change: dict[str, object], kept: tuple[str, ...]
) -> None:
    again = trace(REQUEST, setup.replace(**change), host=host, previous=hello)
    assert again.complete
    # Parsing is taken over where the new answer reads the same.
    same_answer = again.generation == hello.generation and again.setup.parser == hello.setup.parser
    assert again.reused == ((*kept, "parsed") if same_answer and "parsed" not in kept else kept)


def test_an_edit_that_renders_the_same_text_keeps_the_scores(setup: Setup, host: Host, hello: Trace) -> None:
    from workbench.gguf.header import read_header

    template = dict(read_header(str(setup.model)).named_templates)["tool_use"]
    edited = setup.replace(**{"template.source": f"text:{{# a comment #}}{template}"})
    again = trace(REQUEST, edited, host=host, previous=hello)
    assert again.rendered
    assert again.rendered.text == hello.rendered.text if hello.rendered else None
    assert again.reused == ("scores", "generation", "parsed") or again.reused == STAGES[1:]


def test_an_edit_at_the_end_evaluates_only_the_tail(setup: Setup, host: Host, hello: Trace) -> None:
    longer = [{"role": "user", "content": "word " * 200 + "end"}]
    trace(longer, setup, host=host, until="scores")
    changed = [{"role": "user", "content": "word " * 200 + "fin"}]
    again = trace(changed, setup, host=host, until="scores")
    assert again.tokens
    assert again.evaluated is not None
    assert again.evaluated < 20 < len(again.tokens)
    assert again.from_cache in again._repr_html_()
    fresh = trace(changed, setup, until="scores")
    assert again.scores and fresh.scores  # noqa: PT018 - for the type checker
    floor = 0.0
    for n_ubatch in (1, 7, 33, 200):
        other = trace(changed, setup.replace(**{"runtime.n_ubatch": n_ubatch}), until="scores").scores
        assert other
        floor = max(floor, np.abs(other.logprob - fresh.scores.logprob)[:-1].max())
    assert (
        np.abs(again.scores.logprob - fresh.scores.logprob)[:-1].max() <= 2 * floor
    )  # of the same size as that of another batch shape


@pytest.mark.parametrize("until", STAGES)
def test_until_stops_where_it_says(setup: Setup, host: Host, until: str) -> None:
    result = trace(REQUEST, setup, host=host, until=until)
    there = [name for name in STAGES if getattr(result, name) is not None]
    assert tuple(there) == STAGES[: STAGES.index(until) + 1]
    assert result.complete


def test_a_template_that_raises_is_a_result(setup: Setup, host: Host) -> None:
    broken = setup.replace(**{"template.source": "text:{{ raise_exception('only once') }}"})
    result = trace(REQUEST, broken, host=host)
    assert result.stopped
    assert result.stopped.stage == "rendered"
    assert "only once" in result.stopped.error.value()["message"]
    assert result.tokens is None


def test_a_prompt_longer_than_the_context_still_renders_and_tokenises(setup: Setup, host: Host) -> None:
    result = trace([{"role": "user", "content": "word " * 300}], setup.replace(**{"runtime.n_ctx": 256}), host=host)
    assert result.rendered and result.tokens and result.stopped  # noqa: PT018 - for the type checker
    assert result.scores is None
    message = result.stopped.error.value()["message"]
    assert str(len(result.tokens)) in message.replace(",", "")
    assert "256" in message


def test_a_lone_surrogate_renders_and_says_why_it_has_no_tokens(setup: Setup, host: Host) -> None:
    result = trace([{"role": "user", "content": "a\ud800b"}], setup, host=host)
    assert result.rendered and result.stopped  # noqa: PT018 - for the type checker
    assert "\ud800" in (result.rendered.text or "")
    assert result.stopped.stage == "tokens"
    assert "surrogate" in result.stopped.error.value()["message"]
    assert json.loads(result.to_json())


def test_nul_and_markup_pass_through_every_stage(setup: Setup, host: Host) -> None:
    content = "a\x00b<script>alert(1)</script>🫠"
    result = trace([{"role": "user", "content": content}], setup, host=host, until="scores")
    assert result.complete
    assert result.tokens
    assert content in "".join(show_bytes(p) for p in [b"".join(result.tokens.pieces)])
    assert "<script>" not in result._repr_html_()


def test_cancel_keeps_what_was_had(setup: Setup, host: Host) -> None:
    cancel = Cancel()

    def on_stage(name: str, _value: object) -> None:
        if name == "tokens":
            cancel.set()

    result = trace(REQUEST, setup, host=host, cancel=cancel, on_stage=on_stage)
    assert result.stopped
    assert result.stopped.error.value()["code"] == "cancelled"
    assert result.tokens is not None
    assert trace(REQUEST, setup, host=host).complete


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"model": "/nowhere/m.gguf"}, BadFile),
        ({"parser": "nonsense"}, BadRequest),
        ({"template.source": "file:/nowhere/t.jinja"}, BadFile),
    ],
)
def test_what_cannot_run_at_all_raises_one_sentence(
    setup: Setup, change: dict[str, object], error: type[WorkbenchError]
) -> None:
    with pytest.raises(error) as caught:
        trace(REQUEST, setup.replace(**change))
    assert "\n" not in str(caught.value)


def test_rendering_alone_needs_no_model() -> None:
    setup = Setup.from_dict({"template": {"source": "text:{{ messages[0].content }}"}})
    result = trace(REQUEST, setup, until="rendered")
    assert result.rendered
    assert result.rendered.text == HELLO[0]["content"]
    stopped = trace(REQUEST, setup)
    assert stopped.stopped
    assert "names no model" in stopped.stopped.error.value()["message"]


def test_metadata_override_reaches_the_tokenizer(setup: Setup) -> None:
    plain = setup.replace(**{"template.source": "text:{{ messages[0].content }}"})
    without = plain.replace(**{"metadata.tokenizer.ggml.add_bos_token": False})
    with_bos, without_bos = (trace(REQUEST, one, until="tokens").tokens for one in (plain, without))
    assert with_bos
    assert without_bos
    assert [by.partition(":")[0] for _, by in with_bos.added] == ["bos"]
    assert with_bos.ids[1:].tolist() == without_bos.ids.tolist()


def test_traces_are_equal_whoever_made_them(setup: Setup, host: Host, hello: Trace) -> None:
    again = trace(Conversation.of(REQUEST), setup, host=host)
    assert again.rendered == hello.rendered
    assert again.tokens == hello.tokens
    assert dataclasses.replace(hello, elapsed_ms=again.elapsed_ms) == hello


def test_the_time_is_read_again(setup: Setup) -> None:
    clock = setup.replace(**{"template.source": "text:{{ strftime_now('%H:%M:%S.%f') }}"})
    first = trace(REQUEST, clock, until="rendered")
    again = trace(REQUEST, clock, until="rendered", previous=first)
    assert again.reused == ()
    assert again.rendered != first.rendered
    fixed = clock.replace(**{"template.clock": "2024-07-26"})
    still = trace(REQUEST, fixed, until="rendered")
    assert trace(REQUEST, fixed, until="rendered", previous=still).reused == ("rendered",)


def test_a_template_file_that_changes_is_rendered_again(setup: Setup, tmp_path: Path) -> None:
    file = tmp_path / "t.jinja"
    file.write_text("ONE")
    of_file = setup.replace(**{"template.source": f"file:{file}"})

    def rewrite(_name: str, _value: object) -> None:
        file.write_text("TWO")

    first = trace(REQUEST, of_file, until="rendered", on_stage=rewrite)
    again = trace(REQUEST, of_file, until="rendered", previous=first)
    assert first.rendered and again.rendered  # noqa: PT018 - for the type checker
    assert (first.rendered.text, again.rendered.text) == ("ONE", "TWO")
    assert again.reused == ()


def test_what_is_taken_over_keeps_its_environment(setup: Setup, hello: Trace) -> None:
    again = trace(REQUEST, setup, previous=hello)
    assert again.reused == STAGES
    assert again == hello


def test_a_trace_of_another_machine_is_not_taken_over(setup: Setup, hello: Trace) -> None:
    data = hello.to_dict()
    data["environment"]["versions"]["llama-cpp-python"] = "0.0.1"
    assert trace(REQUEST, setup, until="tokens", previous=Trace.from_dict(data)).reused == ()


def test_sampling_does_not_matter_before_the_answer(setup: Setup) -> None:
    request = {**REQUEST, "temperature": "hot"}
    assert trace(request, setup, until="rendered").complete
    with pytest.raises(BadRequest, match="temperature"):
        trace(request, setup)


def test_as_many_tokens_as_the_context_holds() -> None:
    settings = {"runtime": {"n_ctx": 256}, "sampling": {"max_tokens": -1, "repeat_penalty": 1.3}}
    small = Setup.from_dict({"model": str(data.demo_model()), **settings})  # it talks; toolsmith soon ends
    result = trace([{"role": "user", "content": "Count from one to one thousand."}], small)
    assert result.generation and result.tokens  # noqa: PT018 - for the type checker
    assert result.generation.stop_reason in ("context-full", "end-of-generation")
    assert len(result.generation) > 12


def test_unknown_fields_are_listed(setup: Setup) -> None:
    request = {**REQUEST, "parallel_tool_calls": True}
    assert trace(request, setup, until="rendered").to_dict()["unknown_fields"] == ["parallel_tool_calls"]
