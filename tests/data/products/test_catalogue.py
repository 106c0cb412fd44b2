"""A folder is known by what its files hold, not by what they are called."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cranpm.data.catalogue import Catalogue
from cranpm.data.commands import app
from cranpm.data.prepare import prepare
from cranpm.data.products import era5
from cranpm.errors import CranpmError
from cranpm.region import Window, load_region

from .conftest import COARSE, DAY, FINE


def test_every_product_is_found_whatever_the_files_are_called(new_files: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for i, path in enumerate(sorted(p for p in new_files.rglob("*") if p.is_file() and ".complete" not in p.parts)):
        name = path.name if path.name.startswith("GHAP") else f"{i}.download"
        shutil.copy(path, flat / name)
    catalogue = Catalogue(flat)
    counts = {name: len(catalogue.of(name)) for name in ("era5", "weather_forecast", "cams", "cams_forecast", "ghap")}
    assert counts == {"era5": 4, "weather_forecast": 3, "cams": 2, "cams_forecast": 2, "ghap": 1}
    assert catalogue.problems == () and catalogue.complete_days() == (DAY,)
    assert era5.daily(catalogue.files, DAY, COARSE).sizes["channel"] == 30


def test_a_day_without_the_rain_that_ends_at_midnight_is_not_complete(new_files: Path) -> None:
    assert Catalogue(new_files).complete_days() == (DAY,)
    (new_files / "SIMULATED.json").unlink()
    (new_files / "era5" / "era5_20220111_tp00.nc").unlink()
    assert Catalogue(new_files).complete_days() == ()
    with pytest.raises(CranpmError, match=r"no day for which the folder holds .*the rain up to 00 UTC of the next day"):
        prepare(load_region("europe"), new_files, new_files.parent / "s.zarr", window=Window(COARSE, FINE, 4))


def test_nothing_is_missing_from_a_complete_folder(new_files: Path) -> None:
    assert Catalogue(new_files).missing(load_region("europe"), [DAY]) == []


def test_what_is_missing_is_told_by_variable_and_day(new_files: Path) -> None:
    (new_files / "era5" / "era5_20220110_pl.nc").unlink()
    shutil.rmtree(new_files / "terrain")
    lines = Catalogue(new_files).missing(load_region("europe"), [DAY, DAY + timedelta(days=1)])
    assert any("found u10, v10, t2m, sp, tp; missing u (all levels)" in line for line in lines)
    assert any("CAMS analysis: pm2p5, pm10, no2, o3, co not there for 2022-01-11" in line for line in lines)
    assert any(line.startswith("GHAP PM2.5: no 2022-01-11; get the monthly zips") for line in lines)
    assert any(line.startswith("elevation: no file") for line in lines)


def test_the_weather_in_a_composition_zip_is_not_era5(new_files: Path) -> None:
    shutil.rmtree(new_files / "era5")
    assert Catalogue(new_files).days("era5") == ()


def test_a_folder_that_is_not_there_or_is_a_store_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CranpmError, match="no such folder"):
        Catalogue(tmp_path / "nowhere")
    (tmp_path / "zarr.json").write_text("{}")
    with pytest.raises(CranpmError, match=r"a Zarr store.*--data"):
        Catalogue(tmp_path)


def test_inspect_says_what_a_folder_is_and_that_it_is_simulated(new_files: Path) -> None:
    result = CliRunner().invoke(app, ["inspect", str(new_files)])
    assert result.exit_code == 0
    assert "weather forecast, new CDS/ADS NetCDF" in result.output and "issued on 2022-01-10 (1)" in result.output
    assert "grid      6 x 8 at 0.25 degrees, 48.75..50N 5..6.75E" in result.output
    assert "simulated, not data" in result.output.splitlines()[-1]


def test_inspect_of_one_file_fails_plainly(tmp_path: Path) -> None:
    path = tmp_path / "era5.zip"
    path.write_bytes(b"PK\x03\x04 cut off")
    result = CliRunner().invoke(app, ["inspect", str(path)])
    assert isinstance(result.exception, CranpmError) and "damaged zip" in str(result.exception)
