"""Damaged inputs as a forecaster meets them, through the command line: handled, or refused in one line.

Whatever is refused leaves the output folder as it was: no half file, no temporary one, no lock.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from cranpm.cli import main
from cranpm.data.days import parse_days
from cranpm.data.store import Store
from cranpm.grid import Grid
from cranpm.model.checkpoint import Checkpoint, write_checkpoint
from cranpm.model.network import CranPM
from cranpm.model.statistics import nominal
from cranpm.region import load_region
from cranpm.sample import terrain
from cranpm.sample.files import write_files
from cranpm.sample.world import World
from tests.model.examples import TINY

ROOT = Path(__file__).parents[1]
DAYS = parse_days("2022-01-10..2022-01-13")
BAD = DAYS[1]
PRESSURE = "era5/era5_20220111_pl.nc"
CAMS = "cams/cams_20220111.zip"
GHAP = "ghap/GHAP_PM2.5_D1K_20220111_V1.nc"
WINDOW = """sample:  # across Greenwich, so that 0-360 longitudes matter
  coarse: {north: 48.0, west: -2.0, height: 12, width: 16}
  fine: {north: 47.0, west: -1.0, height: 96, width: 80}
  overlap: 8
"""


@dataclass(frozen=True)
class Place:
    """What every case starts from; cases copy what they damage.

    Attributes:
        pack: a pack whose sample window is tiny.
        files: its simulated files of `DAYS`.
        store: the store that the command made of them.
        checkpoint: an untrained network that says it was trained for 1, 2 and 3 days.
    """

    pack: Path
    files: Path
    store: Path
    checkpoint: Path


def write_pack(path: Path, window: str = WINDOW, name: str = "greenwich") -> Path:
    """Europe's pack with another name and another sample window."""
    text = (ROOT / "regions" / "packs" / "europe.yaml").read_text(encoding="utf-8")
    text = text.replace("name: europe\n", f"name: {name}\n", 1)
    text, count = re.subn(r"^sample:.*?(?=^  climate:)", window, text, flags=re.DOTALL | re.MULTILINE)
    assert count == 1
    path.write_text(text, encoding="utf-8")
    return path


def shore(grid: Grid) -> np.ndarray:
    """A straight coast, so that these tests need no map of the world."""
    return np.broadcast_to(grid.lons < -0.3, grid.shape).copy()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("inputs")
    pack = write_pack(folder / "greenwich.yaml")
    config = replace(TINY, coarse_shape=(12, 16))
    about = Checkpoint("tiny", config, nominal(), trained_leads=(1, 2, 3), region="europe", simulated=True)
    torch.manual_seed(0)
    write_checkpoint(folder / "tiny", about, CranPM(config, nominal()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(terrain, "is_land", shore)
        write_files(World(load_region(pack)), DAYS, folder / "files")
        prepare = ["data", "prepare", str(pack), "--from", str(folder / "files"), "--out", str(folder / "store.zarr")]
        with pytest.raises(SystemExit) as done:
            main(prepare)
        assert not done.value.code
        yield Place(pack, folder / "files", folder / "store.zarr", folder / "tiny")


@pytest.fixture
def files(place: Place, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place.files, tmp_path / "in" / "files"))


@pytest.fixture
def store(place: Place, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place.store, tmp_path / "in" / "store.zarr"))


@pytest.fixture
def checkpoint(place: Place, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place.checkpoint, tmp_path / "in" / "tiny"))


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The folder that commands write into, and nothing else does."""
    (tmp_path / "out").mkdir()
    return tmp_path / "out"


Command = Callable[..., tuple[int, str]]


@pytest.fixture
def cranpm(capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs the command line; returns its exit status and its stderr."""

    def run(*words: object) -> tuple[int, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main([str(word) for word in words])
        return int(end.value.code or 0), capsys.readouterr().err

    return run


def tree(folder: Path) -> dict[str, bytes | None]:
    """Every file, hidden ones too, with its content; None for a folder."""
    found = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in found}


def assert_refused(ended: tuple[int, str], *words: str) -> str:
    """Status 2 and one error line, at the end of stderr, that says what is wanted of it."""
    status, err = ended
    lines = [line for line in err.splitlines() if line.strip()]
    assert status == 2 and "Traceback" not in err and "Warning" not in err, err
    assert [line for line in lines if line.startswith("error: ")] == lines[-1:], err
    for word in words:
        assert re.search(word, lines[-1]), f"{word!r} not in {lines[-1]!r}"
    return lines[-1]


def edit(path: Path, change: Callable[[xr.Dataset], xr.Dataset], member: str = "") -> None:
    """Replace a NetCDF file, or one in a zip, by what `change` makes of it."""
    if not member:
        changed = change(xr.load_dataset(path, decode_times=False))
        changed.to_netcdf(path)
        return
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    part = path.with_name(member)
    part.write_bytes(content[member])
    edit(part, change)
    content[member] = part.read_bytes()
    part.unlink()
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


# --- files that a download or a habit has damaged: cranpm data prepare ---


def truncate(files: Path) -> None:
    (files / PRESSURE).write_bytes((files / PRESSURE).read_bytes()[:-4000])


def web_page(files: Path) -> None:
    (files / GHAP).write_text("<!DOCTYPE html><html><body>503 Service Unavailable</body></html>")


def nan_channel(files: Path) -> None:
    edit(files / PRESSURE, lambda data: data.assign(q=data.q.where(data.pressure_level != 850)))


def celsius(files: Path) -> None:
    edit(files / PRESSURE, lambda data: data.assign(t=(data.t - 273.15).assign_attrs(data.t.attrs)))


def no_ozone(files: Path) -> None:
    for path in sorted((files / "cams").iterdir()):
        edit(path, lambda data: data.drop_vars("go3"), "data_plev.nc")


def no_day(files: Path) -> None:
    (files / GHAP).unlink()
    (files / CAMS).unlink()


REFUSED = {
    "truncated NetCDF": (truncate, [r"era5_20220111_pl\.nc", "truncated or damaged", "download it again"]),
    "web page saved as NetCDF": (web_page, [r"GHAP_PM2\.5_D1K_20220111_V1\.nc", "web page", "again"]),
    "NaN channel": (nan_channel, [r"era5_20220111_pl\.nc", "'q_850'", "missing values", "2022-01-11"]),
    "degrees Celsius called kelvin": (celsius, ["'t_500'", "2022-01-11", "180 to 340 K", "degrees C"]),
    "missing variable": (no_ozone, ["o3", "request o3", "https://ads.atmosphere.copernicus.eu"]),
    "missing day": (no_day, ["CAMS", "GHAP", "2022-01-11", r"https://zenodo\.org"]),
}


@pytest.mark.parametrize("damage", REFUSED)
def test_damaged_files_are_refused_and_nothing_is_written(
    place: Place, files: Path, out: Path, cranpm: Command, damage: str
) -> None:
    spoil, words = REFUSED[damage]
    spoil(files)
    assert_refused(
        cranpm("data", "prepare", place.pack, "--from", files, "--out", out / "s.zarr", "--days", BAD), *words
    )
    assert tree(out) == {}


def south_first(files: Path) -> None:
    turned = slice(None, None, -1)
    edit(files / PRESSURE, lambda data: data.isel(latitude=turned))
    edit(files / CAMS, lambda data: data.isel(latitude=turned), "data_sfc.nc")
    edit(files / GHAP, lambda data: data.isel(lat=turned))


def eastward_from_greenwich(files: Path) -> None:
    edit(files / PRESSURE, lambda data: data.assign_coords(longitude=data.longitude % 360))
    edit(files / CAMS, around_the_world, "data_sfc.nc")
    edit(files / GHAP, lambda data: data.assign_coords(lon=data.lon % 360))


def around_the_world(data: xr.Dataset) -> xr.Dataset:
    """The same values in a global file that runs from 0 to 359.75 E."""
    shifted = data.assign_coords(longitude=(data.longitude % 360).assign_attrs(data.longitude.attrs))
    return shifted.reindex(longitude=np.arange(0, 360, 0.25), fill_value=1e-9)


@pytest.mark.parametrize("turn", [south_first, eastward_from_greenwich])
def test_other_axes_give_the_same_store(
    place: Place, files: Path, out: Path, cranpm: Command, turn: Callable[[Path], None]
) -> None:
    before = tree(files)
    turn(files)
    assert tree(files) != before
    status, err = cranpm("data", "prepare", place.pack, "--from", files, "--out", out / "s.zarr", "--days", BAD)
    assert status == 0 and "error" not in err
    made, expected = Store.open(out / "s.zarr"), Store.open(place.store)
    np.testing.assert_array_equal(made.coarse_day(BAD), expected.coarse_day(BAD))
    np.testing.assert_array_equal(made.pm(BAD), expected.pm(BAD))
    assert [path.name for path in out.iterdir()] == ["s.zarr"]


def test_a_bad_day_is_not_added_and_the_store_stays_as_it_was(
    place: Place, files: Path, out: Path, cranpm: Command
) -> None:
    prepare = ["data", "prepare", place.pack, "--from", files, "--out", out / "s.zarr", "--days"]
    assert cranpm(*prepare, DAYS[0])[0] == 0
    before = tree(out)
    truncate(files)
    assert_refused(cranpm(*prepare, BAD), "2022-01-11")
    assert tree(out) == before


def test_a_pack_for_another_place_than_the_files_is_refused(place: Place, out: Path, cranpm: Command) -> None:
    ended = cranpm("data", "prepare", "india", "--from", place.files, "--out", out / "s.zarr")
    assert_refused(ended, "simulated for 'greenwich', not for 'india'")
    assert tree(out) == {}


# --- packs: cranpm region check and whatever reads them ---


@pytest.mark.parametrize(
    ("right", "wrong", "words"),
    [
        ("thresholds:", "treshold:", ["unknown key 'treshold'", "did you mean 'thresholds'"]),
        ("  fine: {north: 47.0, west: -1.0,", "  fine: {north: 47.0, west: -1.005,", ["not on the grid of 0.01", "-1"]),
        ("  fine: {north: 47.0,", "  fine: {north: 57.0,", ["sample.fine", "not inside the coarse one", "move or"]),
    ],
    ids=["misspelt key", "off the grid", "fine outside coarse"],
)
def test_a_wrong_pack_is_refused_with_its_line(
    place: Place, tmp_path: Path, out: Path, cranpm: Command, right: str, wrong: str, words: list[str]
) -> None:
    text = place.pack.read_text(encoding="utf-8")
    assert right in text
    pack = tmp_path / "mine.yaml"
    pack.write_text(text.replace(right, wrong), encoding="utf-8")
    line = 1 + text[: text.index(right)].count("\n")
    place_of_error = rf"mine\.yaml:{line}: "
    ended = cranpm("data", "prepare", pack, "--from", place.files, "--out", out / "s.zarr")
    assert_refused(ended, place_of_error, *words)
    assert tree(out) == {}
    assert cranpm("region", "check", pack)[0] == 2


# --- checkpoints: cranpm model show and cranpm forecast ---


def rename_channel(folder: Path) -> None:
    manifest = json.loads((folder / "checkpoint.json").read_text())
    channels = manifest["config"]["channels"]
    channels[channels.index("no2_t")] = "nox_t"
    manifest["statistics"]["coarse"]["nox_t"] = manifest["statistics"]["coarse"].pop("no2_t")
    (folder / "checkpoint.json").write_text(json.dumps(manifest))


def cut_weights(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])


def cut_manifest(folder: Path) -> None:
    manifest = folder / "checkpoint.json"
    manifest.write_text(manifest.read_text()[:200])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (rename_channel, ["checkpoint.json", "'nox_t'", "'no2_t'"]),
        (cut_weights, ["weights.safetensors", "damaged", "copy both files again"]),
        (cut_manifest, ["checkpoint.json", "not valid JSON", "copy the checkpoint again"]),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    place: Place, checkpoint: Path, out: Path, cranpm: Command, spoil: Callable[[Path], None], words: list[str]
) -> None:
    spoil(checkpoint)
    assert_refused(cranpm("model", "show", checkpoint), *words)
    ended = cranpm(
        "forecast", place.pack, "--date", BAD, "--data", place.store, "--model", checkpoint, "--out", out / "maps"
    )
    assert_refused(ended, *words)
    assert tree(out) == {}


# --- stores and options: cranpm forecast and cranpm region eval ---


def test_the_undamaged_inputs_make_a_forecast(place: Place, out: Path, cranpm: Command) -> None:
    """What all refusals below are told from."""
    line = ("forecast", place.pack, "--date", BAD, "--data", place.store, "--model", place.checkpoint, "--out", out)
    status, err = cranpm(*line)
    assert status == 0 and "error" not in err
    assert {path.suffix for path in out.iterdir()} == {".nc", ".png"}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--date", "2022-02-01"], ["2022-01-31 and 2022-02-01", r"2022-01-10\.\.2022-01-13", "another --date"]),
        (["--date", "2022-13-01"], ["2022-13-01"]),
        (["--leads", "1", "4"], ["lead 4", "1, 2, 3"]),
        (["--model", "papr-96m"], ["no model 'papr-96m'", "did you mean 'paper-96m'", "folder's path"]),
        (["--out", "FILE"], ["FILE is a file, not a folder", "another --out"]),
    ],
    ids=["date outside the store", "no such date", "untrained lead", "misspelt model", "unwritable folder"],
)
def test_an_impossible_forecast_is_refused(
    place: Place, tmp_path: Path, out: Path, cranpm: Command, monkeypatch: pytest.MonkeyPatch, options: list[str],
    words: list[str],
) -> None:  # fmt: skip
    (tmp_path / "FILE").write_text("not a folder")
    monkeypatch.chdir(tmp_path)
    line = ["forecast", place.pack, "--date", BAD, "--data", place.store, "--model", place.checkpoint, "--out", out]
    before = tree(tmp_path)
    assert_refused(cranpm(*line, *options), *words)
    assert tree(tmp_path) == before


def raw_folder(place: Place, store: Path) -> Path:
    return place.files


def other_window(place: Place, store: Path) -> Path:
    """As a store made for another version of the pack."""
    header = json.loads((store / "zarr.json").read_text())
    header["attributes"]["fine"]["north"] += 0.5
    (store / "zarr.json").write_text(json.dumps(header))
    return store


def killed(place: Place, store: Path) -> Path:
    """As a run that was killed in its third day: chunks of the day there, the day not marked ready."""
    import zarr

    zarr.open_array(store, path="coarse/ready", mode="r+")[BAD.day - DAYS[0].day] = 0
    (store / "fine" / "pm2p5" / "c" / "1" / "0" / "0").unlink()
    return store


def cut_chunk(place: Place, store: Path) -> Path:
    """As a copy that ran out of disk."""
    chunk = store / "coarse" / "data" / "c" / "1" / "0" / "0" / "0"
    chunk.write_bytes(chunk.read_bytes()[:1000])
    return store


def cut_header(place: Place, store: Path) -> Path:
    (store / "zarr.json").write_text((store / "zarr.json").read_text()[:100])
    return store


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (raw_folder, ["not a prepared store", r"cranpm data prepare /\S+\.yaml --from"]),
        (other_window, ["grids are not those of pack 'greenwich'", r"data prepare /\S+\.yaml .*NEW\.zarr"]),
        (killed, ["2022-01-11|issue day", r"holds 2022-01-10,2022-01-12\.\.2022-01-13", "prepare th"]),
        (cut_chunk, ["store.zarr", "2022-01-11", "damaged", "prepare"]),
        (cut_header, ["zarr.json", "prepare another store"]),
    ],
)
@pytest.mark.parametrize("command", ["forecast", "eval"])
def test_a_wrong_store_is_refused(
    place: Place, store: Path, out: Path, cranpm: Command, spoil: Callable[[Place, Path], Path], words: list[str],
    command: str,
) -> None:  # fmt: skip
    given = spoil(place, store)
    before = tree(given)
    rest = [place.pack, "--data", given, "--model", place.checkpoint, "--out", out / "new"]
    if command == "forecast":
        ended = cranpm("forecast", *rest, "--date", BAD)
        assert_refused(ended, *words)
    else:
        ended = cranpm("region", "eval", *rest, "--days", BAD, "--leads", "1")
        assert_refused(ended, *words)
    assert tree(out) == {} and tree(given) == before


def test_a_store_whose_making_was_killed_is_completed_by_the_same_line(
    place: Place, store: Path, cranpm: Command
) -> None:
    killed(place, store)
    assert Store.open(store).days == (DAYS[0], *DAYS[2:])
    status, _ = cranpm("data", "prepare", place.pack, "--from", place.files, "--out", store)
    assert status == 0 and Store.open(store).days == DAYS
    np.testing.assert_array_equal(Store.open(store).pm(BAD), Store.open(place.store).pm(BAD))


def test_a_report_that_cannot_be_written_is_refused(place: Place, tmp_path: Path, cranpm: Command) -> None:
    (tmp_path / "FILE").write_text("not a folder")
    line = ("region", "eval", place.pack, "--data", place.store, "--model", place.checkpoint, "--days", BAD)
    before = tree(tmp_path)
    assert_refused(
        cranpm(*line, "--leads", "1", "--out", tmp_path / "FILE" / "report"),
        "FILE is a file, not a folder",
        "another --out",
    )
    assert tree(tmp_path) == before


# --- the same from a shell ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["data", "prepare", "PACK", "--from", "FILES", "--out", "s.zarr", "--days", str(BAD)], "truncated or damaged"),
        (["forecast", "PACK", "--date", str(BAD), "--data", "FILES", "--model", "CHECKPOINT"], "cranpm data prepare"),
    ],
)
def test_from_a_shell(place: Place, files: Path, out: Path, words: list[str], said: str) -> None:
    truncate(files)
    given = {"PACK": place.pack, "FILES": files, "CHECKPOINT": place.checkpoint}
    command = [sys.executable, "-m", "cranpm", *(str(given.get(word, word)) for word in words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=out, env=environment, timeout=120, check=False)
    assert_refused((done.returncode, done.stderr), said)
    assert tree(out) == {}
