"""What a run trains and validates on: series in memory, their statistics, and the forecasts of each step."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from cranpm.composition.coupling.config import STEPS, CouplingConfig
from cranpm.composition.coupling.network import Ground
from cranpm.composition.coupling.normalise import half_mean_maximum, spread
from cranpm.composition.coupling.recipe import Recipe, Stage
from cranpm.composition.coupling.rollout import STEP, clock
from cranpm.composition.coupling.scales import Scales
from cranpm.composition.coupling.series import Series, pairs, simulated_ground, simulated_series
from cranpm.data.progress import Progress, silent
from cranpm.train.loader import Remaining
from cranpm.train.recipe import Schedule

VIEWS = ("reanalysis", "analysis")


@dataclass(frozen=True)
class Batch:
    """Forecasts that start together.

    Attributes:
        before, now: composition 12 h before the start and at it, physical units, shape (B, C, H, W).
        weather: from the start on, physical units, shape (B, R + 1, D, H, W).
        truth: from 12 h on, physical units, shape (B, R, C, H, W).
        clocks: of every start of a step, shape (R, B, 2).
        starts: the starts.
    """

    before: Tensor
    now: Tensor
    weather: Tensor
    truth: Tensor
    clocks: Tensor
    starts: tuple[dt.datetime, ...]

    def to(self, device: torch.device) -> Batch:
        """The same there."""
        moved = {name: getattr(self, name).to(device) for name in ("before", "now", "weather", "truth", "clocks")}
        return replace(self, **moved)


class CouplingDays(LightningDataModule):
    """Series to train and to validate on.

    Args:
        recipe: which.
        seed: of what is drawn.
        cache: where simulated days are kept.
        tell: called with how far the preparations are.

    Attributes:
        train: the series by view, once set up.
        held_out: the analysis to validate on.
        scales: by view, once set up.
        config: the network's shape, its bases measured where the recipe says so.
        ground: what is known of the places.
    """

    train: dict[str, list[Series]]
    held_out: list[Series]
    scales: dict[str, Scales]
    config: CouplingConfig
    ground: Ground

    def __init__(self, recipe: Recipe, *, seed: int, cache: Path, tell: Progress = silent) -> None:
        super().__init__()
        self.recipe, self.seed, self.cache, self.tell = recipe, seed, cache, tell

    def setup(self, stage: str) -> None:
        """Read the series into memory, simulating what is missing."""
        recipe, simulated, config = self.recipe, self.recipe.simulated, self.recipe.config
        views = [view for view in VIEWS if any(stage.view == view for stage in recipe.stages)]

        def read(view: str, role: str) -> list[Series]:
            return [
                one
                for course in getattr(simulated, role)
                for one in simulated_series(
                    simulated.area, course, view, config.species, config.weather, self.cache,
                    seed=simulated.world_seed, tell=self.tell,
                )
            ]  # fmt: skip

        self.train = {view: read(view, view) for view in views}
        self.held_out = read("analysis", "validate")
        self.scales = {view: statistics(series, config) for view, series in self.train.items()}
        self.config = config
        last = views[-1]
        errors = half_day_errors(self.train[last], config, self.scales[last])
        if recipe.bases == "measured":
            self.config = replace(config, day_before=better_a_day_before(errors, config))
        change = dict(zip(config.species, errors.min(axis=0).tolist(), strict=True))
        self.scales = {view: replace(scales, change=change) for view, scales in self.scales.items()}
        known = simulated_ground(simulated.area, config.places, self.cache, seed=simulated.world_seed)
        self.ground = Ground(torch.from_numpy(known)[None])

    @property
    def latitudes(self) -> Tensor:
        """Of the rows, degrees."""
        return torch.from_numpy(self.recipe.simulated.area.grid.lats.astype(np.float32))

    def schedule(self) -> Schedule:
        """The recipe's schedule."""
        return self.recipe.schedule

    def identity(self) -> str:
        """What a resumed run must find again: SHA-256 of all instants."""
        times = [[str(t) for t in (one.times[0], one.times[-1])] for series in self.train.values() for one in series]
        return hashlib.sha256(json.dumps(times).encode()).hexdigest()

    def train_dataloader(self) -> DataLoader[Batch]:
        """The steps that are still to be made."""
        assert self.trainer is not None
        steps = DrawnSteps(self.train, self.recipe, self.seed)
        return DataLoader(steps, batch_size=None, sampler=Remaining(steps, self.trainer.global_step))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """The batch, there."""
        return batch.to(device)


class DrawnSteps(Dataset[Batch]):
    """The forecasts of each step of the optimiser, which the seed and the step alone decide."""

    def __init__(self, train: dict[str, list[Series]], recipe: Recipe, seed: int) -> None:
        self.train, self.recipe, self.seed = train, recipe, seed
        self._starts: dict[tuple[str, int], list[tuple[int, int]]] = {}

    def __len__(self) -> int:
        return self.recipe.schedule.length

    def __getitem__(self, step: int) -> Batch:
        stage, _ = self.recipe.stage(step)
        rng, starts = np.random.default_rng([self.seed, step]), self._of(stage)
        chosen = [starts[k] for k in rng.integers(len(starts), size=stage.examples)]
        return make_batch(self.train[stage.view], chosen, stage.rollout)

    def _of(self, stage: Stage) -> list[tuple[int, int]]:
        key = stage.view, stage.rollout
        if key not in self._starts:
            self._starts[key] = list(pairs(self.train[stage.view], stage.rollout))
        return self._starts[key]


def make_batch(series: Sequence[Series], chosen: Sequence[tuple[int, int]], steps: int) -> Batch:
    """The forecasts that start at (series, index)."""
    cut = [(series[number], index) for number, index in chosen]
    fields = torch.from_numpy(np.stack([one.composition[i - 1 : i + steps + 1] for one, i in cut]))
    weather = torch.from_numpy(np.stack([one.weather[i : i + steps + 1] for one, i in cut]))
    starts = tuple(instant(one.times[i]) for one, i in cut)
    clocks = torch.stack([torch.cat([clock(start + k * STEP) for start in starts]) for k in range(steps)])
    return Batch(fields[:, 0], fields[:, 1], weather, fields[:, 2:], clocks, starts)


def held_out_batches(series: Sequence[Series], every: int, size: int, steps: int = STEPS) -> Iterator[Batch]:
    """Forecasts that start at 00 UTC of every n-th day, a few at a time."""
    midnight = [(n, i) for n, i in pairs(series, steps) if instant(series[n].times[i]).hour == 0][::every]
    for first in range(0, len(midnight), size):
        yield make_batch(series, midnight[first : first + size], steps)


def statistics(series: Sequence[Series], config: CouplingConfig) -> Scales:
    """Eq. 11 of the species, mean and standard deviation of the weather, over all instants."""
    composition, weather = (
        np.concatenate([getattr(one, kind) for one in series]) for kind in ("composition", "weather")
    )
    axes = (0, 2, 3)
    mean, std = weather.mean(axes, dtype=np.float64), weather.std(axes, dtype=np.float64)
    scales = half_mean_maximum(composition)
    return Scales(
        {name: float(scale) for name, scale in zip(config.species, scales, strict=True)},
        {name: (float(m), float(s)) for name, m, s in zip(config.weather, mean, std, strict=True)},
    )


def half_day_errors(series: Sequence[Series], config: CouplingConfig, scales: Scales) -> NDArray[np.float64]:
    """Mean absolute error of both bases as the network sees them, shape (2, C): the latest map, that of 24 h before."""
    found, count = np.zeros((2, len(config.species))), 0
    of, logarithmic = scales.of_species(config)
    unit = np.array(of, np.float32)[:, None, None]
    for one in series:
        scaled = torch.from_numpy(one.composition / unit)
        seen = torch.where(torch.tensor(logarithmic)[:, None, None], spread(scaled), scaled).numpy()
        count += seen[2:, 0].size
        for row, lag in enumerate((1, 2)):
            found[row] += np.abs(seen[2:] - seen[2 - lag : -lag]).sum(axis=(0, 2, 3), dtype=np.float64)
    return found / count


def better_a_day_before(errors: NDArray[np.float64], config: CouplingConfig) -> tuple[str, ...]:
    """Species whose map of 24 h before a forecast lies closer to it than the latest one."""
    return tuple(name for name, latest, day in zip(config.species, *errors, strict=True) if day < latest)


def instant(time: np.datetime64) -> dt.datetime:
    """A time as Python has it."""
    return time.astype("datetime64[s]").item()
