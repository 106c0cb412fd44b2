"""Elevation-aware attention: eq. 2, and the relative bias that any grid size can use."""

import pytest
import torch

from cranpm.model.attention import ElevationBias, ElevationBlock, RelativeBias
from tests.model.examples import coarse_inputs, network, tile_inputs


@pytest.mark.parametrize(("scale", "climb"), [(1000.0, 3.0), (500.0, 6.0)], ids=["global", "local"])
def test_a_wall_of_3000_m_costs_alpha_times_its_height(scale, climb):
    bias = ElevationBias(heads=2, scale=scale)
    value = bias(torch.tensor([[0.0, 3000.0]]))
    assert torch.allclose(value[0, :, 0, 1], -climb * bias.alpha)  # from the valley, the summit is far
    assert torch.equal(value[0, :, 1, 0], torch.zeros(2))  # from the summit, the valley is not
    assert bias.alpha.shape == (2,) and torch.allclose(bias.alpha, torch.ones(2))


def test_the_bias_stops_at_minus_ten():
    bias = ElevationBias(heads=1, scale=500.0)
    assert bias(torch.tensor([[0.0, 8000.0]]))[0, 0, 0, 1].item() == -10.0


def test_alpha_cannot_become_negative():
    bias = ElevationBias(heads=3, scale=1000.0)
    with torch.no_grad():
        bias.free.copy_(torch.tensor([-50.0, -3.0, 4.0]))
    assert (bias.alpha >= 0).all() and (bias(torch.tensor([[0.0, 900.0]])) <= 0).all()


def test_the_network_sees_metres():
    """Raising one coarse patch and one fine patch changes both branches' attention, by height in metres."""
    net = network()
    coarse, elevation = coarse_inputs()
    raised = elevation.clone()
    raised[:, :4, :4] += 3000.0
    assert (net.encode_day(coarse, elevation) - net.encode_day(coarse, raised)).abs().max() > 1e-3
    bias = net.global_branch.elevation.elevation
    flat = torch.zeros(1, 2)
    assert torch.allclose(bias(flat + torch.tensor([0.0, 3000.0]))[0, :, 0, 1], -3.0 * bias.alpha)


def test_a_valley_token_does_not_hear_what_lies_behind_the_clamp():
    torch.manual_seed(1)
    block = ElevationBlock(8, 2, elevation_scale=500.0, mlp_ratio=2.0, drop_path=0.0).eval()
    tokens, louder = torch.randn(1, 4, 8), torch.randn(1, 4, 8)
    louder[:, :3] = tokens[:, :3]
    heights = torch.tensor([[0.0, 0.0, 0.0, 6000.0]])

    def heard(elevation: torch.Tensor) -> float:
        change = block(louder, elevation, (2, 2)) - block(tokens, elevation, (2, 2))
        return change[:, :3].abs().max().item()

    assert heard(heights) < 1e-2 * heard(torch.zeros(1, 4))


def test_elevation_reaches_the_local_branch():
    net = network()
    state, tiles = net.encode_day(*coarse_inputs()), tile_inputs()
    with torch.no_grad():  # silence the elevation channel, so that only the attention bias can tell
        weight = net.local_branch.embed.linear.weight
        weight.unflatten(1, (5, -1))[:, 2] = 0.0
    raised = [*tiles]
    raised[1] = tiles[1].clone()
    raised[1][:, :8, :8] += 4000.0
    assert (net.forward_tiles(state, *tiles) - net.forward_tiles(state, *raised)).abs().max() > 1e-5


def test_relative_bias_depends_on_row_and_column_offset_and_fits_any_grid():
    bias = RelativeBias(heads=2)
    rows, columns = 5, 7
    value = bias((rows, columns)).reshape(2, rows, columns, rows, columns)
    assert torch.equal(value[:, 0, 0, 1, 2], value[:, 3, 4, 4, 6])
    assert not torch.equal(value[:, 0, 0, 1, 2], value[:, 1, 0, 0, 2])  # north is not south
    assert not torch.equal(value[:, 0, 0, 1, 2], value[:, 0, 0, 2, 1])  # rows are not columns
    assert bias((21, 35)).shape == (2, 735, 735)


def test_far_offsets_share_buckets_and_near_ones_do_not():
    buckets = RelativeBias(heads=1).buckets
    near, far = buckets[256 : 256 + 6].tolist(), buckets[256 + 40 : 256 + 44]
    assert len(set(near)) == 6
    assert len(set(far.tolist())) == 1
    assert (buckets.diff() >= 0).all() and int(buckets[0]) == 0
