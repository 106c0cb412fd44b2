"""The 1 km product in the shapes that readers report: zipped by month, south first, without coordinates."""

from __future__ import annotations

import zipfile
from datetime import date
from pathlib import Path

import netCDF4
import numpy as np
import pytest

from cranpm.data.catalogue import Catalogue
from cranpm.data.products import ghap
from cranpm.errors import CranpmError
from cranpm.grid import fine_grid

DAY = date(2020, 7, 4)
FINE = fine_grid(29.0, 76.0, 30, 40)


def write(
    path: Path, lats: np.ndarray | None, lons: np.ndarray | None, shape: tuple[int, int], corner: tuple[int, int]
) -> None:
    """A product whose window from a corner on counts 0, 1, 2, ...; all else is missing."""
    with netCDF4.Dataset(path, "w") as data:
        for name, size, values in (("lat", shape[0], lats), ("lon", shape[1], lons)):
            data.createDimension(name, size)
            if values is not None:
                data.createVariable(name, "f8", (name,))[:] = values
        variable = data.createVariable(
            "PM2.5",
            "u2",
            ("lat", "lon"),
            chunksizes=(min(100, shape[0]), min(100, shape[1])),
            zlib=True,
            fill_value=65535,
        )
        variable.scale_factor = 0.1
        variable.set_auto_maskandscale(False)
        counts = np.arange(1200, dtype=np.uint16).reshape(30, 40)
        width = min(40, shape[1] - corner[1])
        variable[corner[0] : corner[0] + 30, corner[1] : corner[1] + width] = counts[:, :width]


EXPECTED = np.arange(1200).reshape(30, 40) * 0.1


def test_a_file_without_coordinates_is_placed_by_its_shape_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "GHAP_PM2.5_D1K_20200704_V1.nc"
    write(path, None, None, (18000, 36000), (6100, 25600))
    files = Catalogue(tmp_path).files
    assert any("no coordinates" in note for note in files[0].notes)
    assert np.allclose(ghap.daily(files, DAY, FINE), EXPECTED, atol=1e-4)


def test_a_file_without_coordinates_and_of_another_shape_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "GHAP_PM2.5_D1K_20200704_V1.nc"
    write(path, None, None, (13000, 36000), (100, 100))
    with pytest.raises(CranpmError, match="no coordinates and 13000 x 36000 pixels"):
        ghap.identify(path)


def test_south_first_files_are_turned(tmp_path: Path) -> None:
    lats, lons = 28.405 + 0.01 * np.arange(100), 75.805 + 0.01 * np.arange(100)
    write(tmp_path / "x_20200704.nc", lats, lons, (100, 100), (30, 20))
    found = ghap.daily(Catalogue(tmp_path).files, DAY, FINE)
    assert np.allclose(found, EXPECTED[::-1], atol=1e-4)


def test_a_month_of_days_in_one_zip(tmp_path: Path) -> None:
    lats, lons = 28.995 - 0.01 * np.arange(60), 76.005 + 0.01 * np.arange(60)
    with zipfile.ZipFile(tmp_path / "GHAP_PM2.5_D1K_202007_V1.zip", "w") as archive:
        for day in (3, 4):
            path = tmp_path / f"GHAP_PM2.5_D1K_202007{day:02d}_V1.nc"
            write(path, lats, lons, (60, 60), (0, day - 4 if day == 4 else 7))
            archive.write(path, f"202007/{path.name}")
            path.unlink()
    catalogue = Catalogue(tmp_path)
    assert catalogue.days("ghap") == (date(2020, 7, 3), DAY)
    assert np.allclose(ghap.daily(catalogue.files, DAY, FINE), EXPECTED, atol=1e-4)
    shifted = ghap.daily(catalogue.files, date(2020, 7, 3), FINE)
    assert np.isnan(shifted[:, :7]).all() and np.allclose(shifted[:, 7:], EXPECTED[:, :-7], atol=1e-4)


def test_beyond_the_product_is_missing_but_half_of_it_must_be_there(tmp_path: Path) -> None:
    lats, lons = 28.995 - 0.01 * np.arange(60), 76.005 + 0.01 * np.arange(60)
    write(tmp_path / "x_20200704.nc", lats, lons, (60, 60), (0, 0))
    files = Catalogue(tmp_path).files
    found = ghap.daily(files, DAY, fine_grid(29.1, 76.0, 30, 40))
    assert np.isnan(found[:10]).all() and np.allclose(found[10:], EXPECTED[:20], atol=1e-4)
    with pytest.raises(CranpmError, match="less than half"):
        ghap.daily(files, DAY, fine_grid(29.2, 76.0, 30, 40))


def test_across_the_date_line_of_a_global_file(tmp_path: Path) -> None:
    path = tmp_path / "GHAP_PM2.5_D1K_20200704_V1.nc"
    write(path, None, None, (18000, 36000), (6100, 35980))
    with netCDF4.Dataset(path, "r+") as data:
        data.set_auto_maskandscale(False)
        data["PM2.5"][6100:6130, :20] = np.arange(600, dtype=np.uint16).reshape(30, 20)
    found = ghap.daily(Catalogue(tmp_path).files, DAY, fine_grid(29.0, 179.8, 30, 40))
    assert np.allclose(found[:, 20:], np.arange(600).reshape(30, 20) * 0.1, atol=1e-4)
    assert np.allclose(found[:, :20], EXPECTED[:, :20], atol=1e-4)
