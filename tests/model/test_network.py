"""The whole network: persistence when untrained, batches, cached days, gradients, golden outputs."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from cranpm.model.config import PAPER_96M, SMALL, token_grid
from cranpm.model.network import CranPM, sine_embedding
from cranpm.model.statistics import nominal
from tests.model.examples import TINY, coarse_inputs, network, tile_inputs

GOLDEN = Path(__file__).parents[1] / "golden" / "small_network.npz"


def test_untrained_network_is_persistence_exactly():
    net = network(trained=False)
    residual = net(*coarse_inputs(), *tile_inputs())
    assert residual.shape == (2, 64, 64)
    assert torch.equal(residual, torch.zeros_like(residual))


def test_paper_96m_has_its_parameters():
    with torch.device("meta"):
        net = CranPM(PAPER_96M, nominal())
    count = sum(parameter.numel() for parameter in net.parameters())
    assert 94e6 <= count <= 97e6
    assert PAPER_96M.coarse_grid == (21, 35) and PAPER_96M.grid == (32, 32)
    assert len(net.global_branch.swin) == 7 and len(net.local_branch.swin) == 5


def test_small_has_at_most_8_mb_of_weights():
    with torch.device("meta"):
        count = sum(parameter.numel() for parameter in CranPM(SMALL, nominal()).parameters())
    assert 1_000_000 < count < 2_000_000  # float32: at most 8 MB


def test_the_wind_that_orders_tokens_is_that_of_day_t_by_name(monkeypatch):
    channels = (*TINY.channels[35:], *TINY.channels[:35])  # another order of the same channels
    net, seen = CranPM(replace(TINY, channels=channels), nominal()).eval(), []
    monkeypatch.setattr(net.global_branch, "forward", lambda coarse, wind, elevation: seen.append(wind))
    coarse, elevation = coarse_inputs()
    net.encode_day(coarse, elevation)
    assert torch.equal(seen[0], coarse[:, 35:37])  # u10_t and v10_t, in m/s as they came


def test_statistics_are_taken_by_name_whatever_their_order():
    given = nominal()
    turned = replace(given, coarse=dict(reversed(given.coarse.items())), local=dict(reversed(given.local.items())))
    net, other = CranPM(TINY, given), CranPM(TINY, turned)
    for name in ("coarse_mean", "coarse_std", "local_mean", "local_std"):
        assert torch.equal(getattr(net, name), getattr(other, name))
    for k, name in enumerate(TINY.channels):
        assert (float(net.coarse_mean[k]), float(net.coarse_std[k])) == pytest.approx(given.coarse[name])


def test_batch_of_one_equals_batch_of_many():
    net = network()
    state, tiles = net.encode_day(*coarse_inputs()), tile_inputs(tiles=5)
    together = net.forward_tiles(state, *tiles)
    alone = torch.cat([net.forward_tiles(state, *[part[i : i + 1] for part in tiles]) for i in range(5)])
    assert (together - alone).abs().max() < 5e-6


def test_a_cached_day_equals_the_joint_pass_and_serves_all_leads():
    net = network()
    day, tiles = coarse_inputs(), tile_inputs(tiles=1)
    state = net.encode_day(*day)
    outputs = []
    for lead in (1, 2, 3, 4):
        tiles[-1] = torch.tensor([lead])
        outputs.append(net.forward_tiles(state, *tiles))
        assert torch.allclose(outputs[-1], net(*day, *tiles), atol=1e-7)
    assert all((a - b).abs().max() > 1e-4 for a, b in pairwise(outputs))


def test_several_days_serve_their_own_tiles():
    net = network()
    coarse, elevation = coarse_inputs(days=2)
    tiles = tile_inputs(tiles=6)
    together = net.forward_tiles(net.encode_day(coarse, elevation), *tiles)
    for day in (0, 1):
        state = net.encode_day(coarse[day : day + 1], elevation[day : day + 1])
        own = net.forward_tiles(state, *[part[3 * day : 3 * day + 3] for part in tiles])
        assert torch.allclose(together[3 * day : 3 * day + 3], own, atol=1e-6)


def test_gradient_reaches_every_parameter():
    net = network()  # in evaluation mode: drop-path would silence whole blocks by chance
    tiles = tile_inputs(tiles=4)
    tiles[-1] = torch.tensor([1, 2, 3, 4])
    net(*coarse_inputs(), *tiles).square().mean().backward()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert silent == []


def test_an_untrained_network_starts_to_learn_from_its_last_layer():
    net = network(trained=False)
    (net(*coarse_inputs(), *tile_inputs()) - 1).square().mean().backward()
    assert net.decoder.head.weight.grad.abs().max() > 0


@pytest.mark.parametrize("shape", [(28, 56), (30, 50), (20, 60)])
def test_any_coarse_size_is_padded_and_masked(shape):
    net = network()
    state = net.encode_day(*coarse_inputs(shape=shape))
    rows, columns = token_grid(shape, 4)
    assert state.shape == (1, rows * columns, 32)
    assert torch.isfinite(net.forward_tiles(state, *tile_inputs(shape=shape))).all()


def test_every_channel_and_both_days_matter():
    net = network()
    coarse, elevation = coarse_inputs()
    before = net.encode_day(coarse, elevation)
    for channel in (0, 34, 35, 69):
        changed = coarse.clone()
        changed[:, channel] += 2.0 * net.coarse_std[channel]
        assert (net.encode_day(changed, elevation) - before).abs().max() > 1e-3


def test_dropout_and_drop_path_are_off_when_forecasting():
    net = network(replace(TINY, drop_path=0.5, dropout=0.5))
    inputs = [*coarse_inputs(), *tile_inputs()]
    assert torch.equal(net(*inputs), net(*inputs))
    net.train()
    assert not torch.equal(net(*inputs), net(*inputs))


def test_sine_embedding_tells_every_place_apart():
    places = sine_embedding((14, 21), 96)
    assert places.shape == (294, 96)
    apart = torch.cdist(places, places) + 10 * torch.eye(294)
    assert apart.min() > 0.5


def test_both_halves_export_and_the_batch_stays_free():
    net = network()
    state, tiles = net.encode_day(*coarse_inputs()), tile_inputs(tiles=3)
    batch = torch.export.Dim("batch", min=1, max=64)
    with torch.no_grad():
        day = torch.export.export(Half(net.encode_day), (*coarse_inputs(),))
        tile = torch.export.export(
            Half(net.forward_tiles), (state, *tiles), dynamic_shapes=((None, *({0: batch} for _ in tiles)),)
        )
        more = tile_inputs(tiles=5)
        assert torch.allclose(day.module()(*coarse_inputs()), state, atol=1e-5)
        assert torch.allclose(tile.module()(state, *more), net.forward_tiles(state, *more), atol=1e-5)


class Half(torch.nn.Module):
    """One half of the network as a module of its own."""

    def __init__(self, method) -> None:
        super().__init__()
        self.network, self.method = method.__self__, method.__name__

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        return getattr(self.network, self.method)(*inputs)


def test_golden_output_of_the_small_network():
    """Written by `python -m tests.model.test_network`; a change here changes every trained checkpoint."""
    golden = np.load(GOLDEN)
    for key, value in golden_values().items():
        assert np.abs(value - golden[key]).max() < 1e-5, key


def golden_values() -> dict[str, np.ndarray]:
    net = network(SMALL)
    with torch.no_grad():
        state = net.encode_day(*coarse_inputs(SMALL))
        residual = net.forward_tiles(state, *tile_inputs(SMALL, tiles=2))
    return {"state": state[:, ::7, ::5].numpy(), "residual": residual[:, ::5, ::5].numpy()}


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    np.savez_compressed(GOLDEN, **golden_values())
