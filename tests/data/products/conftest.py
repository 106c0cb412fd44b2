"""A tiny simulated world, its files in the providers' formats, and ways to damage them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from cranpm.data.catalogue import Catalogue
from cranpm.grid import Grid, coarse_grid, fine_grid
from cranpm.sample.files import write_files
from cranpm.sample.world import SimulatedDay, Station
from cranpm.variables import COMPOSITION, LEVELS, SURFACE, UPPER

COARSE = coarse_grid(50, 5, 6, 8)
FINE = fine_grid(49.8, 5.3, 40, 50)
DAY = date(2022, 1, 10)
_TYPICAL = {"u10": 0, "v10": 2, "t2m": 280, "sp": 98_000, "tp": 4e-4, "u": 8, "v": -3, "t": 265, "z": 3e4, "q": 4e-3}
_TYPICAL |= {"pm2p5": 14, "pm10": 22, "no2": 12, "o3": 60, "co": 200}
_SPREAD = {"u10": 4, "v10": 4, "t2m": 6, "sp": 900, "tp": 2e-4, "u": 6, "v": 6, "t": 8, "z": 2e3, "q": 1e-3}
_SPREAD |= {"pm2p5": 5, "pm10": 6, "no2": 4, "o3": 12, "co": 30}


@dataclass(frozen=True)
class _Stations:
    source: str = "eea"


@dataclass(frozen=True)
class _Region:
    name: str = "nowhere"
    stations: _Stations = _Stations()
    coarse: Grid = COARSE


class TinyWorld:
    """What the writers need of a world, on 6 x 8 coarse nodes and 40 x 50 fine pixels."""

    def __init__(self, source: str = "eea"):
        self.region = _Region(stations=_Stations(source))
        self.coarse, self.fine = COARSE, FINE
        self.stations = (
            Station("S1", "Alpha", 49.7, 5.4, 310.0, "urban"),
            Station("S2", "Beta", 49.6, 5.6, 120.0, "rural"),
        )

    def identity(self) -> dict[str, object]:
        return {"region": "nowhere", "seed": 0}

    def days(self, days: Sequence[date]) -> Iterator[SimulatedDay]:
        return (simulated(day) for day in sorted(days))

    def terrain(self) -> tuple[Grid, np.ndarray]:
        grid = Grid(50.12, 4.88, 0.01, 150, 200)
        return grid, np.add.outer(np.arange(150.0), np.arange(200.0)).astype(np.float32)


def simulated(day: date) -> SimulatedDay:
    """A day of plausible values, different at every instant, level and node."""
    rng = np.random.default_rng(day.toordinal())

    def make(name: str, *lead: int) -> np.ndarray:
        levels = (len(LEVELS),) if any(v.name == name for v in UPPER) else ()
        noise = rng.uniform(-1, 1, (*lead, 8, *levels, *COARSE.shape))
        return (_TYPICAL[name] + _SPREAD[name] * noise).astype(np.float32)

    weather = [v.name for v in (*SURFACE, *UPPER)]
    composition = [v.name for v in COMPOSITION]
    truth = np.round(rng.gamma(2, 8, FINE.shape), 1).astype(np.float32)
    ghap = np.where(rng.random(FINE.shape) < 0.05, np.nan, truth).astype(np.float32)
    return SimulatedDay(
        day=day,
        weather={name: make(name) for name in weather},
        composition={name: make(name) for name in composition},
        forecast_weather={name: make(name, 3) for name in weather},
        forecast_composition={name: make(name, 3) for name in composition},
        truth=truth,
        ghap=ghap,
        stations=np.array([12.3, np.nan], dtype=np.float32),
    )


@pytest.fixture
def new_files(tmp_path: Path) -> Path:
    """A folder with one simulated day in the new store's formats."""
    write_files(TinyWorld(), [DAY], tmp_path / "new")
    return tmp_path / "new"


@pytest.fixture
def legacy_files(tmp_path: Path) -> Path:
    """A folder with one simulated day, ERA5 in the old store's format."""
    write_files(TinyWorld(), [DAY], tmp_path / "legacy", era5="legacy")
    return tmp_path / "legacy"


@pytest.fixture
def edit() -> Callable[[Path, Callable[[netCDF4.Dataset], None]], None]:
    """Changes a NetCDF file in place; values are the physical ones."""

    def change(path: Path, how: Callable[[netCDF4.Dataset], None]) -> None:
        with netCDF4.Dataset(path, "r+") as data:
            how(data)

    return change


@pytest.fixture
def era5_daily() -> Callable[[Path], np.ndarray]:
    """The 30 channels of the test's day from a folder."""
    from cranpm.data.products import era5

    return lambda folder: era5.daily(Catalogue(folder).files, DAY, COARSE).values
