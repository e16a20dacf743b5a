"""The held-out requests on the real model: toolsmith as shipped, damaged, cancelled, killed."""

import os
import signal
import threading
import time

import pytest

from tests.gguf import tiny
from workbench.damage import measure, tasks
from workbench.data import toolsmith
from workbench.errors import BadFile, BadRequest, Cancelled, CannotRun, HostDied, WorkbenchError
from workbench.gguf.header import read_header
from workbench.progress import Cancel
from workbench.setup import Setup

pytestmark = pytest.mark.model
FEW = 60
NO_TOOLS = {"tokenizer.chat_template.tool_use": None}


def setup(**settings):
    return Setup.from_dict({"model": str(toolsmith()), **settings})


@pytest.fixture(scope="module")
def healthy():
    return measure(requests=FEW)


def test_the_requests_are_500_with_their_kinds_and_a_fifth_unseen():
    found = tasks()
    assert len({task.id for task in found}) == len(found) == 500
    assert sum(task.unseen for task in found) == 100
    assert {kind: sum(t.kind == kind for t in found) for kind in ("call", "two calls", "no tool")} == {
        "call": 200,
        "two calls": 60,
        "no tool": 80,
    }
    some = tasks(50)
    assert {task.kind for task in some} == {task.kind for task in found}
    for count in (0, 501):
        with pytest.raises(BadRequest, match="accepted are 1 to 500"):
            tasks(count)


def test_a_healthy_toolsmith_is_right_nearly_always(healthy):
    assert healthy.figure("exact").estimate.value >= 0.9
    assert healthy.figure("exact calls").estimate.value >= 0.9
    assert healthy.figure("nats per token").estimate.value < 0.1
    assert not any(outcome.why for outcome in healthy.outcomes)


def test_the_same_setup_again_gives_the_same(healthy):
    assert measure(requests=FEW).outcomes == healthy.outcomes


def test_a_lost_tool_list_is_a_significant_damage(healthy):
    change = healthy.against(measure(setup(metadata=NO_TOOLS), requests=FEW)).change("exact calls")
    assert change.significant
    assert change.after < 0.3


def test_a_parser_that_finds_no_calls_loses_every_call_and_no_likelihood(healthy):
    blind = measure(setup(parser="plain"), requests=FEW)
    assert blind.figure("exact calls").right == 0
    assert blind.figure("nats per token").estimate == healthy.figure("nats per token").estimate


def test_where_it_samples_each_request_has_its_own_seed():
    found = measure(setup(sampling={"temperature": 1.0, "seed": 7}), requests=6)
    assert [outcome.seed for outcome in found.outcomes] == [7, 8, 9, 10, 11, 12]
    assert found == measure(setup(sampling={"temperature": 1.0, "seed": 7}), requests=6)


def test_a_context_that_is_too_short_is_an_outcome_and_no_error():
    found = measure(setup(runtime={"n_ctx": 256}), requests=FEW)
    reasons = {outcome.why for outcome in found.outcomes}
    assert any("more than the context" in why for why in reasons)
    assert found.figure("exact").right < FEW


def test_a_template_that_raises_is_an_outcome():
    found = measure(setup(template={"source": "text:{{ raise_exception('no') }}"}), requests=3)
    assert all("the template failed" in outcome.why for outcome in found.outcomes)


def test_a_cancel_ends_soon_with_what_is_there():
    cancel = Cancel()

    def progress(_what, done, _total):
        if done >= 5:
            cancel.set()

    found = measure(requests=200, progress=progress, cancel=cancel)
    assert 5 <= len(found.outcomes) < 40
    assert found.notes == (f"cancelled after {len(found.outcomes)} of 200 requests",)


def test_a_killed_host_costs_one_request(monkeypatch):
    from workbench.runtime.host import Host

    killed = threading.Event()
    answer = Host.generate

    def generate(self, *given, **options):
        if not killed.is_set():
            killed.set()
            os.kill(self.pid, signal.SIGKILL)
        return answer(self, *given, **options)

    monkeypatch.setattr(Host, "generate", generate)
    found = measure(requests=5, hosts=1)
    assert ["SIGKILL" in outcome.why for outcome in found.outcomes] == [True, False, False, False, False]


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"setup": "nowhere.gguf"}, BadFile, "nowhere.gguf does not exist"),
        ({"hosts": 0}, BadRequest, "hosts is 0"),
        ({"requests": 0}, BadRequest, "accepted are 1 to 500"),
    ],
)
def test_bad_input_is_one_sentence(given, error, message):
    with pytest.raises(error, match=message):
        measure(**given)


def test_a_vocabulary_alone_cannot_be_measured(tmp_path):
    path = tiny.vocabulary_file(tmp_path / "vocabulary.gguf", "bpe")
    with pytest.raises(WorkbenchError, match=r"a vocabulary and no weights|no chat template"):
        measure(str(path), requests=2)


def test_the_shipped_file_is_what_its_card_says():
    header = read_header(str(toolsmith()))
    assert header.file_size <= 8_000_000
    assert {name for name, _ in header.named_templates} == {"tool_use"}
    assert header.chat_template
    types = {name: info["count"] for name, info in header.tensor_types().items()}
    assert set(types) == {"F16", "F32"}


def test_the_number_of_hosts_and_the_order_are_no_input():
    some = tasks(12)
    forwards, backwards = measure(requests=some, hosts=1), measure(requests=some[::-1], hosts=2)
    assert forwards.outcomes == backwards.outcomes[::-1]


def test_a_setup_that_cannot_run_is_an_error_and_no_damage(monkeypatch):
    with pytest.raises(BadRequest, match="repeat_penalty"):
        measure(setup(sampling={"repeat_penalty": 0}), requests=3)
    monkeypatch.setattr("workbench.engines.ollama.find_spec", lambda _: None)
    with pytest.raises(CannotRun, match="not installed"):
        measure(setup(template={"engine": "ollama"}), requests=3)


@pytest.mark.parametrize("given", [{"requests": ["a"]}, {"requests": 2.5}, {"hosts": 1.5}, {"requests": True}])
def test_arguments_of_a_wrong_kind_are_one_sentence(given):
    with pytest.raises(BadRequest, match="accepted"):
        measure(**given)


def test_the_seed_that_was_really_used_is_kept():
    found = measure(setup(sampling={"temperature": 1.0, "seed": -1}), requests=2)
    assert all(outcome.seed >= 0 for outcome in found.outcomes)
    last = measure(setup(sampling={"temperature": 1.0, "seed": 2**32 - 2}), requests=3)
    assert [outcome.seed for outcome in last.outcomes] == [2**32 - 2, 0, 1]


def test_python_is_judged_whatever_the_parser_lists():
    code = [task for task in tasks() if task.kind == "code"][:3]
    assert measure(setup(parser="plain"), requests=code).figure("code parses").right == 3


# How the hosts share the work, without a model: what a host does is told by its number.


class FakeHost:
    made = 0
    deaths: tuple[int, ...] = ()  # numbers of hosts that die at every request
    homeless: tuple[int, ...] = ()  # numbers of hosts that cannot load
    slow_s = 0.01
    notes: tuple[str, ...] = ()

    def __init__(self, _setup):
        self.number = FakeHost.made
        FakeHost.made += 1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None

    def load(self, **_):
        if self.number in self.homeless:
            raise CannotRun("a second one does not fit")


@pytest.fixture
def fakes(monkeypatch):
    from workbench.damage.judge import Facts
    from workbench.damage.measure import _Measurement, _outcome

    def answered(self, host, _number, task):
        if host.number in host.deaths:
            raise HostDied(signal="SIGKILL", exit_code=None, operation="generate", settings="{}", log=())
        deadline = time.monotonic() + host.slow_s
        while time.monotonic() < deadline:
            if self._cancel.is_set():
                raise Cancelled("stopped")
            time.sleep(0.002)
        return _outcome(task, Facts(True, None, None, None, None))

    monkeypatch.setattr("workbench.runtime.host.Host", FakeHost)
    monkeypatch.setattr(_Measurement, "_answered", answered)
    monkeypatch.setattr(FakeHost, "made", 0)
    return monkeypatch


def test_a_host_that_dies_all_the_time_leaves_the_work_to_the_other(fakes):
    fakes.setattr(FakeHost, "deaths", (0,))
    found = measure(requests=40, hosts=2)
    assert len(found.outcomes) == 40
    assert all(outcome.facts.exact for outcome in found.outcomes)


def test_when_every_host_has_died_the_rest_is_said_not_to_be_run(fakes):
    fakes.setattr(FakeHost, "deaths", (0, 1))
    found = measure(requests=40, hosts=2)
    assert len(found.outcomes) == 40
    assert not any(outcome.facts.exact for outcome in found.outcomes)
    assert sum("not run" in outcome.why for outcome in found.outcomes) >= 30


def test_a_second_host_that_cannot_be_had_is_a_note(fakes):
    fakes.setattr(FakeHost, "homeless", (1,))
    found = measure(requests=10, hosts=2)
    assert all(outcome.facts.exact for outcome in found.outcomes)
    assert found.notes == ("one of 2 hosts could not be had: a second one does not fit",)
    fakes.setattr(FakeHost, "made", 0)
    fakes.setattr(FakeHost, "homeless", (0, 1))
    with pytest.raises(CannotRun, match="does not fit"):
        measure(requests=10, hosts=2)


def test_an_interrupt_stops_what_runs(fakes):
    fakes.setattr(FakeHost, "slow_s", 60.0)
    calls = []

    def progress(*told):
        calls.append(threading.current_thread())
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure(requests=4, hosts=2, progress=progress)
    assert calls == [threading.main_thread()]
