"""The wind inside the network: the order of tokens in a window, and the upwind cosine of eq. 4."""

import math
from itertools import pairwise

import pytest
import torch

from cranpm.model.attention import CrossAttention, attend
from cranpm.model.swin import SwinBlock, Windows, rearrange
from cranpm.model.wind import WindOrder, sector_orders, upwind_cosine
from tests.model.examples import coarse_inputs, network, tile_inputs

WINDOW = 7


def wind_towards(degrees: float, speed: float = 5.0) -> torch.Tensor:
    """Wind that blows towards a direction, degrees counter-clockwise from east."""
    return speed * torch.tensor([math.cos(math.radians(degrees)), math.sin(math.radians(degrees))])


def order_for(wind: torch.Tensor) -> list[int]:
    field = wind.expand(1, WINDOW, WINDOW, 2)
    return WindOrder(WINDOW)(field, Windows((WINDOW, WINDOW), WINDOW))[0][0, 0].tolist()


@pytest.mark.parametrize("sector", range(16))
def test_tokens_are_ordered_from_upwind_to_downwind_in_all_16_directions(sector):
    wind = wind_towards(22.5 * sector)
    order = order_for(wind)
    assert sorted(order) == list(range(49))
    travelled = []  # distance along the wind; row 0 is north, so a northward wind decreases the row
    for place in order:
        row, column = divmod(place, WINDOW)
        travelled.append(float(wind[0]) * column + float(wind[1]) * -row)
    assert all(a <= b + 1e-4 for a, b in pairwise(travelled))


@pytest.mark.parametrize(
    ("wind", "towards", "first", "last"),
    [
        ("westerly", 0, 0, 48), ("southerly", 90, 42, 6), ("easterly", 180, 6, 42), ("northerly", 270, 0, 48),
        ("south-westerly", 45, 42, 6), ("south-easterly", 135, 48, 0), ("north-easterly", 225, 6, 42),
        ("north-westerly", 315, 0, 48),
    ],
)  # fmt: skip
def test_the_first_slot_is_the_upwind_end(wind, towards, first, last):
    order = order_for(wind_towards(towards))
    assert (order[0], order[-1]) == (first, last), wind


@pytest.mark.parametrize("sector", range(16))
@pytest.mark.parametrize("off", [-11.0, 0.0, 11.0])
def test_the_nearest_sector_is_taken(sector, off):
    assert int(WindOrder(WINDOW).sectors(wind_towards(22.5 * sector + off))) == sector


def test_calm_wind_keeps_raster_order():
    assert order_for(wind_towards(180, speed=0.09)) == list(range(49))
    assert order_for(wind_towards(180, speed=0.11)) != list(range(49))


def test_ties_keep_raster_order():
    assert sector_orders(3)[0].tolist() == [0, 3, 6, 1, 4, 7, 2, 5, 8]


def test_each_window_is_ordered_by_its_own_wind_and_empty_places_do_not_dilute_it():
    windows = Windows((7, 14), 7, shift=3)  # 2 x 3 windows, the outer ones partly empty
    wind = torch.zeros(1, 7, 14, 2)
    wind[..., 0] = 0.15  # a mean over empty places would fall below calm
    order, slot = WindOrder(7)(wind, windows)
    assert (order == sector_orders(7)[0]).all()
    assert (order.gather(2, slot) == torch.arange(49)).all()


def test_the_wind_alone_changes_the_global_tokens():
    branch = network().global_branch
    coarse, elevation = torch.randn(1, 70, 28, 56), coarse_inputs()[1]
    wind = wind_towards(0).reshape(1, 2, 1, 1).expand(1, 2, 28, 56)
    one, other, again = (branch(coarse, w, elevation) for w in (wind, -wind, wind.clone()))
    assert torch.equal(one, again)
    assert (one - other).abs().max() > 1e-3


def test_the_order_acts_through_the_relative_bias_only():
    """Ordering tokens and indexing the bias by slots is the same as keeping them and reordering the bias."""
    torch.manual_seed(0)
    block = SwinBlock(16, 2, WINDOW, mlp_ratio=2.0, drop_path=0.0).eval()
    windows, tokens = Windows((7, 7), 7), torch.randn(1, 49, 16)
    order, slot = WindOrder(7)(wind_towards(100).expand(1, 7, 7, 2), windows)
    ordered = block(tokens, windows, (order, slot))
    assert (ordered - block(tokens, windows)).abs().max() > 1e-4
    with torch.no_grad():
        block.slots.copy_(block.slots[slot[0, 0]][:, slot[0, 0]])
    assert torch.allclose(ordered, block(tokens, windows), atol=1e-6)
    with torch.no_grad():
        block.table.fill_(0.3)
    assert torch.allclose(block(tokens, windows, (order, slot)), block(tokens, windows), atol=1e-6)


def test_putting_tokens_back_undoes_the_order():
    order = sector_orders(3)[5].expand(1, 1, 9)
    tokens = torch.randn(1, 1, 9, 4)
    assert torch.equal(rearrange(rearrange(tokens, order), order.argsort(dim=2)), tokens)


def test_gamma_is_one_exactly_upwind_and_zero_where_the_wind_has_no_direction():
    queries = torch.tensor([[[0.0, 0.0], [100.0, 0.0]]])
    keys = torch.tensor([[[-50.0, 0.0], [50.0, 0.0], [0.0, 70.0], [0.0, 0.0]]])
    wind = torch.tensor([[[3.0, 0.0], [0.05, 0.0]]])  # a westerly, then calm
    gamma = upwind_cosine(queries, keys, wind)
    assert torch.allclose(gamma[0, 0], torch.tensor([1.0, -1.0, 0.0, 0.0]), atol=1e-6)
    assert torch.equal(gamma[0, 1], torch.zeros(4))


@pytest.mark.parametrize("degrees", [0, 37, 90, 201, 300])
def test_gamma_turns_with_the_wind_at_the_query(degrees):
    wind = wind_towards(degrees).reshape(1, 1, 2)
    keys = torch.stack([wind_towards(degrees + turn, 1000.0) for turn in (180, 0, 90)])[None]
    gamma = upwind_cosine(torch.zeros(1, 1, 2), keys, wind)
    assert torch.allclose(gamma[0, 0], torch.tensor([1.0, -1.0, 0.0]), atol=1e-5)


def test_token_upwind_raises_attention():
    """With content that tells nothing apart, attention is beta's alone: exp(2 beta) between upwind and downwind."""
    gamma = upwind_cosine(
        torch.zeros(1, 1, 2), torch.tensor([[[-300.0, 0.0], [300.0, 0.0]]]), torch.tensor([[[6.0, 0.0]]])
    )
    beta = 0.7
    weights = attend(torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 2, 2), torch.eye(2)[None, None], beta * gamma[:, None])
    assert float(weights[0, 0, 0, 0] / weights[0, 0, 0, 1]) == pytest.approx(math.exp(2 * beta), rel=1e-5)


def test_beta_is_learned_per_head_and_layer():
    layers = network().bridge.layers
    assert [layer.beta.shape for layer in layers] == [(4,), (4,)]
    assert torch.equal(CrossAttention(8, 4, 2, 2.0).beta, torch.ones(4))


def test_turning_the_wind_at_the_tile_changes_the_forecast():
    net = network()
    state, tiles = net.encode_day(*coarse_inputs()), tile_inputs()
    turned = [*tiles]
    turned[4] = -tiles[4]
    calm = [*tiles]
    calm[4] = tiles[4] * 1e-3
    still = [*calm]
    still[4] = -calm[4]
    assert (net.forward_tiles(state, *tiles) - net.forward_tiles(state, *turned)).abs().max() > 1e-4
    assert torch.equal(net.forward_tiles(state, *calm), net.forward_tiles(state, *still))
