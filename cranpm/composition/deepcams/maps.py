"""The maps a run trains and validates on, made ready once, and the batches of its steps."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader, Dataset

from cranpm.composition.deepcams.degrade import degrade
from cranpm.composition.deepcams.pairs import Batch, Pairs
from cranpm.composition.deepcams.recipe import Recipe
from cranpm.composition.deepcams.truth import Course, Maps, read_series, simulated_files
from cranpm.data.products.geos_cf import find_geos_cf, read_geos_cf
from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError
from cranpm.train.loader import Remaining
from cranpm.train.recipe import Schedule


class TruthMaps(LightningDataModule):
    """Pairs to train and to validate on.

    Args:
        recipe: which.
        seed: of what is drawn.
        data: a folder of GEOS-CF files; None for the recipe's simulated days.
        cache: where simulated days are kept.
        tell: called with how far the preparations are.

    Attributes:
        train, held_out: the pairs, once set up.
    """

    train: Pairs
    held_out: Pairs

    def __init__(self, recipe: Recipe, *, seed: int, data: Path | None, cache: Path, tell: Progress = silent) -> None:
        super().__init__()
        self.recipe, self.seed, self.data, self.cache, self.tell = recipe, seed, data, cache, tell

    def prepare_data(self) -> None:
        """Simulate what is missing; the first process only."""
        if self.recipe.simulated is not None:
            self._simulated((*self.recipe.simulated.train, *self.recipe.simulated.validate))

    def setup(self, stage: str) -> None:
        """Read the maps into memory: those of the temporal network degraded, those of the spatial one as they are."""
        train, held_out = self._files()
        self.paths = [path.name for path in (*train, *held_out)]
        self.train, self.held_out = read_pairs(self.recipe, train, self.tell), read_pairs(self.recipe, held_out)

    def schedule(self) -> Schedule:
        """The recipe's schedule."""
        return self.recipe.schedule

    def identity(self) -> str:
        """What a resumed run must find again: SHA-256 of the names of all files."""
        return hashlib.sha256(json.dumps(self.paths).encode()).hexdigest()

    def train_dataloader(self) -> DataLoader[Batch]:
        """The steps that are still to be made."""
        assert self.trainer is not None
        steps = DrawnSteps(self.train, self.recipe, self.seed)
        return DataLoader(steps, batch_size=None, sampler=Remaining(steps, self.trainer.global_step))

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        """The batch, there."""
        return batch.to(device)

    def _files(self) -> tuple[list[Path], list[Path]]:
        simulated, years = self.recipe.simulated, self.recipe.years
        if simulated is not None:
            return self._simulated(simulated.train), self._simulated(simulated.validate)
        assert years is not None and self.data is not None
        by_year: dict[int, list[Path]] = {}
        for path in find_geos_cf(self.data):
            year = int(str(read_geos_cf(path).times[0])[:4])
            by_year.setdefault(year, []).append(path)
        chosen = [
            [path for year in wanted for path in by_year.get(year, [])] for wanted in (years.train, years.validate)
        ]
        if not all(chosen):
            raise CranpmError(
                f"{self.data}: years {sorted(by_year)}; the recipe trains on {list(years.train)} and validates on "
                f"{list(years.validate)}: add files, or change 'years' in the recipe"
            )
        return chosen[0], chosen[1]

    def _simulated(self, courses: Sequence[Course]) -> list[Path]:
        simulated = self.recipe.simulated
        assert simulated is not None
        return [
            path
            for course in courses
            for path in simulated_files(simulated.place, course, self.cache, seed=simulated.world_seed, tell=self.tell)
        ]


class DrawnSteps(Dataset[Batch]):
    """The batch of each step, which the seed and the step alone decide."""

    def __init__(self, pairs: Pairs, recipe: Recipe, seed: int) -> None:
        self.pairs, self.recipe, self.seed = pairs, recipe, seed

    def __len__(self) -> int:
        return self.recipe.schedule.length

    def __getitem__(self, step: int) -> Batch:
        rng, batch = np.random.default_rng([self.seed, step]), self.recipe.batch
        return self.pairs.draw(rng, batch.examples, batch.patch, batch.reverse, flip=batch.flip)


def read_pairs(recipe: Recipe, paths: Sequence[Path], tell: Progress = silent) -> Pairs:
    """Files as pairs of a recipe."""
    space = recipe.task == "space"

    def degraded(maps: Maps) -> Maps:
        return degrade(torch.from_numpy(_whole_blocks(maps))[:, None], recipe.how)[:, 0].numpy()

    series = read_series(paths, _whole_blocks if space else degraded, every=recipe.batch.every, tell=tell)
    return Pairs(series, space=space, scale=recipe.scale, how=recipe.how)


def _whole_blocks(maps: Maps) -> Maps:
    """Maps cut to whole blocks of 3 x 3: a globe of 721 rows loses the last one."""
    height, width = (length // 3 * 3 for length in maps.shape[1:])
    return np.ascontiguousarray(maps[:, :height, :width])
