"""The write side of a store: made whole or not at all, then filled day by day, each day marked ready last.

One process writes at a time. Every chunk holds one day and appears by rename, so a run that is killed leaves
finished days readable, no half day marked ready, and nothing that the next run cannot complete.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import BloscCodec

from cranpm.data.days import format_days, parse_days
from cranpm.data.layout import (
    FORECAST_LEADS,
    STORE_CHANNELS,
    TIME_UNITS,
    DayRecord,
    Fixed,
    Header,
    StationTable,
    check_coarse,
    day_number,
)
from cranpm.data.lock import locked
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.grid import Grid
from cranpm.variables import COARSE, FINE_MISSING, FINE_SCALE

_CHUNK = 256  # pixels along a fine chunk where the map has several
_WHOLE = 512  # maps up to this size are one chunk: a tile is then one read
_SHARD = 8  # chunks along a shard, at most
_TIME_CHUNK = 4096
_STATION_CHUNK = 1024


@contextmanager
def open_writer(path: Path, header: Header, fixed: Callable[[], Fixed], first: date, last: date) -> Iterator[Writer]:
    """Create a store, or open the one that is there, for writing days between `first` and `last`.

    A store made here is taken away again when the block fails before any day is ready.

    Args:
        path: the store's folder.
        header: what the store is; an existing store must agree on region, world and grids.
        fixed: gives what does not change from day to day; asked only when the store is made.
        first, last: the days to be written; an existing store's time axis is extended to `last`.

    Raises:
        CranpmError: another process writes there, the store is of another region, world or grid, `first` lies
            before its first day, or something else than a store lies at the path.
    """
    try:
        with locked(path, wait=False):
            new = not path.exists() or (path.is_dir() and not any(path.iterdir()))
            if new:
                _create(path, header, fixed(), first, last)
            writer = Writer(path, header)
            try:
                writer.extend(first, last)
                yield writer
            except BaseException:
                if new and not writer.ready:
                    shutil.rmtree(path, ignore_errors=True)
                raise
    except OSError as error:
        raise CranpmError(f"{path}: cannot be written ({error}); check room and permissions, then run again") from error


class Writer:
    """Writes days to one store; made by `open_writer`, which holds the store's lock."""

    def __init__(self, path: Path, header: Header) -> None:
        self.path = path
        self.header = header
        store = Store.open(path)
        agree(store, header)
        self.first = store.first
        self.ready: set[date] = set(store.days)

    def extend(self, first: date, last: date) -> None:
        """Make the time axis reach from its first day to `last`; repairs an extension that was cut short."""
        if first < self.first:
            raise CranpmError(
                f"{self.path}: starts at {self.first} and {first} lies before it; a store grows only forward: "
                f"prepare a new one from {first} on with another --out"
            )
        ready = self._array("coarse/ready")
        length = max((last - self.first).days + 1, ready.shape[0])
        for name in sorted(self._arrays, key="coarse/ready".__eq__):  # the marks of complete days last
            array = self._array(name)
            if array.shape[0] < length:
                array.resize((length, *array.shape[1:]))
                if name.endswith("/time"):
                    array[:] = _axis(self.first, length)

    def write_day(self, record: DayRecord) -> None:
        """Write a day and mark it ready; a day already there is replaced.

        Raises:
            CranpmError: a coarse channel is missing, not finite or out of range, or a shape is wrong.
        """
        index = (record.day - self.first).days
        if not 0 <= index < self._array("coarse/ready").shape[0]:
            raise CranpmError(f"{self.path}: {record.day} lies outside the store's time axis")
        self._check(record)
        if record.day in self.ready:  # half replaced, it must not be read as a whole day
            self._array("coarse/ready")[index] = 0
            self.ready.remove(record.day)
        self._array("coarse/data")[index] = record.coarse
        for k in range(len(FORECAST_LEADS)):
            issued = np.float32(np.nan) if record.forecast is None else record.forecast[k]
            self._array("forecast/data")[index, k] = issued
        pm = self._array("fine/pm2p5")
        pm[index] = encode_pm(record.pm)
        if "fine/valid" in self._arrays:
            self._array("fine/valid")[index] = _valid(record.pm, pm.shards or pm.chunks)
        if record.stations is not None and len(record.stations):
            self._array("stations/pm2p5")[index, : len(record.stations)] = record.stations
        self._array("coarse/ready")[index] = 1
        self.ready.add(record.day)

    def add_stations(self, table: StationTable) -> NDArray[np.intp]:
        """Add the stations that the store does not know yet, behind those it does.

        Returns:
            The place of each station of the table in the store's, shape (n,).
        """
        known = Store.open(self.path).stations()
        place = {name: i for i, name in enumerate(known.id)}
        new = [i for i, name in enumerate(table.id) if name not in place]
        place |= {table.id[i]: len(known) + k for k, i in enumerate(new)}
        if new:
            days = self._array("stations/pm2p5").shape[0]
            self._array("stations/pm2p5").resize((days, len(place)))
            group: Any = zarr.open_group(self.path, mode="r+", path="stations", use_consolidated=False)
            for name in ("name", "kind", "latitude", "longitude", "elevation", "id"):  # the identifiers last
                column = getattr(table, name)
                values = np.array([*getattr(known, name), *(column[i] for i in new)])
                array = group[name]
                array.resize((len(place),))
                array[:] = values.astype(object) if values.dtype.kind == "U" else values
        return np.array([place[name] for name in table.id], dtype=np.intp)

    def describe(
        self, files: Mapping[str, Mapping[str, str]], composition: Mapping[str, Collection[date]] | None = None
    ) -> None:
        """Record where days come from; unchanged: nothing is written.

        Args:
            files: hashes of source files, by product and file name.
            composition: days by what their composition was taken from, see `Store.composition`.
        """
        group = zarr.open_group(self.path, mode="r+", path="provenance", use_consolidated=False)
        attributes: dict[str, Any] = group.attrs.asdict()
        known: dict[str, dict[str, str]] = attributes.get("files", {})
        merged = {product: {**known.get(product, {}), **new} for product, new in files.items()}
        told: dict[str, str] = attributes.get("composition", {})
        days = {
            kind: format_days({*(parse_days(told[kind]) if kind in told else ()), *new})
            for kind, new in (composition or {}).items()
        }
        if any(merged[product] != known.get(product) for product in merged) or {**told, **days} != told:
            group.attrs.update({"files": {**known, **merged}, "composition": {**told, **days}})

    def _check(self, record: DayRecord) -> None:
        header, where = self.header, f"{record.day}"
        shapes: dict[str, tuple[tuple[int, ...], tuple[int, ...]]] = {
            "coarse": (record.coarse.shape, (len(STORE_CHANNELS), *header.coarse.shape)),
            "fine PM2.5": (record.pm.shape, header.fine.shape),
        }
        if record.forecast is not None:
            all_leads = (len(FORECAST_LEADS), len(STORE_CHANNELS), *header.coarse.shape)
            shapes["forecast"] = (record.forecast.shape, all_leads)
        for name, (found, expected) in shapes.items():
            if found != expected:
                raise CranpmError(f"{where}: {name} of shape {found}, the store holds {expected}")
        check_coarse(record.coarse, where)

    def _array(self, name: str) -> Any:
        return self._arrays[name]

    @cached_property
    def _arrays(self) -> dict[str, Any]:
        root: Any = zarr.open_group(self.path, mode="r+", use_consolidated=False)
        names = ["coarse/data", "coarse/ready", "forecast/data", "fine/pm2p5", "stations/pm2p5"]
        names += ["fine/valid"] if "fine/valid" in root else []
        return {name: root[name] for name in (*names, *(f"{group}/time" for group in _GROUPS))}


_GROUPS = ("coarse", "forecast", "fine", "stations")


def encode_pm(pm: NDArray[np.float32]) -> NDArray[np.uint16]:
    """Fine PM2.5 (ug m-3, NaN where missing) as the store's counts of 0.1 ug m-3."""
    missing = ~np.isfinite(pm)
    counts = np.rint(np.where(missing, 0.0, pm) / FINE_SCALE)
    return np.where(missing, FINE_MISSING, np.clip(counts, 0, FINE_MISSING - 1)).astype(np.uint16)


def _valid(pm: NDArray[np.float32], part: Sequence[int]) -> NDArray[np.uint32]:
    """How many valid pixels lie in each stored file of a map, whose files hold `part` (time, y, x)."""
    starts = [np.arange(0, side, step) for side, step in zip(pm.shape, part[1:], strict=True)]
    rows = np.add.reduceat(np.isfinite(pm), starts[0], axis=0, dtype=np.uint32)
    return np.add.reduceat(rows, starts[1], axis=1, dtype=np.uint32)


def agree(store: Store, header: Header) -> None:
    """Refuse to add days to a store that is of something else."""
    simulated = json.loads(json.dumps(header.simulated))  # as it comes back from disk: tuples as lists
    pairs = {
        "region": (store.region, header.region),
        "world": (store.world, header.world),
        "simulated world": (store.attrs.get("simulated"), simulated),
        "coarse grid": (store.coarse, header.coarse),
        "fine grid": (store.fine, header.fine),
        "overlap": (store.overlap, header.overlap),
    }
    for what, (found, asked) in pairs.items():
        if found != asked:
            raise CranpmError(f"{store.path}: the store's {what} is {found}, this run's is {asked}: give another --out")


def _create(path: Path, header: Header, fixed: Fixed, first: date, last: date) -> None:
    """Build the empty store in a sibling folder and rename it into place."""
    length = (last - first).days + 1
    for left in path.parent.glob(f".{path.name}.*.partial"):  # by a run that was killed; the lock is ours
        shutil.rmtree(left, ignore_errors=True)
    draft = path.parent / f".{path.name}.{uuid.uuid4().hex[:8]}.partial"
    try:
        root = zarr.create_group(draft, attributes=header.attributes())
        root.create_group("provenance", attributes={"files": {}})
        _create_coarse(root.create_group("coarse"), header.coarse, fixed, first, length)
        _create_forecast(root.create_group("forecast"), header.coarse, first, length)
        _create_fine(root.create_group("fine"), header.fine, fixed, first, length)
        _create_stations(root.create_group("stations"), fixed, first, length)
        if path.exists():
            path.rmdir()
        draft.replace(path)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _create_coarse(group: zarr.Group, grid: Grid, fixed: Fixed, first: date, length: int) -> None:
    dims = ("time", "channel", "latitude", "longitude")
    shape = (len(STORE_CHANNELS), *grid.shape)
    _axes(group, grid, ("latitude", "longitude"), first, length)
    _channels(group)
    _daily(group, "data", length, shape, dims, dtype="float32", fill=np.nan, attributes=_DATA)
    _fixed(group, "elevation", fixed.coarse_elevation.astype(np.float32), dims[2:], _ELEVATION)
    ready: dict[str, Any] = {"long_name": "whether the day is complete in every group"}
    group.create_array(
        "ready", shape=(length,), dtype="uint8", chunks=(_TIME_CHUNK,), compressors=None, fill_value=0,
        dimension_names=("time",), attributes=ready,
    )  # fmt: skip


def _create_forecast(group: zarr.Group, grid: Grid, first: date, length: int) -> None:
    dims = ("time", "lead", "channel", "latitude", "longitude")
    shape = (len(FORECAST_LEADS), len(STORE_CHANNELS), *grid.shape)
    _axes(group, grid, ("latitude", "longitude"), first, length, standard_name="forecast_reference_time")
    _channels(group)
    lead = {"long_name": "whole days ahead of the day the forecast was issued on", "units": "1"}
    _fixed(group, "lead", np.array(FORECAST_LEADS, dtype=np.int32), ("lead",), lead)
    note = {**_DATA, "long_name": "daily coarse fields forecast for time + lead, issued on the day `time`"}
    _daily(group, "data", length, shape, dims, dtype="float32", fill=np.nan, attributes=note, split=True)


def _create_fine(group: zarr.Group, grid: Grid, fixed: Fixed, first: date, length: int) -> None:
    _axes(group, grid, ("y", "x"), first, length)
    pm = COARSE["pm2p5"]
    attributes = {
        "units": pm.unit,
        "standard_name": pm.standard_name,
        "long_name": "daily mean PM2.5 at 1 km",
        "scale_factor": FINE_SCALE,
        "_FillValue": FINE_MISSING,
        "coordinates": "latitude longitude",
    }
    pixels = _daily(
        group, "pm2p5", length, grid.shape, ("time", "y", "x"), dtype="uint16", fill=FINE_MISSING, attributes=attributes
    )
    _create_valid(group, pixels)
    flat = {"coordinates": "latitude longitude"}
    terrain = fixed.elevation.astype(np.float32)
    _fixed(group, "elevation", terrain, ("y", "x"), {**_ELEVATION, **flat}, chunk=512)  # read tile by tile
    land = {"long_name": "land", "standard_name": "land_binary_mask", "units": "1", **flat}
    _fixed(group, "land", fixed.land.astype(bool), ("y", "x"), land)


def _create_valid(group: zarr.Group, pixels: Any) -> None:
    """Valid pixels of each stored file of the maps: a file that is lost would otherwise read as missing pixels."""
    length, *parts = (-(-side // step) for side, step in zip(pixels.shape, pixels.shards or pixels.chunks, strict=True))
    attributes: dict[str, Any] = {"long_name": "valid pixels in each stored part of pm2p5", "units": "1"}
    group.create_array(
        "valid", shape=(length, *parts), dtype="uint32", chunks=(_TIME_CHUNK, *parts), compressors=None, fill_value=0,
        dimension_names=("time", "part_y", "part_x"), attributes=attributes,
    )  # fmt: skip


def _create_stations(group: zarr.Group, fixed: Fixed, first: date, length: int) -> None:
    table, pm = fixed.stations, COARSE["pm2p5"]
    _time(group, first, length)
    for name in ("id", "name", "kind"):
        _strings(group, name, getattr(table, name), "station", {"long_name": f"station {name}"})
    units = {"latitude": "degrees_north", "longitude": "degrees_east", "elevation": "m"}
    for name, unit in units.items():
        values = np.asarray(getattr(table, name), dtype=np.float64)
        text = {"units": unit, "long_name": f"station {name}"}
        _fixed(group, name, values, ("station",), text, chunk=_STATION_CHUNK)
    attributes: dict[str, Any] = {
        "units": pm.unit,
        "standard_name": pm.standard_name,
        "coordinates": "id latitude longitude",
    }
    dims = ("time", "station")
    _daily(group, "pm2p5", length, (len(table),), dims, dtype="float32", fill=np.nan, attributes=attributes)


_DATA: dict[str, Any] = {
    "long_name": "daily coarse fields: means over the UTC day, tp its sum",
    "channel_units": {name: variable.unit for name, variable in COARSE.items()},
    "channel_standard_names": {name: variable.standard_name for name, variable in COARSE.items()},
}
_ELEVATION: dict[str, Any] = {"units": "m", "standard_name": "surface_altitude", "long_name": "terrain elevation"}


def _daily(
    group: zarr.Group, name: str, length: int, shape: tuple[int, ...], dims: tuple[str, ...], *,
    dtype: str, fill: float, attributes: dict[str, Any], split: bool = False,
) -> Any:  # fmt: skip
    """An array over time whose chunks hold one day each (one day and lead with `split`)."""
    part = (1, *shape[1:]) if split else shape
    shards = None
    if len(shape) == 1:
        part = (_STATION_CHUNK,)
    elif len(shape) == 2 and max(shape) > _WHOLE:
        part = (_CHUNK, _CHUNK)
        shards = (1, *(_CHUNK * min(_SHARD, -(-side // _CHUNK)) for side in shape))
    return group.create_array(
        name, shape=(length, *shape), dtype=dtype, chunks=(1, *(max(side, 1) for side in part)), shards=shards,
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"), fill_value=fill,
        dimension_names=dims, attributes=attributes,
    )  # fmt: skip


def _axes(
    group: zarr.Group, grid: Grid, dims: tuple[str, str], first: date, length: int, *, standard_name: str = "time"
) -> None:
    _time(group, first, length, standard_name)
    north = {"units": "degrees_north", "standard_name": "latitude"}
    east = {"units": "degrees_east", "standard_name": "longitude"}
    _fixed(group, "latitude", grid.lats, dims[:1], north)
    _fixed(group, "longitude", grid.lons, dims[1:], east)


def _time(group: zarr.Group, first: date, length: int, standard_name: str = "time") -> None:
    attributes: dict[str, Any] = {
        "units": TIME_UNITS,
        "calendar": "proleptic_gregorian",
        "standard_name": standard_name,
    }
    group.create_array(
        "time", shape=(length,), dtype="int32", chunks=(_TIME_CHUNK,), compressors=None, fill_value=0,
        dimension_names=("time",), attributes=attributes,
    )[:] = _axis(first, length)  # fmt: skip


def _axis(first: date, length: int) -> NDArray[np.int32]:
    return (day_number(first) + np.arange(length)).astype(np.int32)


def _channels(group: zarr.Group) -> None:
    _strings(group, "channel", STORE_CHANNELS, "channel", {"long_name": "variable and pressure level in hPa"})


def _strings(group: zarr.Group, name: str, values: tuple[str, ...], dim: str, attributes: dict[str, Any]) -> None:
    array = group.create_array(
        name, shape=(len(values),), dtype="str", chunks=(_STATION_CHUNK,), compressors=None,
        dimension_names=(dim,), attributes=attributes,
    )  # fmt: skip
    if values:
        array[:] = np.array(values, dtype=object)


def _fixed(
    group: zarr.Group, name: str, values: NDArray, dims: tuple[str, ...], attributes: Mapping[str, Any], *,
    chunk: int | None = None,
) -> None:  # fmt: skip
    """A small array, in chunks of at most 2048 along a side unless told otherwise."""
    chunks = tuple(chunk or min(max(side, 1), 2048) for side in values.shape)
    array = group.create_array(
        name, shape=values.shape, dtype=values.dtype, chunks=chunks, dimension_names=dims,
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"), attributes=dict(attributes),
    )  # fmt: skip
    if values.size:
        array[...] = values
