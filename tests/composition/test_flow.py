"""Motion between maps: splatting, reversal to a time between, warping, blending. Numbers are worked out by hand."""

from __future__ import annotations

import pytest
import torch

from cranpm.composition.deepcams.flow import blend, enlarge, reverse, splat, warp


def constant(x: float, y: float, size: int = 24) -> torch.Tensor:
    return torch.tensor([x, y]).reshape(1, 2, 1, 1).expand(1, 2, size, size).contiguous()


def at(value: float) -> torch.Tensor:
    return torch.tensor([value]).reshape(1, 1, 1, 1)


def gaussian(column: float, size: int = 64) -> torch.Tensor:
    x, y = torch.arange(size) - column, torch.arange(size)[:, None] - 32.0
    return torch.exp(-(x**2 + y**2) / 8).reshape(1, 1, size, size)


def moments(map: torch.Tensor) -> tuple[float, float, float]:
    """Mass, and mean and variance along the columns."""
    line = map[0, 0].sum(0).double()
    x = torch.arange(line.numel(), dtype=torch.float64)
    mean = (line * x).sum() / line.sum()
    return float(line.sum()), float(mean), float((line * (x - mean) ** 2).sum() / line.sum())


ONE = torch.ones(1, 1, 24, 24)


def test_a_steady_wind_is_reversed_to_a_third_of_the_way():
    to_0, to_1 = reverse(constant(3, 1), constant(-3, -1), ONE, ONE, at(1 / 3))
    middle = (0, slice(None), 12, 12)
    assert to_0[middle].tolist() == pytest.approx([-1, -1 / 3], abs=1e-5)
    assert to_1[middle].tolist() == pytest.approx([2, 2 / 3], abs=1e-5)


def test_flow_seen_from_one_side_only_is_weighed_with_the_other():
    to_0, _ = reverse(constant(3, 1), constant(0, 0), ONE, ONE, at(0.5))
    assert to_0[0, :, 12, 12].tolist() == pytest.approx([-0.8469, -0.2823], abs=1e-4)


def test_pixels_that_stay_smear_to_the_right_and_below():
    """Even at zero flow: a pixel gives 1, 1/e, 1/e and 1/e^2 to itself and its later neighbours."""
    landed = splat(ONE, constant(0, 0), ONE)[0, 0]
    assert float(landed[12, 12]) == pytest.approx(1.87111, abs=1e-4)
    assert float(landed[0, 0]) == pytest.approx(1.0)
    assert float(landed[0, 12]) == pytest.approx(1.36788, abs=1e-4)


def test_what_leaves_the_map_is_dropped_and_leaves_no_flow():
    to_0, to_1 = reverse(constant(100, 0), constant(100, 0), ONE, ONE, at(0.5))
    assert not to_0.any() and not to_1.any()


def test_swapping_the_maps_swaps_the_flows():
    torch.manual_seed(0)
    forward, backward = torch.randn(1, 2, 24, 24) * 2, torch.randn(1, 2, 24, 24) * 2
    z0, z1 = torch.rand(1, 1, 24, 24) + 0.1, torch.rand(1, 1, 24, 24) + 0.1
    to_0, to_1 = reverse(forward, backward, z0, z1, at(0.3))
    other_1, other_0 = reverse(backward, forward, z1, z0, at(0.7))
    torch.testing.assert_close(to_0, other_0)
    torch.testing.assert_close(to_1, other_1)


def test_a_pixel_of_more_importance_decides():
    z0 = torch.full((1, 1, 24, 24), 1e-3)
    z0[..., 11, 11] = 1.0
    forward = constant(0, 0)
    forward[:, 0, 11, 11] = 2.0
    with_it, _ = reverse(forward, constant(0, 0), z0, z0.new_full(z0.shape, 1e-3), at(0.5))
    assert float(with_it[0, 0, 11, 12]) == pytest.approx(-1.0, abs=0.01)


def test_warping_takes_the_value_where_the_flow_points_and_the_edge_beyond_it():
    ramp = torch.arange(16.0).expand(1, 1, 4, 16)
    flow = torch.zeros(1, 2, 4, 16)
    flow[:, 0] = 1.25
    expected = [*(k + 1.25 for k in range(14)), 15.0, 15.0]
    assert warp(ramp, flow)[0, 0, 2].tolist() == pytest.approx(expected, abs=1e-5)


def test_warping_follows_rows_with_the_second_channel():
    ramp = torch.arange(8.0)[:, None].expand(8, 5)[None, None]
    flow = torch.zeros(1, 2, 8, 5)
    flow[:, 1] = 2.0
    assert warp(ramp, flow)[0, 0, :3, 2].tolist() == pytest.approx([2.0, 3.0, 4.0])


def test_a_plume_that_moves_keeps_its_shape_along_true_flows_and_not_in_a_linear_mean():
    first, second, t = gaussian(29.0), gaussian(35.0), at(1 / 3)
    to_0, to_1 = constant(-2, 0, 64), constant(4, 0, 64)
    found = blend(warp(first, to_0), warp(second, to_1), torch.full_like(first, 0.5), t)
    assert moments(found) == pytest.approx((25.1327, 31.0, 4.0), abs=1e-3)
    linear = (1 - t) * first + t * second
    mass, place, variance = moments(linear)
    assert (mass, place, variance) == pytest.approx((25.1327, 31.0, 12.0), abs=1e-3)
    assert float(linear.max()) == pytest.approx(0.670, abs=1e-3)
    assert float(linear[0, 0, 32, 31]) == pytest.approx(0.4495, abs=1e-3)
    assert moments(t * first + (1 - t) * second)[1] == pytest.approx(33.0, abs=1e-3)  # eq. 9 as printed


@pytest.mark.parametrize("mask, expected", [(0.5, 40.0), (0.9, 31.579)])
def test_the_mask_moves_the_blend_between_the_two_maps(mask, expected):
    early, late = torch.full((1, 1, 2, 2), 30.0), torch.full((1, 1, 2, 2), 60.0)
    found = blend(early, late, torch.full_like(early, mask), at(1 / 3))
    assert float(found[0, 0, 0, 0]) == pytest.approx(expected, abs=1e-3)


def test_a_flow_on_a_finer_grid_points_as_far_in_its_pixels():
    assert enlarge(constant(1.5, -0.5, 4), 4)[0, :, 8, 8].tolist() == pytest.approx([6.0, -2.0])
