"""A store on disk whose maps are cut into chunks of 256 px in two shards, for tests of what is read of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from cranpm.data.layout import STORE_CHANNELS, DayRecord, Fixed, Header, StationTable
from cranpm.data.writer import open_writer
from cranpm.grid import coarse_grid, fine_grid
from cranpm.variables import COARSE
from tests.model.examples import TINY

CONFIG = replace(TINY, tile=128, coarse_shape=(16, 96), dropout=0.0, drop_path=0.0)
FIRST = date(2018, 5, 1)
HEADER = Header("chunkland", "sample", coarse_grid(50.0, 5.0, 16, 96), fine_grid(49.0, 6.0, 300, 2200), 16, {"seed": 0})
STATIONS = StationTable(
    id=("A", "B", "C"), name=("a", "b", "c"), kind=("urban", "rural", "rural"),
    latitude=(48.0, 47.5, 46.7), longitude=(7.0, 15.5, 27.1), elevation=(10.0, 20.0, 30.0),
)  # fmt: skip


def write(path: Path, days: int = 6) -> Path:
    """A store of some days from FIRST on, all land but for its western tenth."""
    last = FIRST + timedelta(days=days - 1)
    with open_writer(path, HEADER, fixed, FIRST, last) as writer:
        for k in range(days):
            writer.write_day(record(k))
    return path


def fixed() -> Fixed:
    land = np.ones(HEADER.fine.shape, bool)
    land[:, :220] = False
    elevation = np.where(land, 50.0, 0.0).astype(np.float32)
    return Fixed(np.full(HEADER.coarse.shape, 40.0, np.float32), elevation, land, STATIONS)


def record(k: int) -> DayRecord:
    """Day k: coarse fields within their ranges, a map without two alike chunks, and three stations."""
    rng = np.random.default_rng(k)
    middle = np.array([(max(v.low, -20) + v.high) / 2 for v in COARSE.values()], dtype=np.float32)
    wiggle = rng.uniform(0.9, 1.1, (len(STORE_CHANNELS), *HEADER.coarse.shape)).astype(np.float32)
    pm = np.round(rng.gamma(2, 8, HEADER.fine.shape), 1).astype(np.float32)
    pm[rng.random(pm.shape) < 0.02] = np.nan
    values = np.array([rng.uniform(5, 50), rng.uniform(5, 50), np.nan], np.float32)
    return DayRecord(FIRST + timedelta(days=k), wiggle * middle[:, None, None], pm, None, values)
