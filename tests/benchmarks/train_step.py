"""One real training step through the cached day: seconds of its phases, memory, tiles per second.

python -m tests.benchmarks.train_step --threads 2
python -m tests.benchmarks.train_step --compare 2,4,8 --threads 2
python -m tests.benchmarks.train_step --lora 8 --threads 2
python -m tests.benchmarks.train_step --device cuda --dtype bf16 --days 1 --tiles-per-day 2 --at-once 2

A step is forward, objective (all three terms of eq. 6), backward, clipping and AdamW, with random weights and made-up
inputs on the device. Phases: "encode", the day's forward pass; "tiles", all tiles forwards and backwards; "day", the
one backward pass of the global branch; "optimiser", the rest. With --lora only an adapter of that rank is trained.
With --compare, for groups of so many tiles a day, three
ways to the same gradient in the same run:
  cached   the day once, tiles --at-once at a time on a detached copy of its state
  joint    the day once, all tiles in one graph
  alone    the day again for every tile, as a plain loop over examples does
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import fields, replace

import torch
from torch import Tensor

from cranpm.data.batch import Batch
from cranpm.model.network import CranPM
from cranpm.train.cached_day import run_group
from cranpm.train.objective import Weights, counts, sums
from tests.benchmarks.measure import (
    Row,
    arguments,
    counted,
    held_mib,
    machine,
    peak_mib,
    precision,
    save,
    set_up,
    show,
)
from tests.benchmarks.networks import day_of, random_network, tiles_of

WEIGHTS = Weights(pixel=1.0, frequency=0.1, station=0.1)  # the paper's
STATIONS = 16  # in a tile
PHASES = ("encode", "tiles", "day", "optimiser")
Mark = Callable[[str], None]


class Clock:
    """Seconds between marks, on the device's own time line."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.marks: list[tuple[str, float | torch.cuda.Event]] = []

    def mark(self, name: str) -> None:
        """What was under way until now is called `name`."""
        if self.device.type == "cuda":
            now: float | torch.cuda.Event = torch.cuda.Event(enable_timing=True)
            now.record()  # type: ignore[union-attr]
        else:
            now = time.perf_counter()
        self.marks.append((name, now))

    def phases(self) -> dict[str, float]:
        """Seconds by name; marks of one name add up."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        spent = dict.fromkeys(PHASES, 0.0)
        for (_, before), (name, now) in zip(self.marks, self.marks[1:], strict=False):
            apart = before.elapsed_time(now) / 1000 if isinstance(before, torch.cuda.Event) else now - before
            spent[name] += apart
        return spent


class Trainee:
    """A network in training with its optimiser, whose passes of the day are marked on a clock.

    Args:
        network: on its device; its `encode_day` and `forward_tiles` are wrapped.
        dtype: fp32 or bf16.
        compile: a mode of torch.compile, or None.
    """

    def __init__(self, network: CranPM, dtype: str, compile: str | None) -> None:
        self.network, self.dtype = network.train(), dtype
        self.device = next(network.parameters()).device
        self.clock = Clock(self.device)
        on_gpu = self.device.type == "cuda"
        trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimiser = torch.optim.AdamW(trained, lr=5e-5, weight_decay=0.05, betas=(0.9, 0.98), fused=on_gpu)
        encode = network.encode_day
        if compile:
            encode = torch.compile(encode, mode=compile, dynamic=False)
            network.forward_tiles = torch.compile(network.forward_tiles, mode=compile, dynamic=False)
        network.encode_day = lambda *day: self._marked(encode(*day))

    def step(self, groups: list[Batch], at_once: int) -> None:
        """One optimiser step on some groups; every tile counts the same however they are grouped."""
        self.clock.mark("start")
        self.optimiser.zero_grad(set_to_none=True)
        terms = torch.tensor([WEIGHTS.pixel, WEIGHTS.frequency, WEIGHTS.station], device=self.device)
        scale = terms / sum(counts(group) for group in groups).clamp_min(1)
        for group in groups:
            with precision(self.dtype, self.device):
                closing, _ = run_group(self.network, group, _terms, scale, at_once=at_once)
            closing.backward()
            self.clock.mark("day")
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimiser.step()
        self.clock.mark("optimiser")

    def measure(self, groups: list[Batch], at_once: int, *, repeats: int) -> dict[str, float]:
        """Median seconds of each phase, and the memory of a step in MiB: in all, and beyond what outlives it."""
        self.step(groups, at_once)
        seen = []
        for _ in range(repeats):
            self.clock.marks = []
            self.step(groups, at_once)
            seen.append(self.clock.phases())
        median = {name: statistics.median(phases[name] for phases in seen) for name in PHASES}
        median["step"] = statistics.median(sum(phases.values()) for phases in seen)
        self.optimiser.zero_grad(set_to_none=True)
        beyond = peak_mib(lambda: self.step(groups, at_once), self.device)
        return {**median, "in all": held_mib(self.device), "beyond": beyond}

    def _marked(self, state: Tensor) -> Tensor:
        self.clock.mark("encode")
        if state.requires_grad:  # its gradient is complete when the last tile has gone backwards
            state.register_hook(lambda _: self.clock.mark("tiles"))
        return state


def made_up(network: CranPM, days: int, tiles: int) -> Batch:
    """Days with so many tiles each, half of them land, with stations."""
    device = next(network.parameters()).device
    inputs = tiles_of(network, device, days * tiles)
    side = network.config.tile
    target = inputs[0][:, 0] + 5 * torch.randn(days * tiles, side, side, device=device)
    valid = torch.rand(target.shape, device=device) > 0.5
    places = torch.rand(days * tiles, STATIONS, 2, device=device) * (side - 1)
    measured = 40 * torch.rand(days * tiles, STATIONS, device=device)
    return Batch(*day_of(network, device, days), *inputs, target * valid, valid, places, measured)


def one_by_one(group: Batch) -> list[Batch]:
    """A group for every tile, each with its day."""
    days, tiles = len(group.coarse), len(group.pm)
    parts = []
    for k in range(tiles):
        day = k // (tiles // days)
        at = {f.name: day if f.name.startswith("coarse") else k for f in fields(group)}
        parts.append(Batch(**{name: getattr(group, name)[index : index + 1] for name, index in at.items()}))
    return parts


def row(trainee: Trainee, way: str, group: Batch, at_once: int, repeats: int) -> Row:
    """A row for one way of running a group."""
    days, tiles = len(group.coarse), len(group.pm)
    groups = one_by_one(group) if way == "alone" else [group]
    at_once = {"alone": 1, "joint": tiles // days}.get(way, at_once)
    found = trainee.measure(groups, at_once, repeats=repeats)
    return {
        "way": way,
        "days": days,
        "tiles": tiles,
        "at once": at_once,
        **{f"{name} s": found[name] for name in (*PHASES, "step")},
        "tiles/s": tiles / found["step"],
        "beyond MiB": found["beyond"],
        "in all MiB": found["in all"],
    }


def against_joint(rows: list[Row]) -> list[Row]:
    """Time and memory of each way over those of the joint backward of the same group."""
    joint = {line["tiles"]: line for line in rows if line["way"] == "joint"}
    return [
        {
            "way": line["way"],
            "tiles": line["tiles"],
            "time": line["step s"] / joint[line["tiles"]]["step s"],
            "memory beyond": line["beyond MiB"] / joint[line["tiles"]]["beyond MiB"],
            "memory in all": line["in all MiB"] / joint[line["tiles"]]["in all MiB"],
        }
        for line in rows
        if line["way"] != "joint" and line["tiles"] in joint
    ]


def _terms(residual: Tensor, batch: Batch) -> Tensor:
    return sums(residual, batch, WEIGHTS)  # type: ignore[arg-type]


def main() -> None:
    """Print the table."""
    parser = arguments(__doc__, repeats=3)
    parser.add_argument("--days", type=int, default=1, help="in the group")
    parser.add_argument("--tiles-per-day", type=int, default=2)
    parser.add_argument("--at-once", type=int, default=1, help="tiles of each day in one pass")
    parser.add_argument("--compare", type=counted, help="tiles per day for which all three ways are run, e.g. 2,4,8")
    parser.add_argument("--lora", type=int, help="train an adapter of this rank, all else frozen")
    settings = parser.parse_args()
    device = set_up(settings)
    network = random_network(settings.config, device)
    if settings.lora:
        from cranpm.adapt.lora import attach
        from cranpm.adapt.settings import DEFAULT, read_settings

        attach(network, replace(read_settings(DEFAULT).lora, rank=settings.lora), (), seed=0)
        network.to(device)
    trainee = Trainee(network, settings.dtype, settings.compile)
    print(machine(device), flush=True)
    rows = []
    for tiles in settings.compare or [settings.tiles_per_day]:
        group = made_up(network, settings.days, tiles)
        for way in ("cached", "joint", "alone") if settings.compare else ("cached",):
            rows.append(row(trainee, way, group, settings.at_once, settings.repeats))
            print(f"{way}, {rows[-1]['tiles']} tiles: {rows[-1]['step s']:.3g} s", flush=True)
            save(settings.json, settings, device, steps=rows)
    show(rows)
    if settings.compare:
        show(against_joint(rows))


if __name__ == "__main__":
    main()
