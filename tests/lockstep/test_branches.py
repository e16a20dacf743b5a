"""Branches: what is shared is not evaluated again, and the sampled token leads to the sampled answer."""

import dataclasses

import pytest

from tests.lockstep.conftest import REQUEST
from workbench.branches import branch
from workbench.compare.branches import Branches
from workbench.errors import BadRequest, CannotRun
from workbench.trace import trace
from workbench.values import FrozenJSON

pytestmark = pytest.mark.model


@pytest.fixture
def answered(toolsmith, hosts):
    setup = toolsmith.replace(**{"sampling.max_tokens": 12})
    return trace(REQUEST, setup, until="generation", host=hosts[0])


def test_only_what_is_new_is_evaluated(answered, hosts):
    step = 4
    other = answered.generation.steps[step].top_ids[1]
    found = branch(answered, answered.setup, step, other, host=hosts[0])
    new = found.branches[0]
    assert new.evaluated == 1
    assert (new.token, new.rank) == (other, 2)
    assert new.logprob == pytest.approx(answered.generation.steps[step].top_logprobs[1])
    assert new.raw.startswith(b"".join(s.piece for s in answered.generation.steps[:step]) + new.piece)
    assert found.base == answered.generation
    more = branch(found, answered.setup, 1, answered.generation.steps[1].top_ids[2], host=hosts[0])
    assert more.branches[0] == new
    assert more.branches[1].evaluated == 1
    assert len(more.to_frame()) == 3
    assert Branches.from_dict(more.to_dict()) == more


def test_the_sampled_token_leads_to_the_sampled_answer(answered, hosts):
    base = answered.generation
    found = branch(answered, answered.setup, 3, base.ids[3], host=hosts[0])
    assert found.branches[0].generation.ids == base.ids[4:]
    assert found.branches[0].raw == base.raw
    again = [step.logprob for step in found.branches[0].generation]
    assert again == pytest.approx([step.logprob for step in base.steps[4:]], abs=1e-2)
    assert found.branches[0].generation.stop_reason == base.stop_reason


def test_a_token_that_was_no_candidate_and_a_request(toolsmith, hosts):
    found = branch(REQUEST, toolsmith.replace(**{"sampling.max_tokens": 3}), 2, 1000, host=hosts[0])
    new = found.branches[0]
    assert len(found.base) == 3
    assert (len(new.generation), new.generation.stop_reason) == (0, "max-tokens")
    assert new.generation.stop_detail == "max_tokens is 3 for the whole answer"
    assert new.piece == hosts[0].pieces([1000])[1000]
    assert (new.rank, new.logprob) == (None, None)


def test_a_token_that_ends_an_answer_ends_the_branch(answered, hosts):
    end = next(i for i, piece in hosts[0].pieces(range(10)).items() if piece == b"<|end|>")
    new = branch(answered, answered.setup, 2, end, host=hosts[0]).branches[0]
    assert (len(new.generation), new.generation.stop_reason) == (0, "end-of-generation")
    assert new.raw == b"".join(step.piece for step in answered.generation.steps[:2]) + b"<|end|>"


def test_a_stop_text_that_begins_before_the_branch_ends_it(answered, hosts):
    """Once with a token of the model behind it, once with the branch's own token as its end."""
    base = answered.generation
    shown = [step.piece.decode() for step in base.steps]
    for step, stop, count in ((4, "".join(shown[3:6]), 1), (4, "".join(shown[3:5]), 0)):
        sampling = FrozenJSON(base.sampling.value() | {"stop": [stop]})
        started = Branches(answered.tokens, dataclasses.replace(base, sampling=sampling))
        new = branch(started, answered.setup, step, base.ids[step], host=hosts[0]).branches[0].generation
        assert (new.stop_reason, len(new), new.text) == ("stop-text", count, "")


def test_a_grammar_is_refused_for_it_would_begin_anew(toolsmith, hosts):
    setup = toolsmith.replace(**{"sampling.grammar": 'root ::= "{" [a-z]+ "}"', "sampling.max_tokens": 6})
    with pytest.raises(BadRequest, match="a grammar, which would begin anew"):
        branch(REQUEST, setup, 2, 5, host=hosts[0])


def test_mistakes_are_one_sentence(answered, hosts, toolsmith):
    n = len(answered.generation)
    with pytest.raises(BadRequest, match=rf"step is {n}; the answer has the steps 0 to {n - 1}"):
        branch(answered, answered.setup, n, 5, host=hosts[0])
    with pytest.raises(BadRequest):
        branch(answered, answered.setup, 0, 10**6, host=hosts[0])
    for name, step, token in (("step", 0.0, 5), ("step", None, 5), ("token", 0, "Paris"), ("token", 0, 1.5)):
        with pytest.raises(BadRequest, match=f"{name} is .*; accepted is a whole number"):
            branch(answered, answered.setup, step, token, host=hosts[0])
    without = trace(REQUEST, toolsmith, until="tokens", host=hosts[0])
    with pytest.raises(CannotRun, match="there is no answer to branch from"):
        branch(without, toolsmith, 0, 5, host=hosts[0])
