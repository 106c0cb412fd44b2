"""PM2.5 at stations before and after sharpening."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cranpm.composition.stations import compare_at_stations
from cranpm.errors import CranpmError
from cranpm.grid import Grid
from cranpm.sample.netcdf import CAMS, new_analysis

START = np.datetime64("2020-03-01T00", "h")
COARSE, FINE = Grid(45.0, 7.5, 0.75, 6, 8), Grid(45.0, 7.5, 0.25, 16, 22)


def field(grid: Grid) -> np.ndarray:
    """Rises to the east by 4 ug m-3 a degree, with a town that only the finer grid can hold."""
    town = 20 * np.exp(-(((grid.lons - 9.0) / 0.2) ** 2 + ((grid.lats[:, None] - 43.5) / 0.2) ** 2))
    return (10 + 4 * (grid.lons - 7.5) + town * (grid.step < 0.5)).astype(np.float32)


def product(path: Path, grid: Grid, step: int) -> Path:
    hours = np.arange(0, 24, step)
    maps = np.repeat(field(grid)[None], len(hours), axis=0) * np.float32(1e-9)
    path.write_bytes(new_analysis(grid, START + hours, {CAMS["pm2p5"]: maps}))
    return path


@pytest.fixture
def measured(tmp_path) -> Path:
    """An archive of OpenAQ's with hourly values of the fine field at four places."""
    lines = ["location_id,sensors_id,location,datetime,lat,lon,parameter,units,value"]
    truth = field(FINE)
    for number, (row, column) in enumerate([(6, 6), (3, 2), (10, 15), (12, 20)]):
        lat, lon = FINE.lats[row], FINE.lons[column]
        lines += [
            f"{number},{number},place {number},2020-03-01T{hour:02d}:30:00+00:00,{lat},{lon},pm25,µg/m³,"
            f"{truth[row, column]:.3f}"
            for hour in range(24)
        ]
    path = tmp_path / "openaq.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_detail_that_is_there_raises_the_correlation(tmp_path, measured):
    raw, sharp = product(tmp_path / "raw.nc", COARSE, 3), product(tmp_path / "sharp.nc", FINE, 1)
    before, after = compare_at_stations([[raw], [sharp]], [measured])
    assert (before.pairs, before.stations) == (4, 4) == (after.pairs, after.stations)
    assert after.r == pytest.approx(1.0, abs=1e-3) and after.rmse < 0.01
    assert before.r < 0.8 and before.bias < -4


def test_stations_elsewhere_are_refused(tmp_path, measured):
    raw = product(tmp_path / "raw.nc", Grid(10.0, 7.5, 0.75, 6, 8), 3)
    with pytest.raises(CranpmError, match="0 daily means of stations"):
        compare_at_stations([[raw], [raw]], [measured])
