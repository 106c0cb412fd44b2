"""Coordinates in any convention become one: north first, -180..180, the same value at the same place."""

from __future__ import annotations

from pathlib import Path

import netCDF4
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cranpm.data.products.axes import decode_times, read_axes, regular_grid
from cranpm.data.products.fields import cut, plain_unit, read, to_grid
from cranpm.data.products.sources import Source
from cranpm.errors import CranpmError
from cranpm.grid import Grid

SOURCE = Source(Path("made_up.nc"))


def field(lats: np.ndarray, lons: np.ndarray) -> np.ndarray:
    """A value that names its place, the same for any turn of the circle."""
    return 100 * np.asarray(lats)[:, None] + np.cos(np.radians(lons)) + 2 * np.sin(np.radians(lons))


def on_earth(lats: np.ndarray, lons: np.ndarray, grid: Grid) -> np.ndarray:
    """A file of these coordinates, read for a grid."""
    data = netCDF4.Dataset("made_up", "w", memory=1024)
    for name, values in (("latitude", lats), ("longitude", lons)):
        data.createDimension(name, len(values))
        data.createVariable(name, "f8", (name,))[:] = values
    data.createVariable("t2m", "f4", ("latitude", "longitude"))[:] = field(lats, lons)
    axes = read_axes(data, SOURCE)
    part = cut(axes, grid, SOURCE)
    values = read(data, "t2m", axes, part, {})[0, 0]
    data.close()
    assert max(part.grid.shape) <= max(grid.shape) + 2  # no more than what surrounds the grid is read
    return to_grid(values, part.grid, grid)


@settings(max_examples=60, deadline=None)
@given(
    west=st.integers(-720, 719),
    north=st.integers(-100, 300),
    turned=st.booleans(),
    positive=st.booleans(),
)
def test_a_global_file_gives_the_same_values_in_every_convention(
    west: int, north: int, turned: bool, positive: bool
) -> None:
    lats, lons = np.arange(90, -90.1, -2.5), np.arange(-180, 180, 2.5)
    lats = lats[::-1] if turned else lats
    lons = np.arange(0, 360, 2.5) if positive else lons
    grid = Grid(2.5 * (north // 10), 2.5 * (west // 10), 2.5, 5, 9)  # also across 180 and Greenwich
    found = on_earth(lats, lons, grid)
    assert np.allclose(found, field(grid.lats, grid.lons), atol=2e-3)


@settings(max_examples=40, deadline=None)
@given(west=st.integers(-180, 179), shift=st.sampled_from([0.0, 0.05, -0.11]), turn=st.sampled_from([0, 360, -360]))
def test_a_regional_file_may_lie_off_the_nodes_and_on_another_turn(west: int, shift: float, turn: int) -> None:
    grid = Grid(50.0, float(west), 0.25, 8, 10)
    lats = 50.5 + shift - 0.25 * np.arange(13)
    lons = west - 0.5 + shift + turn + 0.25 * np.arange(15)
    found = on_earth(lats, np.where(lons >= 360, lons - 360, lons), grid)
    assert np.allclose(found, field(grid.lats, grid.lons), atol=2e-3)


def test_a_file_that_ends_before_the_region_is_refused() -> None:
    with pytest.raises(CranpmError, match=r"covers 48.*50N 5.*7E, but the region needs .*request that area"):
        on_earth(np.arange(50, 47.9, -0.25), np.arange(5, 7.1, 0.25), Grid(50.0, 5.0, 0.25, 4, 12))


def test_crossing_the_date_line_is_continuous() -> None:
    grid, flipped, periodic = regular_grid(np.array([10.0, 9.0]), np.array([178.0, 179, 180, -179, -178]), "x")
    assert (grid.west, grid.east, flipped, periodic) == (178, 182, False, False)


def test_rounded_float32_coordinates_find_their_step() -> None:
    lons = np.array([357.05, 357.15, 357.25, 357.35], dtype=np.float32)
    grid, _, _ = regular_grid(np.array([38.25, 38.15, 38.05], dtype=np.float32), lons, "x")
    assert (grid.west, grid.step, grid.north) == (-2.95, 0.1, 38.25)


@pytest.mark.parametrize(
    ("lats", "lons", "reason"),
    [
        ([50, 49, 47], [1, 2, 3], "not evenly spaced"),
        ([50, 49, 48], [1, 1.5, 2], "one spacing"),
        ([50, np.nan, 48], [1, 2, 3], "missing values"),
    ],
)
def test_irregular_coordinates_are_refused(lats: list[float], lons: list[float], reason: str) -> None:
    with pytest.raises(CranpmError, match=reason):
        regular_grid(np.array(lats), np.array(lons), "x.nc")


@pytest.mark.parametrize(
    ("value", "unit", "long_name", "expected"),
    [
        (1051896, "hours since 1900-01-01 00:00:00.0", "time", "2020-01-01T00"),
        (1762214400, "seconds since 1970-01-01", "time", "2025-11-04T00"),
        (36.0, "hours", "ANALYSIS time from 20240101", "2024-01-02T12"),
        (0.5, "days since 2022-03-01T00:00:00", "", "2022-03-01T12"),
    ],
)
def test_times_are_read_in_the_units_that_providers_use(value: float, unit: str, long_name: str, expected: str) -> None:
    assert decode_times(np.array([value]), unit, long_name, "x")[0] == np.datetime64(expected)


def test_a_time_axis_without_a_start_is_refused() -> None:
    with pytest.raises(CranpmError, match="time axis in 'hours' cannot be read"):
        decode_times(np.array([1.0]), "hours", "time", "x.nc")


@pytest.mark.parametrize("unit", ["kg m**-3", "kg/m3", "kg m-3", "kg m^-3", "kg m⁻³"])
def test_units_have_many_spellings(unit: str) -> None:
    assert plain_unit(unit) == "kg m-3"
