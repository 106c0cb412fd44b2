"""Eqs. 6 to 9."""

from __future__ import annotations

import pytest
import torch

from cranpm.composition.coupling.objective import row_weights, share_of_base

LATS = torch.linspace(90, -90, 13)


def fields() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    return torch.rand(2, 3, 13, 24), torch.rand(2, 3, 13, 24)


def test_weights_of_451_rows_sum_to_what_was_computed_by_hand():
    assert row_weights(torch.linspace(90, -90, 451, dtype=torch.float64)).sum().item() == pytest.approx(
        286.47773, abs=1e-4
    )


def test_the_base_costs_one_the_truth_nothing_and_going_twice_as_far_one():
    base, truth = fields()
    weights = row_weights(LATS)
    for forecast, cost in ((base, 1.0), (truth, 0.0), (base + 2 * (truth - base), 1.0)):
        assert share_of_base(forecast, base, truth, weights).item() == pytest.approx(cost, abs=1e-6)


def test_the_unit_of_a_species_does_not_matter():
    (base, truth), weights = fields(), row_weights(LATS)
    forecast, unit = base + 0.3, torch.tensor([1.0, 1e3, 1e-3]).reshape(3, 1, 1)
    expected = share_of_base(forecast, base, truth, weights)
    assert torch.allclose(share_of_base(forecast * unit, base * unit, truth * unit, weights), expected, rtol=1e-5)


def test_poles_count_for_nothing():
    base, truth = fields()
    forecast = truth.clone()
    forecast[:, :, [0, -1]] += 5
    assert share_of_base(forecast, base, truth, row_weights(LATS)).item() < 1e-5
