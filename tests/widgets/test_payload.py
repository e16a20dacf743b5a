"""What goes to the page: flat arrays that say the same as the values, and JSON that always travels."""

from __future__ import annotations

import itertools
import json

import numpy as np
import pytest

from tests.widgets import examples
from workbench.conversation import Conversation
from workbench.stages import Generation
from workbench.widgets import payload
from workbench.widgets.payload import of_stage

DTYPES = {"i32": "<i4", "u32": "<u4", "f32": "<f4", "u8": "u1"}


def arrays(sent):
    return {name: np.frombuffer(b, DTYPES[kind]) for (name, kind), b in zip(sent.arrays, sent.buffers, strict=True)}


def text_of(codes):
    return "".join(map(chr, codes))


@pytest.mark.parametrize("text", ["Hello", examples.HOSTILE, "\ud800\x00", ""])
def test_every_stage_travels(text):
    for name, value in examples.stages(text, text).items():
        sent = of_stage(name, value)
        json.dumps(sent.facts).encode()
        json.dumps(sent.facts, ensure_ascii=False).encode()  # as a kernel sends it: no lone surrogates
        assert len(sent.arrays) == len(sent.buffers)


def test_rendered_text_and_spans():
    value = examples.prompt("a\U0001f600\ud800b")
    sent = of_stage("rendered", value)
    got = arrays(sent)
    assert text_of(got["text"]) == value.text
    rows = got["spans"].reshape(-1, 8)
    assert [tuple(row[:2]) for row in rows] == [(s.start, s.end) for s in value.spans]
    assert [sent.facts["paths"][row[3]] if row[3] >= 0 else None for row in rows] == [s.path for s in value.spans]
    assert rows[3].tolist()[2:] == [1, 1, 4, 1, 1, 0]


def test_tokens_keep_their_bytes():
    value = examples.token_values([b"\xff", b"", b"ab"], ["byte", "control", "normal"], [(0, 1), (1, 1), (-1, -1)])
    got = arrays(of_stage("tokens", value))
    pieces, offsets = got["pieces"].tobytes(), got["offsets"]
    assert tuple(pieces[a:b] for a, b in itertools.pairwise(offsets)) == value.pieces
    assert got["spans"].tolist() == [0, 1, 1, 1, -1, -1]
    assert got["types"].tolist() == [5, 2, 0]


def test_message_fields_have_paths_and_texts():
    call = {"name": "f", "arguments": '{"a": 1}'}
    body = {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"function": call}],
            },
        ],
        "tools": [{"type": "function", "function": {"name": "f"}}],
        "odd": 1,
    }
    sent = of_stage("messages", Conversation.from_dict(body))
    text = text_of(arrays(sent)["text"])
    fields = {f["path"]: text[f["start"] : f["end"]] for group in sent.facts["groups"] for f in group["fields"]}
    assert fields["messages[0].content[0].text"] == "Hi"
    assert fields["messages[1].content"] == ""
    assert fields["messages[1].tool_calls[0].function.arguments"] == '{"a": 1}'
    assert json.loads(fields["tools[0]"]) == body["tools"][0]
    assert [g["title"] for g in sent.facts["groups"]] == ["user", "assistant", "tool 0"]
    assert sent.facts["notes"] == []  # what comes of "odd" is measured with the prompt


def test_scores_of_one_token_have_no_mean():
    assert of_stage("scores", examples.scored(1)).facts["mean"] is None


def test_answer_tokens_know_their_place_in_the_parsed_text():
    pieces = [b"caf", b"\xc3", b"\xa9", b"<|im_end|>"]
    steps = tuple(examples.step(p, 0.5, "control" if p.startswith(b"<") else "normal") for p in pieces)
    value = Generation(steps, "end-of-generation", "", "café")
    assert payload.step_spans(value, "café").tolist() == [[0, 3], [3, 4], [3, 4], [-1, -1]]


def test_control_tokens_that_the_parser_saw_have_a_place():
    pieces = [b"<think>", b"so", b"</think>", b"yes"]
    steps = tuple(examples.step(p, 0.5, "control" if p.startswith(b"<") else "normal") for p in pieces)
    value = Generation(steps, "max-tokens", "", "soyes")
    assert payload.step_spans(value, "<think>so</think>yes").tolist() == [[0, 7], [7, 9], [9, 17], [17, 20]]
    assert payload.step_spans(value, "soyes").tolist() == [[-1, -1], [0, 2], [-1, -1], [2, 5]]
