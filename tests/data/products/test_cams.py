"""Composition from the shapes in which people request it, in ug m-3 at the region's nodes."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from cranpm.data.catalogue import Catalogue
from cranpm.data.products import cams
from cranpm.errors import CranpmError
from cranpm.grid import Grid, coarse_grid
from cranpm.sample.netcdf import CAMS, Quantity, new_analysis, new_forecast

DAY = date(2021, 6, 3)
TIMES = np.datetime64(DAY, "h") + np.arange(0, 24, 3)
WIDE = Grid(51.75, 3.75, 0.75, 6, 8)  # EAC4's own spacing
NODES = coarse_grid(51, 5, 8, 10)
SP = Quantity("sp", "Pa", "Surface pressure")
T2M = Quantity("t2m", "K", "2 metre temperature")


def even(value: float, *, levels: int = 0, times: int = 8) -> np.ndarray:
    """One value everywhere."""
    return np.full((times, *((levels,) if levels else ()), *WIDE.shape), value, dtype=np.float32)


def particles() -> dict[Quantity, np.ndarray]:
    return {CAMS["pm2p5"]: even(14e-9), CAMS["pm10"]: even(20e-9)}


def gases(ratio: float, *, levels: int = 0) -> dict[Quantity, np.ndarray]:
    return {CAMS[name]: even(ratio, levels=levels) for name in ("no2", "o3", "co")}


def daily(folder: Path) -> dict[str, np.ndarray]:
    found = cams.daily(Catalogue(folder).files, DAY, NODES)
    return {str(name): found.sel(channel=name).values for name in found.channel.values}


def test_gases_at_the_surface_take_the_density_of_surface_pressure_and_temperature(tmp_path: Path) -> None:
    fields = particles() | gases(2e-8) | {SP: even(95_000), T2M: even(290)}
    (tmp_path / "a.nc").write_bytes(new_analysis(WIDE, TIMES, fields))
    found = daily(tmp_path)
    assert np.allclose(found["no2"], 2e-8 * 95_000 / (287.05 * 290) * 1e9, rtol=1e-4)
    assert np.allclose(found["pm2p5"], 14, rtol=1e-4)


def test_of_several_levels_the_lowest_counts(tmp_path: Path) -> None:
    aloft = gases(2e-8, levels=2) | {CAMS["t"]: even(280, levels=2)}
    for quantity, values in aloft.items():
        values[:, 1] *= 0.5 if quantity.name != "t" else 1.0
    (tmp_path / "sfc.nc").write_bytes(new_analysis(WIDE, TIMES, particles()))
    (tmp_path / "plev.nc").write_bytes(new_analysis(WIDE, TIMES, aloft, levels=(1000, 850)))
    assert np.allclose(daily(tmp_path)["co"], 2e-8 * 1e5 / (287.05 * 280) * 1e9, rtol=1e-4)


def test_density_needs_the_same_instants(tmp_path: Path) -> None:
    (tmp_path / "sfc.nc").write_bytes(new_analysis(WIDE, TIMES, particles()))
    (tmp_path / "plev.nc").write_bytes(new_analysis(WIDE, TIMES, gases(2e-8, levels=1), levels=(1000,)))
    warm = {CAMS["t"]: even(280, levels=1, times=4), CAMS["co"]: even(1e-7, levels=1, times=4)}
    (tmp_path / "t.nc").write_bytes(new_analysis(WIDE, TIMES[::2], warm, levels=(1000,)))
    with pytest.raises(CranpmError, match="needs temperature at 1000 hPa at the same instants"):
        daily(tmp_path)


def test_model_levels_are_refused_rather_than_read_as_hectopascals(tmp_path: Path) -> None:
    (tmp_path / "sfc.nc").write_bytes(new_analysis(WIDE, TIMES, particles()))
    path = tmp_path / "ml.nc"
    path.write_bytes(new_analysis(WIDE, TIMES, gases(2e-8, levels=1), levels=(60,)))
    with netCDF4.Dataset(path, "r+") as data:
        data.renameDimension("pressure_level", "model_level")
        data.renameVariable("pressure_level", "model_level")
    with pytest.raises(CranpmError, match="on model levels; expected pressure levels: request 1000 hPa"):
        daily(tmp_path)


def test_a_coarser_grid_is_interpolated_between_its_nodes(tmp_path: Path) -> None:
    slope = np.broadcast_to(np.add.outer(WIDE.lats, 2 * WIDE.lons).astype(np.float32), (8, *WIDE.shape))
    fields = particles() | {CAMS["pm2p5"]: slope * 1e-9} | gases(2e-8) | {SP: even(95_000), T2M: even(290)}
    (tmp_path / "a.nc").write_bytes(new_analysis(WIDE, TIMES, fields))
    found = cams.daily(Catalogue(tmp_path).files, DAY, NODES)
    expected = np.add.outer(NODES.lats, 2 * NODES.lons)
    assert np.allclose(found.sel(channel="pm2p5"), expected, atol=5e-3)
    assert "bilinear" in found.attrs["regridded"]


def test_a_forecast_that_ends_as_a_day_begins_does_not_hold_that_day(tmp_path: Path) -> None:
    fields = {CAMS["pm2p5"]: even(10e-9, times=5)}
    (tmp_path / "a.nc").write_bytes(new_forecast(WIDE, DAY, (24, 30, 36, 42, 48), fields))
    found = cams.forecast(Catalogue(tmp_path).files, DAY, NODES, leads=(1, 2)).sel(channel="pm2p5")
    assert np.allclose(found[0], 10, rtol=1e-4) and np.isnan(found[1]).all()
    assert "pm2p5+2" in found.attrs["absent"].split() and "pm2p5+1" not in found.attrs["absent"].split()


def test_the_last_forecast_of_the_issue_day_counts_and_none_issued_later(tmp_path: Path) -> None:
    for name, issued, value in (("a", DAY, 10e-9), ("b", date(2021, 6, 4), 90e-9)):
        fields = {CAMS["pm2p5"]: even(value, times=4)}
        (tmp_path / f"{name}.nc").write_bytes(new_forecast(WIDE, issued, (24, 30, 36, 42), fields))
    noon = tmp_path / "noon.nc"
    noon.write_bytes(new_forecast(WIDE, DAY, (12, 18, 24, 30), {CAMS["pm2p5"]: even(30e-9, times=4)}))
    with netCDF4.Dataset(noon, "r+") as data:
        data["forecast_reference_time"][:] = data["forecast_reference_time"][:] + 12 * 3600
    found = cams.forecast(Catalogue(tmp_path).files, DAY, NODES, leads=(1,))
    assert found.attrs["forecast_reference_time"] == "2021-06-03T12:00:00"
    assert np.allclose(found.sel(lead=1, channel="pm2p5"), 30, rtol=1e-4)
    assert "no2+1" in found.attrs["absent"]
