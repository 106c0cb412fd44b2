"""Clipping, averaging and what averaging A and B apart costs, on matrices that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from cranpm.clients.aggregate import aggregation_error, clipped_to_median, distance, mean_of

A, B = "base_model.model.x.lora_A.weight", "base_model.model.x.lora_B.weight"


def tensors(a: float, b: float) -> dict[str, np.ndarray]:
    return {A: np.full((1, 1), a, np.float32), B: np.full((1, 1), b, np.float32)}


def test_the_length_of_an_update_is_euclidean_over_all_tensors():
    assert distance(tensors(3, 4), tensors(0, 0)) == pytest.approx(5)
    assert distance({B: np.full((1, 1), 4, np.float32)}, tensors(9, 0)) == pytest.approx(4)


def test_only_updates_longer_than_the_median_are_shortened_and_their_direction_stays():
    origin = tensors(1, 0)
    updates = {1: tensors(2, 0), 2: tensors(1, 2), 3: tensors(1, -20)}
    clipped, factors = clipped_to_median(updates, origin)
    assert factors == {3: pytest.approx(0.1)}
    assert clipped[1] == updates[1] and clipped[2] == updates[2]
    assert clipped[3][B].item() == pytest.approx(-2) and clipped[3][A].item() == pytest.approx(1)


def test_agencies_that_agree_are_averaged_without_an_error():
    same = [tensors(2, 3)] * 3
    assert aggregation_error(same, [1, 1, 1], mean_of(same, [1, 1, 1])) == pytest.approx(0, abs=1e-7)


def test_the_aggregation_error_is_that_of_the_products():
    """Products 2 * 1 and 4 * 3 have mean 7; the means 3 and 2 have product 6: an error of 1 in 7."""
    parts = [tensors(2, 1), tensors(4, 3)]
    assert aggregation_error(parts, [1, 1], mean_of(parts, [1, 1])) == pytest.approx(1 / 7)


def test_the_gram_matrices_give_what_the_whole_products_give():
    rng = np.random.default_rng(0)
    parts = [{A: rng.normal(size=(4, 9)).astype("f4"), B: rng.normal(size=(7, 4)).astype("f4")} for _ in range(3)]
    weights = [30, 60, 90]
    made = mean_of(parts, weights)
    mean = sum(w / 180 * part[B].astype(float) @ part[A] for w, part in zip(weights, parts, strict=True))
    expected = np.linalg.norm(made[B].astype(float) @ made[A] - mean) / np.linalg.norm(mean)
    assert aggregation_error(parts, weights, made) == pytest.approx(expected, rel=1e-5)


def test_one_shared_a_costs_nothing():
    rng = np.random.default_rng(1)
    a = rng.normal(size=(4, 9)).astype("f4")
    parts = [{A: a, B: rng.normal(size=(7, 4)).astype("f4")} for _ in range(3)]
    assert aggregation_error(parts, [1, 2, 3], mean_of(parts, [1, 2, 3])) < 1e-6


def test_no_update_at_all_has_no_error():
    assert aggregation_error([tensors(2, 0)], [1], tensors(2, 0)) is None
