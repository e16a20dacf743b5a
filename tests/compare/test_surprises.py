"""The worst positions come first, with what stands around them and whose they are."""

import numpy as np
import pytest

from tests.widgets import examples
from workbench.compare.surprises import Surprises, surprises
from workbench.errors import BadRequest


@pytest.fixture
def stages():
    return examples.stages()


def test_the_least_likely_token_comes_first(stages):
    scores, tokens = stages["scores"], stages["tokens"]
    found = surprises(scores, tokens, stages["rendered"], count=3, window=2)
    row = int(np.nanargmin(scores.logprob))
    first = found.worst[0]
    assert (first.position, first.id, first.piece) == (row + 1, int(tokens.ids[row + 1]), tokens.pieces[row + 1])
    assert first.before == b"".join(tokens.pieces[row - 1 : row + 1])
    assert first.after == b"".join(tokens.pieces[row + 2 : row + 4])
    assert [s.logprob for s in found.worst] == sorted(s.logprob for s in found.worst)
    assert len(found.worst) == 3
    assert found.n == len(tokens) - 1


def test_sums_count_every_token_that_has_one_before_it(stages):
    scores, tokens = stages["scores"], stages["tokens"]
    found = surprises(scores, tokens, stages["rendered"])
    for sums in (found.origins, found.messages):
        assert sum(entry.n for entry in sums) == found.n
        assert sum(entry.logprob for entry in sums) == pytest.approx(float(np.nansum(scores.logprob)), rel=1e-5)
        assert sum(entry.first for entry in sums) == int((scores.rank == 1).sum())
        assert all(entry.mean_logprob == pytest.approx(entry.logprob / entry.n) for entry in sums)
    assert [entry.name for entry in found.origins] == ["template", "message"]
    assert [entry.name for entry in found.messages] == ["template", "messages[0]"]


def test_without_a_text_the_origins_are_not_known(stages):
    found = surprises(stages["scores"], stages["tokens"])
    assert [entry.name for entry in found.origins] == ["unknown"]


def test_there_and_back_again_and_mistakes(stages):
    found = surprises(stages["scores"], stages["tokens"], stages["rendered"])
    assert Surprises.from_dict(found.to_dict()) == found
    assert len(found.to_frame()) == len(found.worst)
    with pytest.raises(BadRequest, match="scores and"):
        surprises(examples.scored(3), stages["tokens"])
    with pytest.raises(BadRequest, match="got as far as its scores"):  # the prompt did not fit
        surprises(None, stages["tokens"], stages["rendered"])
