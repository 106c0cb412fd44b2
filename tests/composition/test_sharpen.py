"""Reanalysis files in, hourly files at 0.25 degrees out."""

from __future__ import annotations

import os
from pathlib import Path

import netCDF4
import numpy as np
import pytest
import torch

from cranpm.composition.deepcams.checkpoint import Sharpener, build, read_sharpener, write_sharpener
from cranpm.composition.deepcams.files import sharpen_file
from cranpm.composition.deepcams.reanalysis import open_reanalysis
from cranpm.composition.deepcams.sharpen import Engine
from cranpm.data.products.gridded import describe
from cranpm.data.products.sources import Source
from cranpm.errors import CranpmError
from cranpm.grid import Grid
from cranpm.sample.netcdf import CAMS, ERA5, new_analysis

GRID = Grid(60.0, -10.5, 0.75, 12, 16)
START = np.datetime64("2018-03-01T00", "h")
REAL = Path(os.environ.get("CRANPM_REALDATA", Path(__file__).parents[3] / "shared" / "realdata")) / "cams"


def eac4(path: Path, hours=(0, 3, 6), factor: float = 1e-9, grid: Grid = GRID, **gases) -> Path:
    """A file as the Atmosphere Data Store delivers it, PM2.5 of 10 to 30 ug m-3."""
    rng = np.random.default_rng(0)
    maps = (20 + 10 * np.sin(rng.random((len(hours), *grid.shape)) * 6)).astype(np.float32)
    fields = {CAMS["pm2p5"]: maps * np.float32(factor)}
    path.write_bytes(new_analysis(grid, START + np.array(hours), fields))
    return path


def trained(folder: Path) -> Engine:
    """An engine of two small networks that do something."""
    made = []
    for task in ("time", "space"):
        torch.manual_seed(0)
        network = build(task, "small")
        for parameter in network.parameters():
            if not parameter.any():
                torch.nn.init.normal_(parameter, std=0.2)
        write_sharpener(folder / task, Sharpener(task, "small", 20.0, 15.0, "area", True), network)
        made.append(read_sharpener(folder / task, task))
    return Engine.of(*made, torch.device("cpu"))


def test_three_instants_become_seven_hours_on_the_nodes_of_both_grids(tmp_path):
    reanalysis = open_reanalysis([eac4(tmp_path / "eac4.nc")])
    told = []
    kept = sharpen_file(
        reanalysis, Engine.plain(), tmp_path / "out.nc", tell=lambda what, done, total: told.append((done, total))
    )
    assert kept["pm2p5"].hours == 7 and told[-1] == (7, 7)
    with netCDF4.Dataset(tmp_path / "out.nc") as data:
        fine, coarse = data["pm2p5"][:], [reanalysis.map("pm2p5", t) for t in reanalysis.times("pm2p5")]
        assert data["pm2p5"].units == "ug m-3" and fine.shape == (7, 34, 46)
        np.testing.assert_allclose(fine[::3, ::3, ::3], coarse, atol=1e-4)
        np.testing.assert_allclose(fine[1, ::3, ::3], (2 * coarse[0] + coarse[1]) / 3, atol=1e-4)
        assert data["latitude"][0] == 60 and data["longitude"][3] == -9.75
        assert "SIMULATED" in data.title and float(data["pm2p5_mean_before"][...]) == pytest.approx(
            kept["pm2p5"].before
        )


def test_units_come_before_anything_else(tmp_path):
    maps = open_reanalysis([eac4(tmp_path / "eac4.nc")])
    assert 10 < maps.map("pm2p5", maps.times("pm2p5")[0]).mean() < 30


def test_networks_change_the_hours_between_and_the_detail(tmp_path):
    reanalysis = open_reanalysis([eac4(tmp_path / "eac4.nc")])
    for name, engine in (("plain", Engine.plain()), ("sharp", trained(tmp_path))):
        kept = sharpen_file(reanalysis, engine, tmp_path / f"{name}.nc")
    with netCDF4.Dataset(tmp_path / "plain.nc") as plain, netCDF4.Dataset(tmp_path / "sharp.nc") as sharp:
        assert not np.allclose(plain["pm2p5"][1], sharp["pm2p5"][1])
        assert sharp["pm2p5"][:].min() >= 0
        assert "SIMULATED PM2.5" in sharp.network_time and sharp.sharpened_by == "DeepCAMS"
    assert kept["pm2p5"].hours == 7


def test_another_species_is_brought_to_the_level_the_networks_know(tmp_path):
    """Ten times the concentration gives ten times the result where the species is not PM2.5."""
    made = {}
    for factor in (1, 10):
        path = eac4(tmp_path / f"{factor}.nc", factor=factor * 1e-9)
        with netCDF4.Dataset(path, "a") as data:
            data.renameVariable("pm2p5", "pm10")
        sharpen_file(open_reanalysis([path]), trained(tmp_path / f"n{factor}"), tmp_path / f"out{factor}.nc")
        with netCDF4.Dataset(tmp_path / f"out{factor}.nc") as data:
            made[factor] = data["pm10"][:]
    np.testing.assert_allclose(made[10], 10 * made[1], rtol=2e-3)


def test_a_mixing_ratio_becomes_a_concentration_with_the_air_it_lies_in(tmp_path):
    ratio, warm = np.full((2, 1, *GRID.shape), 4e-8, np.float32), np.full((2, 1, *GRID.shape), 287.05, np.float32)
    times = START + np.array([0, 3])
    gases = {CAMS["no2"]: ratio, CAMS["t"]: warm}
    (tmp_path / "gas.nc").write_bytes(new_analysis(GRID, times, gases, levels=(1000,)))
    reanalysis = open_reanalysis([tmp_path / "gas.nc"])
    expected = 4e-8 * 1e5 / (287.05 * 287.05) * 1e9
    assert reanalysis.map("no2", reanalysis.times("no2")[0]).mean() == pytest.approx(expected, rel=1e-3)
    (tmp_path / "gas.nc").write_bytes(new_analysis(GRID, times, {CAMS["no2"]: ratio}, levels=(1000,)))
    alone = open_reanalysis([tmp_path / "gas.nc"])
    with pytest.raises(CranpmError, match="needs temperature at 1000 hPa"):
        alone.map("no2", alone.times("no2")[0])


def test_the_result_is_a_product_that_prepare_reads(tmp_path):
    sharpen_file(open_reanalysis([eac4(tmp_path / "eac4.nc")]), Engine.plain(), tmp_path / "out.nc")
    found = describe(Source(tmp_path / "out.nc"))
    assert found.product == "cams" and found.names == {"pm2p5": "pm2p5"}
    assert found.axes is not None and found.axes.grid.step == 0.25
    assert any("simulated" in note for note in found.notes)


@pytest.mark.parametrize(
    "hours, message", [((0,), "at least two"), ((0, 3, 9), "from 2018-03-01T03:00:00 to 2018-03-01T09:00:00")]
)
def test_hours_that_cannot_be_filled_are_refused(tmp_path, hours, message):
    with pytest.raises(CranpmError, match=message):
        sharpen_file(open_reanalysis([eac4(tmp_path / "eac4.nc", hours)]), Engine.plain(), tmp_path / "out.nc")
    assert not (tmp_path / "out.nc").exists()


def test_a_gap_in_a_map_is_refused_and_leaves_no_file(tmp_path):
    with netCDF4.Dataset(eac4(tmp_path / "eac4.nc"), "a") as data:
        data["pm2p5"][2, 3, 3] = np.nan
    with pytest.raises(CranpmError, match="'pm2p5' has 1 missing"):
        sharpen_file(open_reanalysis([tmp_path / "eac4.nc"]), Engine.plain(), tmp_path / "out.nc")
    assert {path.name for path in tmp_path.iterdir()} == {"eac4.nc"}


def test_bad_inputs_say_what_to_do(tmp_path):
    with pytest.raises(CranpmError, match="not there"):
        open_reanalysis([tmp_path / "none.nc"])
    (tmp_path / "weather.nc").write_bytes(
        new_analysis(GRID, START + np.arange(2), {ERA5["u10"]: np.ones((2, *GRID.shape), np.float32)})
    )
    with pytest.raises(CranpmError, match="no CAMS reanalysis"):
        open_reanalysis([tmp_path / "weather.nc"])
    eac4(tmp_path / "fine.nc", grid=Grid(60.0, -10.0, 0.25, 12, 16))
    with pytest.raises(CranpmError, match=r"every 0\.25 degrees; expected 0\.75"):
        open_reanalysis([tmp_path / "fine.nc"])
    with pytest.raises(CranpmError, match="--species pm25"):
        sharpen_file(open_reanalysis([eac4(tmp_path / "e.nc")]), Engine.plain(), tmp_path / "o.nc", species=["pm25"])
    eac4(tmp_path / "kilo.nc", factor=1.0)
    kilo = open_reanalysis([tmp_path / "kilo.nc"])
    with pytest.raises(CranpmError, match="wrong unit"):
        kilo.map("pm2p5", kilo.times("pm2p5")[0])


def test_weights_of_the_other_task_or_altered_ones_are_refused(tmp_path):
    trained(tmp_path)
    with pytest.raises(CranpmError, match="swap the folders"):
        read_sharpener(tmp_path / "time", "space")
    with (tmp_path / "space" / "weights.safetensors").open("ab") as file:
        file.write(b"x")
    with pytest.raises(CranpmError, match="not the weights"):
        read_sharpener(tmp_path / "space", "space")


@pytest.mark.skipif(not REAL.is_dir(), reason="real files are not here (CRANPM_REALDATA)")
def test_a_real_file_of_eac4_is_sharpened(tmp_path):
    reanalysis = open_reanalysis([REAL / "eac4_hawaii_2022" / "data_nox.nc"])
    assert reanalysis.species["tcno2"] == "kg m-2" and not reanalysis.simulated
    kept = sharpen_file(reanalysis, Engine.plain(), tmp_path / "out.nc", species=["tcno2"])["tcno2"]
    assert kept.hours == 358 and abs(kept.change) < 0.005
    with netCDF4.Dataset(tmp_path / "out.nc") as data:
        assert data["tcno2"].shape == (358, 28, 52) and "simulated" not in data.history
        first = reanalysis.map("tcno2", reanalysis.times("tcno2")[0])
        np.testing.assert_allclose(data["tcno2"][0, ::3, ::3], first, rtol=1e-4)
