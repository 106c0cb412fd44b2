"""The benchmarks' own logic: what they time is the network, and what they call memory is memory."""

from __future__ import annotations

import argparse
import json
import math

import numpy as np
import pytest
import torch

from cranpm.errors import CranpmError
from cranpm.model.config import CONFIGS
from cranpm.model.parts import parts
from cranpm.tiles import plan_tiles
from tests.benchmarks import map_on_device, train_step
from tests.benchmarks.measure import counted, peak_mib, save, seconds
from tests.benchmarks.networks import (
    day_of,
    encode,
    for_inference,
    random_network,
    tile_forward,
    tiles_of,
)
from tests.benchmarks.parts import gflop, group_of, pieces

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network():
    return random_network("small", CPU).requires_grad_(False)


def test_peak_memory_is_that_of_the_run_and_not_what_was_freed_before() -> None:
    torch.ones(64, 2**20).sum()  # 256 MiB that are gone
    found = peak_mib(lambda: torch.ones(32, 2**20).sum(), CPU)
    if not math.isnan(found):
        assert found == pytest.approx(128, abs=8)


def test_seconds_are_the_median_without_the_warm_up() -> None:
    calls = []
    assert seconds(lambda: calls.append(1), CPU, repeats=3, warm_up=2) < 0.1
    assert len(calls) == 5


def test_held_keys_and_values_give_the_network_s_own_residual(network) -> None:
    day, tiles = day_of(network, CPU), tiles_of(network, CPU, 3)
    with torch.inference_mode():
        wanted = network.forward_tiles(network.encode_day(*day), *tiles)
        found = tile_forward(network)(encode(network, day), *tiles)
    torch.testing.assert_close(found, wanted, rtol=0, atol=0)


def test_channels_last_decoder_is_the_same_decoder(network) -> None:
    tokens = torch.randn(2, 256, network.config.local_dim)
    ready = for_inference(network, "fp32", channels_last=True)
    with torch.inference_mode():
        wanted, found = (net.decoder(tokens, network.config.grid) for net in (network, ready))
        stage = ready.decoder.up[0](torch.randn(2, network.config.local_dim, 16, 16))
    torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)
    assert stage.is_contiguous(memory_format=torch.channels_last)


def test_parts_hold_the_arithmetic_that_the_network_counts(network) -> None:
    found = {piece.name: gflop(piece.forward) for piece in pieces(network, 1, CPU)}
    known = parts(CONFIGS["small"])
    for part in known:
        assert found[part.name] == pytest.approx(part.gflop), part.name
    for per in ("day", "tile"):  # the wind's sectors, counted with the whole day alone, are a few thousand operations
        total = sum(found[part.name] for part in known if part.per == per)
        assert total == pytest.approx(found[f"whole {per}"], rel=1e-5)


def test_going_backwards_takes_twice_the_arithmetic_again() -> None:
    found = {piece.name: piece for piece in pieces(random_network("small", CPU).train(), 1, CPU)}
    tile = found["whole tile"]
    assert gflop(tile.backward) / gflop(tile.forward) == pytest.approx(3, rel=0.02)


def test_operators_fall_into_their_kind() -> None:
    kinds = [group_of(name) for name in ("aten::addmm", "aten::mkldnn_convolution", "aten::copy_", "aten::arange")]
    assert kinds == ["linear layers", "convolution", "moving data", "other"]


def test_blend_on_the_device_is_the_blend_of_the_writer() -> None:
    assert map_on_device.blend_error(CPU) < 1e-5


def test_shares_sum_to_one_where_there_is_a_tile() -> None:
    plan = plan_tiles(90, 130, size=32, overlap=6)
    tiles = map_on_device.spread(plan, 14)
    shares, covered = map_on_device.blend_shares(plan, tiles)
    total = torch.zeros(90, 130)
    map_on_device.add_tiles(total, tiles, torch.ones(len(tiles), 32, 32), shares)
    torch.testing.assert_close(total, covered.float(), rtol=0, atol=1e-6)
    assert 0 < covered.float().mean() < 1


def test_tiles_are_spread_over_the_whole_plan() -> None:
    plan = plan_tiles(4192, 6992, size=512, overlap=64)
    assert [len(map_on_device.spread(plan, count)) for count in (126, 130, 160, 500)] == [126, 130, 160, 160]
    chosen = map_on_device.spread(plan, 126)
    assert len({tile.index for tile in chosen}) == 126
    assert {tile.index[0] for tile in chosen} == set(range(10))
    assert chosen == sorted(chosen, key=lambda tile: tile.index)


def test_map_is_the_same_for_every_batch_and_holds_the_forecast(network) -> None:
    plan = plan_tiles(128, 320, size=128, overlap=16)
    with torch.inference_mode():
        jobs = [map_on_device.DeviceMap(network, tile_forward(network), plan, plan.tiles(), n) for n in (1, 2)]
        for job in jobs:
            job.fields.maps.fill_(0.0)
            job.upload()
            job.cut_and_blend()
            job.download()
    assert [job.slots for job in jobs] == [3, 4]  # the last batch of two is filled up
    torch.testing.assert_close(jobs[0].host_map, jobs[1].host_map, rtol=1e-5, atol=1e-4)
    corner = jobs[0]
    with torch.inference_mode():
        alone = network.forward_tiles(network.encode_day(*corner.fields.day), *_first_tile(corner))
    wanted = corner.fields.maps[0, :64, :64] + 20 * alone[0, :64, :64]
    torch.testing.assert_close(corner.host_map[:64, :64], wanted, rtol=1e-5, atol=1e-4)


def test_every_way_of_a_training_step_ends_with_the_same_weights() -> None:
    ends = []
    for way in ("cached", "joint", "alone"):
        net = random_network("small", CPU)
        for module in net.modules():
            module.p = module.probability = 0.0  # dropout would differ between the ways
        torch.manual_seed(1)
        group = train_step.made_up(net, 1, 3)
        trainee = train_step.Trainee(net, "fp32", None)
        groups = train_step.one_by_one(group) if way == "alone" else [group]
        trainee.step(groups, 3 if way == "joint" else 1)
        ends.append([parameter.grad for parameter in net.parameters()])
        assert all(value > 0 for value in trainee.clock.phases().values())
    for other in ends[1:]:
        for wanted, found in zip(ends[0], other, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-6)


def test_ways_are_compared_with_the_joint_one_of_the_same_group() -> None:
    lines = [
        {"way": way, "tiles": tiles, "step s": time, "beyond MiB": memory, "in all MiB": 2 * memory}
        for way, tiles, time, memory in (("cached", 2, 3.0, 1.0), ("joint", 2, 2.0, 4.0), ("cached", 4, 9.0, 1.0))
    ]
    (found,) = train_step.against_joint(lines)
    assert (found["time"], found["memory beyond"]) == (1.5, 0.25)


def test_figures_are_written_with_machine_and_settings(tmp_path) -> None:
    path = tmp_path / "figures.json"
    save(path, argparse.Namespace(batch=[1, 2], json=path), CPU, parts=[{"ms": math.nan}])
    found = json.loads(path.read_text())
    assert found["parts"] == [{"ms": None}]
    assert found["settings"]["batch"] == [1, 2]
    assert found["machine"]["torch"] == torch.__version__


def test_batches_are_whole_numbers_from_one_on() -> None:
    assert counted("1,2,16") == [1, 2, 16]
    with pytest.raises(argparse.ArgumentTypeError, match="from 1 on"):
        counted("0,2")


def test_map_with_a_missing_pixel_is_refused() -> None:
    wanted = torch.rand(4, 4)
    found = wanted.clone()
    found[1, 1] = np.nan
    with pytest.raises(CranpmError, match="gaps"):
        map_on_device._distance(found, wanted, torch.zeros(4, 4))


def _first_tile(job: map_on_device.DeviceMap) -> list[torch.Tensor]:
    tensors = (job.pm, job.elevation, job.lats, job.lons, job.fields.wind, job.queries, job.keys, job.lead)
    return [tensor[:1] for tensor in tensors]
