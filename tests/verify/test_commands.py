"""The commands, from the shell's side."""

import datetime as dt

import netCDF4
import pytest
from typer.testing import CliRunner

import cranpm.forecast.load
import cranpm.forecast.source
from cranpm.errors import CranpmError
from cranpm.forecast.commands import forecast
from cranpm.region import load_region
from cranpm.verify.commands import evaluate, fit
from cranpm.verify.fitting import check_years
from tests.forecast.fake_store import FIRST, ConstantEngine, make_store

DAYS = f"{FIRST + dt.timedelta(days=1)}..{FIRST + dt.timedelta(days=4)}"


@pytest.fixture
def shell(monkeypatch, tmp_path):
    """The commands on the made-up store and engine, in an empty folder."""
    store = make_store()
    monkeypatch.setattr(cranpm.forecast.load, "load_engine", lambda *_: ConstantEngine(0.01))
    monkeypatch.setattr(cranpm.forecast.source, "open_store", lambda *_, **__: store)
    monkeypatch.chdir(tmp_path)

    def run(app, *words):
        return CliRunner().invoke(app, list(words), catch_exceptions=False)

    return run


def test_forecast_writes_a_file_and_a_picture(shell, tmp_path):
    day = FIRST + dt.timedelta(days=2)
    result = shell(forecast, "india", "--date", str(day), "--leads", "1", "2", "--out", "maps")
    assert result.exit_code == 0, result.output
    assert "SIMULATED" in result.output
    names = {path.name for path in (tmp_path / "maps").iterdir()}
    assert names == {f"cranpm_india_{day:%Y%m%d}.nc", f"cranpm_india_{day:%Y%m%d}.png"}
    with netCDF4.Dataset(tmp_path / "maps" / f"cranpm_india_{day:%Y%m%d}.nc") as file:
        assert file["forecast_period"][:].tolist() == [1, 2]


def test_evaluation_writes_a_report_and_prints_the_verdict(shell, tmp_path):
    result = shell(evaluate, "india", "--days", DAYS, "--leads", "1", "2", "--out", "report")
    assert result.exit_code == 0, result.output
    assert "persistence" in result.output and "report.html" in result.output
    assert (tmp_path / "report" / "report.html").is_file() and (tmp_path / "report" / "report.json").is_file()


def test_wrong_leads_and_misspelt_baselines_are_found_before_any_work(shell, monkeypatch):
    def work(*_, **__):
        raise AssertionError("a store was opened, or simulated, for nothing")

    monkeypatch.setattr(cranpm.forecast.source, "open_store", work)
    for app, days in ((evaluate, "--days"), (forecast, "--date")):
        with pytest.raises(CranpmError, match="lead 4: 'constant' was trained for leads 1, 2, 3"):
            shell(app, "india", days, str(FIRST), "--leads", "4")
    with pytest.raises(CranpmError, match="no fitted baselines"):
        shell(evaluate, "india", "--days", DAYS, "--baselines", "absent.nc")


def test_nothing_is_written_into_a_store(shell, tmp_path):
    (tmp_path / "zarr.json").write_text("{}")
    for app, days in ((evaluate, "--days"), (forecast, "--date")):
        with pytest.raises(CranpmError, match="a Zarr store"):
            shell(app, "india", days, str(FIRST), "--out", str(tmp_path))
    assert [path.name for path in tmp_path.iterdir()] == ["zarr.json"]


def test_several_dates_are_refused(shell):
    with pytest.raises(CranpmError, match="one day is expected"):
        shell(forecast, "india", "--date", "2022-03")


def test_years_that_are_scored_are_not_fitted_on():
    with pytest.raises(CranpmError, match="--years 2022: kept for choosing and scoring"):
        check_years(load_region("india"), (2020, 2022))
    with pytest.raises(CranpmError, match="years with commas"):
        CliRunner().invoke(fit, ["india", "--years", "twenty"], catch_exceptions=False)
