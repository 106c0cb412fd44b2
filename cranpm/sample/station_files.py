"""Station tables of the sample world in the format that the pack's network uses."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cranpm.folders import write_whole

if TYPE_CHECKING:
    from cranpm.sample.world import SimulatedDay, Station, World

_EPA_HEADER: tuple[str, ...] = (
    "Date",
    "Source",
    "Site ID",
    "POC",
    "Daily Mean PM2.5 Concentration",
    "UNITS",
    "Site Name",
)
_EPA_HEADER += ("PERCENT_COMPLETE", "AQS_PARAMETER_CODE", "SITE_LATITUDE", "SITE_LONGITUDE")
_OPENAQ_HEADER = ("location_id", "sensors_id", "location", "datetime", "lat", "lon", "parameter", "units", "value")
_EEA_TABLE = "EEA_stations_meta_SamplingPoint.parquet"


def write_station_table(world: World, folder: Path) -> bool:
    """Write what the network publishes about its stations; False if that needs pyarrow and it is absent."""
    if world.region.stations.source != "eea":
        return True
    if find_spec("pyarrow") is None:
        return False
    columns: dict[str, list[Any]] = {
        "Sampling.Point.Id": [s.id for s in world.stations],
        "Air.Quality.Station.EoI.Code": [s.id for s in world.stations],
        "Station.Type": [s.kind for s in world.stations],
        "Air.Pollutant": ["PM2.5"] * len(world.stations),
        "Longitude": [float(s.lon) for s in world.stations],
        "Latitude": [float(s.lat) for s in world.stations],
        "Altitude": [float(s.elevation) for s in world.stations],
        "Air.Quality.Station.Name": [s.name for s in world.stations],
    }
    if not (folder / _EEA_TABLE).exists():
        write_whole(folder / _EEA_TABLE, _parquet(columns))
    return True


def write_station_day(world: World, simulated: SimulatedDay, folder: Path) -> None:
    """Write the daily means of one day; nothing for parquet without pyarrow."""
    day, source = simulated.day, world.region.stations.source
    valid = [(s, float(v)) for s, v in zip(world.stations, simulated.stations, strict=True) if np.isfinite(v)]
    if source == "eea":
        if find_spec("pyarrow") is not None:
            write_whole(folder / f"eea_pm25_{day:%Y%m%d}.parquet", _parquet(_eea(valid, simulated)))
        return
    if source == "epa_aqs":
        hours = [_epa(s, value, day) for s, value in valid]
        write_whole(folder / f"epa_pm25_{day:%Y%m%d}.csv", _csv(_EPA_HEADER, hours))
        return
    rows = [row for s, value in valid for row in _openaq(s, value, day)]
    write_whole(folder / f"openaq_pm25_{day:%Y%m%d}.csv.gz", gzip.compress(_csv(_OPENAQ_HEADER, rows), 1, mtime=0))


def _epa(station: Station, value: float, day: date) -> tuple[str, ...]:
    place = (f"{station.lat:.6f}", f"{station.lon:.6f}")
    return (
        f"{day:%m/%d/%Y}",
        "AQS",
        station.id,
        "1",
        f"{value:.1f}",
        "ug/m3 LC",
        station.name,
        "100.0",
        "88101",
        *place,
    )


def _openaq(station: Station, value: float, day: date) -> list[tuple[str, ...]]:
    """24 hours of one value: the archive is hourly."""
    place = (f"{station.lat:.6f}", f"{station.lon:.6f}")
    start = (station.id, station.id, station.name)
    return [(*start, f"{day}T{hour:02d}:00:00+00:00", *place, "pm25", "µg/m³", f"{value:.1f}") for hour in range(24)]


def _eea(valid: list[tuple[Any, float]], simulated: SimulatedDay) -> dict[str, list[Any]]:
    start = datetime(simulated.day.year, simulated.day.month, simulated.day.day)
    count = len(valid)
    return {
        "Samplingpoint": [s.id for s, _ in valid],
        "Pollutant": [6001] * count,
        "Start": [start] * count,
        "End": [start + timedelta(days=1)] * count,
        "Value": [round(value, 3) for _, value in valid],
        "Unit": ["ug.m-3"] * count,
        "AggType": ["day"] * count,
        "Validity": [1] * count,
        "Verification": [1] * count,
    }


def _parquet(columns: dict[str, list[Any]]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = {name: pa.array(values) for name, values in columns.items()}
    for name, kind in (("Pollutant", pa.int32()), ("Validity", pa.int32()), ("Verification", pa.int32())):
        if name in columns:
            arrays[name] = pa.array(columns[name], kind)
    if "Value" in columns:
        arrays["Value"] = pa.array(columns["Value"], pa.float64()).cast(pa.decimal128(38, 18), safe=False)
        arrays["Start"] = pa.array(columns["Start"], pa.timestamp("ns"))
        arrays["End"] = pa.array(columns["End"], pa.timestamp("ns"))
    buffer = io.BytesIO()
    pq.write_table(pa.table(arrays), buffer)
    return buffer.getvalue()


def _csv(header: tuple[str, ...], rows: Sequence[Sequence[str]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().encode()
