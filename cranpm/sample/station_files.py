"""Station tables of the sample world in the format that the pack's network uses."""

from __future__ import annotations

import csv
import gzip
import io
import os
from datetime import datetime, timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from cranpm.sample.world import SimulatedDay, World

_EPA_HEADER = ("Date", "Source", "Site ID", "POC", "Daily Mean PM2.5 Concentration", "UNITS", "Site Name")
_EPA_HEADER += ("PERCENT_COMPLETE", "AQS_PARAMETER_CODE", "SITE_LATITUDE", "SITE_LONGITUDE")
_OPENAQ_HEADER = ("location_id", "sensors_id", "location", "datetime", "lat", "lon", "parameter", "units", "value")
_EEA_TABLE = "EEA_stations_meta_SamplingPoint.parquet"


def write_station_table(world: World, folder: Path) -> bool:
    """Write what the network publishes about its stations apart from values; False if that needs pyarrow and it is absent."""
    if world.region.stations.source != "eea":
        return True
    if find_spec("pyarrow") is None:
        return False
    columns = {
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
        _replace(folder / _EEA_TABLE, _parquet(columns))
    return True


def write_station_day(world: World, simulated: SimulatedDay, folder: Path) -> None:
    """Write the daily means of one day; nothing for parquet without pyarrow."""
    day, source = simulated.day, world.region.stations.source
    valid = [(s, float(v)) for s, v in zip(world.stations, simulated.stations, strict=True) if np.isfinite(v)]
    if source == "eea":
        if find_spec("pyarrow") is not None:
            _replace(folder / f"eea_pm25_{day:%Y%m%d}.parquet", _parquet(_eea(valid, simulated)))
        return
    if source == "epa_aqs":
        rows = [
            (f"{day:%m/%d/%Y}", "AQS", s.id, "1", f"{v:.1f}", "ug/m3 LC", s.name, "100.0", "88101", f"{s.lat:.6f}", f"{s.lon:.6f}")
            for s, v in valid
        ]
        _replace(folder / f"epa_pm25_{day:%Y%m%d}.csv", _csv(_EPA_HEADER, rows))
        return
    start = datetime(day.year, day.month, day.day)
    hours = [f"{start + timedelta(hours=hour):%Y-%m-%dT%H:%M:%S}+00:00" for hour in range(24)]
    rows = [
        (s.id, s.id, s.name, hour, f"{s.lat:.6f}", f"{s.lon:.6f}", "pm25", "µg/m³", f"{v:.1f}") for s, v in valid for hour in hours
    ]
    _replace(folder / f"openaq_pm25_{day:%Y%m%d}.csv.gz", gzip.compress(_csv(_OPENAQ_HEADER, rows), 1, mtime=0))


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


def _csv(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> bytes:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    writer.writerows(rows)
    return buffer.getvalue().encode()


def _replace(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(content)
    os.replace(temporary, path)
