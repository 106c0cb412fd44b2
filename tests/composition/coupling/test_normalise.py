"""Eqs. 10 to 12 and their inverse."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cranpm.composition.coupling.normalise import FLOOR, Normalise, gather, half_mean_maximum, spread


@pytest.mark.parametrize(("x", "y"), [(1e-3, 1.001), (0.01, 1.725338), (1, 4.146015), (2, 5.361353), (1e-4, 0.284762)])
def test_equation_12_gives_what_was_computed_by_hand(x, y):
    assert spread(torch.tensor(x, dtype=torch.float64)).item() == pytest.approx(y, abs=1e-6)


def test_the_inverse_is_exact_over_six_orders_of_magnitude():
    x = torch.logspace(-4, 2, 2001, dtype=torch.float64)
    assert torch.allclose(gather(spread(x)), x, rtol=1e-13, atol=0)


def test_the_inverse_is_exact_to_single_precision():
    x = torch.logspace(-4, 2, 2001)
    assert torch.allclose(gather(spread(x)), x, rtol=3e-6, atol=0)


def test_slopes_of_both_terms_are_equal_where_they_are_and_not_at_the_stated_hundredth():
    x = torch.tensor([1 / np.log(25), 1e-2], dtype=torch.float64, requires_grad=True)
    spread(x).sum().backward()
    assert x.grad is not None
    assert x.grad[0].item() == pytest.approx(2.0) and x.grad[1].item() > 30


def test_nothing_and_less_than_nothing_have_a_logarithm_too():
    seen = spread(torch.tensor([0.0, -1.0]))
    assert torch.isfinite(seen).all() and torch.allclose(gather(seen), torch.full((2,), FLOOR))


def test_huge_values_do_not_overflow():
    assert torch.isfinite(gather(torch.tensor([1e4, 88.0, -50.0]))).all()


def test_scale_is_half_the_mean_of_the_maps_largest_values():
    fields = np.zeros((2, 1, 3, 3))
    fields[0, 0, 1, 1], fields[1, 0, 2, 0] = 10, 30
    assert half_mean_maximum(fields) == pytest.approx([10])


def test_channels_return_in_their_own_units():
    normalise = Normalise([20.0, 4e-9], [True, False])
    fields = torch.rand(5, 2, 4, 4) * torch.tensor([20.0, 4e-9]).reshape(2, 1, 1) + torch.tensor([1.0, 0]).reshape(
        2, 1, 1
    )
    assert torch.allclose(normalise.inverse(normalise(fields)), fields, rtol=1e-5)


def test_a_channel_without_logarithm_is_only_scaled():
    assert Normalise([4.0], [False])(torch.full((1, 1, 1), 8.0)).item() == 2
