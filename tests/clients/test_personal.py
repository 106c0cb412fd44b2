"""How much of an adapter counts."""

from __future__ import annotations

import numpy as np
import pytest

from cranpm.clients.choice import KINDS, STRENGTHS, Choice
from cranpm.clients.personal import weakened

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
