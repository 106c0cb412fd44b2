"""Products into a store: what lies in a folder, day by day, resumable and idempotent."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cranpm.data.catalogue import Catalogue
from cranpm.data.composition import Composition, by_kind, choose_composition, only_raw
from cranpm.data.days import ONE_DAY, format_days, shown_days
from cranpm.data.layout import (
    FORECAST_LEADS,
    STORE_CHANNELS,
    DayRecord,
    Fixed,
    Header,
    StationTable,
    grid_from,
    simulated_identity,
    simulated_terms,
)
from cranpm.data.products import cams, era5, ghap, stations, terrain
from cranpm.data.products.description import Description
from cranpm.data.progress import Progress, silent
from cranpm.data.store import Store
from cranpm.data.writer import Writer, agree, open_writer
from cranpm.errors import CranpmError
from cranpm.region import Region, Window

_HASHED = 32 * 2**20  # bytes; larger files are known by name, size and time of change
_TOLERATED = 10  # days that may fail before the run gives up
_MARKER = "SIMULATED.json"


def prepare(
    region: Region,
    source: Path,
    out: Path,
    *,
    days: Sequence[date] | None = None,
    window: Window | None = None,
    start: date | None = None,
    composition: Composition = "pack",
    progress: Progress | None = None,
) -> Path:
    """Turn a folder of products into a store, or add the days that it lacks.

    Args:
        region: the pack.
        source: the folder with the providers' files, in any arrangement.
        out: the store's folder.
        days: the UTC days wanted; without, every day for which the folder holds all products.
        window: the grids; without, those of the simulated files, else the pack's whole domain.
        start: where a new store's time axis starts; without, at the first day.
        composition: whether CAMS analyses are taken as delivered or sharpened; without, as the pack says by year.
        progress: told after each day.

    Returns:
        The path of the store. Days that are ready are left as they are; with nothing to do, nothing is written.

    Raises:
        CranpmError: something is missing or wrong in the files (finished days stay), or the store is of something else.
    """
    source, out, tell = Path(source), Path(out), progress or silent
    header = store_header(region, source, window)
    ready = set(Store.open(out, region.given).days) if (out / "zarr.json").exists() else set()
    if days and ready.issuperset(days):
        return _nothing_to_do(out, header)
    catalogue = Catalogue(source, tell)
    every = catalogue.files
    catalogue.files = choose_composition(every, composition, region.sharpened)
    wanted = sorted(set(days or catalogue.complete_days()))
    missing = [day for day in wanted if day not in ready]
    open_days = missing or ([] if wanted else [day for file in every for day in file.days])
    if lines := only_raw(every, catalogue.files, open_days):
        raise CranpmError(f"{source}: {lines[0]}")
    _refuse_missing(catalogue, region, missing, asked=wanted)
    if not missing:
        return _nothing_to_do(out, header)

    def fixed() -> Fixed:
        tell("coast and terrain", 0, 1)
        found = fixed_fields(catalogue.files, header)
        tell("coast and terrain", 1, 1)
        return found

    first = min(wanted[0], start) if start else wanted[0]
    with open_writer(out, header, fixed, first, wanted[-1]) as writer:
        _write_days(writer, missing, catalogue, tell)
    return out


def store_header(region: Region, source: Path, window: Window | None = None) -> Header:
    """The header of the store that a folder's files make.

    Raises:
        CranpmError: no such folder, or its files were simulated for another region.
    """
    if not source.is_dir():
        raise CranpmError(f"{source}: no such folder; give the one that holds the providers' files with --from")
    simulated = _simulated(source, region)
    if window is None:
        window = _window(simulated) if simulated else region.window(full=True)
    world: Literal["sample", "real"] = "sample" if simulated else "real"
    sources, licences = simulated_terms(region.licence) if simulated else _terms(region)
    identity = simulated_identity(simulated) or None
    return Header(region.name, world, window.coarse, window.fine, window.overlap, identity, sources, licences)


def fixed_fields(files: Sequence[Description], header: Header) -> Fixed:
    """Elevation on both grids and the land mask of real coasts."""
    from cranpm.sample.terrain import is_land  # its package takes 4 s and 0.9 GB to import

    land = is_land(header.fine)
    elevation = np.where(land, terrain.elevation(files, header.fine, land), 0).astype(np.float32)
    coarse = terrain.elevation(files, header.coarse, is_land(header.coarse))
    return Fixed(coarse.astype(np.float32), elevation, land)


def day_record(files: Sequence[Description], day: date, header: Header) -> DayRecord:
    """All that the files hold of one day."""
    parts = era5.daily(files, day, header.coarse).values, cams.daily(files, day, header.coarse).values
    pm = ghap.daily(files, day, header.fine)
    return DayRecord(day, np.concatenate(parts), pm, _issued(files, day, header))


def _issued(files: Sequence[Description], day: date, header: Header) -> NDArray[np.float32] | None:
    """What was issued on a day, shape (3, 35, H, W), NaN where nothing was; None where nothing at all was."""
    issued = {file.product for file in files if day in file.days}
    if not issued & {"weather_forecast", "cams_forecast"}:
        return None
    out = np.full((len(FORECAST_LEADS), len(STORE_CHANNELS), *header.coarse.shape), np.nan, dtype=np.float32)
    if "weather_forecast" in issued:
        out[:, : len(era5.CHANNELS)] = era5.forecast(files, day, header.coarse, FORECAST_LEADS).values
    if "cams_forecast" in issued:
        out[:, len(era5.CHANNELS) :] = cams.forecast(files, day, header.coarse, FORECAST_LEADS).values
    return out


def _write_days(writer: Writer, days: Sequence[date], catalogue: Catalogue, tell: Progress) -> None:
    """Write days one after the other; a day that fails is passed over and told at the end."""
    failed: dict[date, CranpmError] = {}
    done: set[date] = set()
    at_stations = _station_days(writer, days, catalogue.files)
    by_day = _by_day(catalogue.files)
    for number, day in enumerate(days, start=1):
        try:
            near = {id(file): file for when in (day, day + ONE_DAY) for file in by_day.get(when, ())}
            meant = [file for file in near.values() if file.product != "cams" or day in file.days]
            record = day_record(meant, day, writer.header)
            writer.write_day(replace(record, stations=at_stations[number - 1]))
            done.add(day)
        except CranpmError as error:
            failed[day] = error
            if len(failed) == _TOLERATED:
                break
        tell("preparing days", number, len(days))
    writer.describe(_hashes(catalogue, done), by_kind(catalogue.files, done))
    if failed:
        first, *others = failed
        also = f" (nor could {format_days(others)} be prepared)" if others else ""
        raise CranpmError(f"{first} not prepared: {failed[first]}{also}") from failed[first]


def _by_day(files: Sequence[Description]) -> dict[date, list[Description]]:
    """The files that hold each day: of years of files, a day needs those of itself and of the next."""
    found: dict[date, list[Description]] = {}
    for file in files:
        for day in file.days:
            found.setdefault(day, []).append(file)
    return found


def _station_days(writer: Writer, days: Sequence[date], files: Sequence[Description]) -> NDArray[np.float32]:
    """Daily means at the store's stations, after adding those that the files bring; shape (days, stations)."""
    found = stations.daily(files, days, writer.header.fine.edges)
    texts = [tuple(str(value) for value in found[name].values) for name in ("id", "name", "kind")]
    places = [tuple(float(v) for v in found[name].values) for name in ("latitude", "longitude", "elevation")]
    columns = writer.add_stations(StationTable(texts[0], texts[1], texts[2], places[0], places[1], places[2]))
    values = np.full((len(days), max(columns, default=-1) + 1), np.nan, dtype=np.float32)
    values[:, columns] = found["pm2p5"].values
    return values


def _refuse_missing(catalogue: Catalogue, region: Region, missing: Sequence[date], *, asked: Sequence[date]) -> None:
    """Say what the folder lacks before anything is written."""
    lines = catalogue.missing(region, missing) if missing or not asked else []
    if not asked:
        products = ("era5", "cams", "ghap")
        held = ", ".join(f"{product} {shown_days(catalogue.days(product), limit=60)}" for product in products)
        need = "all products, the rain up to 00 UTC of the next day among them"
        lines = [f"no day for which the folder holds {need} (days found: {held})", *lines]
    if lines:
        unreadable = [f"unreadable: {line}" for line in catalogue.problems[:3]]
        raise CranpmError(f"{catalogue.folder}: {'; '.join([*unreadable, *lines])}")


def _nothing_to_do(out: Path, header: Header) -> Path:
    """The store, once it is known to be the one meant."""
    agree(Store.open(out), header)
    return out


def _hashes(catalogue: Catalogue, days: set[date]) -> dict[str, dict[str, str]]:
    """Hashes of the files behind some days, by product and path inside the folder."""
    found: dict[str, dict[str, str]] = {}
    for file in catalogue.files:
        if days.intersection(file.days) or (days and file.product in ("terrain", "stations")):
            path = file.source.path
            name = path.relative_to(catalogue.folder).as_posix() if path != catalogue.folder else path.name
            known = found.setdefault(file.product, {})
            if name not in known:
                known[name] = file_hash(path)
    return found


def file_hash(path: Path) -> str:
    """SHA-256 of a file's content, or of its name, size and time of change where it is large."""
    status = path.stat()
    if status.st_size <= _HASHED:
        return f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}"
    text = f"{path.name} {status.st_size} {status.st_mtime_ns}"
    return f"stat-sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _simulated(source: Path, region: Region) -> dict[str, Any]:
    """What a folder of simulated files says of itself; empty for real files."""
    marker = source / _MARKER
    if not marker.exists():
        return {}
    try:
        content = dict(json.loads(marker.read_text(encoding="utf-8")))
        made_for = content["region"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CranpmError(f"{marker}: damaged ({error}); write the sample again with 'cranpm sample'") from error
    if made_for != region.name:
        raise CranpmError(f"{source}: simulated for '{made_for}', not for '{region.name}'; name the right region")
    return content


def _terms(region: Region) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sources and licences of the pack's products, by product."""
    sources: dict[str, Any] = {name: {"name": s.name, "url": s.url} for name, s in region.sources.items()}
    licences: dict[str, Any] = {
        name: {"licence": s.licence, "attribution": s.attribution} for name, s in region.sources.items()
    }
    sources["stations"] = {"name": region.stations.source, "url": region.stations.url}
    licences["stations"] = {"licence": region.stations.licence, "attribution": region.stations.attribution}
    return sources, licences


def _window(simulated: Mapping[str, Any]) -> Window:
    window = simulated["window"]
    return Window(grid_from(window["coarse"]), grid_from(window["fine"]), int(window["overlap"]))
