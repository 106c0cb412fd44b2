"""A tiny store: 5 x 6 coarse nodes, 40 x 50 fine pixels, values that name their day and channel."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from cranpm.data.days import parse_days
from cranpm.data.layout import STORE_CHANNELS, DayRecord, Fixed, Header, StationTable
from cranpm.data.writer import open_writer
from cranpm.grid import coarse_grid, fine_grid
from cranpm.variables import COARSE

HEADER = Header("nowhere", "sample", coarse_grid(50, 5, 5, 6), fine_grid(49.8, 5.3, 40, 50), 4, {"seed": 0})
FIRST = date(2022, 1, 1)


def record(day: date) -> DayRecord:
    """A day whose values are different in every channel and on every day."""
    rng = np.random.default_rng(day.toordinal())
    middle = np.array([(max(v.low, -20) + v.high) / 2 for v in COARSE.values()], dtype=np.float32)
    wiggle = rng.uniform(0.99, 1.01, size=(4, len(STORE_CHANNELS), *HEADER.coarse.shape)).astype(np.float32)
    pm = np.round(rng.gamma(2, 8, HEADER.fine.shape), 1).astype(np.float32)
    pm[rng.random(pm.shape) < 0.05] = np.nan
    values = wiggle * middle[:, None, None]
    return DayRecord(day, values[0], pm, values[1:], np.array([rng.uniform(5, 50), np.nan], dtype=np.float32))


def fixed() -> Fixed:
    rng = np.random.default_rng(1)
    elevation = rng.uniform(0, 900, HEADER.fine.shape).astype(np.float32)
    table = StationTable(("A1", "B2"), ("Alpha", "Beta"), ("urban", "rural"), (49.7, 49.6), (5.4, 5.5), (10.0, 200.0))
    return Fixed(rng.uniform(0, 900, HEADER.coarse.shape).astype(np.float32), elevation, elevation > 100, table)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Writes the days of a text into the test's store and returns its path."""

    def writer(text: str, path: Path = tmp_path / "tiny.zarr") -> Path:
        days = parse_days(text)
        with open_writer(path, HEADER, fixed, days[0], days[-1]) as store:
            for day in days:
                store.write_day(record(day))
        return path

    return writer
