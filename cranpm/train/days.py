"""The days a run trains and validates on: made ready once by the first process, then opened by each.

Lightning sees the run as one long epoch, an item of the loader being all groups of one optimiser step.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule
from torch.utils.data import DataLoader

from cranpm.data.dataset import Batch, DiskStore, Examples, HeldStore, hold, statistics_of
from cranpm.data.days import format_days, shown_days
from cranpm.data.progress import Progress
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.folders import write_whole
from cranpm.model.statistics import Statistics
from cranpm.region import Region
from cranpm.tiles import plan_tiles
from cranpm.train.loader import Steps, feed
from cranpm.train.pasts import ByYear, give_pasts, make_pasts, prepared_pasts, simulated_pasts
from cranpm.train.recipe import Past, Recipe, Schedule
from cranpm.train.stores import make_stores, store_path
from cranpm.variables import FORECAST_CHANNELS

STATISTICS = "statistics.json"


class Days(LightningDataModule):
    """Examples to train and to validate on, and the loader of a device's steps.

    Args:
        recipe, region: what is trained on what.
        seed: of the examples.
        data: a prepared store; None for the recipe's simulated days.
        cache: where simulated stores, and what was fitted on them, are kept.
        folder: the run's folder, where the statistics of a prepared store and what was fitted on its past are kept.
        workers: processes that read ahead on each device; 0 reads in the training process.
        tell: called with how far the preparations are.

    Attributes:
        train, held_out: the examples, once set up.
        statistics: of the training days, once set up.
    """

    train: Examples
    held_out: Examples
    statistics: Statistics

    def __init__(
        self, recipe: Recipe, region: Region, *, seed: int, data: Path | None, cache: Path, folder: Path,
        workers: int, tell: Progress,
    ) -> None:  # fmt: skip
        super().__init__()
        self.recipe, self.region, self.seed = recipe, region, seed
        self.data, self.cache, self.folder = data, cache, folder
        self.workers, self.tell = workers, tell
        self.prepare_data_per_node = False  # the nodes share the run's folder

    def prepare_data(self) -> None:
        """Simulate what is missing, or count the statistics of a store's training days; the first process only.

        For a network that reads the past, what it knows of it is fitted, too.
        """
        known = self._pasts()  # what cannot be fitted is refused before the long work
        if self.recipe.simulated is not None:
            pasts = (*self.recipe.simulated.train, *self.recipe.simulated.validate)
            for ready, total in make_stores(self.recipe, self.region, pasts, self.cache):
                self.tell("simulated days", ready, total)
        elif not (self.folder / STATISTICS).exists():
            train, _ = self._on_disk()
            counted = statistics_of([train], self.tell)
            write_whole(self.folder / STATISTICS, (json.dumps(counted.to_dict(), indent=1) + "\n").encode())
        make_pasts(known, self.tell)

    def setup(self, stage: str) -> None:
        """Open the days."""
        hotspots, config, leads = self.region.hotspots, self.recipe.config, self.recipe.leads
        if self.recipe.simulated is not None:
            simulated = self.recipe.simulated
            held = [self._held(past) for past in (*simulated.train, *simulated.validate)]
            count = len(simulated.train)
            self.train = Examples(held[:count], config, leads, hotspots)
            self.held_out = Examples(held[count:], config, leads, hotspots)
            self.statistics = statistics_of(held[:count])
        else:
            train, held_out = self._on_disk()
            self.train = Examples([train], config, leads, hotspots)
            self.held_out = Examples([held_out], config, leads, hotspots)
            self.statistics = Statistics.from_dict(json.loads((self.folder / STATISTICS).read_text(encoding="utf-8")))
        if self.recipe.config.reads_past:
            give_pasts((*self.train.stores, *self.held_out.stores), self._pasts())
        if self.recipe.batch.hotspot_ratio and not self.train.has_hotspots:
            raise CranpmError(
                f"batch.hotspot_ratio {self.recipe.batch.hotspot_ratio:g}: no hotspot area of '{self.region.name}' "
                "lies in the days' window; set it to 0, or add areas under 'hotspots' in the pack"
            )

    def schedule(self) -> Schedule:
        """The recipe's schedule in steps."""
        return self.recipe.schedule.in_steps(self.recipe.steps_per_epoch(1, self.tiles_per_epoch()))

    def tiles_per_epoch(self) -> int:
        """Land tiles of the plan over all training days."""
        plans = [plan_tiles(*s.fine.shape, size=self.recipe.config.tile, overlap=s.overlap) for s in self.train.stores]
        tiles = [len(plan.tiles(store.land)) for plan, store in zip(plans, self.train.stores, strict=True)]
        return sum(tiles[k] for k, _ in self.train.starts)

    def identity(self) -> str:
        """What a resumed run must find again: days and grids of all stores, and the hotspots; SHA-256, hexadecimal."""
        stores = (*self.train.stores, *self.held_out.stores)
        parts = [[format_days(s.days), *s.fine.edges, *s.coarse.edges] for s in stores]
        return hashlib.sha256(json.dumps([parts, repr(self.region.hotspots)]).encode()).hexdigest()

    def train_dataloader(self) -> DataLoader[list[Batch]]:
        """The steps that this device still has to make, each as its groups."""
        assert self.trainer is not None
        steps = Steps(
            self.train, self.recipe.batch, self.seed, self.trainer.global_rank, self.trainer.world_size,
            steps=self.schedule().length,
        )  # fmt: skip
        on_gpu = self.trainer.strategy.root_device.type == "cuda"
        return feed(steps, self.trainer.global_step, workers=self.workers, pinned=on_gpu)

    def transfer_batch_to_device(self, batch: list[Batch], device: torch.device, dataloader_idx: int) -> list[Batch]:
        """Nothing yet: the training step moves each group to the device when its turn comes."""
        return batch

    def _held(self, past: Past) -> HeldStore:
        issued = [name.removesuffix("_f") for name in self.recipe.config.channels if name in FORECAST_CHANNELS]
        return hold(store_path(self.recipe, self.region, past, self.cache), past.dates, issued)

    def _pasts(self) -> tuple[ByYear, ...]:
        """What must have been fitted for each store, training then validation; nothing where nothing of it is read."""
        if not self.recipe.config.reads_past:
            return ()
        if self.recipe.simulated is not None:
            return simulated_pasts(self.recipe, self.region, self.cache)
        train, held_out = self._on_disk()
        assert self.data is not None
        past = prepared_pasts(self.data, train, held_out, self.recipe.leads, self.folder)
        return past, past

    def _on_disk(self) -> tuple[DiskStore, DiskStore]:
        """The store's days of the pack's training and validation years."""
        if self.data is None:
            raise CranpmError(
                f"recipe '{self.recipe.name}' trains on a prepared store: name it with --data "
                f"(`cranpm data prepare {self.region.given} --from DIR --out STORE` makes one)"
            )
        store = Store.open(self.data, self.region.given)
        store.require(self.region)
        return (
            DiskStore(store, self._of_years(store, "train", self.region.split.train)),
            DiskStore(store, self._of_years(store, "validate", self.region.split.validate)),
        )

    def _of_years(self, store: Store, role: str, years: Sequence[int]) -> tuple[date, ...]:
        days = tuple(day for day in store.days if day.year in years)
        if not days:
            raise CranpmError(
                f"{store.path}: no day of {', '.join(map(str, years))}, which the pack sets aside to {role} "
                f"(ready: {shown_days(store.days)}); prepare them"
            )
        return days
