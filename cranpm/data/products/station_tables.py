"""The formats of station tables: what tells each from the others, and how its rows become hours of a day."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from cranpm.data.products.fields import plain_unit
from cranpm.data.products.sources import Source, kind, local_path
from cranpm.errors import CranpmError, require

PM25_EEA = 6001
PM25_AQS = ("88101", "88502")  # reference and equivalent monitors; acceptable continuous ones
COMPLETE = 75.0  # percent
LOWEST = -15.0  # ug m-3; small negatives are noise around zero and stay, below this is a fault


@dataclass(frozen=True)
class Table:
    """What a station table holds.

    Attributes:
        values: id, day (UTC midnight), hours (how many), total (their sum, ug m-3).
        places: id, name, kind, latitude, longitude, elevation.
        notes: what a reader should know.
    """

    values: pd.DataFrame
    places: pd.DataFrame
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Format:
    """A format: its title, the columns that tell it (spelled as by `plain`), and its reader."""

    title: str
    columns: tuple[frozenset[str], ...]
    read: Callable[[Source, int], Table]


def recognise(source: Source) -> str | None:
    """The key in `FORMATS` of a table, from its column names; None if it is none of them."""
    columns = {plain(name) for name in _columns(source)}
    for name, known in FORMATS.items():
        if any(needed <= columns for needed in known.columns):
            return name
    return None


def plain(name: str) -> str:
    """A column name in one spelling: letters and digits, lower case."""
    return re.sub(r"[^a-z0-9]", "", name.lower())


@lru_cache(maxsize=512)
def read_eea(source: Source, mtime: int) -> Table:
    """Measurements of the EEA download service: one row per hour or day and sampling point, valid ones only."""
    frame = _parquet(source, ("samplingpoint", "pollutant", "start", "value", "unit", "aggtype", "validity"))
    frame = frame[frame["pollutant"].astype(int) == PM25_EEA] if "pollutant" in frame else frame
    units = {plain_unit(str(unit).replace(".", " ")) for unit in frame["unit"].unique()} if "unit" in frame else set()
    if units - {"ug m-3"}:
        raise CranpmError(f"{source}: PM2.5 in {', '.join(sorted(units))}; expected ug.m-3: download the table again")
    if "validity" in frame:
        frame = frame[frame["validity"].astype(float) >= 1]
    daily = frame["aggtype"].astype(str).str.lower() == "day" if "aggtype" in frame else pd.Series(False, frame.index)
    start = pd.to_datetime(frame["start"]) - pd.to_timedelta(np.where(daily, 0, 1), unit="h")  # hours are in UTC+1
    hours = np.where(daily, 24, 1)
    values = _hours(frame["samplingpoint"].map(_point), start, frame["value"].astype(float), hours)
    return Table(values, _no_places(), ("EEA: validity below 1 left out; hourly times taken as UTC+1",))


@lru_cache(maxsize=64)
def read_eea_places(source: Source, mtime: int) -> Table:
    """Sampling points of the EEA, each once (the table repeats them per pollutant, station and process)."""
    frame = _parquet(source, None)
    point = next(name for name in ("samplingpointid", "samplingpoint") if name in frame)
    places = pd.DataFrame(
        {
            "id": frame[point].map(_point),
            "name": frame.get("airqualitystationname", frame.get("airqualitystationeoicode", frame[point])).astype(str),
            "kind": _joined(frame, ("stationtype", "airqualitystationtype"), ("stationarea", "airqualitystationarea")),
            "latitude": frame["latitude"].astype(float),
            "longitude": frame["longitude"].astype(float),
            "elevation": frame["altitude"].astype(float) if "altitude" in frame else np.nan,
        }
    )
    once = places[places["id"] != ""].drop_duplicates("id")
    doubled = len(places) - len(once)
    return Table(_no_values(), once, (f"{doubled} repeated rows left out",) if doubled else ())


@lru_cache(maxsize=512)
def read_epa(source: Source, mtime: int) -> Table:
    """Daily means of the US EPA; several monitors at a site are averaged."""
    frame = _csv(source)
    code = _first(frame, ("aqsparametercode", "parametercode"))
    if code is not None:
        frame = frame[code.str.strip().isin(PM25_AQS)]
    complete = _first(frame, ("percentcomplete", "observationpercent"))
    if complete is not None:
        frame = frame[pd.to_numeric(complete, errors="coerce").fillna(100) >= COMPLETE]
    unit = _first(frame, ("units", "unitsofmeasure"))
    if unit is not None and (strange := {plain_unit(u) for u in unit.unique()} - {"ug m-3"}):
        raise CranpmError(f"{source}: PM2.5 in {', '.join(sorted(strange))}; expected ug/m3: get the PM2.5 table")
    site = _first(frame, ("siteid", "aqssiteid"))
    if site is None:
        site = frame["statecode"].str.zfill(2) + frame["countycode"].str.zfill(3) + frame["sitenum"].str.zfill(4)
    site = site.str.zfill(9) if site.str.isdigit().all() else site
    value = _needed(frame, ("dailymeanpm25concentration", "arithmeticmean"), source)
    values = _hours(site, _needed(frame, ("date", "datelocal"), source), pd.to_numeric(value, errors="coerce"), 24)
    places = pd.DataFrame(
        {
            "id": site,
            "name": _text(frame, ("sitename", "localsitename"), site),
            "kind": "",
            "latitude": pd.to_numeric(_needed(frame, ("sitelatitude", "latitude"), source), errors="coerce"),
            "longitude": pd.to_numeric(_needed(frame, ("sitelongitude", "longitude"), source), errors="coerce"),
            "elevation": np.nan,
        }
    ).drop_duplicates("id")
    return Table(values, places, ("EPA: days of local standard time, not UTC",))


@lru_cache(maxsize=512)
def read_openaq(source: Source, mtime: int) -> Table:
    """Measurements of the OpenAQ archive: one row per hour and sensor, with the place in every row."""
    frame = _csv(source)
    frame = frame[frame["parameter"].str.lower() == "pm25"]
    if strange := {plain_unit(u) for u in frame["units"].unique()} - {"ug m-3"}:
        raise CranpmError(f"{source}: pm25 in {', '.join(sorted(strange))}; expected µg/m³")
    values = _hours(frame["locationid"], frame["datetime"], pd.to_numeric(frame["value"], errors="coerce"), 1)
    places = pd.DataFrame(
        {
            "id": frame["locationid"],
            "name": frame["location"],
            "kind": "",
            "latitude": pd.to_numeric(frame["lat"], errors="coerce"),
            "longitude": pd.to_numeric(frame["lon"], errors="coerce"),
            "elevation": np.nan,
        }
    ).drop_duplicates("id")
    return Table(values, places)


FORMATS = {
    "eea": Format("EEA measurements, parquet", (frozenset({"samplingpoint", "start", "value"}),), read_eea),
    "eea_places": Format(
        "EEA sampling points, parquet",
        (
            frozenset({"samplingpointid", "latitude", "longitude"}),
            frozenset({"samplingpoint", "latitude", "longitude"}),
        ),
        read_eea_places,
    ),
    "epa": Format(
        "EPA AQS daily table",
        (
            frozenset({"dailymeanpm25concentration", "sitelatitude"}),
            frozenset({"arithmeticmean", "datelocal", "latitude"}),
        ),
        read_epa,
    ),
    "openaq": Format(
        "OpenAQ measurements", (frozenset({"locationid", "datetime", "parameter", "value", "lat"}),), read_openaq
    ),
}


def _hours(ids: pd.Series, times: pd.Series, values: pd.Series, hours: int | np.ndarray) -> pd.DataFrame:
    """Hours and their sum per station and UTC day; faults (below -15) and gaps left out."""
    stamp = pd.to_datetime(times, utc=True, format="mixed").dt.tz_localize(None).dt.floor("D")
    rows = pd.DataFrame({"id": ids.astype(str), "day": stamp, "hours": hours, "total": values * hours})
    rows = rows[np.isfinite(values.to_numpy(float)) & (values.to_numpy(float) >= LOWEST)]
    return rows.groupby(["id", "day"], as_index=False)[["hours", "total"]].sum()


def _columns(source: Source) -> list[str]:
    if kind(source) == "parquet":
        parquet = require("pyarrow.parquet", extra="stations")
        try:
            return list(parquet.read_schema(local_path(source)).names)
        except (OSError, ValueError) as error:
            raise CranpmError(f"{source}: truncated or damaged parquet ({error}); download it again") from error
    text = _text_of(source, 8192)
    first = next(csv.reader(io.StringIO(text)), [])
    return first if len(first) > 1 else []


def _parquet(source: Source, wanted: tuple[str, ...] | None) -> pd.DataFrame:
    parquet = require("pyarrow.parquet", extra="stations")
    path = local_path(source)
    chosen = [name for name in _columns(source) if wanted is None or plain(name) in wanted]
    try:
        frame = parquet.read_table(path, columns=chosen).to_pandas()
    except (OSError, ValueError) as error:
        raise CranpmError(f"{source}: truncated or damaged parquet ({error}); download it again") from error
    return frame.rename(columns={name: plain(name) for name in frame.columns})


def _csv(source: Source) -> pd.DataFrame:
    try:
        opened = gzip.open if kind(source) == "gzip" else open
        with opened(local_path(source), "rt", encoding="utf-8-sig", errors="replace") as stream:
            frame = pd.read_csv(stream, dtype=str, keep_default_na=False)
    except (OSError, EOFError, ValueError) as error:
        raise CranpmError(f"{source}: damaged table ({error}); download it again") from error
    return frame.rename(columns={name: plain(name) for name in frame.columns})


def _text_of(source: Source, count: int) -> str:
    from cranpm.data.products.sources import read_head

    if kind(source) != "gzip":
        return read_head(source, count).decode("utf-8", "replace").lstrip("\ufeff")
    try:
        with gzip.open(local_path(source)) as stream:
            return stream.read(count).decode("utf-8", "replace")
    except (OSError, EOFError) as error:
        raise CranpmError(f"{source}: damaged gzip ({error}); download it again") from error


def _point(text: Any) -> str:
    """A sampling point without the country that the measurements put before it ("ES/SP_1")."""
    return re.sub(r"^[A-Z]{2}/", "", str(text).strip())


def _joined(frame: pd.DataFrame, *groups: tuple[str, ...]) -> pd.Series:
    parts = [frame[name].astype(str) for group in groups for name in group if name in frame]
    joined = pd.Series("", frame.index)
    for part in parts:
        joined = (joined + " " + part).str.strip()
    return joined


def _first(frame: pd.DataFrame, names: tuple[str, ...]) -> pd.Series | None:
    return next((frame[name] for name in names if name in frame), None)


def _needed(frame: pd.DataFrame, names: tuple[str, ...], source: Source) -> pd.Series:
    if (found := _first(frame, names)) is None:
        raise CranpmError(
            f"{source}: no column {' or '.join(names)} (found: {', '.join(frame.columns)}); get the daily table"
        )
    return found


def _text(frame: pd.DataFrame, names: tuple[str, ...], default: pd.Series) -> pd.Series:
    found = _first(frame, names)
    return default if found is None else found


def _no_values() -> pd.DataFrame:
    return pd.DataFrame({"id": pd.Series(dtype=str), "day": pd.DatetimeIndex([]), "hours": [], "total": []})


def _no_places() -> pd.DataFrame:
    return pd.DataFrame({name: [] for name in ("id", "name", "kind", "latitude", "longitude", "elevation")})
