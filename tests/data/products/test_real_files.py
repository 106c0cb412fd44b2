"""Small real files, exactly as the providers deliver them, with all their quirks."""

from __future__ import annotations

import os
import shutil
from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from cranpm.data.catalogue import Catalogue
from cranpm.data.inspect import identify, report
from cranpm.data.products import cams, era5, stations, terrain
from cranpm.data.products.hours import Want, daily_mean, gather, span
from cranpm.errors import CranpmError
from cranpm.grid import Grid, coarse_grid
from cranpm.region import load_region
from cranpm.variables import SURFACE, UPPER

REAL = Path(os.environ.get("CRANPM_REALDATA", Path(__file__).resolve().parents[4] / "shared" / "realdata"))

pytestmark = pytest.mark.skipif(
    not REAL.is_dir(),
    reason=f"real product files are not here: set CRANPM_REALDATA to their folder (looked in {REAL.name})",
)
NEW_YEAR = date(2020, 1, 1)


def variable(name: str):
    return next(v for v in (*SURFACE, *UPPER) if v.name == name)


def day_of(folder: Path, name: str, day: date, grid: Grid, level: float | None = None) -> np.ndarray:
    """Daily mean of one variable of a folder."""
    want = Want(name, variable(name), level, *span(day))
    return daily_mean(gather(Catalogue(folder).files, [want], grid)[name], name, day)


def test_old_store_files_lack_three_variables_and_the_message_says_which() -> None:
    folder, grid = REAL / "era5" / "legacy_cds_europe_20200101", coarse_grid(54, 1, 20, 24)
    with pytest.raises(CranpmError) as caught:
        era5.daily(Catalogue(folder).files, NEW_YEAR, grid)
    text = str(caught.value)
    assert "t2m, t (all levels), z (all levels) missing" in text and "found: u10, v10, sp, tp, u (all levels)" in text
    assert "request 2m_temperature, temperature, geopotential" in text


def test_a_folder_is_told_what_it_lacks_and_where_to_get_it() -> None:
    catalogue = Catalogue(REAL / "era5" / "legacy_cds_europe_20200101")
    lines = catalogue.missing(load_region("europe"), [date(2019, 12, 31), NEW_YEAR])
    text = "\n".join(lines)
    assert "found u10, v10, sp, tp, u (all levels), v (all levels), q (all levels); missing t2m, t (all levels)" in text
    assert "not there for 2019-12-31" in text
    assert "CAMS analysis: found nothing; missing pm2p5" in text and "ads.atmosphere" in text
    assert "GHAP PM2.5: no 2019-12-31..2020-01-01" in text and "10799037" in text and "10800555" in text
    assert "elevation: no file" in text
    assert catalogue.complete_days() == ()


def test_old_store_packed_levels_are_the_means_of_their_hours() -> None:
    folder = REAL / "era5" / "legacy_cds_europe_20200101"
    found = day_of(folder, "u", NEW_YEAR, coarse_grid(55, 0, 41, 41), 850)
    with netCDF4.Dataset(folder / "ERA5_2020-01-01_pl_u.nc") as data:
        level = list(data["level"][:]).index(850)
        expected = data["u"][:, level].mean(axis=0)
    assert np.allclose(found, expected, atol=1e-4)
    assert 0 < found.mean() < 30


def test_rain_of_a_last_day_lacks_the_hour_after_midnight(tmp_path: Path) -> None:
    for name in ("tp", "u10"):
        shutil.copy(REAL / "era5" / "legacy_cds_europe_20200101" / f"ERA5_2020-01-01_{name}.nc", tmp_path)
    want = Want("tp", variable("tp"), None, *span(NEW_YEAR, first_hour=1))
    hours = gather(Catalogue(tmp_path).files, [want], coarse_grid(54, 1, 20, 24))["tp"]
    with pytest.raises(CranpmError, match=r"lacks 1 of 24 hours .2020-01-02 00 UTC."):
        era5._rain(hours, NEW_YEAR)


def test_new_store_grid_off_the_nodes_is_interpolated() -> None:
    folder, day = REAL / "era5" / "new_cds_germany_20251104", date(2025, 11, 4)
    found = day_of(folder, "u10", day, coarse_grid(55.0, 6.0, 28, 32))
    with netCDF4.Dataset(folder / "data_stream-oper_stepType-instant.nc") as data:
        mean = data["u10"][:].mean(axis=0)
        lats, lons = data["latitude"][:], data["longitude"][:]
    row, column = (lats[0] - 55.0) / 0.25, (6.0 - lons[0]) / 0.25  # 0.2 and 0.4 of a step off
    by_hand = (mean[0, 0] * (1 - column) + mean[0, 1] * column) * (1 - row)
    by_hand += (mean[1, 0] * (1 - column) + mean[1, 1] * column) * row
    assert found[0, 0] == pytest.approx(by_hand, abs=1e-4)
    description = identify(folder / "data_stream-oper_stepType-instant.nc")[0]
    assert "preliminary ERA5T (expver 5)" in description.notes
    assert any("interpolated" in note for note in description.notes)


def test_a_year_of_hours_at_berlin_has_winter_and_summer() -> None:
    path = REAL / "era5" / "legacy_cds_berlin_2017_hourly.nc"
    nodes = Grid(52.6, 13.1, 0.25, 2, 3)
    winter, summer = (day_of(path, "t2m", date(2017, month, 15), nodes).mean() for month in (1, 7))
    assert 265 < winter < 280 < 285 < summer < 300
    assert 98_000 < day_of(path, "sp", date(2017, 1, 15), nodes).mean() < 103_000


def test_an_opened_file_is_in_our_terms() -> None:
    data = era5.open_era5(REAL / "era5" / "legacy_cds_europe_20200101" / "ERA5_2020-01-01_pl_q.nc")
    assert data.q.dims == ("time", "level", "latitude", "longitude") and data.q.attrs["units"] == "kg kg-1"
    assert data.latitude.values[0] == 55 and (np.diff(data.latitude.values) < 0).all()
    assert data.time.values[0] == np.datetime64("2020-01-01T00") and 0 < float(data.q.mean()) < 0.01


def test_the_european_ensemble_tells_its_time_only_in_words() -> None:
    path = REAL / "cams" / "cams_europe_ensemble_analysis_2024_3x4.nc"
    data = cams.open_cams(path)
    assert data.time.values[0] == np.datetime64("2024-01-01T12")
    assert data.longitude.values.tolist() == [-2.95, -2.85, -2.75, -2.65]
    assert data.pm2p5.attrs["units"] == "ug m-3" and 2 < float(data.pm2p5.mean()) < 40
    with pytest.raises(CranpmError, match=r"CAMS for 2024-03-01: no2 missing .found: pm2p5, pm10, o3, co"):
        cams.daily(Catalogue(path).files, date(2024, 3, 1), Grid(38.2, -2.9, 0.1, 2, 2))


def test_two_afternoon_hours_are_no_day() -> None:
    files = Catalogue(REAL / "cams" / "cams_europe_ensemble_analysis_2024_3x4.nc").files
    want = Want("pm2p5", next(v for v in cams.COMPOSITION if v.name == "pm2p5"), None, *span(date(2024, 3, 1)))
    hours = gather(files, [want], Grid(38.2, -2.9, 0.1, 2, 2))["pm2p5"]
    with pytest.raises(CranpmError, match=r"has 12:00, 15:00 UTC, .* missing"):
        daily_mean(hours, "pm2p5", date(2024, 3, 1))


def test_reanalysis_with_columns_only_is_composition_that_gives_nothing_usable() -> None:
    catalogue = Catalogue(REAL / "cams" / "eac4_hawaii_2022")
    assert {file.product for file in catalogue.files} == {"cams"}
    assert catalogue.days("cams")[0] == date(2022, 11, 20) and not catalogue.days("era5")
    with pytest.raises(CranpmError, match=r"CAMS for 2022-11-21: pm2p5, pm10, no2, o3, co missing"):
        cams.daily(catalogue.files, date(2022, 11, 21), Grid(22.0, -160.0, 0.25, 5, 5))
    wind = day_of_cams(catalogue, "t2m")
    assert 290 < wind.mean() < 302


def day_of_cams(catalogue: Catalogue, name: str) -> np.ndarray:
    want = Want(name, variable(name), None, *span(date(2022, 11, 21)))
    return daily_mean(gather(catalogue.files, [want], Grid(22.0, -160.0, 0.25, 5, 5))[name], name, date(2022, 11, 21))


def test_alpine_heights_stand_where_they_stand() -> None:
    files = Catalogue(REAL / "dem").of("terrain")
    jungfrau = Grid(46.5366, 7.9626 + 0.05, 0.01, 1, 1)
    fine = terrain.elevation(files, Grid(46.6, 8.02, 0.01, 20, 20))
    assert 2500 < fine.max() < 4300 and fine.min() > 500
    assert 2800 < terrain.elevation(files, jungfrau)[0, 0] < 4200
    lake = terrain.elevation(files, Grid(46.005, 8.985, 0.01, 1, 1))[0, 0]  # Lake Lugano lies at 271 m
    assert 250 < lake < 1200
    with pytest.raises(CranpmError, match=r"without data"):
        terrain.elevation(files, Grid(48.0, 8.0, 0.25, 8, 4))


def test_sample_centred_tiles_are_not_shifted() -> None:
    rasterio = pytest.importorskip("rasterio")
    path = REAL / "dem" / "srtm3_N46E008_dted1.tif"
    with rasterio.open(path) as raster:
        first = float(raster.read(1)[600, 600])  # the sample at 46.5N 8.5E
    step = 1 / 1200
    assert terrain.elevation(Catalogue(path).files, Grid(46.5, 8.5, step, 1, 1))[0, 0] == first


def test_european_places_are_read_once_each() -> None:
    pytest.importorskip("pyarrow")
    found = identify(REAL / "stations" / "eea_meta" / "EEA_stations_meta_SamplingPoint.parquet")[0]
    assert found.title == "EEA sampling points, parquet"
    assert "22436 stations or sampling points" in found.notes and "19 repeated rows left out" in found.notes


def test_californian_smoke_is_in_and_negatives_stay() -> None:
    files = Catalogue(REAL / "stations" / "epa_aqs_daily_2020_bayarea").files
    days = files[0].days
    found = stations.daily(files, days)
    assert found.sizes["station"] == 12 and days[0] == NEW_YEAR
    assert float(found.pm2p5.max()) == pytest.approx(167.7) and float(found.pm2p5.min()) == pytest.approx(-0.4)
    assert found.sel(time=slice("2020-08-18", "2020-09-30")).pm2p5.mean() > 2 * found.pm2p5.median()


def test_grib_is_named_and_the_way_out_given() -> None:
    lines = "\n".join(report(REAL / "era5" / "grib"))
    assert "GRIB" in lines and "request NetCDF" in lines


def test_every_real_file_is_recognised_in_seconds() -> None:
    catalogue = Catalogue(REAL)
    assert catalogue.problems == ()
    assert {file.product for file in catalogue.files} >= {"era5", "cams", "terrain", "stations"}
