"""Files as they really arrive: each is read for what it is, or refused in one line that says what to do."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from cranpm.data.catalogue import Catalogue
from cranpm.data.inspect import identify
from cranpm.data.products import cams, era5, ghap, stations, terrain
from cranpm.data.products.sources import Source, open_netcdf
from cranpm.errors import CranpmError

from .conftest import COARSE, DAY, FINE

Edit = Callable[[Path, Callable[[netCDF4.Dataset], None]], None]
Daily = Callable[[Path], np.ndarray]


def surface(folder: Path) -> Path:
    return folder / "era5" / "era5_20220110_sl.nc"


def refused(call: Callable[[], object], match: str) -> str:
    with pytest.raises(CranpmError, match=match) as caught:
        call()
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 500
    return str(caught.value)


def test_a_truncated_hdf_file_is_a_problem_of_that_file_alone(legacy_files: Path, era5_daily: Daily) -> None:
    path = surface(legacy_files)
    path.write_bytes(path.read_bytes()[:4000])
    catalogue = Catalogue(legacy_files)
    assert len(catalogue.problems) == 1
    assert "era5_20220110_sl.nc: truncated or damaged NetCDF" in catalogue.problems[0]
    refused(lambda: era5_daily(legacy_files), "u10, v10, t2m, sp missing")


def test_a_truncated_classic_file_is_not_filled_with_zeros(tmp_path: Path) -> None:
    path = tmp_path / "classic.nc"
    with netCDF4.Dataset(path, "w", format="NETCDF3_64BIT_OFFSET") as data:
        data.createDimension("x", 5000)
        data.createVariable("a", "f8", ("x",))[:] = 7.0
    path.write_bytes(path.read_bytes()[:20_000])

    def values() -> np.ndarray:
        with open_netcdf(Source(path)) as data:
            return data["a"][:]

    refused(values, "classic.nc: truncated or damaged")


def test_a_web_page_saved_as_netcdf_is_shown(tmp_path: Path) -> None:
    path = tmp_path / "era5.nc"
    path.write_text("<!DOCTYPE html><html>502 Bad Gateway</html>")
    refused(lambda: era5.identify(path), "not NetCDF but '<!DOCTYPE html>.*repeat it")
    refused(lambda: identify(path), "era5.nc: a web page saved under this name.*download it again")
    path.write_bytes(b"")
    refused(lambda: identify(path), "era5.nc: empty; download it again")


def test_a_missing_value_names_file_variable_and_day(legacy_files: Path, edit: Edit, era5_daily: Daily) -> None:
    def spoil(data: netCDF4.Dataset) -> None:
        data["t2m"][3, 2, 1] = np.ma.masked

    edit(surface(legacy_files), spoil)
    refused(lambda: era5_daily(legacy_files), "era5_20220110_sl.nc: 't2m' has 1 missing values of 48 on 2022-01-10")


def test_south_first_files_are_turned(legacy_files: Path, edit: Edit, era5_daily: Daily) -> None:
    expected = era5_daily(legacy_files)

    def turn(data: netCDF4.Dataset) -> None:
        data["latitude"][:] = data["latitude"][:][::-1]
        for name in ("u10", "v10", "t2m", "sp"):
            data[name].set_auto_maskandscale(False)
            data[name][:] = data[name][:][:, ::-1]

    edit(surface(legacy_files), turn)
    assert np.array_equal(era5_daily(legacy_files), expected)


def test_longitudes_of_another_turn_are_the_same_place(legacy_files: Path, edit: Edit, era5_daily: Daily) -> None:
    expected = era5_daily(legacy_files)

    def shift(data: netCDF4.Dataset) -> None:
        data["longitude"][:] = data["longitude"][:] + 360

    edit(surface(legacy_files), shift)
    assert np.array_equal(era5_daily(legacy_files), expected)


def test_celsius_called_kelvin_is_refused_and_celsius_called_celsius_converted(
    legacy_files: Path, edit: Edit, era5_daily: Daily
) -> None:
    expected = era5_daily(legacy_files)

    def celsius(data: netCDF4.Dataset) -> None:
        data["t2m"].add_offset = data["t2m"].add_offset - 273.15

    edit(surface(legacy_files), celsius)
    refused(
        lambda: era5_daily(legacy_files), "'t2m' on 2022-01-10 runs from .* 180 to 340 K: these look like degrees C"
    )
    edit(surface(legacy_files), lambda data: data["t2m"].setncattr("units", "degC"))
    assert np.allclose(era5_daily(legacy_files), expected, atol=1e-3)
    edit(surface(legacy_files), lambda data: data["t2m"].setncattr("units", "furlong"))
    refused(lambda: era5_daily(legacy_files), "'t2m' is in 'furlong'; expected K")


@pytest.mark.parametrize("name", ["sp", "tp"])
def test_other_wrong_units_are_guessed(legacy_files: Path, edit: Edit, era5_daily: Daily, name: str) -> None:
    factor = {"sp": 0.01, "tp": 1e4}[name]

    def scale(data: netCDF4.Dataset) -> None:
        data[name].setncatts({key: data[name].getncattr(key) * factor for key in ("scale_factor", "add_offset")})

    edit(surface(legacy_files) if name == "sp" else legacy_files / "era5" / "era5_20220110_tp.nc", scale)
    refused(lambda: era5_daily(legacy_files), "look like " + {"sp": "hPa", "tp": "millimetres"}[name])


def test_a_missing_hour_of_rain_is_named(legacy_files: Path, era5_daily: Daily) -> None:
    (legacy_files / "era5" / "era5_20220111_tp00.nc").unlink()
    refused(lambda: era5_daily(legacy_files), r"'tp' on 2022-01-10 lacks 1 of 24 hours \(2022-01-11 00 UTC\).*request")


def test_a_missing_instant_is_named(legacy_files: Path, edit: Edit, era5_daily: Daily) -> None:
    def lose(data: netCDF4.Dataset) -> None:
        data["time"][5] = data["time"][5] + 24 * 40

    edit(surface(legacy_files), lose)
    refused(lambda: era5_daily(legacy_files), "'u10' on 2022-01-10 has 00:00, .* UTC, 15:00 missing; expected")


def test_an_ensemble_is_refused(legacy_files: Path) -> None:
    path = legacy_files / "era5" / "ensemble.nc"
    with netCDF4.Dataset(surface(legacy_files)) as old, netCDF4.Dataset(path, "w") as new:
        for name, size in (("number", 10), ("time", 8), ("latitude", 6), ("longitude", 8)):
            new.createDimension(name, size)
        for name in ("time", "latitude", "longitude"):
            new.createVariable(name, "f8", (name,))[:] = old[name][:]
        new["time"].units = old["time"].units
        new.createVariable("number", "i4", ("number",))[:] = range(10)
        new.createVariable("u10", "f4", ("number", "time", "latitude", "longitude"))[:] = 1
    surface(legacy_files).unlink()
    refused(lambda: era5.daily(Catalogue(legacy_files).files, DAY, COARSE), "10 ensemble members; request the rean")


def test_preliminary_values_fill_what_is_not_final_yet(legacy_files: Path, era5_daily: Daily) -> None:
    expected, path = era5_daily(legacy_files), surface(legacy_files)
    with netCDF4.Dataset(path) as old, netCDF4.Dataset(path.with_name("both.nc"), "w") as new:
        for name, size in (("time", 8), ("expver", 2), ("latitude", 6), ("longitude", 8)):
            new.createDimension(name, size)
        for name in ("time", "latitude", "longitude"):
            new.createVariable(name, "f8", (name,))[:] = old[name][:]
        new["time"].units = old["time"].units
        new.createVariable("expver", "i4", ("expver",))[:] = [1, 5]
        for name in ("u10", "v10", "t2m", "sp"):
            variable = new.createVariable(name, "f8", ("time", "expver", "latitude", "longitude"), fill_value=-1e9)
            variable.units = old[name].units
            variable[:5, 0], variable[5:, 1] = old[name][:5], old[name][5:]  # the rest stays missing
    path.unlink()
    assert np.allclose(era5_daily(legacy_files), expected, rtol=1e-6)


def test_a_zip_member_that_climbs_out_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "era5.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("../../.bashrc", b"CDF\x01")
    refused(lambda: identify(path), r"era5.zip: its member '../../.bashrc' points outside the zip")
    assert Catalogue(tmp_path).problems


def test_a_zip_bomb_is_refused_unopened(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("big.nc", bytes(8 * 2**20))
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.filelist[0].file_size = 90 * 2**30
        archive.writestr("small.nc", b"")
    refused(lambda: identify(path), "'big.nc' claims 90.0 GiB unpacked")


def test_a_damaged_zip_is_refused(new_files: Path) -> None:
    path = new_files / "cams" / "cams_20220110.zip"
    path.write_bytes(path.read_bytes()[:3000])
    refused(lambda: identify(path), "damaged zip.*download it again")


def test_a_zip_named_nc_is_looked_into(new_files: Path, era5_daily: Daily) -> None:
    path = new_files / "era5" / "era5_20220110_sl.zip"
    expected = era5_daily(new_files)
    path.rename(path.with_suffix(".nc"))
    assert np.array_equal(era5_daily(new_files), expected)


def rewrite_cams(folder: Path, edit: Edit, member: str, how: Callable[[netCDF4.Dataset], None]) -> None:
    """Unpack the day's CAMS zip into plain files, one of them changed."""
    path = folder / "cams" / "cams_20220110.zip"
    with zipfile.ZipFile(path) as archive:
        archive.extractall(folder / "cams")
    path.unlink()
    edit(folder / "cams" / member, how)


def test_particles_already_in_micrograms_are_taken_by_their_unit(new_files: Path, edit: Edit) -> None:
    expected = cams.daily(Catalogue(new_files).files, DAY, COARSE)

    def micrograms(data: netCDF4.Dataset) -> None:
        data["pm2p5"][:] = data["pm2p5"][:] * 1e9
        data["pm2p5"].units = "µg/m3"

    rewrite_cams(new_files, edit, "data_sfc.nc", micrograms)
    assert np.allclose(cams.daily(Catalogue(new_files).files, DAY, COARSE), expected, rtol=1e-5)


def test_kilograms_called_micrograms_are_refused(new_files: Path, edit: Edit) -> None:
    rewrite_cams(new_files, edit, "data_sfc.nc", lambda data: data["pm10"].setncattr("units", "ug m-3"))
    refused(lambda: cams.daily(Catalogue(new_files).files, DAY, COARSE), "'pm10'.*only.*probably is in kg")


def test_a_mixing_ratio_without_temperature_says_what_to_request(new_files: Path, edit: Edit) -> None:
    rewrite_cams(new_files, edit, "data_plev.nc", lambda data: data.renameVariable("t", "w"))
    refused(
        lambda: cams.daily(Catalogue(new_files).files, DAY, COARSE), "'no2' is a mixing ratio.*temperature at 1000 hPa"
    )


def test_a_missing_species_is_named(new_files: Path, edit: Edit) -> None:
    rewrite_cams(new_files, edit, "data_plev.nc", lambda data: data.renameVariable("go3", "so2"))
    refused(
        lambda: cams.daily(Catalogue(new_files).files, DAY, COARSE), "CAMS for 2022-01-10: o3 missing .found: pm2p5"
    )


def test_fine_maps_without_a_day_or_a_scale_are_refused(new_files: Path, edit: Edit) -> None:
    path = new_files / "ghap" / "GHAP_PM2.5_D1K_20220110_V1.nc"
    edit(path, lambda data: data["PM2.5"].delncattr("scale_factor"))
    refused(lambda: ghap.daily(Catalogue(new_files).files, DAY, FINE), "uint16 without 'scale_factor'")
    nameless = path.rename(path.with_name("ghap.nc"))
    refused(lambda: ghap.identify(nameless), "ghap.nc: no day in its name")
    refused(lambda: ghap.daily((), DAY, FINE), "no GHAP PM2.5 of 2022-01-10; get .*202201.*10795662")


def test_elevation_without_tiles_or_with_a_hole_over_land_is_refused(new_files: Path) -> None:
    refused(lambda: terrain.elevation((), FINE), "no elevation file")
    files = Catalogue(new_files).files
    wide = type(FINE)(51.0, 5.3, 0.01, 200, 50)
    refused(lambda: terrain.elevation(files, wide), "cells without data .*get the missing tiles")
    sea_there = np.zeros(wide.shape, bool)
    sea_there[100:] = True
    assert terrain.elevation(files, wide, sea_there)[0, 0] == 0


def test_elevation_in_large_pixels_that_are_not_square_is_refused(tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio")
    path = tmp_path / "wide.tif"
    shape = {"height": 20, "width": 10, "count": 1, "dtype": "float32", "crs": "EPSG:4326"}
    with rasterio.open(path, "w", transform=rasterio.Affine(0.2, 0, 5, 0, -0.1, 50), **shape) as raster:
        raster.write(np.ones((1, 20, 10), np.float32))
    files = Catalogue(tmp_path).files
    refused(lambda: terrain.elevation(files, FINE), "pixels of 0.2 by 0.1 degrees.*expected square ones")


def test_stations_without_places_are_refused(new_files: Path) -> None:
    (new_files / "stations" / "EEA_stations_meta_SamplingPoint.parquet").unlink()
    refused(lambda: stations.daily(Catalogue(new_files).files, [DAY]), "1 stations without coordinates.*metadata")


def test_truncated_station_tables_and_rasters_are_problems(new_files: Path) -> None:
    for path in (new_files / "stations").glob("*.parquet"):
        path.write_bytes(path.read_bytes()[:200])
    raster = new_files / "terrain" / "elevation.tif"
    raster.write_bytes(raster.read_bytes()[:300])
    problems = Catalogue(new_files).problems
    assert len(problems) == 3 and all("again" in line for line in problems)


def test_files_of_another_area_are_passed_over_when_one_covers_the_region(
    legacy_files: Path, edit: Edit, era5_daily: Daily
) -> None:
    expected, path = era5_daily(legacy_files), surface(legacy_files)
    other = path.with_name("a_first_in_order.nc")
    other.write_bytes(path.read_bytes())

    def move(data: netCDF4.Dataset) -> None:
        data["longitude"][:] = data["longitude"][:] + 40

    edit(other, move)
    assert np.array_equal(era5_daily(legacy_files), expected)
    path.unlink()
    refused(lambda: era5_daily(legacy_files), "a_first_in_order.nc: covers .* 45..46.75E, but the region needs")
