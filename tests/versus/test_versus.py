"""One request under two setups: what each took and wrote, how a side fails, and what parts them. On toolsmith."""

import psutil
import pytest

from workbench import data, noise_floor, score_both
from workbench.damage.tasks import tasks
from workbench.errors import BadRequest, Cancelled
from workbench.floor import MOST_TOKENS
from workbench.progress import Cancel
from workbench.runtime.host import Host
from workbench.runtime.quantise import quantise, quantised
from workbench.setup import Setup
from workbench.versus import Versus, versus
from workbench.views import html_of

pytestmark = pytest.mark.model
REQUEST = {
    "messages": [{"role": "user", "content": "What is the weather in <Paris>, and is 17 more than 3?"}],
    "max_tokens": 12,
}
EXACT = {"n_threads": 1, "use_extra_bufts": False}  # an RPC server's CPU repacks nothing
ON_RPC = {"runtime.devices": ["rpc:local"], "runtime.n_gpu_layers": 3}


@pytest.fixture(scope="module")
def setup():
    return Setup.from_dict({"model": str(data.toolsmith()), "runtime": EXACT})


@pytest.fixture
def hosts(setup):
    with Host(setup) as a, Host(setup) as b:
        yield a, b


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory, monkeypatch):
    monkeypatch.setenv("GGUF_WORKBENCH_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))


def test_layers_on_a_device_change_where_the_memory_is_and_not_one_score(setup, hosts):
    found = versus(REQUEST, setup, setup.replace(**ON_RPC), hosts=hosts, floor=False)
    assert (found.a.state, found.b.state) == ("loaded", "loaded")
    assert found.same_answer
    assert found.parting is None
    assert not found.pair.kl.any()
    assert {part.device for part in found.b.memory.parts if part.reported} == {"CPU", "RPC0"}
    assert found.b.memory.places == ("CPU", "CPU", "CPU", "RPC0", "RPC0", "RPC0")
    for side in (found.a, found.b):
        assert side.prompt_per_s > 0
        assert side.answer_per_s > 0
        assert side.estimated_mib == pytest.approx(side.reported_mib, abs=0.1)
    page = html_of(found)
    assert "both wrote the same tokens" in page
    assert "Layers: CPU 0-2, RPC0 3-4; output layer: RPC0." in page
    assert Versus.from_dict(found.to_dict()).to_json() == found.to_json()
    assert list(found.to_frame()["side"]) == ["a", "b"]


def test_what_parts_them_stands_beside_the_floor_and_is_that_of_the_scores(setup, hosts):
    seen = []
    other = setup.replace(**{"runtime.type_k": "q4_0"})
    found = versus(REQUEST, setup, other, hosts=hosts, layers=True, on_part=seen.append)
    assert [part.pair is not None for part in seen] == [False, False, True, True, True]
    assert seen[2].pair.floor is None
    assert found.pair.beyond_floor
    assert found.pair.kl.tolist() == score_both(REQUEST, setup, other, hosts=hosts).kl.tolist()
    assert found.drift.begins.stage == "layer 0"
    where = found.parting
    steps = [side.trace.generation.steps[where.step] for side in (found.a, found.b)]
    assert steps[0].id != steps[1].id
    assert where.margin_a == pytest.approx(steps[0].margin)
    assert where.beyond_floor == (where.margin_a + where.margin_b > found.pair.floor.swing)
    assert found.changes == {"runtime.type_k": ("f16", "q4_0")}
    assert "Where it begins" in html_of(found)
    assert "error of each layer" in found.plot().bundle["application/vnd.plotly.v1+json"]["layout"]["title"]["text"]


def test_the_floor_counts_this_prompt_too_so_that_another_batch_shape_is_never_called_more_than_noise(setup):
    """On a Q4_0 file the noise of one text is several times that of another."""
    request = next(task.conversation for task in tasks() if task.id == "call-016")
    low = setup.replace(model=str(quantised(data.toolsmith(), "Q4_0")), **{"runtime.flash_attn": False})
    low = low.replace(**{"runtime.use_extra_bufts": None})
    found = versus(request, low, low.replace(**{"runtime.n_ubatch": 1}))
    assert len(found.pair) < MOST_TOKENS
    assert found.pair.kl.any()
    assert found.pair.floor.rows[-1].change == "this prompt token by token (n_ubatch 1)"
    assert found.pair.floor.rows[:-1] == noise_floor(low).rows
    assert not found.pair.beyond_floor


def test_only_the_side_that_changed_runs_again_and_says_what_that_took(setup, hosts):
    first = versus(REQUEST, setup, setup, hosts=hosts, floor=False)
    pids = [host.pid for host in hosts]
    assert first.b.cost == "reload"
    second = versus(REQUEST, setup, setup.replace(**{"runtime.n_ctx": 512}), hosts=hosts, floor=False, previous=first)
    assert second.a is first.a
    assert second.b.cost == "context"
    assert [host.pid for host in hosts] == pids
    third = versus(REQUEST, setup, second.b.setup, hosts=hosts, floor=False, previous=second)
    assert (third.b, third.pair) == (second.b, second.pair)
    moved = versus(REQUEST, setup, setup.replace(**ON_RPC), hosts=hosts, floor=False, previous=third)
    assert moved.b.cost == "reload"
    assert hosts[0].pid == pids[0]
    assert hosts[1].pid != pids[1]


def test_a_file_that_was_replaced_is_computed_anew(setup, hosts, tmp_path):
    path, template = tmp_path / "model.gguf", tmp_path / "template.jinja"
    path.write_bytes(data.toolsmith().read_bytes())
    template.write_text("{{ messages[0]['content'] }}")
    b = setup.replace(**{"template.source": f"file:{template}"})
    setup = setup.replace(model=str(path))
    options = {"hosts": hosts, "floor": False, "until": "scores"}
    first = versus(REQUEST, setup, b, **options)
    same = versus(REQUEST, setup, b, previous=first, **options)
    assert (same.a is first.a, same.b is first.b) == (True, True)
    quantise(data.toolsmith(), path, "Q4_0")
    second = versus(REQUEST, setup, b, previous=first, **options)
    assert second.a.trace.scores != first.a.trace.scores
    assert second.b is first.b
    template.write_text("Another: {{ messages[0]['content'] }}")
    assert versus(REQUEST, setup, b, previous=second, **options).b.trace.rendered.text.startswith("Another")


def test_what_a_measurement_left_open_is_counted_in_what_the_next_run_takes(setup, hosts):
    """The layers are seen in a context of their own, the noise in one of another batch."""
    versus(REQUEST, setup, setup, hosts=hosts, floor=False, layers=True)
    assert [host.cost_to(setup) for host in hosts] == ["context", "context"]
    again = versus(REQUEST, setup, setup, hosts=hosts, floor=False)
    assert (again.a.cost, again.b.cost) == ("context", "context")
    assert [host.cost_to(setup) for host in hosts] == ["nothing", "nothing"]
    hosts[0].use(setup.replace(**{"runtime.n_ctx": 512}))  # said, and nothing done yet
    assert hosts[0].cost_to(setup) == "nothing"
    assert hosts[0].cost_to(hosts[0].setup) == "context"
    hosts[0].close()
    assert hosts[0].cost_to(setup) == "reload"


@pytest.mark.parametrize(
    ("settings", "state", "words"),
    [
        ({"runtime.n_ctx": 2**31 - 1}, "refused", "set runtime.n_ctx to at most"),
        ({"runtime.type_v": "q4_0", "runtime.flash_attn": False}, "failed", "set runtime.flash_attn to true"),
        ({"runtime.devices": ["CUDA7"]}, "failed", "this build and machine have CPU"),
        ({"runtime.devices": ["127.0.0.1:1"]}, "failed", "no RPC server answers"),
        ({"model": "nowhere.gguf"}, "failed", "nowhere.gguf"),
        ({"template.source": "text:{{ raise_exception('no <b>') }}"}, "failed", "no <b>"),
    ],
)
def test_what_a_side_cannot_do_is_its_result_and_costs_the_other_nothing(setup, hosts, settings, state, words):
    found = versus(REQUEST, setup, setup.replace(**settings), hosts=hosts, floor=False)
    assert (found.a.state, found.b.state) == ("loaded", state)
    assert words in found.b.error
    assert found.a.text is not None
    assert found.pair is None
    assert found.notes == ("the scores are not compared: b has none",)
    page = html_of(found)
    assert state in page
    assert "<b>" not in page.replace("<b>Note", "")
    assert found.b.facts()["error"] == found.b.error


def test_a_dead_process_is_a_result_with_its_signal_and_the_next_run_works(setup, hosts):
    struck = []

    def strike(what, done, total):
        """Kill the server of b in the middle of the prompt."""
        if what == "b: scoring" and done < total and not struck:
            children = psutil.Process(hosts[1].pid).children()
            struck.extend(child for child in children if "workbench.runtime.rpc" in child.cmdline())
            for child in struck:
                child.kill()

    long = {"messages": [{"role": "user", "content": "What is 17 more than 3? " * 50}], "max_tokens": 4}
    other = setup.replace(**ON_RPC, **{"runtime.n_ubatch": 8})
    found = versus(long, setup, other, hosts=hosts, floor=False, progress=strike)
    assert struck
    assert (found.a.state, found.b.state) == ("loaded", "died")
    told = found.b.failed.value()
    assert (told["signal"], told["operation"]) == ("SIGABRT", "scoring")
    assert '"rpc:local"' in told["settings"]
    assert any("RPC server crashed" in line for line in told["log"])
    assert "SIGABRT" in html_of(found)
    assert found.b.trace.tokens is not None
    again = versus(long, setup, other, hosts=hosts, floor=False, previous=found)
    assert again.a is found.a
    assert (again.b.state, again.b.cost) == ("loaded", "reload")
    assert again.pair is not None


def test_other_tokens_on_the_second_side_are_said(setup, hosts):
    found = versus(REQUEST, setup, setup.replace(**{"tokenizer.parse_special": False}), hosts=hosts, floor=False)
    assert found.notes == ("b reads the request as other tokens; the scores are those of a's",)


def test_a_cancel_ends_it(setup, hosts):
    cancel = Cancel()
    with pytest.raises(Cancelled):
        versus(REQUEST, setup, setup, hosts=hosts, on_part=lambda _part: cancel.set(), cancel=cancel)


def test_a_stage_that_is_none_is_refused(setup):
    with pytest.raises(BadRequest, match="until is 'nowhere'"):
        versus(REQUEST, setup, setup, until="nowhere")
