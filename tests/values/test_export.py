"""CSV and npz of values: whole files, nothing lost, errors in one sentence."""

import csv

import numpy as np
import pytest

from tests.widgets import examples
from workbench.errors import BadFile, BadRequest
from workbench.stages import Scores


def test_arrays_survive_with_what_json_does_not_know(tmp_path):
    scores = examples.scored(6)
    row = np.array([0.5, -np.inf], np.float32)
    scores = Scores(**{name: getattr(scores, name) for name in Scores.ARRAYS}, logits=((2, row),))
    path = scores.to_npz(tmp_path / "scores.npz")
    with np.load(path, allow_pickle=False) as stored:
        back = {name: stored[name] for name in Scores.ARRAYS}
        assert Scores(**back, logits=((2, stored["logits_2"]),)) == scores
    assert [one.name for one in tmp_path.iterdir()] == ["scores.npz"]


def test_csv_has_the_rows_of_the_table(tmp_path):
    tokens = examples.token_values([b'a,"b"\n', b"\xff", b"\xe2\x82\xac"], ["normal"] * 3, [(0, 1), (1, 2), (2, 3)])
    path = tokens.to_csv(tmp_path / "tokens.csv")
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["piece"] for row in rows] == ['a,"b"\n', "\\xff", "€"]
    assert list(rows[0]) == list(tokens.to_frame().columns)
    assert [int(row["id"]) for row in rows] == tokens.ids.tolist()


def test_mistakes_are_one_sentence(tmp_path):
    tokens = examples.stages()["tokens"]
    with pytest.raises(BadFile, match="cannot be written"):
        tokens.to_csv(tmp_path / "nowhere" / "x.csv")
    with pytest.raises(BadRequest, match="Generation holds no arrays"):
        examples.stages()["generation"].to_npz(tmp_path / "x.npz")
    assert list(tmp_path.iterdir()) == []
