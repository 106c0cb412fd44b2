"""Examples of an agency's own days, and the past that a `plus` network reads with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

from cranpm.adapt.local_days import LEAST_PAST, LocalDays, folds
from cranpm.adapt.settings import Adaptation
from cranpm.data.dataset import DiskStore, Examples, HeldStore, TrainingStore
from cranpm.data.days import format_days
from cranpm.data.progress import Progress, silent
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.forecast.inputs import KnownPast
from cranpm.model.adapter import BASELINES
from cranpm.region import Region
from cranpm.train.days import Days
from cranpm.variables import FORECAST_CHANNELS
from cranpm.verify.baselines import Fitted, read_fitted, write_fitted
from cranpm.verify.fit import fit_places
from cranpm.verify.fitting import fit_days, origin_of
from cranpm.verify.past import past_of_store

IN_MEMORY = 1_000_000_000
"""Bytes of local days that are held in memory; more are read from the store as they are drawn."""


class LocalData(Days):
    """Days of one store: training blocks and held-out blocks, with a past that never holds what it is to forecast.

    Args:
        recipe, region: what is adapted on what.
        local: the days.
        seed: of the examples.
        data: the store.
        baselines: what was fitted on other days than these, or None: then the local days themselves serve, in folds.
        folder: the run's, where fits are kept.
        workers: reading processes.
        tell: called with how far the preparations are.
    """

    def __init__(
        self, recipe: Adaptation, region: Region, *, local: LocalDays, seed: int, data: Path, baselines: Path | None,
        folder: Path, workers: int, tell: Progress,
    ) -> None:  # fmt: skip
        super().__init__(recipe, region, seed=seed, data=data, cache=folder, folder=folder, workers=workers, tell=tell)
        self.local, self.baselines, self.store = local, baselines, Store.open(data, region.given)

    def prepare_data(self) -> None:
        """Fit what the network reads of the past, where none was given; the first process only."""
        if self.recipe.config.reads_past and self.baselines is None:
            fit_local_past(self.store, self.local, self.recipe.leads, self.folder, self.tell)

    def setup(self, stage: str) -> None:
        """Open the days."""
        train, held_out = self._opened(self.local.train), self._opened(self.local.held_out)
        config, leads, hotspots = self.recipe.config, self.recipe.leads, self.region.hotspots
        self.train, self.held_out = Examples([train], config, leads, hotspots), Examples([held_out], config, leads)
        assert isinstance(self.recipe, Adaptation)
        self.statistics = self.recipe.base.statistics
        if config.reads_past:
            pasts = self._known_pasts()
            train.pasts = held_out.pasts = pasts
        if self.recipe.batch.hotspot_ratio and not self.train.has_hotspots:
            raise CranpmError(
                f"batch.hotspot_ratio {self.recipe.batch.hotspot_ratio:g}: no hotspot area of '{self.region.name}' "
                "lies in the store's window; set it to 0, or add areas under 'hotspots' in the pack"
            )

    def identity(self) -> str:
        """Also of the days' division and of where the past comes from."""
        past = "local" if self.baselines is None else self.baselines.name
        return f"{super().identity()} {format_days(self.local.train)} {past}"

    def _opened(self, days: Sequence[date]) -> TrainingStore:
        issued = [name.removesuffix("_f") for name in self.recipe.config.channels if name in FORECAST_CHANNELS]
        fields = self.store.coarse.height * self.store.coarse.width * 4 * (35 + 3 * len(issued))
        if len(days) * (self.store.fine.height * self.store.fine.width * 2 + fields) > IN_MEMORY:
            return DiskStore(self.store, days)
        return HeldStore(self.store, days, issued)

    def _known_pasts(self) -> Mapping[date, KnownPast]:
        """By day; none where too few days are at hand to fit anything on."""
        if self.baselines is not None:
            return dict.fromkeys(self.local.all, read_fitted(self.baselines))
        pairs = folds(self.local, self.recipe.leads)
        return {
            day: past
            for k, (days, _) in enumerate(pairs)
            for past in [read_fitted(_fold_path(self.folder, k))]
            for day in days
        }


def fit_local_past(store: Store, local: LocalDays, leads: Sequence[int], folder: Path, tell: Progress) -> None:
    """Fit the past of every fold, and of all local days together for the forecasts to come (`baselines.nc`).

    Fits that are there are kept, so a killed run goes on. Too few days: nothing is fitted.
    """
    pairs = folds(local, leads)
    if not pairs:
        return
    grids = store.fine, store.coarse, store.land
    for k, (_, past) in enumerate(pairs):
        if not _fold_path(folder, k).is_file():  # the blend of a fold is not read
            about = origin_of(store) | {"days": format_days(past)}
            write_fitted(_fold_path(folder, k), fit_places(past_of_store(store, past), *grids, about, LEAST_PAST))
        tell("fitting the local past", k + 1, len(pairs) + 1)
    if not (folder / BASELINES).is_file():
        whole = fit_days(store, local.all, {"days": format_days(local.all)}, silent, LEAST_PAST)
        write_fitted(folder / BASELINES, whole)
    tell("fitting the local past", len(pairs) + 1, len(pairs) + 1)


def serves(fitted: Fitted, store: Store, days: Sequence[date]) -> bool:
    """Whether what was fitted may be read on some days: on the store's grids, and not on these years."""
    years = fitted.about.get("years")
    apart = isinstance(years, list) and not {day.year for day in days} & {int(year) for year in years}
    return apart and not fitted.mismatch(store.fine, store.coarse, "sample" if store.simulated else "real")


def _fold_path(folder: Path, k: int) -> Path:
    return folder / f"past-fold-{k}.nc"
