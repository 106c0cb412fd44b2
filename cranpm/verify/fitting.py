"""Where a pack's fitted baselines lie, and making them."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cranpm.data.days import day_range
from cranpm.data.progress import Progress
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.region import Region
from cranpm.verify.baselines import Fitted, read_fitted
from cranpm.verify.fit import fit
from cranpm.verify.past import Past, PastDay, past_of_store

if TYPE_CHECKING:
    from cranpm.sample.world import World

SHIPPED_LIMIT = 1_000_000  # bytes: what may travel with the package


def baselines_path(region: Region) -> Path:
    """Where a pack's fitted baselines lie: beside the pack."""
    if region.path is None:
        raise CranpmError(f"pack '{region.name}' has no file: say where its baselines go with --out")
    return region.path.parent / f"{region.name}.baselines.nc"


def find_fitted(
    region: Region, store: Store, chosen: Path | None = None, spare: Path | None = None
) -> tuple[Fitted | None, str]:
    """The fitted baselines that serve a store, or None and the reason in words.

    Args:
        region: the pack.
        store: the store that is scored.
        chosen: a file asked for by name; it must serve.
        spare: a file that is taken where none is asked for and the pack's does not serve: an adapter's own.

    Raises:
        CranpmError: the file asked for does not serve, or a file is damaged.
    """
    line = f"cranpm region fit {region.name} --data STORE --out FILE, then --baselines FILE"
    path = chosen or baselines_path(region)
    if chosen is None and not path.is_file():
        return _instead(spare, store, "no baselines were fitted for this pack", line)
    fitted = read_fitted(path)
    problem = _problem(fitted, store)
    if problem and chosen is not None:
        raise CranpmError(f"{path}: {problem}; fit baselines for this store: {line}")
    if problem:
        return _instead(spare, store, f"the pack's baselines were {problem}", line)
    return fitted, ""


def fit_sample(region: Region, years: Sequence[int], progress: Progress) -> Fitted:
    """Fit on the sample world, realisation 0, simulated twice: a few days in memory at a time."""
    from cranpm.sample.world import World

    world = World(region, realisation=0)
    about: dict[str, object] = {
        "region": region.name,
        "world": "sample",
        "years": list(years),
        "simulated": world.identity(),
    }
    days = _days_of(years)
    past = _told(lambda: past_of_world(world, days), len(days), f"simulating and fitting {region.name}", progress)
    return fit(past, world.fine, world.coarse, world.land, about)


def past_of_world(world: World, days: Sequence[dt.date]) -> Iterator[PastDay]:
    """The past as a store of the sample world would hold it: CAMS forecasts as means of the instants in its files."""
    from cranpm.sample.daily import CAMS_FORECAST_STEP, CAMS_STEP, every

    for simulated in world.days(days):
        cams = simulated.forecast_composition["pm2p5"][:, every(CAMS_FORECAST_STEP)].mean(axis=1, dtype=np.float64)
        analysis = simulated.composition["pm2p5"][every(CAMS_STEP)].mean(axis=0, dtype=np.float64)
        yield PastDay(simulated.day, simulated.ghap, cams.astype(np.float32), analysis.astype(np.float32))


def fit_store(store: Store, years: Sequence[int], progress: Progress) -> Fitted:
    """Fit on the days of a store that lie in some years."""
    days = [day for day in store.days if day.year in years]
    return fit_days(store, days, {"years": list(years)}, progress)


def fit_days(
    store: Store, days: Sequence[dt.date], about: Mapping[str, object], progress: Progress, least: int | None = None
) -> Fitted:
    """Fit on some days of a store.

    Args:
        store: where they are.
        days: in order.
        about: what to say of them beside region and world.
        progress: told after each day; the days are read twice.
        least: days that are needed; without, 60.
    """
    past = _told(lambda: past_of_store(store, days), len(days), "fitting on days of the store", progress)
    return fit(past, store.fine, store.coarse, store.land, origin_of(store) | dict(about), least)


def origin_of(store: Store) -> dict[str, object]:
    """What is said of a fit's days: where they come from."""
    world = "sample" if store.simulated else "real"
    return {"region": store.region, "world": world, "simulated": store.attrs.get("simulated")}


def check_years(region: Region, years: Sequence[int]) -> None:
    """Refuse to fit on the years that are scored.

    Raises:
        CranpmError: a year is one of the pack's validation or test years.
    """
    taken = sorted(set(years) & {*region.split.validate, *region.split.test})
    if taken:
        raise CranpmError(
            f"--years {', '.join(map(str, taken))}: kept for choosing and scoring in pack '{region.name}'; "
            f"its training years are {', '.join(map(str, region.split.train))}"
        )


def _instead(spare: Path | None, store: Store, why: str, line: str) -> tuple[Fitted | None, str]:
    """What stands in where the pack's baselines do not serve, and what a reader must know of it."""
    fitted = None if spare is None else read_fitted(spare)
    problem = "" if fitted is None else _problem(fitted, store)
    if fitted is not None and not problem:
        return fitted, f"{why}: those of the adapter, fitted on its local days, stand in for them"
    also = f", the adapter's {problem}" if problem else ""
    return None, f"{why}{also} (four rows of a report need them); make them: {line}"


def _problem(fitted: Fitted, store: Store) -> str:
    """Why baselines do not serve a store, in words; empty where they do."""
    return fitted.mismatch(store.fine, store.coarse, "sample" if store.simulated else "real") or _stale(fitted, store)


def _stale(fitted: Fitted, store: Store) -> str:
    """Whether a sample store is of another version of the sample world than the fit."""
    made, held = fitted.about.get("simulated"), store.attrs.get("simulated")
    if not (isinstance(made, dict) and isinstance(held, dict)):
        return ""
    versions = made.get("world_version"), held.get("world_version")
    return (
        "" if versions[0] == versions[1] else f"fitted on version {versions[0]} of the sample world, not {versions[1]}"
    )


def _told(past: Past, days: int, what: str, progress: Progress) -> Past:
    """A past whose two readings are told as one piece of work."""
    done = itertools.count(1)

    def days_told() -> Iterator[PastDay]:
        for day in past():
            yield day
            progress(what, next(done), 2 * days)

    return days_told


def _days_of(years: Sequence[int]) -> list[dt.date]:
    return [day for year in sorted(years) for day in day_range(dt.date(year, 1, 1), dt.date(year, 12, 31))]
