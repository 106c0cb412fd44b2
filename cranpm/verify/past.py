"""The past that baselines are fitted on: one day at a time, from a store or simulated."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cranpm.forecast.run import ForecastStore
from cranpm.variables import COARSE
from cranpm.verify.baselines import Map

LEADS = (1, 2, 3)


@dataclass(frozen=True)
class PastDay:
    """One day of the past.

    Attributes:
        day: day t.
        pm: PM2.5 of the day, ug m-3, NaN where missing, shape (h, w).
        cams: PM2.5 of the CAMS forecast issued on that day for `LEADS`, ug m-3, shape (leads, H, W).
        analysis: coarse PM2.5 of the day, which fills gaps of `pm`, ug m-3, shape (H, W).
    """

    day: dt.date
    pm: Map
    cams: Map
    analysis: Map


Past = Callable[[], Iterable[PastDay]]
"""Starts the past over: its days in order. What is fitted on what was fitted needs them a second time."""


class PastStore(ForecastStore, Protocol):
    """A store that also holds forecasts."""

    def forecast(self, day: dt.date, lead: int, channels: Sequence[str] | None = None) -> Map: ...


def past_of_store(store: PastStore, days: Iterable[dt.date]) -> Iterator[PastDay]:
    """The past as a store holds it."""
    place = list(COARSE).index("pm2p5")
    for day in days:
        cams = np.concatenate([store.forecast(day, lead, ("pm2p5",)) for lead in LEADS])
        yield PastDay(day, store.pm(day), cams, store.coarse_day(day)[place])
