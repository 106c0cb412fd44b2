"""Adapters on an engine: they take turns on one base, and leave no trace when they are taken off."""

import datetime as dt
import json
import shutil
from dataclasses import replace

import netCDF4
import numpy as np
import pytest
from typer.testing import CliRunner

import cranpm.forecast.source
from cranpm.data.days import format_days, needed_days
from cranpm.data.progress import silent
from cranpm.errors import CranpmError
from cranpm.forecast.commands import _known_past, forecast, write_day
from cranpm.forecast.engine import check_leads
from cranpm.forecast.load import load_engine
from cranpm.forecast.run import assemble_map
from cranpm.forecast.run import forecast as run
from cranpm.model.adapter import read_adapter, write_manifest
from cranpm.region import load_region
from cranpm.verify.baselines import write_fitted
from cranpm.verify.commands import evaluate, shared_days
from tests.forecast.fake_store import FIRST, ConstantEngine, PastEngine, made_up_past, make_store
from tests.model.adapters import about, write_adapter, write_base

pytest.importorskip("peft")
DAY = FIRST + dt.timedelta(days=3)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def adapters(base, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    monsoon = write_adapter(folder / "monsoon", base, seed=1)
    return monsoon, write_adapter(folder / "winter", base, seed=2, rank=2, whole=("decoder",), leads=(1, 2), detail={})


@pytest.fixture(scope="module")
def store():
    store = make_store()
    store.coarse_elevation  # noqa: B018  # made once
    return store


def forecast_map(engine, store) -> np.ndarray:
    (lead,) = run(engine, store, DAY, [1])
    return assemble_map(lead.strips, store.fine.shape)[0]


def weights(engine) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in engine._network.state_dict().items()}


def test_an_adapter_changes_the_forecast_and_leaves_no_trace(base, adapters, store):
    engine = load_engine(str(base.folder), device="cpu")
    before, plain = weights(engine), forecast_map(engine, store)
    engine.wear(adapters[0])
    assert np.nanstd(forecast_map(engine, store) - plain) > 0.1
    engine.wear(None)
    after = weights(engine)
    assert all(np.array_equal(after[name], values) for name, values in before.items())
    np.testing.assert_array_equal(forecast_map(engine, store), plain)


def test_adapters_take_turns_without_reading_the_base_again(base, adapters, store, tmp_path):
    folder = shutil.copytree(base.folder, tmp_path / "tiny")
    alone = [forecast_map(load_engine(str(folder), False, "cpu", adapter), store) for adapter in adapters]
    engine = load_engine(str(folder), device="cpu")
    before = weights(engine)
    shutil.rmtree(folder)
    for k in (0, 1, 0, 0, 1):
        engine.wear(adapters[k])
        np.testing.assert_array_equal(forecast_map(engine, store), alone[k])
    assert np.nanstd(alone[0] - alone[1]) > 0.1
    engine.wear(None)
    assert all(np.array_equal(values, before[name]) for name, values in weights(engine).items())


def test_an_adapter_that_does_not_fit_changes_nothing(base, adapters, store):
    engine = load_engine(str(base.folder), False, "cpu", adapters[0])
    worn, spec = weights(engine), engine.spec
    with pytest.raises(CranpmError, match="was trained on 'tiny'"):
        engine.wear(replace(adapters[1], base_hash="77" * 32))
    with pytest.raises(CranpmError, match="changed on disk"):
        engine.wear(replace(adapters[1], hash="77" * 32))
    assert engine.spec is spec
    assert all(np.array_equal(values, worn[name]) for name, values in weights(engine).items())


def test_the_engine_says_what_it_wears(base, adapters):
    engine = load_engine(str(base.folder), device="cpu")
    assert (engine.spec.label, engine.spec.adapter, engine.spec.detail) == ("tiny", None, {1: 0.4, 2: 0.7})
    engine.wear(adapters[0])
    spec = engine.spec
    assert (spec.label, spec.adapter.hash) == ("tiny with adapter monsoon", adapters[0].hash)
    assert spec.adapter.trained_on == "simulated india, 2021-07-01..2021-08-20"
    assert spec.detail == {1: 0.4, 2: 0.9} and spec.hash == base.hash
    engine.wear(adapters[1])
    assert engine.spec.detail == {1: 0.4, 2: 0.7} and engine.spec.trained_leads == (1, 2)
    with pytest.raises(CranpmError, match="lead 3: 'tiny with adapter winter' was trained for leads 1, 2"):
        check_leads(engine.spec, (3,))


@pytest.fixture
def shell(monkeypatch, tmp_path, store):
    """The commands on a made-up store."""
    monkeypatch.setattr(cranpm.forecast.source, "open_store", lambda *_, **__: store)
    monkeypatch.chdir(tmp_path)

    def call(command, *words):
        return CliRunner().invoke(command, [str(word) for word in words], catch_exceptions=False)

    return call


def test_a_forecast_file_names_the_adapter(shell, base, adapters, tmp_path):
    words = ("india", "--date", DAY, "--leads", "1", "--model", base.folder, "--device", "cpu")
    maps = []
    for more in ((), ("--adapter", adapters[0].home)):
        done = shell(forecast, *words, *more)
        assert done.exit_code == 0, done.output
        with netCDF4.Dataset(tmp_path / "forecasts" / f"cranpm_india_{DAY:%Y%m%d}.nc") as file:
            maps.append(file["pm2p5"][:].filled(np.nan))
            said = {name: file.getncattr(name) for name in file.ncattrs()}
        assert ("adapter_name" in said) == bool(more) == ("Adapter   monsoon" in done.output)
    assert np.nanstd(maps[0] - maps[1]) > 0.1
    assert (said["adapter_name"], said["adapter_hash"], said["adapter_region"]) == (
        "monsoon",
        adapters[0].hash,
        "india",
    )
    assert said["adapter_simulated"] == "yes" and "simulated india" in said["adapter_trained_on"]
    assert json.loads(said["adapter_days"])["train"] == "2021-07-01..2021-08-10"
    assert "with adapter 'monsoon'" in said["source"] and said["model_hash"] == base.hash


@pytest.mark.slow
def test_a_report_names_the_adapter_and_days_it_has_seen(shell, base, adapters, tmp_path):
    pytest.importorskip("scores")
    pytest.importorskip("skimage")
    seen = shutil.copytree(adapters[0].home, tmp_path / "seen")
    local = format_days(needed_days([DAY]))
    write_manifest(seen, replace(about(base), days={"train": local}))
    days = f"{FIRST + dt.timedelta(days=1)}..{FIRST + dt.timedelta(days=4)}"
    words = ("india", "--days", days, "--leads", "1", "--model", base.folder, "--device", "cpu")
    done = shell(evaluate, *words, "--adapter", seen, "--out", "report")
    assert done.exit_code == 0, done.output
    document = json.loads((tmp_path / "report" / "report.json").read_text())
    made = document["provenance"]["adapter"]
    assert (document["adapter"], made["hash"], made["region"]) == ("seen", adapters[0].hash, "india")
    assert made["simulated"] is True and made["days"] == {"train": local}
    assert any("4 of the 4 days share maps" in note for note in document["notes"])
    page = (tmp_path / "report" / "report.html").read_text()
    for words in ("tiny with adapter seen over", "adapted to simulated india", adapters[0].hash[:16], "flatter it"):
        assert words in page


def test_days_are_shared_where_an_input_or_a_truth_is(base, adapters):
    spec = replace(ConstantEngine().spec, adapter=replace(adapters[0], days={"train": "2021-07-09..2021-07-13"}))
    days = [dt.date(2021, 7, day) for day in range(1, 31)]
    shared = [day.day for day in days if shared_days(spec, [day], (1,))]
    assert shared == list(range(8, 15))  # needs t-1..t+1
    assert shared_days(replace(spec, adapter=None), days, (1,)) == ""


def test_another_pack_is_refused_before_any_work(shell, base, adapters, monkeypatch):
    monkeypatch.setattr(cranpm.forecast.load, "load_engine", lambda *_: pytest.fail("the base was read for nothing"))
    for command, words in ((forecast, ("--date", DAY)), (evaluate, ("--days", DAY))):
        with pytest.raises(CranpmError, match="trained on pack 'india', asked for is 'usa_canada'"):
            shell(command, "usa_canada", *words, "--adapter", adapters[0].home)


@pytest.fixture
def local(base, adapters, store, tmp_path):
    """An adapter that brings what was fitted on its local days."""
    folder = shutil.copytree(adapters[0].home, tmp_path / "local")
    write_fitted(folder / "baselines.nc", made_up_past(store.fine, store.coarse, seed=8))
    write_manifest(folder, about(base))
    return read_adapter(folder)


def pack(tmp_path, store, seed: int | None = None):
    """A pack of the user's own, with baselines beside it where there is a seed."""
    path = tmp_path / "india.yaml"
    shutil.copyfile(load_region("india").path, path)
    if seed is not None:
        write_fitted(tmp_path / "india.baselines.nc", made_up_past(store.fine, store.coarse, seed))
    return load_region(path)


def test_the_past_is_asked_for_then_the_packs_then_the_adapters(local, store, tmp_path):
    asked = tmp_path / "asked.nc"
    write_fitted(asked, made_up_past(store.fine, store.coarse, seed=9))
    expected = {seed: made_up_past(store.fine, store.coarse, seed).damping for seed in (7, 8, 9)}

    def found(region, chosen, adapter):
        fitted, _ = _known_past(region, PastEngine(), store, chosen, adapter)
        return None if fitted is None else fitted.damping

    bare = pack(tmp_path, store)
    assert found(bare, None, None) is None
    np.testing.assert_allclose(found(bare, None, local), expected[8], atol=0.01)
    np.testing.assert_allclose(found(bare, asked, local), expected[9], atol=0.01)
    np.testing.assert_allclose(found(pack(tmp_path, store, seed=7), None, local), expected[7], atol=0.01)


def test_an_adapters_past_changes_a_forecast_without_another(local, store, tmp_path):
    bare, maps = pack(tmp_path, store), []
    for adapter in (None, local):
        past, note = _known_past(bare, PastEngine(), store, None, adapter)
        written, _ = write_day(bare, PastEngine(), store, DAY, (1,), tmp_path, "netcdf", silent, past)
        with netCDF4.Dataset(written.path) as file:
            maps.append(file["pm2p5"][:].filled(np.nan))
    assert np.nanstd(maps[0] - maps[1]) > 0.5 and "of the adapter" in note


def test_an_adapters_past_of_another_window_does_not_serve(local, tmp_path):
    other = make_store(west=40.0)
    past, note = _known_past(pack(tmp_path, other), PastEngine(), other, None, local)
    assert past is None and "the adapter's fitted on another window" in note
