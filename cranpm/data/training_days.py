"""Days to train on: of stores in memory, or straight from the stores' files; and the statistics over them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.data.days import shown_days
from cranpm.data.layout import FORECAST_LEADS
from cranpm.data.progress import Progress, silent
from cranpm.data.store import Store, prepare_line
from cranpm.errors import CranpmError
from cranpm.forecast.inputs import KnownPast
from cranpm.model.statistics import LOCAL_SCALES, Scale, Statistics
from cranpm.variables import COARSE, DAYS, FINE_MISSING, FINE_SCALE

_BLOCK = 64  # days read from a store at a time


class HeldStore:
    """Days of a store held in memory, read like a store by `cranpm.forecast.inputs`.

    Coarse fields are float32 in physical units; PM2.5 stays in the store's counts.

    Args:
        store: where they are read.
        days: which of its days.
        issued: variables whose forecasts are held too.

    Attributes:
        station_at: fractional row and column of the stations on the fine grid, shape (N, 2).
        pasts: by day, what was fitted on other days; empty where the network reads nothing of it.
    """

    def __init__(self, store: Store, days: Sequence[date], issued: Sequence[str] = ()) -> None:
        self.pasts: Mapping[date, KnownPast] = {}
        self.region, self.simulated = store.region, store.simulated
        self.coarse, self.fine, self.overlap = store.coarse, store.fine, store.overlap
        self.coarse_elevation, self.elevation, self.land = store.coarse_elevation, store.elevation[:, :], store.land
        self.days = tuple(days)
        self._index = {day: index for index, day in enumerate(self.days)}
        blocks = [self.days[start : start + _BLOCK] for start in range(0, len(self.days), _BLOCK)]
        self.fields = np.concatenate([store.coarse_days(block) for block in blocks])
        self._counts = np.concatenate([_counts(store.pm_days(block)) for block in blocks])
        self.station_at = _station_places(store)
        self._issued = tuple(issued)
        self._forecasts = [
            np.stack([store.forecast(day, lead, issued) for lead in FORECAST_LEADS]) for day in self.days if issued
        ]
        self._stations = [store.station_pm(day) for day in self.days] if len(self.station_at) else None

    def coarse_day(self, day: date) -> NDArray[np.float32]:
        """The coarse fields of a day, physical units, shape (35, H, W)."""
        return self.fields[self._index[day]]

    def pm(self, day: date, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.float32]:
        """Fine PM2.5 of a day in ug m-3, NaN where missing."""
        return _decoded(self._counts[self._index[day], rows, columns])

    def forecast(self, day: date, lead: int, channels: Sequence[str] | None = None) -> NDArray[np.float32]:
        """What was issued on a day, of the variables held, shape (len(channels), H, W)."""
        values = self._forecasts[self._index[day]][FORECAST_LEADS.index(lead)]
        if channels is None or tuple(channels) == self._issued:
            return values
        return values[[self._issued.index(name) for name in channels]]

    def station_pm(self, day: date) -> NDArray[np.float32]:
        """Daily means at the stations in ug m-3, NaN where missing, shape (N,)."""
        return self._stations[self._index[day]] if self._stations else np.empty(0, np.float32)


class DiskStore:
    """Days of a store left on disk: only the windows asked for are read, whatever the size of the maps.

    Terrain and land mask of the whole domain are read once per process. It may be sent to another process; nothing
    is held open between reads. Interface as `HeldStore`.
    """

    def __init__(self, store: Store, days: Sequence[date]) -> None:
        self.pasts: Mapping[date, KnownPast] = {}
        if absent := set(days) - set(store.days):
            raise CranpmError(
                f"{store.path}: {len(absent)} of the {len(days)} days to train on are not prepared "
                f"({shown_days(absent)}); add them: {prepare_line(store.path, store.pack)} "
                f"--days {shown_days(absent)}"
            )
        self.region, self.simulated = store.region, store.simulated
        self.coarse, self.fine, self.overlap = store.coarse, store.fine, store.overlap
        self.days = tuple(days)
        self.station_at = _station_places(store)
        self._store = store

    @property
    def coarse_elevation(self) -> NDArray[np.float32]:
        """Terrain on the coarse grid, metres, shape (H, W)."""
        return self._store.coarse_elevation

    @cached_property
    def elevation(self) -> NDArray[np.float32]:
        """Terrain on the fine grid, metres, shape (h, w); whole, since tiles are drawn anywhere."""
        return self._store.elevation[:, :]

    @property
    def land(self) -> NDArray[np.bool_]:
        """Which fine pixels are land, shape (h, w)."""
        return self._store.land

    def coarse_day(self, day: date) -> NDArray[np.float32]:
        """The coarse fields of a day, physical units, shape (35, H, W)."""
        return self._store.coarse_day(day)

    def forecast(self, day: date, lead: int, channels: Sequence[str] | None = None) -> NDArray[np.float32]:
        """What was issued on a day, shape (len(channels), H, W)."""
        return self._store.forecast(day, lead, channels)

    def pm(self, day: date, rows: slice = slice(None), columns: slice = slice(None)) -> NDArray[np.float32]:
        """Fine PM2.5 of a day in ug m-3, NaN where missing."""
        return self._store.pm(day, rows, columns)

    def station_pm(self, day: date) -> NDArray[np.float32]:
        """Daily means at the stations in ug m-3, NaN where missing, shape (N,)."""
        return self._store.station_pm(day) if len(self.station_at) else np.empty(0, np.float32)


TrainingStore = HeldStore | DiskStore


def statistics_of(stores: Sequence[TrainingStore], progress: Progress = silent) -> Statistics:
    """Mean and deviation of every coarse variable over all days of some stores; those of t serve t-1 too.

    Args:
        stores: in memory, or on disk and then read once, a day at a time.
        progress: told about the days of stores on disk.
    """
    held = [store for store in stores if isinstance(store, HeldStore)]
    mean, std = _pooled(held) if len(held) == len(stores) else _streamed(stores, progress)
    coarse: dict[str, Scale] = {
        f"{name}_{when}": (float(mean[k]), max(float(std[k]), 1e-12)) for when in DAYS for k, name in enumerate(COARSE)
    }
    return Statistics(coarse, dict(LOCAL_SCALES))


def hold(path: Path, days: Sequence[date], issued: Sequence[str] = ()) -> HeldStore:
    """Read days of a store into memory, with the forecasts of some variables."""
    return HeldStore(Store.open(path), days, issued)


def _pooled(stores: Sequence[HeldStore]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation per channel of fields in memory: the mean first, then the distances from it."""
    count = sum(len(store.fields) * store.fields[0, 0].size for store in stores)
    total = sum(store.fields.sum(axis=(0, 2, 3), dtype=np.float64) for store in stores)
    mean = np.asarray(total) / count
    spread = sum(_squares(store.fields, mean) for store in stores)
    return mean, np.sqrt(np.asarray(spread) / count)


def _streamed(stores: Sequence[TrainingStore], progress: Progress) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The same in one pass: each day's mean and sum of squared distances, merged as Chan et al. (1983) do."""
    days = [(store, day) for store in stores for day in store.days]
    mean, spread, count = np.zeros(len(COARSE)), np.zeros(len(COARSE)), 0
    for done, (store, day) in enumerate(days, start=1):
        fields = store.coarse_day(day).reshape(len(COARSE), -1)
        size = fields.shape[1]
        own = fields.mean(axis=1, dtype=np.float64)
        apart = own - mean
        count += size
        spread += np.square(fields - own[:, None]).sum(axis=1) + apart**2 * (size * (count - size) / count)
        mean += apart * (size / count)
        progress("days for the statistics", done, len(days))
    return mean, np.sqrt(spread / count)


def _station_places(store: Store) -> NDArray[np.float64]:
    """Fractional row and column of a store's stations on its fine grid, shape (N, 2)."""
    table = store.stations()
    places = np.stack([store.fine.rows(table.latitude), store.fine.columns(table.longitude)], axis=-1)
    return np.round(places, 6)  # a station at a pixel's centre stands exactly there


def _squares(fields: NDArray[np.float32], mean: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of squared distances from the mean per channel, a block of days at a time."""
    out = np.zeros(len(mean))
    for start in range(0, len(fields), _BLOCK):
        apart = fields[start : start + _BLOCK] - mean[:, None, None]
        out += np.square(apart).sum(axis=(0, 2, 3))
    return out


def _decoded(counts: NDArray[np.uint16]) -> NDArray[np.float32]:
    """Counts of the store in ug m-3, NaN where missing."""
    return np.where(counts == FINE_MISSING, np.float32(np.nan), counts * np.float32(FINE_SCALE))


def _counts(pm: NDArray[np.float32]) -> NDArray[np.uint16]:
    missing = np.isnan(pm)
    return np.where(missing, FINE_MISSING, np.rint(np.where(missing, 0, pm) / FINE_SCALE)).astype(np.uint16)
