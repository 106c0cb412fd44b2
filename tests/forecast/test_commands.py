"""`cranpm forecast` and `cranpm region eval` with a network that reads what was fitted on the past."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from types import SimpleNamespace

import netCDF4
import numpy as np
import pytest
from typer.testing import CliRunner

import cranpm.forecast.load
import cranpm.forecast.source
import cranpm.verify.report
from cranpm.errors import CranpmError
from cranpm.forecast.commands import forecast
from cranpm.forecast.inputs import WITHOUT_PAST
from cranpm.verify.baselines import write_fitted
from cranpm.verify.commands import evaluate
from tests.forecast.fake_store import FIRST, ConstantEngine, PastEngine, made_up_past, make_store

DAY = FIRST + dt.timedelta(days=2)


@pytest.fixture
def shell(monkeypatch, tmp_path):
    """The commands on the made-up store, which no shipped baselines fit, and an engine that reads the past."""
    store = make_store()
    monkeypatch.setattr(cranpm.forecast.load, "load_engine", lambda *_: PastEngine())
    monkeypatch.setattr(cranpm.forecast.source, "open_store", lambda *_, **__: store)
    monkeypatch.chdir(tmp_path)
    for name, seed in (("one.nc", 3), ("other.nc", 4)):
        write_fitted(tmp_path / name, made_up_past(store.fine, store.coarse, seed))

    def run(app, *words):
        result = CliRunner().invoke(app, ["india", *words], catch_exceptions=False)
        assert result.exit_code == 0, result.output
        return " ".join(result.output.split())

    return run


def written(folder: str) -> tuple[np.ndarray, str]:
    """The map of tomorrow, and what the file says of itself."""
    with netCDF4.Dataset(next(Path(folder).glob("*.nc"))) as file:
        return np.ma.filled(file["pm2p5"][0, 0], np.nan), str(file.comment)


def test_a_forecast_without_a_past_says_so_and_why(shell):
    told = shell(forecast, "--date", str(DAY), "--leads", "1", "--out", "maps")
    assert f"NO PAST: {WITHOUT_PAST} (the pack's baselines were fitted on another window" in told
    assert f"NO PAST: {WITHOUT_PAST} (the pack's baselines" in written("maps")[1]


def test_the_baselines_that_are_named_are_the_past_of_the_forecast(shell):
    maps = {}
    for name in ("one", "other"):
        told = shell(forecast, "--date", str(DAY), "--leads", "1", "--out", name, "--baselines", f"{name}.nc")
        assert "NO PAST" not in told
        maps[name], comment = written(name)
        assert "NO PAST" not in comment
    shell(forecast, "--date", str(DAY), "--leads", "1", "--out", "none")
    assert np.nanmax(np.abs(maps["one"] - maps["other"])) > 1
    assert np.nanmax(np.abs(maps["one"] - written("none")[0])) > 1


def test_baselines_that_would_not_be_used_are_refused_before_any_work(shell, monkeypatch):
    def work(*_):
        raise AssertionError("a store was opened, or simulated, for nothing")

    monkeypatch.setattr(cranpm.forecast.source, "open_store", work)
    with pytest.raises(CranpmError, match="no fitted baselines"):
        shell(forecast, "--date", str(DAY), "--baselines", "absent.nc")
    monkeypatch.setattr(cranpm.forecast.load, "load_engine", lambda *_: ConstantEngine())
    with pytest.raises(CranpmError, match="'constant' reads nothing of the past; leave it out"):
        shell(forecast, "--date", str(DAY), "--baselines", "one.nc")


def test_a_report_without_a_past_says_so_and_one_with_it_does_not(shell, monkeypatch):
    notes: list[tuple[str, ...]] = []

    def keep_notes(folder, pack, engine, store, found, *_):
        notes.append(found.notes)
        return SimpleNamespace(verdict=(), path=folder)

    monkeypatch.setattr(cranpm.verify.report, "write_report", keep_notes)
    for baselines in ((), ("--baselines", "one.nc")):
        shell(evaluate, "--days", str(DAY), "--leads", "1", "--out", "report", *baselines)
    without, with_past = notes
    assert WITHOUT_PAST in without and WITHOUT_PAST not in with_past
