"""What each training day knows of the past: baselines fitted on the training days of other years.

A network that reads them must meet them as it will when it forecasts: fitted on days that are not the day's own year.
A fit takes about seven seconds for each year of a small window, so it is made once, by the first process, and kept.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from pathlib import Path

from cranpm.data.days import ONE_DAY
from cranpm.data.progress import Progress
from cranpm.data.store import Store
from cranpm.data.training_days import DiskStore, TrainingStore
from cranpm.errors import CranpmError
from cranpm.region import Region
from cranpm.train.recipe import Past, Recipe
from cranpm.train.stores import store_path
from cranpm.verify.baselines import SCHEMA_VERSION, Fitted, read_fitted, write_fitted
from cranpm.verify.fit import MIN_DAYS, fit_places
from cranpm.verify.past import PastDay, past_of_store


@dataclass(frozen=True)
class Wanted:
    """A fit that training days need.

    Attributes:
        path: where it is kept.
        parts: the stores it is fitted on, each with the days of it, oldest days first.
    """

    path: Path
    parts: tuple[tuple[Path, tuple[date, ...]], ...]


ByYear = Mapping[int, Wanted]
"""The fit for the days of each year."""


def simulated_pasts(recipe: Recipe, region: Region, folder: Path) -> tuple[ByYear, ...]:
    """For each store of a recipe, training then validation: the fit on what `Simulated.others` gives.

    The fits lie in the cache folder beside the stores, for every recipe that has these.
    """
    assert recipe.simulated is not None, "only recipes with simulated days have stores of their own"
    found = []
    for mine in (*recipe.simulated.train, *recipe.simulated.validate):
        wanted = _simulated_past(recipe, region, mine, folder)
        found.append({day.year: wanted for day in mine.dates})
    return tuple(found)


def prepared_pasts(path: Path, train: DiskStore, held_out: DiskStore, leads: Sequence[int], folder: Path) -> ByYear:
    """For the days of a prepared store: a training year's is fitted on the others, a validation year's on all of them.

    Args:
        path: the store.
        train, held_out: its days.
        leads: days ahead that are trained; what the last days of a year are to forecast is not fitted on for it.
        folder: the run's, where the fits lie.

    Raises:
        CranpmError: there is a single training year, or the others have too few days.
    """
    found = {}
    for year in sorted({day.year for day in (*train.days, *held_out.days)}):
        days = tuple(d for d in train.days if year not in (d.year, (d - max(leads) * ONE_DAY).year))
        if len(days) < MIN_DAYS:
            raise CranpmError(
                f"{path}: {len(days)} days of training years other than {year}; the network reads what was fitted on "
                f"the past, for a training day on other years, and at least {MIN_DAYS} days are needed: prepare "
                "another of the pack's training years"
            )
        digest = _digest([str(path.resolve()), [str(day) for day in days]])
        found[year] = Wanted(folder / f"past-of-{year}-{digest}.nc", ((path, days),))
    return found


def make_pasts(pasts: Iterable[ByYear], tell: Progress) -> None:
    """Fit what is not there yet or is damaged, a few days in memory at a time.

    Raises:
        CranpmError: there are too few days to fit on.
    """
    wanted = {one.path: one for past in pasts for one in past.values()}
    missing = [one for one in wanted.values() if not _is_there(one.path)]
    total = sum(len(days) for one in missing for _, days in one.parts)
    done = itertools.count(1)
    for one in missing:
        fitted = _fit(one, lambda: tell("fitting the past", next(done), total))
        one.path.parent.mkdir(parents=True, exist_ok=True)
        write_fitted(one.path, fitted)


def give_pasts(stores: Sequence[TrainingStore], pasts: Sequence[ByYear]) -> None:
    """Let each store's days know their past, which `make_pasts` has made."""
    read = cache(read_fitted)  # stores that share a past hold it once
    for store, past in zip(stores, pasts, strict=True):
        store.pasts = {day: read(past[day.year].path) for day in store.days}


def _simulated_past(recipe: Recipe, region: Region, mine: Past, folder: Path) -> Wanted:
    assert recipe.simulated is not None
    others = sorted(recipe.simulated.others(mine), key=lambda past: past.dates)
    parts = tuple((store_path(recipe, region, past, folder), past.dates) for past in others)
    digest = _digest([path.name for path, _ in parts])  # a name tells what is in the store
    return Wanted(folder / "training" / f"{region.name}-{mine.window}-past-{digest}.nc", parts)


def _digest(content: list[object]) -> str:
    return hashlib.sha256(json.dumps([content, SCHEMA_VERSION]).encode()).hexdigest()[:10]


def _is_there(path: Path) -> bool:
    """Whether a fit can be read."""
    try:
        read_fitted(path)
    except CranpmError:
        return False
    return True


def _fit(wanted: Wanted, one_day_more: Callable[[], None]) -> Fitted:
    """Fit on the stores one after the other. Where the days of two realisations meet, the few forecasts of the one
    that come due in the other count as any."""
    stores = [(Store.open(path), days) for path, days in wanted.parts]
    first = stores[0][0]

    def past() -> Iterator[PastDay]:
        for store, days in stores:
            for day in past_of_store(store, days):
                yield day
                one_day_more()

    about: dict[str, object] = {"region": first.region, "world": first.world}
    about["stores"] = [path.name for path, _ in wanted.parts]
    return fit_places(past(), first.fine, first.coarse, first.land, about)
