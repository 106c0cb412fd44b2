"""The pack's sample as a store that is kept, and the days that `cranpm sample` writes."""

from __future__ import annotations

import sys
import threading
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cranpm.data.days import parse_days
from cranpm.data.store import Store
from cranpm.errors import CranpmError, MissingExtra
from cranpm.region import Region
from cranpm.sample import cache
from cranpm.sample.cache import sample_store
from cranpm.sample.commands import sample_days
from cranpm.sample.world import World
from tests.small_europe import small_europe


@pytest.fixture
def region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Region:
    return small_europe(monkeypatch, tmp_path / "cache")


def test_sample_is_made_once_and_grows_by_what_is_asked(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    path = sample_store(region, parse_days("2022-01-05..2022-01-06"))
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    with monkeypatch.context() as patch:
        patch.setattr("cranpm.sample.world.World", None)  # a second call simulates nothing
        assert sample_store(region, parse_days("2022-01-06")) == path
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before
    assert sample_store(region, parse_days("2022-07-01,2022-01-07")) == path
    store = Store.open(path)
    assert store.days == parse_days("2022-01-05..2022-01-07,2022-07-01")
    assert store.simulated and store.first == date(2016, 1, 1)
    assert sample_store(region, parse_days("2021-03-01")) == path  # earlier days, within the axis
    assert not (path.parent / "files").exists()
    store.require(region)


def test_other_worlds_have_other_stores(region: Region) -> None:
    day = parse_days("2022-01-05")
    paths = [sample_store(region, day), sample_store(region, day, seed=1), sample_store(region, day, realisation=1)]
    assert len(set(paths)) == 3
    stores = [Store.open(path) for path in paths]
    assert [store.attrs["simulated"]["realisation"] for store in stores] == [0, 0, 1]
    assert not np.array_equal(stores[0].pm(day[0]), stores[2].pm(day[0]), equal_nan=True)


def test_new_version_of_the_world_makes_a_new_store(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    first = sample_store(region, parse_days("2022-01-05"))
    monkeypatch.setattr("cranpm.sample.world.WORLD_VERSION", 99)
    assert sample_store(region, parse_days("2022-01-05")) != first


def test_days_before_the_axis_get_a_store_of_their_own(region: Region) -> None:
    usual, early = sample_store(region, parse_days("2022-01-05")), sample_store(region, parse_days("2010-01-05"))
    assert usual != early and Store.open(early).days == parse_days("2010-01-05")


def test_two_at_once_simulate_each_day_once(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    simulated, days = [], parse_days("2022-01-05..2022-01-07")
    original = World.days

    def counting(self: World, wanted: list[date]) -> object:
        simulated.extend(wanted)
        return original(self, wanted)

    monkeypatch.setattr(World, "days", counting)
    threads = [threading.Thread(target=sample_store, args=(region, days)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(simulated) == list(days)


def test_interrupted_sample_is_completed(region: Region, monkeypatch: pytest.MonkeyPatch) -> None:
    days, calls = parse_days("2022-01-05..2022-01-10"), []
    monkeypatch.setattr(cache, "_BLOCK", 2)

    def stop(what: str, done: int, total: int) -> None:
        calls.append(what)
        if what == "preparing days" and done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        sample_store(region, days, progress=stop)
    told: list[tuple[str, int, int]] = []
    path = sample_store(region, days, progress=lambda *line: told.append(line))
    assert Store.open(path).days == days
    assert told[0] == ("simulating europe", 0, 3) and told[-1] == ("preparing days", 3, 3)


def test_what_writes_elevation_is_missed_before_anything_is_simulated(
    region: Region, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cranpm.cli import main

    monkeypatch.setitem(sys.modules, "rasterio", None)
    monkeypatch.setattr("cranpm.sample.world.World", None)
    with pytest.raises(MissingExtra, match=r"cranpm\[terrain\]"):
        sample_store(region, parse_days("2022-01-05"))
    with pytest.raises(SystemExit):
        main(["sample", "europe", "--days", "1", "--out", str(tmp_path / "raw")])
    assert list(tmp_path.iterdir()) == []


def test_number_of_days_starts_at_the_packs_sample_days(region: Region) -> None:
    first = parse_days(region.sample.days[0])[0]
    assert sample_days(region, "3")[0] == first and len(sample_days(region, "3")) == 3
    assert sample_days(region, "2", "2021-12-31") == parse_days("2021-12-31..2022-01-01")
    assert len(sample_days(region, "2022")) == 365
    for text, start in (("0", None), ("2022-01-01", "2022-01-02"), ("many", None)):
        with pytest.raises(CranpmError):
            sample_days(region, text, start)


def test_command_writes_files_and_names_the_next_command(
    region: Region, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cranpm.cli import app

    monkeypatch.setattr("cranpm.region.load_region", lambda name: region)
    arguments = ["sample", "europe", "--days", "2", "--out", str(tmp_path / "raw")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    line = f"cranpm data prepare europe --from {tmp_path / 'raw'} --out {tmp_path / 'raw'}.zarr"
    assert line in result.output
    assert "simulated" in result.output
    assert len(list((tmp_path / "raw" / "ghap").iterdir())) == 2
