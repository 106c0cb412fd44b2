"""How much of an adapter counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cranpm.clients.agency import Agency
from cranpm.clients.choice import KINDS, STRENGTHS, Choice, choose
from cranpm.clients.personal import weakened
from cranpm.clients.picture import typical
from cranpm.train.validation import validate
from tests.clients.toy import write_federation

A, B = "base_model.model.x.lora_A.weight", "base_model.model.x.lora_B.weight"


def test_an_adapter_of_half_strength_changes_the_network_half_as_much():
    rng = np.random.default_rng(0)
    whole = {A: rng.normal(size=(2, 5)).astype("f4"), B: rng.normal(size=(3, 2)).astype("f4")}
    half = weakened(whole, 0.5)
    assert np.allclose(half[B] @ half[A], 0.5 * whole[B] @ whole[A])
    assert all(values.dtype == np.float32 for values in half.values())
    assert (weakened(whole, 1.0)[B] == whole[B]).all()


def test_of_strengths_the_weaker_comes_first_so_that_it_wins_a_draw():
    assert list(STRENGTHS) == sorted(STRENGTHS) and STRENGTHS[-1] == 1.0 and STRENGTHS[0] > 0


@pytest.mark.parametrize("kind", KINDS)
def test_whatever_is_chosen_the_recommendation_compares_it_with_the_base_and_with_going_alone(kind: str):
    scores = dict.fromkeys(KINDS, 5.0) | {kind: 4.0}
    made = Choice(kind, dict.fromkeys(KINDS, 1.0), scores, scores, 9.0, "", "", False)
    assert "RMSE 4.00" in made.sentence and "the base" in made.sentence and "alone" in made.sentence
    assert "simulated" not in made.sentence and made.scalars()["chosen"] == KINDS.index(kind)


def test_going_alone_must_be_surely_better_than_staying_together():
    together = [4.0, 9.0, 5.0, 8.0, 4.0, 9.0]
    luck = [4.0, 2.0, 5.5, 8.5, 4.5, 9.0]  # better on the whole, by one day
    sure = [value - 1 - 0.1 * k for k, value in enumerate(together)]
    plain = {"zero_shot": [10.0] * 6, "global": together}
    assert choose(plain | {"local": luck, "personal": together}) == "global"
    assert choose(plain | {"local": luck, "personal": sure}) == "personal"
    assert choose(plain | {"local": [v - 1 for v in sure], "personal": sure}) == "local"


def test_an_adapter_that_is_worse_than_the_base_is_not_kept():
    daily = {"zero_shot": [4.0, 5.0], "global": [5.0, 5.0], "local": [4.0, 5.0], "personal": [6.0, 6.0]}
    assert choose(daily) == "zero_shot"


def test_one_day_proves_nothing():
    daily = {"zero_shot": [4.0, 4.0], "global": [5.0, 5.0], "local": [1.0, 1.1], "personal": [4.0, 4.0]}
    assert choose(daily) == "local"
    assert choose({kind: values[:1] for kind, values in daily.items()}) == "zero_shot"


def test_the_score_of_each_day_is_a_part_of_the_score_of_all(tmp_path: Path):
    agency = Agency(write_federation(tmp_path, ["north"]) / "agencies" / "north")
    network, examples = agency.network(0), agency.data.held_out
    found = validate(network, examples, agency.recipe.validation, half=agency.half).rmse()
    score = agency.score(network, examples)
    assert score.rmse == pytest.approx(np.mean([own for own, _ in found.values()]))
    assert score.persistence == pytest.approx(np.mean([still for _, still in found.values()]))
    assert len(score.daily) == len(examples.starts) > 1 and len(set(score.daily)) == len(score.daily)
    assert np.mean(score.daily) == pytest.approx(np.mean([own**2 for own, _ in found.values()]), rel=1e-3)


def test_the_drawn_day_changes_as_all_days_do():
    assert typical([4.0, 4.0, 4.0], [1.0, 2.1, 3.0]) == 1
    assert typical([0.0, 4.0], [1.0, 4.0]) == 1  # where nothing was wrong, no share can be said
    assert typical([np.nan, 4.0, 4.0, 4.0], [np.nan, 4.0, 3.0, 1.0]) == 2  # a tile without truth
