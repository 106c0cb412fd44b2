"""Both networks: as many parameters as published, interpolation before training, what their parts do."""

from __future__ import annotations

import pytest
import torch

from cranpm.composition.deepcams.config import SPATIAL, TEMPORAL, SpatialConfig, TemporalConfig
from cranpm.composition.deepcams.degrade import degrade, enlarge
from cranpm.composition.deepcams.describe import UNUSED, rows
from cranpm.composition.deepcams.spatial import Attention, Down, SpatialNetwork, Up
from cranpm.composition.deepcams.temporal import TemporalNetwork

TIME = TemporalConfig(features=8, stride=2, levels=1)
SPACE = SpatialConfig(features=4, head=8, blocks=4, attention=True)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def shaken(network: torch.nn.Module) -> torch.nn.Module:
    """The network with weights everywhere, in the layers that begin at zero, too."""
    torch.manual_seed(1)
    for parameter in network.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return network.eval()


def test_the_published_sizes():
    listed = {(task, part): number for task, part, number in rows("paper")}
    assert listed["time", "features"] == 222_208 and listed["time", "coarser features"] == 36_928
    assert listed["time", "flow, coarsest level"] == 1_159_110
    assert listed["time", "flow, finer levels"] == 73_792 + 1_167_302
    assert listed["time", "flow at t"] == 1_043_588 and listed["time", "refinement"] == 1_824_770
    assert listed["time", "sum"] + UNUSED["time"] == 5_601_554
    assert listed["space", "head"] == 35_746 and listed["space", "up-projections"] == 10 * 79_013
    assert listed["space", "reconstruction"] == 108_073 and listed["space", "final back-projection"] == 17_858
    assert listed["space", "sum"] + UNUSED["space"] == 1_801_089


def test_half_the_features_give_the_size_of_the_papers_text():
    assert count(TemporalNetwork(TemporalConfig(32, 4, 1))) + 32 * 64 * 9 + 64 == 1_408_146


@pytest.mark.parametrize("config", [TIME, TEMPORAL["small"], TemporalConfig(4, 4, 2)])
def test_an_untrained_temporal_network_is_linear_interpolation(config):
    torch.manual_seed(0)
    first, second, t = torch.rand(2, 1, 21, 34), torch.rand(2, 1, 21, 34), torch.tensor([0.25, 2 / 3])
    found = TemporalNetwork(config)(first, second, t)
    weight = t.reshape(-1, 1, 1, 1)
    torch.testing.assert_close(found, (1 - weight) * first + weight * second, atol=1e-5, rtol=0)


def test_without_coarser_levels_nothing_is_made_that_is_never_used():
    small = TEMPORAL["small"]
    network = shaken(TemporalNetwork(small))
    levels = network.levels(torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32), torch.tensor([0.4]))
    sum(level.map.square().mean() for level in levels).backward()
    assert len(levels) == 1 and all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())
    listed = {(task, part): number for task, part, number in rows("small")}
    assert listed["time", "flow, finer levels"] == 0 and listed["time", "sum"] == count(network)


def test_a_relative_network_adds_a_share_of_the_map():
    """Where there is nothing, nothing is added; twice the map gives nearly twice the correction."""
    network = shaken(TemporalNetwork(TEMPORAL["small"]))
    t, zero = torch.tensor([0.4]), torch.zeros(1, 1, 16, 16)
    assert torch.equal(network(zero, zero, t), zero)
    same = 30 + torch.rand(1, 1, 16, 16)
    share = [network(k * same, k * same, t) / (k * same) for k in (1, 1.01)]
    assert (share[0] - 1).abs().max() > 0.01
    torch.testing.assert_close(share[0], share[1], atol=2e-3, rtol=0)


def test_a_network_before_training_is_what_the_levels_end_with():
    network = shaken(TemporalNetwork(TIME))
    first, second, t = torch.rand(1, 1, 20, 24), torch.rand(1, 1, 20, 24), torch.tensor([0.4])
    levels = network.levels(first, second, t)
    assert [tuple(level.map.shape[-2:]) for level in levels] == [(20, 24), (10, 12)]
    torch.testing.assert_close(levels[0].map, network(first, second, t))


def test_every_part_of_the_temporal_network_learns():
    network = shaken(TemporalNetwork(TIME))
    levels = network.levels(torch.rand(1, 1, 32, 32), torch.rand(1, 1, 32, 32), torch.tensor([0.4]))
    sum(level.map.square().mean() for level in levels).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in network.parameters())


def test_any_time_between_the_maps_can_be_asked_for():
    network = shaken(TemporalNetwork(TIME))
    first, second = torch.rand(1, 1, 16, 16), torch.rand(1, 1, 16, 16)
    found = [network(first, second, torch.tensor([t])) for t in (0.1, 0.5, 0.9)]
    assert not torch.allclose(found[0], found[1]) and not torch.allclose(found[1], found[2])


@pytest.mark.parametrize("config", [SPACE, SPATIAL["small"]])
def test_an_untrained_spatial_network_is_bicubic_interpolation(config):
    coarse = torch.rand(2, 1, 7, 9)
    torch.testing.assert_close(SpatialNetwork(config)(coarse), enlarge(coarse), atol=1e-6, rtol=0)


def test_every_part_of_the_spatial_network_learns():
    network = shaken(SpatialNetwork(SPACE))
    network(torch.rand(1, 1, 6, 6)).square().mean().backward()
    learning = {name: p.grad is not None and bool(p.grad.abs().sum() > 0) for name, p in network.named_parameters()}
    assert all(learns for name, learns in learning.items() if not name.endswith("1.weight"))  # but slopes never met


def test_projections_multiply_and_divide_the_grid_by_three():
    x = torch.rand(1, 4, 5, 6)
    high = Up(4)(x)
    assert high.shape == (1, 4, 15, 18) and Down(4)(high).shape == x.shape


def test_attention_on_an_even_map_gathers_the_mean():
    torch.manual_seed(0)
    layer = Attention(3)
    y = torch.rand(1, 3, 4, 5)
    found = layer(torch.ones(1, 3, 4, 5), y)
    mean = layer.value(y).mean(dim=(2, 3), keepdim=True)
    torch.testing.assert_close(found, y + layer.outgoing(mean).expand_as(y))


def test_attention_is_the_formula_it_claims():
    torch.manual_seed(0)
    layer, x, y = Attention(3), torch.rand(1, 3, 2, 3), torch.rand(1, 3, 2, 3)
    key, query, value = (f(of).flatten(2)[0] for f, of in ((layer.key, x), (layer.query, x), (layer.value, y)))
    weights = torch.softmax(key.T @ query, dim=1)
    gathered = (weights @ value.T).T.reshape(1, 3, 2, 3)
    torch.testing.assert_close(layer(x, y), y + layer.outgoing(gathered))


def test_attention_makes_the_result_depend_on_the_whole_tile_and_its_absence_does_not():
    coarse = torch.rand(1, 1, 24, 24)
    changed = coarse.clone()
    changed[..., -1, -1] += 5
    corner = (..., slice(0, 6), slice(0, 6))
    for attention, same in ((True, False), (False, True)):
        network = shaken(SpatialNetwork(SpatialConfig(4, 8, 3, attention)))
        assert torch.equal(network(coarse)[corner], network(changed)[corner]) == same


def test_what_the_degradation_lacks_is_projected_back():
    network = SpatialNetwork(SPACE)
    coarse = torch.rand(1, 1, 6, 6)
    with torch.no_grad():
        network.back_last.bias.fill_(0.5)
    torch.testing.assert_close(network(coarse), enlarge(coarse) + 0.5, atol=1e-5, rtol=0)
    assert degrade(network(coarse)).shape == coarse.shape
