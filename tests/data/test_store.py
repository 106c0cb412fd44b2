"""The store: what was written comes back, in order, in units, or not at all."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import xarray as xr
import zarr

from cranpm.data.days import parse_days
from cranpm.data.layout import STORE_CHANNELS, StationTable
from cranpm.data.store import Store
from cranpm.data.writer import encode_pm, open_writer
from cranpm.errors import CranpmError
from cranpm.grid import coarse_grid
from tests.data.conftest import FIRST, HEADER, fixed, record

Write = Callable[[str], Path]


def test_day_comes_back_as_it_was_written(write: Write) -> None:
    store, day = Store.open(write("2022-01-01..2022-01-03")), date(2022, 1, 2)
    written = record(day)
    np.testing.assert_array_equal(store.coarse_day(day), written.coarse)
    np.testing.assert_array_equal(store.forecast(day, 3), written.forecast[2])
    np.testing.assert_allclose(store.pm(day), written.pm, atol=1e-4)
    np.testing.assert_array_equal(np.isnan(store.pm(day)), np.isnan(written.pm))
    np.testing.assert_array_equal(store.station_pm(day), written.stations)
    np.testing.assert_array_equal(store.land, fixed().land)
    np.testing.assert_array_equal(store.elevation[:, :], fixed().elevation)
    np.testing.assert_array_equal(store.coarse_elevation, fixed().coarse_elevation)
    assert store.stations() == fixed().stations
    assert (store.coarse, store.fine, store.overlap) == (HEADER.coarse, HEADER.fine, HEADER.overlap)
    assert store.simulated and store.region == "nowhere"


def test_windows_and_several_days_agree_with_single_days(write: Write) -> None:
    store = Store.open(write("2022-01-01..2022-01-04"))
    days = parse_days("2022-01-04,2022-01-01")
    window = (slice(3, 20), slice(10, 31))
    np.testing.assert_array_equal(store.pm_days(days, *window)[1], store.pm(days[1])[window])
    np.testing.assert_array_equal(store.pm(days[0], *window), store.pm(days[0])[window])
    np.testing.assert_array_equal(store.coarse_days(days)[0], store.coarse_day(days[0]))


def test_fine_counts_round_to_a_tenth_and_never_reach_the_missing_value() -> None:
    counts = encode_pm(np.array([[0.04, 0.06, 7000.0, np.nan, -0.3]], dtype=np.float32))
    assert counts.tolist() == [[0, 1, 65534, 65535, 0]]


def test_large_maps_are_sharded_and_read_back(tmp_path: Path) -> None:
    fine = replace(HEADER.fine, height=600, width=2200, west=5.005)
    header, shape = replace(HEADER, fine=fine, coarse=coarse_grid(50, 5, 30, 100)), fine.shape
    flat = replace(
        fixed(),
        elevation=np.zeros(shape, np.float32),
        land=np.ones(shape, bool),
        coarse_elevation=np.zeros((30, 100), np.float32),
    )
    pm = np.arange(shape[0] * shape[1], dtype=np.float32).reshape(shape) % 60000 / 10
    coarse = np.repeat(record(FIRST).coarse[:, :1, :1], 30, axis=1).repeat(100, axis=2)
    with open_writer(tmp_path / "wide.zarr", header, lambda: flat, FIRST, FIRST) as writer:
        writer.write_day(replace(record(FIRST), coarse=coarse, forecast=None, pm=pm))
    store = Store.open(tmp_path / "wide.zarr")
    np.testing.assert_allclose(store.pm(FIRST, slice(250, 580), slice(2000, 2100)), pm[250:580, 2000:2100], atol=1e-3)
    assert store._pm.shards == (1, 768, 2048)
    (tmp_path / "wide.zarr" / "fine" / "pm2p5" / "c" / "0" / "0" / "1").unlink()
    with pytest.raises(CranpmError, match=r"fine/pm2p5/c/0/0/1 is gone.*prepare another one"):
        store.pm(FIRST, slice(0, 50), slice(2000, 2100))
    np.testing.assert_allclose(store.pm(FIRST, slice(0, 50), slice(0, 50)), pm[:50, :50], atol=1e-3)  # not of that file


def test_map_whose_file_is_lost_is_refused_and_one_without_values_is_not(write: Write) -> None:
    path = write("2022-01-01..2022-01-02")
    days = parse_days("2022-01-01..2022-01-03")
    nothing = np.full(HEADER.fine.shape, np.nan, np.float32)
    with open_writer(path, HEADER, fixed, days[2], days[2]) as writer:
        writer.write_day(replace(record(days[2]), pm=nothing))
    (path / "fine" / "pm2p5" / "c" / "1" / "0" / "0").unlink()
    store = Store.open(path)
    assert np.isfinite(store.pm(days[0])).any() and np.isnan(store.pm(days[2])).all()
    with pytest.raises(CranpmError, match=r"map of 2022-01-02 cannot be read .*the store is damaged"):
        store.pm(days[1])
    with pytest.raises(CranpmError, match="the store is damaged"):
        store.pm_days(days)


def test_store_made_without_counts_of_valid_pixels_is_read_and_extended(write: Write) -> None:
    path = write("2022-01-01")
    shutil.rmtree(path / "fine" / "valid")
    write("2022-01-02")
    store = Store.open(path)
    assert all(np.isfinite(store.pm(day)).any() for day in parse_days("2022-01-01..2022-01-02"))


def test_xarray_opens_every_group_and_decodes_time_units_and_missing(write: Write) -> None:
    path = write("2022-01-01..2022-01-03")
    coarse = xr.open_zarr(path, group="coarse", consolidated=False)
    assert str(coarse.time.values[2])[:10] == "2022-01-03"
    day = coarse.data.sel(time="2022-01-02", channel="t_850")
    np.testing.assert_array_equal(day.values, record(date(2022, 1, 2)).coarse[STORE_CHANNELS.index("t_850")])
    assert (float(coarse.latitude[0]), float(coarse.longitude[-1])) == (50.0, 6.25)
    assert coarse.data.attrs["channel_units"]["t_850"] == "K"
    fine = xr.open_zarr(path, group="fine", consolidated=False)
    np.testing.assert_allclose(fine.pm2p5.sel(time="2022-01-02"), record(date(2022, 1, 2)).pm, atol=1e-4)
    assert fine.pm2p5.attrs["units"] == "ug m-3"
    assert {"latitude", "longitude"} <= set(fine.pm2p5.coords) and fine.land.dtype == bool
    issued = xr.open_zarr(path, group="forecast", consolidated=False)
    assert issued.time.attrs["standard_name"] == "forecast_reference_time"
    assert issued.lead.values.tolist() == [1, 2, 3]
    stations = xr.open_zarr(path, group="stations", consolidated=False)
    assert stations.id.values.tolist() == ["A1", "B2"] and stations.pm2p5.dims == ("time", "station")


def test_day_that_is_replaced_is_not_ready_until_it_is_whole(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path, day = write("2022-01-01..2022-01-02"), date(2022, 1, 2)
    with open_writer(path, HEADER, fixed, FIRST, day) as writer:
        with monkeypatch.context() as patch:
            patch.setattr("cranpm.data.writer.encode_pm", lambda pm: 1 / 0)  # after the coarse fields are replaced
            with pytest.raises(ZeroDivisionError):
                writer.write_day(replace(record(day), coarse=record(FIRST).coarse))
        assert Store.open(path).days == (FIRST,)
        writer.write_day(record(day))
    assert Store.open(path).days == (FIRST, day)


def test_days_between_that_were_not_asked_for_are_not_ready(write: Write) -> None:
    store = Store.open(write("2022-01-01,2022-01-05"))
    assert store.days == parse_days("2022-01-01,2022-01-05")
    with pytest.raises(
        CranpmError, match=r"2022-01-03 is not prepared.*cranpm data prepare nowhere .*--days 2022-01-03"
    ):
        store.coarse_day(date(2022, 1, 3))


def test_later_days_extend_the_time_axis_and_earlier_ones_are_refused(write: Write) -> None:
    path = write("2022-01-02..2022-01-03")
    write("2022-01-05")
    store = Store.open(path)
    assert store.days == parse_days("2022-01-02..2022-01-03,2022-01-05")
    np.testing.assert_array_equal(store.coarse_day(date(2022, 1, 5)), record(date(2022, 1, 5)).coarse)
    times = xr.open_zarr(path, group="coarse", consolidated=False).time.values.astype("datetime64[D]")
    np.testing.assert_array_equal(times, np.arange("2022-01-02", "2022-01-06", dtype="datetime64[D]"))
    with pytest.raises(CranpmError, match="starts at 2022-01-02 and 2022-01-01 lies before"):
        write("2022-01-01")


def test_extension_cut_short_is_read_and_repaired(write: Write) -> None:
    path = write("2022-01-01..2022-01-02")
    for name in ("coarse/data", "fine/pm2p5"):
        array = zarr.open_array(path, path=name, mode="r+")
        array.resize((9, *array.shape[1:]))
    assert len(Store.open(path).days) == 2
    write("2022-01-09")
    assert Store.open(path).days == parse_days("2022-01-01..2022-01-02,2022-01-09")
    assert xr.open_zarr(path, group="coarse", consolidated=False).sizes["time"] == 9


def test_absent_forecast_is_said_and_partial_ones_are_given_by_channel(tmp_path: Path) -> None:
    path, day = tmp_path / "s.zarr", FIRST
    issued = np.full_like(record(day).forecast, np.nan)
    issued[1, STORE_CHANNELS.index("pm2p5")] = 7
    with open_writer(path, HEADER, fixed, day, day) as writer:
        writer.write_day(replace(record(day), forecast=issued))
    store = Store.open(path)
    assert (store.forecast(day, 2, channels=["pm2p5"]) == 7).all()
    assert np.isnan(store.forecast(day, 2)).any()
    for lead, channels in ((1, None), (2, ["pm2p5", "u10"]), (3, ["pm2p5"])):
        with pytest.raises(CranpmError, match=f"no forecast of .* issued on 2022-01-01 for {lead} days"):
            store.forecast(day, lead, channels=channels)
    with pytest.raises(CranpmError, match="lead 4"):
        store.forecast(day, 4)


def test_channel_with_nan_is_refused_when_written_and_when_read(write: Write, tmp_path: Path) -> None:
    broken = record(FIRST)
    broken.coarse[STORE_CHANNELS.index("q_700"), 2, 2] = np.nan
    with (
        pytest.raises(CranpmError, match=r"2022-01-01: channel 'q_700' is missing \(NaN\) at 1 of 30"),
        open_writer(tmp_path / "s.zarr", HEADER, fixed, FIRST, FIRST) as writer,
    ):
        writer.write_day(broken)
    assert not (tmp_path / "s.zarr").exists()
    path = write("2022-01-01..2022-01-02")
    zarr.open_array(path, path="coarse/data", mode="r+")[1, 7] = np.nan
    for read in (Store.open(path).coarse_day, lambda day: Store.open(path).coarse_days([day])):
        with pytest.raises(CranpmError, match="on 2022-01-02: channel 'u_850' is missing"):
            read(date(2022, 1, 2))


def test_channel_in_another_unit_is_refused(tmp_path: Path) -> None:
    celsius = record(FIRST)
    celsius.coarse[2] -= 273.15
    with (
        pytest.raises(CranpmError, match=r"channel 't2m' spans .* K, expected within 180..340"),
        open_writer(tmp_path / "s.zarr", HEADER, fixed, FIRST, FIRST) as writer,
    ):
        writer.write_day(celsius)


def test_permuted_channels_are_refused_naming_both_lists(write: Write) -> None:
    path = write("2022-01-01")
    names = np.array(["v10", "u10", *STORE_CHANNELS[2:]], dtype=object)
    zarr.open_array(path, path="coarse/channel", mode="r+")[:] = names
    with pytest.raises(CranpmError, match=r"found v10, u10, t2m.*expected u10, v10, t2m"):
        Store.open(path)


def test_what_is_no_store_is_answered_with_the_way_to_one(write: Write, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    with pytest.raises(CranpmError, match=f"cranpm data prepare REGION --from {raw} --out {raw}.zarr"):
        Store.open(raw)
    (raw / "SIMULATED.json").write_text(json.dumps({"region": "india"}))
    with pytest.raises(CranpmError, match=f"cranpm data prepare india --from {raw} --out {raw}.zarr"):
        Store.open(raw)
    with pytest.raises(CranpmError, match="no such store"):
        Store.open(tmp_path / "absent")
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(CranpmError, match="not made by cranpm"):
        Store.open(tmp_path / "other.zarr")
    path = write("2022-01-01")
    zarr.open_group(path, mode="r+").attrs["schema_version"] = 2
    with pytest.raises(CranpmError, match="schema 2, this version reads 1"):
        Store.open(path)


def test_store_of_another_grid_is_refused_by_pack_and_by_writer(write: Write) -> None:
    path = write("2022-01-01")
    window = SimpleNamespace(coarse=HEADER.coarse, fine=HEADER.fine)
    Store.open(path).require(SimpleNamespace(name="nowhere", window=lambda full: window))
    moved = SimpleNamespace(coarse=HEADER.coarse, fine=replace(HEADER.fine, west=5.405))
    with pytest.raises(CranpmError, match=r"grids are not those of pack 'elsewhere'.*prepare elsewhere\.yaml"):
        Store.open(path).require(SimpleNamespace(name="elsewhere", given="elsewhere.yaml", window=lambda full: moved))
    for header in (
        replace(HEADER, region="elsewhere"),
        replace(HEADER, fine=moved.fine),
        replace(HEADER, world="real"),
    ):
        with pytest.raises(CranpmError, match="give another --out"), open_writer(path, header, fixed, FIRST, FIRST):
            pass


def test_second_writer_is_refused_while_the_first_writes(tmp_path: Path) -> None:
    path = tmp_path / "s.zarr"
    with (
        open_writer(path, HEADER, fixed, FIRST, FIRST),
        pytest.raises(CranpmError, match="another process is writing"),
        open_writer(path, HEADER, fixed, FIRST, FIRST),
    ):
        pass


def test_place_that_cannot_be_written_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with (
        pytest.raises(CranpmError, match="cannot be written"),
        open_writer(tmp_path / "file" / "s.zarr", HEADER, fixed, FIRST, FIRST),
    ):
        pass


def test_leftovers_of_a_killed_creation_are_removed(write: Write, tmp_path: Path) -> None:
    left = tmp_path / ".tiny.zarr.0123abcd.partial"
    left.mkdir()
    write("2022-01-01")
    assert not left.exists()


def test_threads_forks_and_pickles_read_the_same(write: Write) -> None:
    store = Store.open(write("2022-01-01..2022-01-08"))
    expected = [store.pm(day) for day in store.days]
    with ThreadPoolExecutor(4) as pool:
        for got, want in zip(pool.map(store.pm, store.days), expected, strict=True):
            np.testing.assert_array_equal(got, want)
    with multiprocessing.get_context("fork").Pool(2) as processes:
        for got, want in zip(processes.map(store.pm, store.days), expected, strict=True):
            np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).pm(store.days[3]), expected[3])


def test_store_without_stations_is_a_store(tmp_path: Path) -> None:
    with open_writer(
        tmp_path / "s.zarr", HEADER, lambda: replace(fixed(), stations=StationTable()), FIRST, FIRST
    ) as writer:
        writer.write_day(replace(record(FIRST), stations=None))
    store = Store.open(tmp_path / "s.zarr")
    assert len(store.stations()) == 0 and store.station_pm(FIRST).shape == (0,)


KILLED = """
import os, signal, sys
from pathlib import Path
from cranpm.data.days import parse_days
from cranpm.data.writer import open_writer, Writer
import cranpm.data.writer as module
from tests.data.conftest import HEADER, fixed, record

days, count = parse_days("2022-01-01..2022-01-05"), 0
encode = module.encode_pm
def dying(pm):
    global count
    count += 1
    if count == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return encode(pm)
module.encode_pm = dying
with open_writer(Path(sys.argv[1]), HEADER, fixed, days[0], days[-1]) as writer:
    for day in days:
        writer.write_day(record(day))
"""


def test_run_killed_in_the_middle_of_a_day_leaves_a_valid_store(write: Write, tmp_path: Path) -> None:
    path, root = tmp_path / "killed.zarr", Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], env=environment, cwd=root, check=False)
    assert done.returncode == -signal.SIGKILL
    store = Store.open(path)
    assert store.days == parse_days("2022-01-01..2022-01-02")
    with pytest.raises(CranpmError, match="2022-01-03 is not prepared"):
        store.coarse_day(date(2022, 1, 3))
    days = parse_days("2022-01-01..2022-01-05")
    with open_writer(path, HEADER, fixed, days[0], days[-1]) as writer:
        for day in sorted(set(days) - writer.ready):
            writer.write_day(record(day))
    whole = Store.open(write("2022-01-01..2022-01-05"))
    np.testing.assert_array_equal(Store.open(path).coarse_days(days), whole.coarse_days(days))
    np.testing.assert_array_equal(Store.open(path).pm_days(days), whole.pm_days(days))


def test_stations_that_appear_later_are_added_behind_the_known_ones(write: Write) -> None:
    path, day = write("2022-01-01"), date(2022, 1, 2)
    table = StationTable(("C3", "A1"), ("Gamma", "Alpha"), ("rural",) * 2, (49.5, 49.7), (5.6, 5.4), (1.0, 10.0))
    with open_writer(path, HEADER, fixed, day, day) as writer:
        places = writer.add_stations(table)
        values = np.full(3, np.nan, np.float32)
        values[places] = [33, 11]
        writer.write_day(replace(record(day), stations=values))
    store = Store.open(path)
    assert store.stations().id == ("A1", "B2", "C3") and store.stations().elevation == (10.0, 200.0, 1.0)
    np.testing.assert_array_equal(store.station_pm(day), [11, np.nan, 33])
    np.testing.assert_array_equal(store.station_pm(FIRST), [*record(FIRST).stations, np.nan])
    assert xr.open_zarr(path, group="stations", consolidated=False).name.values.tolist() == ["Alpha", "Beta", "Gamma"]
