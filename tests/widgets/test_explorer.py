"""The explorer on the real demo model, without a browser: what it computes, reuses, reports and shows."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from workbench.compare.branches import Branches
from workbench.compare.fields import Measured
from workbench.compare.lens import Lens
from workbench.compare.surprises import Surprises
from workbench.data import demo_model, toolsmith
from workbench.gguf.header import read_header
from workbench.sampling.table import SamplerTable
from workbench.setup import ENGINE_NAMES
from workbench.stages import Rendered
from workbench.views import figures
from workbench.widgets import explore

pytestmark = pytest.mark.model
QUESTION = {"messages": [{"role": "user", "content": "Hello! What is the capital of France?"}], "max_tokens": 16}


@pytest.fixture(scope="module")
def explorer():
    made: Any = explore(demo_model(), QUESTION)
    made.sent = []
    made.panes.send = lambda content, buffers=None: made.sent.append((content, buffers))
    assert made.wait(120)
    yield made
    made.close()


def settle(explorer, **changes):
    explorer.sent.clear()
    explorer.change(**changes)
    assert explorer.wait(120)
    return [(m["type"], m.get("name")) for m, _ in explorer.sent if m["type"] != "candidates"]


def tell_a_story(explorer):
    """Begin an answer that goes on for a minute: a plain text has no end-of-turn token to write."""
    settle(explorer)
    old = explorer.stages.get("scores")
    explorer.change(max_tokens="3000", template_text="Once upon a time, in a land far away, there was a")
    until = time.monotonic() + 30
    while explorer.stages.get("scores") in (None, old) and time.monotonic() < until:
        time.sleep(0.02)
    time.sleep(0.3)
    assert explorer._worker.busy


def test_it_answers(explorer):
    settle(explorer)
    assert "Paris" in explorer.trace.parsed.content
    assert explorer.trouble == ""


def test_only_what_changed_is_computed_and_sent(explorer):
    settle(explorer, temperature="")
    sent = settle(explorer, temperature="0.5")
    assert explorer.trace.reused == ("rendered", "tokens", "scores")
    assert ("keep", "scores") in sent
    assert ("stage", "generation") in sent
    assert ("stage", "tokens") not in sent
    settle(explorer, temperature="")


def test_a_switch_changes_the_tokens(explorer):
    settle(explorer)
    before = explorer.trace.tokens
    settle(explorer, parse_special=False)
    assert len(explorer.trace.tokens) > len(before)
    assert explorer.trace.reused == ("rendered",)
    settle(explorer, parse_special=True)
    assert explorer.trace.tokens == before


def test_a_template_that_raises_is_shown_and_nothing_of_the_last_request_stays(explorer):
    sent = settle(explorer, template_text="{{ raise_exception('no <luck>') }}")
    assert "no <luck>" in explorer.trace.rendered.error.message
    controls = [m for m, _ in explorer.sent if m["type"] == "controls"][-1]
    assert "no <luck>" in controls["errors"]["template"]
    emptied = [m["name"] for m, _ in explorer.sent if m.get("empty")]
    assert emptied == ["tokens", "scores", "generation", "parsed"]
    assert sent[-1] == ("end", None)
    assert "no &lt;luck&gt;" in explorer.html()
    settle(explorer, template="model")
    assert explorer.trace.complete


def test_half_typed_json_keeps_the_last_answer_on_screen(explorer):
    settle(explorer)
    shown, text = explorer.trace, explorer.choices.request_text
    settle(explorer, request_text='{"messages": [')
    controls = [m for m, _ in explorer.sent if m["type"] == "controls"][-1]
    assert "line 1 column 15" in controls["errors"]["request"]
    assert controls["values"]["request_text"] == '{"messages": ['
    assert explorer.trace is shown
    settle(explorer, request_text=text)


def test_a_file_that_is_no_model_is_named_and_the_next_one_works(explorer, tmp_path, demo_model):
    bad = tmp_path / "bad.gguf"
    bad.write_bytes(b"not a model")
    settle(explorer, model_path=str(bad))
    assert "bad.gguf" in explorer.trouble
    settle(explorer, model=str(demo_model))
    assert explorer.trouble == ""


def test_candidates_are_named_and_charted(explorer):
    settle(explorer)
    behind = explorer.select(token=len(explorer.trace.tokens))
    assert behind.rows[0].piece == explorer.trace.generation.steps[0].piece.decode().replace(" ", "·")
    assert not any(c.piece.startswith("id ") for c in behind.rows)
    (chart,) = explorer.chart.outputs
    assert chart["data"][figures.MIME]["layout"]["title"]["text"] == behind.title
    step = explorer.select(step=0)
    assert step.rows[0].here
    assert explorer.select() is None
    assert explorer.chart.outputs == ()


def test_cancel_keeps_what_was_had(explorer):
    tell_a_story(explorer)
    asked = time.monotonic()
    explorer.cancel()
    assert explorer.wait(10)
    assert time.monotonic() - asked < 2.0
    assert explorer.trace.scores is not None
    assert "cancelled" in explorer.trouble
    settle(explorer, max_tokens="", template="model")
    assert explorer.trouble == ""


def test_the_latest_request_wins(explorer):
    for text in ("{{ 'a' }}", "{{ 'ab' }}", "{{ 'abc' }}"):
        explorer.change(template_text=text, until="tokens")
    assert explorer.wait(60)
    assert explorer.trace.rendered.text == "abc"
    assert explorer.stages["rendered"].text == "abc"
    settle(explorer, template="model", until="parsed")


def test_a_dead_host_is_reported_and_the_next_request_works(explorer):
    tell_a_story(explorer)
    os.kill(explorer._host.pid, signal.SIGSEGV)
    assert explorer.wait(30)
    assert "SIGSEGV" in explorer.trouble
    assert "operation" in explorer.trouble
    settle(explorer, max_tokens="", template="model")
    assert explorer.trouble == ""
    assert "Paris" in explorer.trace.parsed.content


def test_a_view_that_opens_gets_everything(explorer):
    settle(explorer)
    explorer.sent.clear()
    explorer._received(None, {"type": "hello"}, [])
    sent = [m.get("name") for m, _ in explorer.sent if m["type"] == "stage"]
    assert sent == ["messages", "rendered", "tokens", "scores", "generation", "parsed"]
    assert explorer.sent[-1][0]["type"] == "end"


def test_a_callbacks_error_is_seen(explorer):
    explorer.sent.clear()
    explorer._received(None, {"type": "change", "changes": {"colour": 1}}, [])
    assert any("colour" in m.get("text", "") for m, _ in explorer.sent)
    settle(explorer)


def test_the_log_is_there_on_demand(explorer):
    explorer.sent.clear()
    explorer._received(None, {"type": "log"}, [])
    assert len(explorer.sent[-1][0]["lines"]) > 10


def test_the_static_copy_holds_every_stage(explorer):
    settle(explorer)
    explorer.select(token=3)
    page = explorer.html()
    for words in ("Messages", "Rendered", "Tokens", "Scores", "Answer", "Parsed", "Paris", "Token 3"):
        assert words in page


def test_hostile_text_is_escaped_in_the_copy(explorer):
    text = explorer.choices.request_text
    settle(
        explorer,
        request_text='{"messages": [{"role": "user", "content": "<script>alert(1)</script>"}], "max_tokens": 4}',
    )
    assert isinstance(explorer.trace.rendered, Rendered)
    assert "<script" not in explorer.html()
    settle(explorer, request_text=text)


def test_closing_ends_the_models_process(demo_model):
    made = explore(demo_model, QUESTION)
    made.change(until="scores")
    assert made.wait(60)
    pid = made._host.pid
    made.close()
    until = time.monotonic() + 5
    while Path(f"/proc/{pid}").exists() and time.monotonic() < until:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


def test_below_stand_the_engines_or_where_the_prompt_goes_and_they_follow_an_edit(explorer):
    settle(explorer, panel="reach", template="model")
    reach: Any = explorer.under
    assert isinstance(reach, Measured)
    assert "Where the prompt goes" in explorer.below.outputs[0]["data"]["text/html"]
    sent = settle(explorer, panel="engines")
    assert explorer.trace.reused == ("rendered", "tokens", "scores", "generation", "parsed")
    assert sent[-1] == ("below", None)
    under: Any = explorer.under
    assert [one.engine for one in under.renders] == list(ENGINE_NAMES)
    assert under.same_ids("transformers", "llama.cpp") is True
    assert "The same request by each engine" in explorer.html()
    settle(explorer, template_text="other {{ messages[0].content }}")
    assert explorer.under["llama.cpp"].text == "other " + QUESTION["messages"][0]["content"]
    settle(explorer, template_text="{{ raise_exception('no <luck>') }}")
    assert explorer.under["transformers"].error is not None
    assert "no &lt;luck&gt;" in explorer.below.outputs[0]["data"]["text/html"]
    settle(explorer, panel="", template="model")
    assert explorer.under is None
    assert explorer.below.outputs == ()


def test_a_model_s_named_templates_are_in_the_list(explorer):
    settle(explorer, model=str(toolsmith()), until="tokens")
    listed = [m for m, _ in explorer.sent if m["type"] == "controls"][-1]["options"]["template"]
    assert ("variant:tool_use", "the model's own: tool_use") in [tuple(one) for one in listed]
    settle(explorer, template="variant:tool_use")
    named = dict(read_header(str(toolsmith())).named_templates)
    assert explorer.choices.setup().template.source == "text:" + named["tool_use"]
    assert explorer.trace.rendered.text is not None
    settle(explorer, template="variant:none")
    controls = [m for m, _ in explorer.sent if m["type"] == "controls"][-1]
    assert "no template called 'none'" in controls["errors"]["settings"]


def test_below_stand_surprises_samplers_layers_and_other_answers(explorer):
    settle(explorer, model=str(demo_model()), template="model", until="parsed", panel="surprises")
    assert isinstance(explorer.under, Surprises)
    settle(explorer, panel="samplers")
    assert isinstance(explorer.under, SamplerTable)
    explorer.select(step=2)
    assert explorer.wait(60)
    assert explorer.under.index == 2
    for step in (0, 1, 2, 1):  # faster than the panel is drawn: the last one counts
        explorer.select(step=step)
    assert explorer.wait(60)
    assert explorer.under.index == 1
    settle(explorer, panel="lens")
    assert isinstance(explorer.under, Lens)
    for token in (3, 4, 7):
        explorer.select(token=token)
    assert explorer.wait(60)
    assert list(explorer.under.positions) == [6]
    explorer.select(token=5)
    assert explorer.wait(60)
    assert list(explorer.under.positions) == [4]
    explorer.sent.clear()
    explorer.select(step=0)
    offered = [m for m, _ in explorer.sent if m["type"] == "candidates"][-1]
    assert explorer.wait(60)
    other = next(row[0] for row in offered["rows"] if not row[3])
    for _ in range(2):
        explorer.branch(other)
        assert explorer.wait(60)
    assert isinstance(explorer.under, Branches)
    assert [one.token for one in explorer.under.branches] == [other, other]
    assert explorer.under.branches[0].raw.startswith(dict(explorer._known)[other])
    settle(explorer, panel="", template="model")
