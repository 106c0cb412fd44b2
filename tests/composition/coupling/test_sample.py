"""What works without any file: the network that ships, starts and scores of the sample world."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cranpm.composition.commands import app
from cranpm.composition.coupling.checkpoint import (
    SHIPPED,
    CouplingCheckpoint,
    read_coupling,
    write_coupling,
)
from cranpm.composition.coupling.config import SMALL, with_species
from cranpm.composition.coupling.network import Coupling
from cranpm.composition.coupling.report import report
from cranpm.composition.coupling.scales import Scales
from cranpm.data.catalogue import scan
from cranpm.data.products import cams
from cranpm.errors import CranpmError
from cranpm.grid import Grid
from cranpm.model.checkpoint import WEIGHTS

GRID = Grid(52.0, 6.0, 0.75, 6, 8)


def untrained(folder: Path, provenance: dict[str, object]) -> Path:
    """A network that forecasts its base."""
    config = replace(with_species(SMALL, ("pm2p5", "no2_1000")), widths=(8, 8, 16), hidden=8, depth=1, time_width=8)
    scales = Scales({"pm2p5": 20.0, "no2_1000": 1e-8}, dict.fromkeys(config.weather, (0.0, 1.0)))
    torch.manual_seed(0)
    write_coupling(folder, CouplingCheckpoint(config, scales, GRID, True, provenance), Coupling(config, scales))
    return folder


def test_the_network_that_ships_is_small_and_says_how_it_was_made_and_how_good_it_is():
    found = read_coupling("sample-coupling")
    assert found.simulated and found.config.fusion == "bilinear"
    assert {"recipe", "seed", "days", "rmse_share_of_persistence"} <= set(found.provenance)
    assert (SHIPPED / "sample-coupling" / WEIGHTS).stat().st_size < 3e6
    assert sum(p.numel() for p in found.network().parameters()) == 543_824
    with pytest.raises(CranpmError, match="did you mean 'sample-coupling'"):
        read_coupling("sample-cupling")


@pytest.mark.slow
def test_the_table_gives_an_untrained_network_its_bases_scores(tmp_path: Path):
    about = {"region": "europe", "world_seed": 0, "seed": 7, "days": {"analysis": ["realisation 0, 2019"]}}
    folder = untrained(tmp_path / "untrained", about)
    text = report(
        [folder], days="2022-07-02..2022-07-05", every=3, realisation=0, perfect=False, cache=tmp_path / "cache"
    )
    assert text.startswith("Simulated. 2 forecasts from 00 UTC of each 3. day of 2022-07-02..2022-07-05")
    assert "untrained was trained on that realisation" in text
    rows = {line.split("|")[1].strip(): line.split("|")[2:] for line in text.splitlines() if line.startswith("| ")}
    assert rows["bilinear s7"] == rows["untrained (base)"] != rows["CAMS-like forecast"]
    assert rows["pm2p5, model"] == rows["pm2p5, persistence"]


@pytest.mark.slow
def test_a_forecast_needs_no_files_on_the_sample_world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CRANPM_CACHE", str(tmp_path / "cache"))
    folder = untrained(tmp_path / "untrained", {"region": "europe", "world_seed": 0})
    for _ in range(2):  # the second time out of the cache
        done = CliRunner().invoke(
            app,
            ["forecast", "--init", "2022-07-02..2022-07-03", "--model", str(folder), "--out", str(tmp_path / "out")],
        )
        assert done.exit_code == 0 and "simulated; driven by weather forecast issued 2022-07-03" in done.output
    files = scan(tmp_path / "out").of("cams_forecast")
    issued = [dt.date(2022, 7, 2), dt.date(2022, 7, 3)]
    assert sorted({day for file in files for day in file.days}) == issued
    loaded = [cams.forecast(files, day, GRID, leads=(1, 4)).sel(channel="pm2p5").values for day in issued]
    assert np.isfinite(loaded).all() and not np.allclose(loaded[0], loaded[1], rtol=1e-3)


def test_folders_of_composition_and_driver_go_together(tmp_path: Path):
    with pytest.raises(CranpmError, match="--composition and --driver go together"):
        words = ["forecast", "--init", "2022-07-02", "--driver", str(tmp_path), "--out", str(tmp_path)]
        CliRunner().invoke(app, words, catch_exceptions=False)
