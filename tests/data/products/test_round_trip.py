"""Simulated days written in the providers' formats come back as the daily values they stand for."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pytest

from cranpm.data.catalogue import Catalogue
from cranpm.data.products import cams, era5, ghap, stations, terrain
from cranpm.errors import CranpmError
from cranpm.sample.daily import daily_channels, forecast_channels
from cranpm.sample.files import write_files
from cranpm.variables import COARSE as VARIABLES

from .conftest import COARSE, DAY, FINE, TinyWorld, simulated

PACKING = 1e-4  # of a channel's size: 14 bits of its range


def close(found: np.ndarray, expected: np.ndarray) -> None:
    spread = np.ptp(expected, axis=(-2, -1), keepdims=True) + np.abs(expected).max(axis=(-2, -1), keepdims=True) * 1e-3
    assert found.shape == expected.shape
    assert (np.abs(found - expected) / spread).max() < 5e-3


@pytest.mark.parametrize("dialect", ["new", "legacy"])
def test_analyses_come_back_as_daily_means_and_sums(tmp_path: Path, dialect: str) -> None:
    write_files(TinyWorld(), [DAY], tmp_path, era5=dialect)  # type: ignore[arg-type]
    files = Catalogue(tmp_path).files
    weather, composition = era5.daily(files, DAY, COARSE), cams.daily(files, DAY, COARSE)
    assert (*weather.channel.values, *composition.channel.values) == tuple(VARIABLES)
    close(np.concatenate([weather, composition]), daily_channels(simulated(DAY)))
    assert weather.attrs["regridded"] == "the region's own nodes"


def test_daily_values_are_the_means_of_the_instants_written() -> None:
    day = simulated(DAY)
    found = dict(zip(VARIABLES, daily_channels(day), strict=True))
    assert np.allclose(found["t2m"], day.weather["t2m"].mean(axis=0))
    assert np.allclose(found["z_850"], day.weather["z"][[0, 2, 4, 6], 2].mean(axis=0))
    assert np.allclose(found["tp"], day.weather["tp"].sum(axis=0))
    assert np.allclose(found["pm2p5"], day.composition["pm2p5"].mean(axis=0))


@pytest.mark.parametrize(("surface", "level"), [(6, 12), (3, 3)])
def test_instants_may_be_as_far_apart_as_a_user_requested(tmp_path: Path, surface: int, level: int) -> None:
    write_files(TinyWorld(), [DAY], tmp_path, surface_step=surface, level_step=level)
    found = era5.daily(Catalogue(tmp_path).files, DAY, COARSE).values
    close(found, daily_channels(simulated(DAY), surface_step=surface, level_step=level)[:30])


def test_forecasts_come_back_by_lead_from_their_day_of_issue(new_files: Path) -> None:
    files = Catalogue(new_files).files
    weather, composition = era5.forecast(files, DAY, COARSE), cams.forecast(files, DAY, COARSE)
    assert weather.sizes["lead"] == 3 and weather.attrs["absent"] == ""
    assert weather.attrs["forecast_reference_time"].startswith(str(DAY))
    close(np.concatenate([weather, composition], axis=1), forecast_channels(simulated(DAY)))
    with pytest.raises(CranpmError, match=r"no CAMS forecast issued on 2022-01-11.*2022-01-10"):
        cams.forecast(files, DAY + timedelta(days=1), COARSE)


def test_a_lead_that_no_file_holds_is_missing_and_said_so(new_files: Path) -> None:
    found = cams.forecast(Catalogue(new_files).files, DAY, COARSE, leads=(3, 4))
    assert np.isfinite(found[0]).all() and np.isnan(found[1]).all()
    assert "pm2p5+4" in found.attrs["absent"] and "+3" not in found.attrs["absent"]


def test_forecasts_are_never_taken_for_analyses(new_files: Path) -> None:
    files = Catalogue(new_files).files
    ahead = DAY + timedelta(days=1)
    with pytest.raises(CranpmError, match=rf"ERA5 for {ahead}.*found: nothing"):
        era5.daily(files, ahead, COARSE)
    with pytest.raises(CranpmError, match=rf"CAMS for {ahead}.*found: nothing"):
        cams.daily(files, ahead, COARSE)


def test_fine_maps_come_back_exactly_with_their_gaps(new_files: Path) -> None:
    files, expected = Catalogue(new_files).files, simulated(DAY).ghap
    found = ghap.daily(files, DAY, FINE)
    assert np.array_equal(np.isnan(found), np.isnan(expected))
    assert np.nanmax(np.abs(found - expected)) < 1e-4
    part = FINE.window(7, 11, 20, 30)
    assert np.array_equal(ghap.daily(files, DAY, part), found[7:27, 11:41], equal_nan=True)


def test_elevation_is_the_mean_of_the_pixels_in_a_cell(new_files: Path) -> None:
    files = Catalogue(new_files).files
    grid, metres = TinyWorld().terrain()
    row, column = grid.locate(type(grid)(49.8, 5.3, 0.01, 40, 50))
    fine = type(grid)(49.8, 5.3, 0.01, 40, 50)
    assert np.array_equal(terrain.elevation(files, fine), metres[row : row + 40, column : column + 50])
    coarse = type(grid)(49.7, 5.1, 0.05, 8, 9)
    top, left = grid.rows(49.7 + 0.02), grid.columns(5.1 - 0.02)
    first = metres[round(float(top)) : round(float(top)) + 5, round(float(left)) : round(float(left)) + 5]
    assert np.isclose(terrain.elevation(files, coarse)[0, 0], first.mean())


@pytest.mark.parametrize("source", ["eea", "epa_aqs", "openaq"])
def test_stations_come_back_in_every_network_format(tmp_path: Path, source: str) -> None:
    write_files(TinyWorld(source), [DAY], tmp_path)
    found = stations.daily(Catalogue(tmp_path).files, [DAY, date(2022, 2, 1)])
    assert "S1" in found.id.values
    first = found.sel(time=str(DAY)).pm2p5.values[list(found.id.values).index("S1")]
    assert first == pytest.approx(12.3, abs=1e-3)
    assert np.isnan(found.sel(time="2022-02-01").pm2p5.values).all()
    assert found.latitude.values[0] == pytest.approx(49.7)


def test_writing_again_changes_nothing(new_files: Path) -> None:
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in new_files.rglob("*") if path.is_file()}
    write_files(TinyWorld(), [DAY], new_files)
    assert before == {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in new_files.rglob("*") if p.is_file()}


def test_the_files_of_a_day_do_not_depend_on_the_days_around(tmp_path: Path) -> None:
    days = [DAY + timedelta(days=i) for i in range(3)]
    write_files(TinyWorld(), days, tmp_path / "together")
    for day in reversed(days):
        write_files(TinyWorld(), [day], tmp_path / "apart")
    for path in (tmp_path / "together").rglob("*.zip"):
        assert path.read_bytes() == (tmp_path / "apart" / path.relative_to(tmp_path / "together")).read_bytes()
    found = [era5.daily(Catalogue(tmp_path / name).files, days[1], COARSE) for name in ("together", "apart")]
    assert np.array_equal(*found)


def test_a_day_that_was_interrupted_is_written_again(new_files: Path) -> None:
    broken = new_files / "cams" / "cams_20220110.zip"
    (new_files / ".complete" / str(DAY)).unlink()
    broken.unlink()
    write_files(TinyWorld(), [DAY], new_files)
    assert broken.exists()


def test_another_world_or_foreign_files_are_not_written_over(new_files: Path, tmp_path: Path) -> None:
    (new_files / "SIMULATED.json").write_text(json.dumps({"region": "nowhere", "seed": 7}))
    with pytest.raises(CranpmError, match=r"another simulated world .seed differ."):
        write_files(TinyWorld(), [DAY], new_files)
    foreign = tmp_path / "mine"
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("dear")
    with pytest.raises(CranpmError, match="not empty"):
        write_files(TinyWorld(), [DAY], foreign)


def test_without_pyarrow_the_stations_are_left_out_and_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cranpm.sample.station_files.find_spec", lambda name: None)
    with pytest.warns(UserWarning, match=r"stations left out: they need pip install \"cranpm\[stations\]\""):
        write_files(TinyWorld(), [DAY], tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))
    assert era5.daily(Catalogue(tmp_path).files, DAY, COARSE).sizes["channel"] == 30
