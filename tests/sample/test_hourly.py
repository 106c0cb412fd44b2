"""Hourly PM2.5 of the sample world, and its files in GEOS-CF's format."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace

import netCDF4
import numpy as np
import pytest

from cranpm.data.products.geos_cf import find_geos_cf, read_geos_cf
from cranpm.errors import CranpmError
from cranpm.grid import Grid
from cranpm.region import load_region
from cranpm.sample.geos_cf import write_geos_cf
from cranpm.sample.globe import FINE, GLOBE, globe_cells, globe_map
from cranpm.sample.hourly import HourlyTruth

DAY = dt.date(2019, 1, 5)


@pytest.fixture(scope="module")
def world() -> HourlyTruth:
    return HourlyTruth(load_region("europe"), Grid(48.0, 6.0, 0.25, 15, 21), realisation=3)


def test_an_hour_is_the_same_whichever_days_are_asked_for(world):
    together = dict(world.days([DAY, DAY + dt.timedelta(1)]))
    alone = dict(world.days([DAY + dt.timedelta(1)]))
    np.testing.assert_array_equal(together[DAY + dt.timedelta(1)], alone[DAY + dt.timedelta(1)])


def test_hours_follow_each_other_over_midnight_as_at_any_time(world):
    days = dict(world.days([DAY, DAY + dt.timedelta(1)]))
    hours = np.concatenate([days[day] for day in sorted(days)])
    change = np.abs(np.diff(hours, axis=0)).mean(axis=(1, 2))
    assert change[23] < 1.5 * np.max(change[:23])
    assert hours.shape == (48, 15, 21) and hours.min() > 0


def test_another_realisation_is_another_course(world):
    other = HourlyTruth(load_region("europe"), world.grid, realisation=4)
    assert not np.allclose(next(other.days([DAY]))[1], next(world.days([DAY]))[1])


def test_files_give_the_hours_back(world, tmp_path):
    (path,) = write_geos_cf(world, [DAY], tmp_path)
    found, (_, hours) = read_geos_cf(path), next(world.days([DAY]))
    assert found.grid == world.grid and found.simulated and not found.periodic
    assert found.times[1] - found.times[0] == np.timedelta64(3600, "s")
    np.testing.assert_allclose(found.values, hours, atol=0.01)
    stamp = path.stat().st_mtime_ns
    assert write_geos_cf(world, [DAY], tmp_path) == [path] and path.stat().st_mtime_ns == stamp


def test_damaged_files_say_what_is_wrong(world, tmp_path):
    (path,) = write_geos_cf(world, [DAY], tmp_path)
    with netCDF4.Dataset(path, "a") as data:
        data["PM25_RH35_GCC"][3, 0, 2, 2] = np.ma.masked
    with pytest.raises(CranpmError, match="1 missing or impossible"):
        read_geos_cf(path)
    with netCDF4.Dataset(path, "a") as data:
        data["PM25_RH35_GCC"].units = "kg m-3"
    with pytest.raises(CranpmError, match="expected ug m-3"):
        read_geos_cf(path)
    with pytest.raises(CranpmError, match="no folder of GEOS-CF files"):
        find_geos_cf(tmp_path / "none")


def test_the_globe_has_no_place_where_it_begins():
    turned = replace(GLOBE, west=90.0)
    here, there = globe_map(GLOBE, 5.0, plumes=30), globe_map(turned, 5.0, plumes=30)
    np.testing.assert_allclose(np.roll(here, -120, axis=1), there, rtol=1e-4)
    assert np.ptp(here[0]) < 1e-3 * here[0].mean(), "a pole is one point"


def test_cells_of_the_globe_are_means_around_their_nodes_across_the_date_line_and_the_poles():
    fine, cells = globe_map(FINE, 2.0, plumes=40), globe_cells(2.0, plumes=40)
    assert cells.shape == GLOBE.shape
    assert cells[50, 70] == pytest.approx(fine[149:152, 209:212].mean(), rel=1e-5)
    assert cells[50, 0] == pytest.approx(fine[149:152, [-1, 0, 1]].mean(), rel=1e-5)
    assert cells[0, 20] == pytest.approx((fine[:2, 59:62].sum() + fine[1, 779:782].sum()) / 9, rel=1e-5)


def test_the_globe_drifts_east():
    still, later = globe_map(GLOBE, 0.0, plumes=30), globe_map(GLOBE, 3.0, plumes=30)
    np.testing.assert_allclose(np.roll(still, 2, axis=1), later, rtol=1e-4)
