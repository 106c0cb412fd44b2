"""What one 12 h step of a coupling network takes: parameters by part, seconds, peak memory, and its symmetry.

python -m tests.benchmarks.coupling_step                     the table of `paper`
python -m tests.benchmarks.coupling_step --step --roll       a step at 451 x 900, and one of the rolled fields
python -m tests.benchmarks.coupling_step --config small --shape 32 48 --rollout 10      memory along a forecast
"""

from __future__ import annotations

import argparse
import resource
import time
from datetime import datetime

import torch
from torch import Tensor

from cranpm.composition.coupling.config import CouplingConfig, coupling_config
from cranpm.composition.coupling.network import Coupling, Ground
from cranpm.composition.coupling.rollout import roll_out
from cranpm.composition.coupling.scales import Scales
from cranpm.composition.coupling.table import parameter_table
from tests.benchmarks.measure import machine, resident_mib


def fields(config: CouplingConfig, shape: tuple[int, int], roll: int) -> tuple[Tensor, ...]:
    """before, now, weather, weather_next, places: random, rolled by so many columns."""
    generator = torch.Generator().manual_seed(0)
    channels = [len(config.species)] * 2 + [len(config.weather)] * 2 + [len(config.places)]
    return tuple(torch.randn(1, c, *shape, generator=generator).roll(roll, -1) for c in channels)


def step(network: Coupling, shape: tuple[int, int], roll: int = 0) -> tuple[Tensor, float, float]:
    """The forecast, the seconds it took and those of all cores together."""
    *dynamic, places = fields(network.config, shape, roll)
    clock = torch.tensor([[100.0, 12.0]])
    begin, worked = time.perf_counter(), time.process_time()
    with torch.inference_mode():
        forecast = network(*dynamic, Ground(places), clock)
    return forecast, time.perf_counter() - begin, time.process_time() - worked


def rollout(network: Coupling, shape: tuple[int, int], steps: int) -> list[float]:
    """Resident memory after each step of a forecast, MiB."""
    before, now, *_, places = fields(network.config, shape, 0)
    channels = len(network.config.weather)
    weather = (torch.randn(1, channels, *shape) for _ in range(steps + 1))
    forecast = roll_out(network, before.abs(), now.abs(), weather, Ground(places), datetime(2022, 1, 1))
    return [resident_mib("VmRSS") for _ in forecast]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--config", default="paper")
    parser.add_argument("--shape", type=int, nargs=2, default=(451, 900))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--step", action="store_true")
    parser.add_argument("--roll", action="store_true")
    parser.add_argument("--rollout", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)
    network = Coupling(coupling_config(given.config), Scales.unit(coupling_config(given.config))).eval()
    torch.nn.init.normal_(network.head.kernel.weight, std=0.02)  # as if trained: zeros would hide the rest
    for name, number in parameter_table(network):
        print(f"{name:<24} {number:>12,}")
    shape = (given.shape[0], given.shape[1])
    if given.rollout:
        held = rollout(network, shape, given.rollout)
        print(f"resident, MiB, after each of {given.rollout} steps: {' '.join(f'{mib:.0f}' for mib in held)}")
    if not given.step:
        return
    forecast, seconds, worked = step(network, shape)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"one step, {shape[0]} x {shape[1]}, fp32, {given.threads} threads: {seconds:.1f} s ({worked:.1f} CPU s), "
        f"peak {peak:.2f} GiB"
    )
    if given.roll:
        columns = network.config.stride
        moved, *_ = step(network, shape, columns)
        off = (moved - forecast.roll(columns, -1)).abs().max() / forecast.std()
        print(f"rolled by {columns} columns: largest difference {off:.1e} of the forecast's standard deviation")
    print(machine(torch.device("cpu")))


if __name__ == "__main__":
    main()
