"""`cranpm adapt` as a person uses it: from a store to an adapter that forecasts, killed on the way."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cranpm.adapt.commands import adapt
from cranpm.adapt.settings import DEFAULT, read_settings
from cranpm.data.days import parse_days
from cranpm.errors import CranpmError
from cranpm.model.adapter import read_adapter
from cranpm.region import load_region

DAYS = "2021-01-01..2021-01-28"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from cranpm.sample.direct import write_store
    from cranpm.sample.world import World

    path = tmp_path_factory.mktemp("data") / "india.zarr"
    write_store(World(load_region("india")), parse_days(DAYS), path)
    return path


@pytest.fixture
def settings(tmp_path: Path) -> Path:
    values = yaml.safe_load(DEFAULT.read_text())
    values["schedule"] |= {"length": 6, "warm_up": 1, "validate": 3, "save": 1}
    values["batch"] |= {"days": 2, "tiles_per_day": 1}
    values["validation"] = {"every": 2, "tiles": 1}
    path = tmp_path / "quick.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(adapt, list(arguments))
    assert isinstance(result.exception, CranpmError), result.output
    return str(result.exception)


def test_what_cannot_be_adapted_is_refused_before_any_work(tmp_path: Path):
    assert "--parts bridge: expected decoder, embeddings" in refused("india", "--parts", "bridge")
    assert "--full trains every part: leave --parts out" in refused("india", "--full", "--parts", "decoder")
    assert "paper-96m" in refused("india", "--base", "paper-96m")  # no trained weights
    assert "no recipe" not in refused("india", "--data", str(tmp_path / "nothing.zarr"))


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ("rank: 8", "rank: 0"), ("dropout: 0.0", "dropout: 1.5"), ("length: 50", "length: 0"),
        ("train: 33", "train: 2"), ("targets: [attention, mlp]", "targets: []"), ("average: 0.95", "average: 1.0"),
        ("whole_rate: 1.0e-4", "whole_rate: 0"),
    ],
)  # fmt: skip
def test_settings_that_cannot_be_used_are_refused(change: str, found: str, tmp_path: Path):
    text = DEFAULT.read_text()
    assert change in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(change, found))
    with pytest.raises(CranpmError, match=r"mine\.yaml"):
        read_settings(path)


@pytest.mark.slow
def test_a_killed_run_goes_on_and_its_adapter_forecasts(store: Path, settings: Path, tmp_path: Path):
    command = [sys.executable, "-m", "cranpm", "adapt", "india", "--data", str(store), "--settings", str(settings)]
    command += ["--months", "1", "--device", "cpu"]
    alone = {**os.environ, "OMP_NUM_THREADS": "1"}
    whole = subprocess.run([*command, "--out", str(tmp_path / "whole")], capture_output=True, text=True, env=alone)
    assert whole.returncode == 0, whole.stderr
    assert "(simulated)" in whole.stdout and "frozen" in whole.stderr and "past: india.baselines.nc" in whole.stderr
    broken = [*command, "--out", str(tmp_path / "broken")]
    with subprocess.Popen(broken, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=alone) as process:
        steps = tmp_path / "broken.run" / "steps.jsonl"
        while not steps.exists() or steps.read_text().count("\n") < 4:
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert not (tmp_path / "broken").exists()
    again = subprocess.run([*broken, "--resume"], capture_output=True, text=True, env=alone)
    assert again.returncode == 0, again.stderr
    assert read_adapter(tmp_path / "whole").hash == read_adapter(tmp_path / "broken").hash
    forecast = [sys.executable, "-m", "cranpm", "forecast", "india", "--date", "2021-01-10", "--data", str(store)]
    made = subprocess.run(
        [*forecast, "--leads", "1", "--adapter", str(tmp_path / "whole"), "--out", str(tmp_path / "map")],
        capture_output=True, text=True, env=alone,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr


@pytest.mark.slow
def test_a_past_that_was_fitted_on_the_local_days_is_refused(store: Path, settings: Path, tmp_path: Path):
    from cranpm.data.store import Store
    from cranpm.verify.baselines import write_fitted
    from cranpm.verify.fit import fit
    from cranpm.verify.past import past_of_store

    held = Store.open(store)
    about = {"region": "india", "world": "sample", "years": [2021], "simulated": held.attrs["simulated"]}
    fitted = fit(lambda: past_of_store(held, held.days), held.fine, held.coarse, held.land, about, 20)
    write_fitted(tmp_path / "mine.nc", fitted)
    told = refused(
        "india", "--data", str(store), "--settings", str(settings), "--baselines", str(tmp_path / "mine.nc"),
        "--out", str(tmp_path / "a"),
    )  # fmt: skip
    assert "fitted on [2021]; the past that local days meet must be of other years" in told
