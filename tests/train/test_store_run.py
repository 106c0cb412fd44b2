"""A run on a prepared store, as with real days: statistics, hotspots and all three terms, through the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cranpm.data.days import parse_days
from cranpm.model.checkpoint import read_checkpoint
from cranpm.options import leaf
from cranpm.region import load_region
from cranpm.train.commands import train
from cranpm.train.keeper import CHECKPOINT, LAST, read_steps

RECIPE = """
name: mine
region: europe
model: small
leads: [1, 2, 3]
batch: {groups: 2, days: 1, tiles_per_day: 4, at_once: 2, lead_shares: [1, 1, 1], hotspot_ratio: 0.5, align: 64}
objective: {pixel: 1.0, frequency: 0.1, station: 0.1}
schedule:
  {unit: epoch, length: 1, warm_up: 1, learning_rate: 1.0e-3, final_learning_rate: 1.0e-5, weight_decay: 0.05,
   clip: 1.0, validate: 1, save: 3}
validation: {every: 3, tiles: 2}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cranpm.sample.direct import write_store
    from cranpm.sample.world import World

    region = load_region("europe")
    world = World(region, seed=0, realisation=9, window=region.window(False))
    path = tmp_path_factory.mktemp("data") / "store.zarr"
    write_store(world, parse_days("2020-12-22..2021-01-08"), path)
    return path


def run(*arguments: str) -> str:
    result = CliRunner().invoke(leaf(train), list(arguments))
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.slow
def test_a_store_is_trained_on_and_read_by_other_processes_alike(store: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(RECIPE)
    for workers in ("0", "2"):
        out = tmp_path / workers
        told = run(str(recipe), "--data", str(store), "--out", str(out), "--workers", workers, "--device", "cpu")
        assert "simulated" in told
    made = read_checkpoint(tmp_path / "0" / CHECKPOINT)
    assert made.simulated and made.region == "europe"
    assert made.provenance["train"] == "2020-12-22..2020-12-31"
    assert made.provenance["validate"] == "2021-01-01..2021-01-08"
    statistics = json.loads((tmp_path / "0" / "statistics.json").read_text())
    assert made.statistics.to_dict() == statistics
    steps = read_steps(tmp_path / "0")
    assert len(steps) == 6 * 16 // 8  # days with their neighbours, tiles of the plan, tiles a step
    assert all(step["pixel"] > 0 and step["frequency"] > 0 for step in steps) and any(step["station"] for step in steps)
    hashes = {read_checkpoint(tmp_path / workers / LAST).hash for workers in ("0", "2")}
    assert len(hashes) == 1


@pytest.mark.slow
def test_a_store_without_hotspots_or_training_days_is_refused(store: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text(RECIPE.replace("region: europe", f"region: {tmp_path / 'plain.yaml'}"))
    pack = Path(str(load_region("europe").path)).read_text()
    start, end = pack.index("hotspots:"), pack.index("sources:")
    (tmp_path / "plain.yaml").write_text(pack[:start] + "hotspots: []\n" + pack[end:])
    result = CliRunner().invoke(leaf(train), [str(recipe), "--data", str(store), "--out", str(tmp_path / "run")])
    assert result.exit_code != 0 and "no hotspot area" in str(result.exception)
    later = tmp_path / "later.yaml"
    later.write_text(pack.replace("train: [2017, 2018, 2019, 2020]", "train: [2017]"))
    recipe.write_text(RECIPE.replace("region: europe", f"region: {later}"))
    result = CliRunner().invoke(leaf(train), [str(recipe), "--data", str(store), "--out", str(tmp_path / "run2")])
    assert result.exit_code != 0 and "no day of 2017" in str(result.exception)
