"""Chains, answers and redrawn answers as values: what they count and say, from hand-made figures."""

import json

import pytest

from workbench.compare.sampling import Answers, Chains, Lost, Place, Redrawn, Share, first_difference
from workbench.conversation import Conversation
from workbench.sampling.effective import effective
from workbench.stages import Generation
from workbench.values import FrozenJSON

PIECES = ((1, b'"'), (2, b"}"), (3, b"x"))
PLACES = (
    Place(4, 1, 1, 1, Share(0.9, 0.9, 0.9), Share(0.8, 0.8, 0.8)),
    Place(5, 1, 1, 3, Share(0.6, 0.6, 0.1), Share(0.2, 0.2, 0.5)),
    Place(6, 2, 1, 2, Share(0.3, 0.5, 0.3), Share(0.6, 0.1, 0.6)),
    Place(7, 2, 2, 2, Share(0.7, 0.7, 0.7), Share(0.9, 0.9, 0.9)),
    Place(8, 3, 2, 1, Share(0.1, 0.9, 0.0), Share(0.0, 0.4, 0.6)),
)
CHAINS = Chains(FrozenJSON({"repeat_penalty": 1.0}), FrozenJSON({"repeat_penalty": 1.1}), PLACES, PIECES)


def test_what_lost_first_place():
    assert [place.at for place in CHAINS.changed] == [5, 6, 8]
    assert [place.at for place in CHAINS.missed] == [5]
    assert [place.at for place in CHAINS.closed] == [8]
    assert CHAINS.lost == (Lost(b'"', 3, 2), Lost(b"}", 2, 1))


def test_equal_chains_differ_nowhere():
    same = Chains(FrozenJSON({}), FrozenJSON({}), (PLACES[0], PLACES[3]), PIECES)
    assert (same.changed, same.lost, same.closed) == ((), (), ())
    assert "0 of 2 places" in repr(same)


def test_the_frame_the_json_and_the_text_say_the_same():
    data = json.loads(CHAINS.to_json())
    assert (data["n"], data["n_changed"], data["n_missed"], data["n_closed"]) == (5, 3, 1, 1)
    assert data["lost"][0] == {"piece": '"', "places": 3, "lost": 2}
    frame = CHAINS.to_frame()
    assert list(frame["lost first place"]) == [False, True, True, False, True]
    assert list(frame["first under B"]) == ['"', "x", "}", "}", '"']
    assert "repeat_penalty=1.0 against repeat_penalty=1.1: 3 of 5 places" in repr(CHAINS)


@pytest.mark.parametrize(
    ("a", "b", "at"),
    [((), (), None), ((1, 2), (1, 2), None), ((1, 2), (1, 3), 1), ((1,), (1, 3), 1), ((), (1,), 0)],
)
def test_the_first_difference(a, b, at):
    assert first_difference(a, b) == at
    assert first_difference(b, a) == at


def test_answers_and_redrawn_survive_json():
    request = Conversation.from_dict(
        {"messages": [{"role": "user", "content": "x"}], "options": {"repeat_penalty": 5.0}}
    )
    sides = effective(request, "ollama"), effective(request, "ollama-0.24")
    answer = Generation((), "max-tokens", "", "")
    answers = Answers(*sides, answer, answer)
    assert Answers.from_dict(json.loads(answers.to_json())) == answers
    assert answers.difference["repeat_penalty"] == (5.0, 1.0)
    assert (answers.same, answers.first_difference) == (True, None)
    assert answers.to_frame()["differs"].sum() == len(answers.difference)
    again = Redrawn((1, 2, 3), (1, 2, 4), (0,))
    assert Redrawn.from_dict(json.loads(again.to_json())) == again
    assert (again.same, again.first_difference) == (False, 2)
    assert "another one at token 2" in repr(again)
    assert "all drawn again" in repr(Redrawn((1,), (1,)))
