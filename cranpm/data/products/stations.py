"""Station PM2.5: EEA parquet, EPA AQS tables, OpenAQ archives, turned into daily means per station."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd
import xarray as xr

from cranpm.data.products.description import Description
from cranpm.data.products.sources import Source
from cranpm.data.products.station_tables import FORMATS, Table, recognise
from cranpm.errors import CranpmError
from cranpm.grid import wrap_longitude

FEWEST_HOURS = 18  # of 24: three quarters of the day


def identify(path: Path | Source) -> Description | None:
    """A station table described, or None if it is none.

    Raises:
        MissingExtra: a parquet file, and pyarrow is not installed.
    """
    source = path if isinstance(path, Source) else Source(path)
    name = recognise(source)
    if name is None:
        return None
    table = _read(source, name)
    days = tuple(sorted({day.date() for day in table.values["day"].unique()}))
    ids = pd.concat([table.values["id"], table.places["id"]]).nunique()
    notes = (f"{ids} stations or sampling points", *table.notes)
    variables = ("pm2p5 at stations",) if days else ("station places",)
    return Description(source, "stations", FORMATS[name].title, {"format": name}, variables, days, None, {}, notes)


def daily(
    files: Sequence[Description], days: Sequence[date], bounds: tuple[float, float, float, float] | None = None
) -> xr.Dataset:
    """Daily means at all stations of the files, the same stations whichever days are asked for.

    Hourly values make a daily mean where at least 18 of 24 hours are there. Values below -15 ug m-3 are rejected;
    other negatives are kept, never clipped.

    Args:
        files: descriptions; those that are not station tables are passed over.
        days: the UTC days wanted (EPA tables are in days of local standard time, and said so in `attrs`).
        bounds: west, south, east, north; stations outside are left out. Longitudes may run past 180.

    Returns:
        pm2p5 (time, station), float32, ug m-3, NaN where missing; coordinates id, name, kind, latitude,
        longitude, elevation (m, NaN where unknown).

    Raises:
        CranpmError: values without any place for their stations.
    """
    found = [file for file in files if file.product == "stations"]
    tables = [_read(file.source, file.names["format"]) for file in found]
    places = _places(tables, bounds)
    values = _values(tables)
    if len(values) and not len(places) and bounds is None:
        names = ", ".join(str(file.source) for file in found[:3])
        raise CranpmError(
            f"{names}: {values['id'].nunique()} stations without coordinates; expected a table of their places beside "
            "them: for EEA get the metadata from https://discomap.eea.europa.eu/map/fme/AirQualityExport.htm"
        )
    wanted = pd.DatetimeIndex([pd.Timestamp(day) for day in days])
    data = np.full((len(wanted), len(places)), np.nan, dtype=np.float32)
    chosen = values[values["day"].isin(wanted) & values["id"].isin(places.index)]
    rows = wanted.get_indexer(pd.Index(chosen["day"]))
    data[rows, places.index.get_indexer(pd.Index(chosen["id"]))] = chosen["mean"]
    coords = {
        name: ("station", places[name].to_numpy()) for name in ("name", "kind", "latitude", "longitude", "elevation")
    }
    notes = "; ".join(sorted({note for table in tables for note in table.notes}))
    return xr.Dataset(
        {"pm2p5": (("time", "station"), data, {"units": "ug m-3"})},
        {
            "time": wanted.to_numpy().astype("datetime64[ns]"),
            "id": ("station", places.index.to_numpy(dtype=str)),
            **coords,
        },
        {"notes": notes},
    )


def _read(source: Source, name: str) -> Table:
    return FORMATS[name].read(source, source.path.stat().st_mtime_ns)


def _places(tables: Sequence[Table], bounds: tuple[float, float, float, float] | None) -> pd.DataFrame:
    """One row per station that has values and a place, in order of its id."""
    places = pd.concat([table.places for table in tables]) if tables else _EMPTY
    places = places.dropna(subset=["latitude", "longitude"]).drop_duplicates("id").set_index("id").sort_index()
    measured = pd.concat([table.values["id"] for table in tables]).unique() if tables else []
    places = places[places.index.isin(measured)]
    if bounds is not None and len(places):
        west, south, east, north = bounds
        offset = wrap_longitude(places["longitude"].to_numpy() - (west + east) / 2)
        inside = (np.abs(offset) <= (east - west) / 2) & places["latitude"].between(south, north).to_numpy()
        places = places[inside]
    return places


def _values(tables: Sequence[Table]) -> pd.DataFrame:
    """Columns id, day, mean: hours that several files hold of one day are put together first."""
    if not tables:
        return pd.DataFrame({"id": [], "day": pd.DatetimeIndex([]), "mean": []})
    parts = (
        pd.concat([table.values for table in tables]).groupby(["id", "day"], as_index=False)[["hours", "total"]].sum()
    )
    parts = parts[parts["hours"] >= FEWEST_HOURS]
    return parts.assign(mean=parts["total"] / parts["hours"])


_EMPTY = pd.DataFrame({name: [] for name in ("id", "name", "kind", "latitude", "longitude", "elevation")})
