"""Products into a store: complete, resumable, idempotent, or refused with what is missing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cranpm.data.composition import require_composition
from cranpm.data.days import parse_days
from cranpm.data.layout import STORE_CHANNELS
from cranpm.data.prepare import file_hash, prepare, store_header
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.grid import Grid, coarse_grid, fine_grid
from cranpm.region import Window, load_region
from cranpm.sample import terrain
from cranpm.sample.direct import write_store
from cranpm.sample.files import write_files
from cranpm.sample.world import World

WINDOW = Window(coarse_grid(47, 7, 12, 16), fine_grid(46, 8.5, 48, 60), 16)
DAYS = parse_days("2022-01-05..2022-01-08")
ROOT = Path(__file__).parents[2]


def shore(grid: Grid) -> np.ndarray:
    """A straight coast, so that these tests need no map of the world."""
    return np.broadcast_to(grid.lons < 9.0, grid.shape).copy()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terrain, "is_land", shore)
        yield World(load_region("europe"), window=WINDOW)


@pytest.fixture(scope="module")
def files(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "files"
    write_files(world, DAYS, folder)
    return folder


@pytest.fixture
def folder(files: Path, tmp_path: Path) -> Path:
    """A copy of the files to be damaged at will."""
    return Path(shutil.copytree(files, tmp_path / "files"))


@pytest.fixture(scope="module")
def store(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store.open(prepare(load_region("europe"), files, tmp_path_factory.mktemp("store") / "s.zarr"))


def content(path: Path) -> tuple[np.ndarray, ...]:
    store = Store.open(path)
    ahead = np.stack([[store.forecast(day, lead) for lead in (1, 2, 3)] for day in store.days])
    return store.coarse_days(store.days), store.pm_days(store.days), ahead, store.elevation[:, :], store.land


def stamps(path: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in path.rglob("*")}


def test_store_from_files_equals_the_store_straight_from_the_world(store: Store, world: World, tmp_path: Path) -> None:
    direct = Store.open(write_store(world, DAYS, tmp_path / "direct.zarr"))
    assert store.days == direct.days == DAYS
    np.testing.assert_array_equal(store.pm_days(DAYS), direct.pm_days(DAYS))
    np.testing.assert_array_equal(store.land, direct.land)
    np.testing.assert_allclose(store.elevation[:, :], direct.elevation[:, :], atol=0.51)  # whole metres in the GeoTIFF
    assert set(store.stations().id) == set(direct.stations().id) != set()
    assert np.abs(store.coarse_elevation - direct.coarse_elevation).max() < 30  # pixels on a cell's edge go either way
    order = [direct.stations().id.index(name) for name in store.stations().id]
    np.testing.assert_allclose(store.station_pm(DAYS[2]), direct.station_pm(DAYS[2])[order], atol=0.06)
    by_file, straight = store.coarse_days(DAYS), direct.coarse_days(DAYS)
    spread = straight.std(axis=(0, 2, 3), keepdims=True)
    assert (np.abs(by_file - straight) / spread).max() < 0.05  # the formats round
    for lead in (1, 2, 3):
        issued, expected = store.forecast(DAYS[1], lead), direct.forecast(DAYS[1], lead)
        assert (np.abs(issued - expected) / spread[0]).max() < 0.05


def test_store_says_that_it_is_simulated_and_where_it_is_from(store: Store, files: Path) -> None:
    assert store.simulated and store.attrs["simulated"] == {"seed": 0, "realisation": 0, "world_version": 1}
    assert list(store.attrs["licences"]) == ["sample"]
    ghap = "ghap/GHAP_PM2.5_D1K_20220106_V1.nc"
    assert store.files["ghap"][ghap] == file_hash(files / ghap)
    assert len(store.files["ghap"]) == len(DAYS)


def test_real_store_names_the_providers_and_their_terms(folder: Path) -> None:
    (folder / "SIMULATED.json").unlink()
    header, region = store_header(load_region("europe"), folder), load_region("europe")
    assert header.world == "real" and header.simulated is None
    assert {"era5", "cams", "ghap", "terrain", "stations"} <= set(header.licences)
    assert header.licences["era5"]["licence"] == region.sources["era5"].licence
    assert (header.coarse, header.fine) == (region.coarse, region.fine)


def test_second_run_writes_nothing(files: Path, tmp_path: Path) -> None:
    region, out = load_region("europe"), tmp_path / "s.zarr"
    prepare(region, files, out, days=DAYS[:2])
    before = stamps(out)
    prepare(region, files, out, days=DAYS[:2])
    assert stamps(out) == before
    prepare(region, files, out)
    assert Store.open(out).days == DAYS
    before = stamps(out)
    prepare(region, files, out)
    assert stamps(out) == before


KILLED = """
import os, signal, sys
from pathlib import Path
import cranpm.data.prepare as module
from cranpm.region import load_region
from cranpm.sample import terrain
from tests.data.test_prepare import shore

terrain.is_land = shore
record, count = module.day_record, 0
def dying(*arguments):
    global count
    count += 1
    if count == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return record(*arguments)
module.day_record = dying
module.prepare(load_region("europe"), Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_killed_run_leaves_finished_days_and_is_completed_by_the_next(
    store: Store, files: Path, tmp_path: Path
) -> None:
    out, environment = tmp_path / "killed.zarr", {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLED, str(files), str(out)]
    done = subprocess.run(command, env=environment, cwd=ROOT, check=False)
    assert done.returncode == -signal.SIGKILL
    assert Store.open(out).days == DAYS[:2]
    prepare(load_region("europe"), files, out)
    for found, expected in zip(content(out), content(store.path), strict=True):
        np.testing.assert_array_equal(found, expected)


def test_damaged_day_is_named_and_the_others_are_prepared(folder: Path, tmp_path: Path) -> None:
    broken = folder / "ghap" / "GHAP_PM2.5_D1K_20220106_V1.nc"
    broken.write_bytes(broken.read_bytes()[:3000])
    out = tmp_path / "s.zarr"
    with pytest.raises(CranpmError, match=r"unreadable: .*20220106.*truncated or damaged.*no 2022-01-06") as error:
        prepare(load_region("europe"), folder, out, days=DAYS)
    assert "\n" not in str(error.value) and not out.exists()
    prepare(load_region("europe"), folder, out)
    assert Store.open(out).days == parse_days("2022-01-05,2022-01-07..2022-01-08")


def test_day_that_fails_while_it_is_read_does_not_cost_the_others(folder: Path, tmp_path: Path) -> None:
    (folder / "era5" / "era5_20220107_tp00.nc").unlink()  # the last hour of the 6th
    out = tmp_path / "s.zarr"
    with pytest.raises(CranpmError, match=r"2022-01-06 not prepared: .*'tp' on 2022-01-06 lacks 1 of 24 hours"):
        prepare(load_region("europe"), folder, out)
    assert Store.open(out).days == parse_days("2022-01-05,2022-01-07..2022-01-08")


def test_folder_that_lacks_a_product_is_refused_and_nothing_is_written(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder / "cams")
    for days in (None, DAYS):
        with pytest.raises(CranpmError, match="CAMS analysis: found nothing; missing pm2p5") as error:
            prepare(load_region("europe"), folder, tmp_path / "s.zarr", days=days)
        assert "\n" not in str(error.value)
    assert not (tmp_path / "s.zarr").exists()


def test_folder_without_forecasts_still_makes_a_store(folder: Path, tmp_path: Path) -> None:
    shutil.rmtree(folder / "cams_forecast")
    shutil.rmtree(folder / "weather_forecast")
    store = Store.open(prepare(load_region("europe"), folder, tmp_path / "s.zarr", days=DAYS[:1]))
    assert np.isfinite(store.coarse_day(DAYS[0])).all()
    with pytest.raises(CranpmError, match="no forecast of"):
        store.forecast(DAYS[0], 1)


def test_cams_forecast_alone_is_given_by_channel(folder: Path, tmp_path: Path, store: Store) -> None:
    shutil.rmtree(folder / "weather_forecast")
    alone = Store.open(prepare(load_region("europe"), folder, tmp_path / "s.zarr", days=DAYS[:1]))
    expected = store.forecast(DAYS[0], 2)[STORE_CHANNELS.index("pm2p5")]
    np.testing.assert_array_equal(alone.forecast(DAYS[0], 2, channels=["pm2p5"])[0], expected)


def test_wrong_region_and_wrong_folder_are_refused(files: Path, tmp_path: Path) -> None:
    with pytest.raises(CranpmError, match="simulated for 'europe', not for 'india'"):
        prepare(load_region("india"), files, tmp_path / "s.zarr")
    with pytest.raises(CranpmError, match="no such folder"):
        prepare(load_region("europe"), tmp_path / "absent", tmp_path / "s.zarr")


def test_store_of_another_window_is_not_added_to(files: Path, store: Store, tmp_path: Path) -> None:
    moved = Window(WINDOW.coarse, fine_grid(46, 8.6, 48, 60), 16)
    with pytest.raises(CranpmError, match="fine grid"):
        prepare(load_region("europe"), files, store.path, window=moved)


def test_command_prepares_says_what_is_new_and_refuses_in_one_line(
    files: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from cranpm.cli import main

    line = ["data", "prepare", "europe", "--from", str(files), "--out", str(tmp_path / "s.zarr"), "--days"]
    for days, new in (("2022-01-05", 1), ("2022-01-05..2022-01-06", 1), ("2022-01-06", 0)):
        with pytest.raises(SystemExit) as done:
            main([*line, days])
        assert not done.value.code and f"{new} of them new" in capsys.readouterr().out
    with pytest.raises(SystemExit) as refused:
        main([*line, "2023-01-01"])
    assert refused.value.code == 2
    message = capsys.readouterr().err.strip().splitlines()[-1]
    assert message.startswith("error: ") and "2023-01-01" in message


@pytest.fixture(scope="module")
def sharpened(world: World, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first day's composition at 0.75 degrees every 3 hours, and a file of it sharpened."""
    from cranpm.composition.deepcams.files import sharpen_file
    from cranpm.composition.deepcams.reanalysis import open_reanalysis
    from cranpm.composition.deepcams.sharpen import Engine
    from cranpm.sample.eac4 import write_eac4

    folder = tmp_path_factory.mktemp("eac4")
    today, tomorrow = world.days(DAYS[:2])
    write_eac4(world.coarse, today, tomorrow, folder / "raw")
    sharpen_file(open_reanalysis([folder / "raw"]), Engine.plain(), folder / "sharpened.nc")
    return folder


def with_composition(files: Path, tmp_path: Path, *extra: Path) -> Path:
    """The first days' files with other CAMS files instead."""
    folder = Path(shutil.copytree(files, tmp_path / "files"))
    shutil.rmtree(folder / "cams")
    for path in extra:
        (shutil.copytree if path.is_dir() else shutil.copy)(path, folder / path.name)
    return folder


def test_sharpened_composition_is_used_where_it_is_wanted(files, sharpened, store, tmp_path):
    region, folder = load_region("europe"), with_composition(files, tmp_path, *sharpened.iterdir())
    channel = STORE_CHANNELS.index("pm2p5")
    raw, sharp = (
        Store.open(prepare(region, folder, tmp_path / f"{kind}.zarr", days=DAYS[:1], composition=kind))
        .coarse_day(DAYS[0])[channel]
        for kind in ("raw", "sharpened")
    )  # fmt: skip
    assert not np.allclose(raw, sharp) and np.abs(raw - sharp).max() < 0.5 * sharp.mean()
    for kind, other in (("raw", "sharpened"), ("sharpened", "raw")):
        made = Store.open(tmp_path / f"{kind}.zarr")
        assert made.composition == {kind: {DAYS[0]}}
        require_composition(made, kind, DAYS[:1])
        with pytest.raises(CranpmError, match=rf"2022-01-05 {kind}; expected {other}: .* --composition {other}"):
            require_composition(made, other, DAYS[:1])
    by_year = replace(region, sharpened=(2022,))
    assert np.array_equal(
        Store.open(prepare(by_year, folder, tmp_path / "pack.zarr", days=DAYS[:1])).coarse_day(DAYS[0])[channel], sharp
    )


def test_a_store_that_does_not_say_where_its_composition_is_from_is_not_taken_for_either(store, world, tmp_path):
    assert store.composition == {"raw": set(store.days)}
    silent = Store.open(write_store(world, DAYS, tmp_path / "direct.zarr"))
    with pytest.raises(CranpmError, match="of a kind it does not say; expected raw"):
        require_composition(silent, "raw", silent.days)


def test_composition_that_is_to_be_sharpened_first_is_refused_with_the_command(files, sharpened, tmp_path):
    region, folder = load_region("europe"), with_composition(files, tmp_path, sharpened / "raw")
    with pytest.raises(CranpmError, match=r"2022-01-05 not sharpened.*cranpm composition sharpen eac4_20220105"):
        prepare(region, folder, tmp_path / "s.zarr", days=DAYS[:1], composition="sharpened")
