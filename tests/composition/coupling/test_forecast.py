"""From files to files."""

from __future__ import annotations

import datetime as dt
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cranpm.composition.coupling.checkpoint import CouplingCheckpoint, read_coupling, write_coupling
from cranpm.composition.coupling.config import SMALL
from cranpm.composition.coupling.forecast import forecast_composition
from cranpm.composition.coupling.inputs import read_composition, read_driver
from cranpm.composition.coupling.network import Coupling
from cranpm.composition.coupling.scales import Scales
from cranpm.data.catalogue import scan
from cranpm.data.products import cams
from cranpm.data.products.description import STANDS_IN
from cranpm.data.products.results import pick
from cranpm.errors import CranpmError
from cranpm.grid import Grid
from cranpm.region import load_region
from cranpm.sample.netcdf import CAMS, new_analysis
from cranpm.sample.species import SpeciesWorld
from cranpm.sample.species_files import write_starts

DAY = dt.date(2022, 7, 2)
GRID = Grid(52.0, 6.0, 0.75, 6, 8)
CONFIG = replace(SMALL, widths=(8, 8, 16), hidden=8, depth=1, time_width=8)


@pytest.fixture(scope="module")
def world() -> SpeciesWorld:
    return SpeciesWorld(load_region("europe"), GRID)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory, world: SpeciesWorld) -> Path:
    folder = tmp_path_factory.mktemp("files")
    return next(write_starts(world, {DAY: folder}))


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> CouplingCheckpoint:
    """An untrained network: it forecasts its base."""
    folder = tmp_path_factory.mktemp("network") / "untrained"
    names = dict.fromkeys(CONFIG.species, 1.0) | {n: 1e-7 for n in CONFIG.species if n.startswith(("co", "no2"))}
    scales = Scales(names, dict.fromkeys(CONFIG.weather, (0.0, 1.0)))
    torch.manual_seed(0)
    write_coupling(folder, CouplingCheckpoint(CONFIG, scales, GRID, True), Coupling(CONFIG, scales))
    return read_coupling(folder)


@pytest.mark.slow
def test_what_is_read_is_what_the_world_wrote(files: Path, world: SpeciesWorld):
    start = read_composition(files / "cams", DAY, CONFIG.species, GRID, also=("o3_1000",))
    before, now, simulated = start.before, start.now, start.simulated
    assert not start.others
    days = list(world.days([DAY - dt.timedelta(days=1), DAY]))
    for k, name in enumerate(CONFIG.species):
        variable = name.partition("_")[0]  # files round all levels of a variable alike
        rounding = 2e-4 * max(float(now[j].max()) for j, n in enumerate(CONFIG.species) if n.startswith(variable))
        assert before[k] == pytest.approx(days[0].analysis[name][1], rel=2e-3, abs=rounding)
        assert now[k] == pytest.approx(days[1].analysis[name][0], rel=2e-3, abs=rounding)
    driver = read_driver(files / "driver", DAY, CONFIG.weather, GRID)
    issued = next(iter(world.forecasts([DAY])))
    assert simulated and driver.simulated and driver.fields["tp"].shape == (11, 6, 8)
    assert driver.fields["u10"] == pytest.approx(issued.weather["u10"], abs=2e-3)
    assert driver.fields["tp"][1:] == pytest.approx(issued.weather["tp"][1:], abs=1e-5)


@pytest.mark.slow
def test_the_product_loader_takes_a_forecast_for_one_of_cams(
    files: Path, world: SpeciesWorld, checkpoint: CouplingCheckpoint, tmp_path: Path
):
    made = forecast_composition(
        checkpoint, DAY, files / "cams", files / "driver", tmp_path, places=torch.zeros(6, *GRID.shape)
    )
    assert made.simulated and made.path.name == "cams_forecast_2022070200.zip"
    described = scan(tmp_path).of("cams_forecast")
    loaded = cams.forecast(described, DAY, GRID, leads=(1, 2, 3, 4))
    today = next(iter(world.days([DAY]))).analysis["pm2p5"][0]
    for lead in (1, 2, 3, 4):  # persistence, out of an untrained network
        assert loaded.sel(lead=lead, channel="pm2p5").values == pytest.approx(today, rel=1e-2, abs=0.02)
    assert np.isfinite(loaded.sel(channel=["pm2p5", "pm10", "no2", "co"])).all()
    assert "o3+1" in loaded.attrs["absent"]
    density = 101_325 / 287 / 290
    co = next(iter(world.days([DAY]))).analysis["co_1000"][0] * 1e9 * density
    assert loaded.sel(lead=1, channel="co").values == pytest.approx(co, rel=0.1)
    assert any("simulated" in note for file in described for note in file.notes)
    assert all(STANDS_IN in file.notes for file in described)
    from_cams = replace(described[0], notes=())
    assert pick((*described, from_cams), "cams_forecast")[0] is from_cams, "what stands in comes last"


@pytest.mark.slow
def test_what_the_network_does_not_know_is_that_of_the_last_day(
    files: Path, checkpoint: CouplingCheckpoint, tmp_path: Path
):
    """Ozone is 1e-7 at noon and 3e-8 at midnight: a day's mean is that of both, whichever day."""
    folder = tmp_path / "cams"
    shutil.copytree(files / "cams", folder)
    times = np.array([np.datetime64("2022-07-01T12", "h"), np.datetime64("2022-07-02T00", "h")])
    ozone = np.array([1e-7, 3e-8], np.float32)[:, None, None, None] * np.ones((2, 1, *GRID.shape), np.float32)
    (folder / "ozone.nc").write_bytes(new_analysis(GRID, times, {CAMS["o3"]: ozone}, levels=(1000,)))
    made = forecast_composition(
        checkpoint, DAY, folder, files / "driver", tmp_path / "out", places=torch.zeros(6, *GRID.shape)
    )
    loaded = cams.forecast(scan(made.path.parent).of("cams_forecast"), DAY, GRID, leads=(1, 4))
    assert not loaded.attrs["absent"]
    ozone_there = loaded.sel(channel="o3").values
    assert ozone_there[0] == pytest.approx(6.5e-8 * 1e9 * 101_325 / 287 / 290, rel=0.1)
    assert ozone_there[1] == pytest.approx(ozone_there[0], rel=0.05)


@pytest.mark.slow
def test_a_missing_instant_or_driver_is_named(files: Path):
    with pytest.raises(CranpmError, match=r"'pm2p5' lacks 2 of 2 instants \(2022-07-05T12:00"):
        read_composition(files / "cams", dt.date(2022, 7, 6), ("pm2p5",), GRID)
    with pytest.raises(CranpmError, match="no weather forecast issued on 2022-07-03 and no ERA5"):
        read_driver(files / "driver", dt.date(2022, 7, 3), ("u10",), GRID)
    with pytest.raises(CranpmError, match="channel 'msl' is none that the product loader reads"):
        read_driver(files / "driver", DAY, ("msl",), GRID)
