"""A processor that refuses an instruction: once more without extra buffers, remembered, and told everywhere."""

import json
import os
import subprocess
import sys

import pytest

from tests.runtime import illegal
from workbench import data
from workbench.cli.trace import describe
from workbench.cpu import Features
from workbench.damage.measure import measure as damage
from workbench.errors import HostDied
from workbench.floor import noise_floor
from workbench.quality.measure import measure as quality
from workbench.runtime import limits
from workbench.runtime.host import Host
from workbench.runtime.instructions import build, suspects
from workbench.runtime.limits import Limits
from workbench.runtime.memory_estimate import estimate
from workbench.runtime.quantise import quantise
from workbench.setup import Setup
from workbench.trace import Trace, trace
from workbench.variants import compare_variants
from workbench.versus import versus
from workbench.views import html_of

IDS = list(range(10, 30))
REQUEST = [{"role": "user", "content": "Hello"}]
AT_FAULT = "the model's process was ended by SIGILL while it was in"


@pytest.fixture(scope="module")
def q4(tmp_path_factory):
    """A model whose weights ggml repacks."""
    return quantise(data.toolsmith(), tmp_path_factory.mktemp("q4") / "q4_0.gguf", "Q4_0")


@pytest.fixture(scope="module")
def refusing(tmp_path_factory):
    folder = tmp_path_factory.mktemp("refusing")
    return {always: illegal.library(folder, always=always) for always in (False, True)}


@pytest.fixture(autouse=True)
def _a_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def with_extra_buffers(refusing, monkeypatch):
    """Processes die where they compute with extra buffers."""
    monkeypatch.setenv("LD_PRELOAD", str(refusing[False]))


@pytest.fixture
def always(refusing, monkeypatch):
    """Processes die where they compute."""
    monkeypatch.setenv("LD_PRELOAD", str(refusing[True]))


def setup_of(path, **runtime):
    return Setup.from_dict({"model": str(path), "runtime": {"n_threads": 1, **runtime}, "sampling": {"max_tokens": 4}})


def deaths(host):
    return sum("loading model tensors" in line for line in host.log) - 1


@pytest.mark.usefixtures("with_extra_buffers")
def test_it_is_tried_once_more_without_extra_buffers_and_the_next_host_starts_without(q4):
    heard = []
    with Host(setup_of(q4)) as host:
        scores = host.score(IDS, progress=lambda what, *_: heard.append(what))
        assert deaths(host) == 1
        assert any("without extra buffers" in what and "SIGILL" in what for what in heard)
        facts = host.info()
        assert facts["model_params"]["use_extra_bufts"] is False
        assert any("extra buffers are off" in note and "SIGILL" in note for note in facts["notes"])
        assert len(host.generate(IDS, setup_of(q4).effective()["sampling"] | {"stop": []})) == 4
        assert deaths(host) == 1
    assert limits.known().no_extra_bufts
    assert "while it was in: scoring" in limits.known().reason
    with Host(setup_of(q4)) as later, Host(setup_of(q4, use_extra_bufts=False)) as plain:
        assert later.score(IDS) == scores == plain.score(IDS)
        assert deaths(later) == 0
        assert later.info()["notes"] == facts["notes"]
        assert not plain.info()["notes"]


@pytest.mark.usefixtures("with_extra_buffers")
def test_the_trace_says_so_on_screen_as_text_and_when_it_is_kept(q4, tmp_path):
    found = trace(REQUEST, setup_of(q4))
    assert found.complete
    (note,) = found.environment.runtime.value()["notes"]
    assert "extra buffers are off" in note
    assert f"  note: {note}" in describe(found)
    assert html_of(found).count("extra buffers are off") >= 1
    assert note in json.dumps(found.to_dict(), ensure_ascii=False)
    assert Trace.load(found.save(tmp_path / "kept")).environment == found.environment


@pytest.mark.usefixtures("with_extra_buffers")
def test_the_answer_s_steps_are_those_of_the_attempt_that_lived(q4):
    with Host(setup_of(q4)) as host:
        sampling = host.setup.effective()["sampling"] | {"stop": []}
        answer = host.generate(IDS, sampling)
    with Host(setup_of(q4, use_extra_bufts=False)) as plain:
        assert answer == plain.generate(IDS, sampling)


@pytest.mark.usefixtures("with_extra_buffers")
def test_what_a_setup_asks_for_is_done_and_the_error_says_what_helps(q4):
    with Host(setup_of(q4, use_extra_bufts=True)) as host:
        for _ in range(2):
            with pytest.raises(HostDied, match=f"{AT_FAULT}: scoring; the processor refused an instruction") as caught:
                host.score(IDS)
            assert "not tried without extra buffers, for the setup's runtime.use_extra_bufts is true" in str(
                caught.value
            )
            assert "leave runtime.use_extra_bufts out, or set it to false" in caught.value.next_step
    assert limits.known() == Limits()


def test_extra_buffers_that_a_setup_asks_for_are_used_though_they_are_known_to_fail(q4):
    limits.remember(Limits(no_extra_bufts=True, reason="it was seen before"))
    with Host(setup_of(q4, use_extra_bufts=True)) as host:
        host.score(IDS)
        facts = host.info()
    assert facts["model_params"]["use_extra_bufts"] is True
    assert any("extra buffers are on" in note and "it was seen before" in note for note in facts["notes"])


@pytest.mark.usefixtures("always")
def test_where_that_does_not_help_the_error_names_the_instructions_what_was_tried_and_what_helps(q4):
    with Host(setup_of(q4)) as host:
        with pytest.raises(HostDied, match=AT_FAULT) as caught:
            host.score(IDS)
        assert deaths(host) == 1
        with pytest.raises(HostDied, match="it was tried without"):
            host.score(IDS)
        assert deaths(host) == 2, "what did not help is not tried again"
    died = caught.value
    assert died.signal == "SIGILL"
    assert all(name in died.refused.suspects for name in build().names)
    assert "use_extra_bufts false" in died.refused.tried
    assert "GGML_NATIVE=OFF" in died.refused.helps
    assert died.to_dict()["refused"]["tried"] == died.refused.tried
    assert died.refused.helps in html_of(died).replace("&#x27;", "'")
    assert limits.known() == Limits()


@pytest.mark.usefixtures("always")
def test_a_setup_without_extra_buffers_is_not_tried_again(q4):
    with Host(setup_of(q4, use_extra_bufts=False)) as host:
        with pytest.raises(HostDied, match="were off already"):
            host.score(IDS)
        assert deaths(host) == 0


@pytest.mark.usefixtures("with_extra_buffers")
def test_the_memory_that_is_estimated_is_that_of_the_plain_buffers(q4):
    limits.remember(Limits(no_extra_bufts=True, reason="it was seen before"))
    found = estimate(setup_of(q4))
    assert "CPU_REPACK" not in {part.buffer for part in found.parts}
    assert any("it was seen before" in note for note in found.notes)


def say_so(notes):
    return any("extra buffers are off" in note for note in notes)


@pytest.mark.waits
@pytest.mark.usefixtures("with_extra_buffers")
def test_measurements_go_on_without_and_say_so(q4):
    text = "The ferry leaves at a quarter past seven, and whoever comes late waits until noon. " * 12
    assert say_so(quality(setup_of(data.toolsmith()), [setup_of(q4)], text, n_ctx=64).notes)
    limits.forget()
    assert say_so(damage(setup_of(q4), requests=2, hosts=1).notes)
    assert say_so(versus(REQUEST, setup_of(q4), setup_of(q4), floor=False).a.notes)
    assert say_so(compare_variants(REQUEST, setup_of(q4), [setup_of(q4)], floor=False).notes)


def test_what_is_kept_of_a_setup_is_not_taken_for_that_without_extra_buffers(q4):
    before = noise_floor(setup_of(q4))
    limits.remember(Limits(no_extra_bufts=True, reason="it was seen before"))
    after = noise_floor(setup_of(q4))
    assert before.facts.value()["runtime"]["use_extra_bufts"] is True
    assert after.facts.value()["runtime"]["use_extra_bufts"] is False


@pytest.mark.usefixtures("with_extra_buffers")
def test_the_command_line_prints_it_and_a_cache_that_cannot_be_written_is_said(q4, tmp_path):
    (tmp_path / "cache").write_text("a file where the folder should be")
    (tmp_path / "setup.json").write_text(setup_of(q4).to_json())
    command = [sys.executable, "-m", "workbench", "trace", "hello", "--setup", tmp_path / "setup.json", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=dict(os.environ))
    (note,) = json.loads(done.stdout)["environment"]["runtime"]["notes"]
    assert "could not be written to the cache" in note


@pytest.mark.parametrize(
    ("used", "has", "extra_bufts", "said"),
    [
        (("AVX", "AVX-512"), ("AVX",), True, "uses AVX-512, which this machine does not report"),
        (("AVX", "AMX-INT8"), ("AVX", "AMX-INT8"), True, "uses AMX-INT8 for weights in extra buffers"),
        (("AVX", "AMX-INT8"), ("AVX", "AMX-INT8"), False, "uses AVX, AMX-INT8, all of which this machine reports"),
    ],
)
def test_the_suspects_are_what_the_machine_lacks_then_amx_then_all(used, has, extra_bufts, said):
    assert said in suspects(Features(used), Features(has), extra_bufts=extra_bufts)


def test_what_cannot_be_known_is_said():
    assert "not known (why)" in suspects(Features(unknown="why"), Features(("AVX",)), extra_bufts=True)
    assert "not known (why)" in suspects(Features(("AVX",)), Features(unknown="why"), extra_bufts=True)
