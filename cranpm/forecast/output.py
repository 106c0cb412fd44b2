"""Writing a forecast: one CF file per issue day with all its leads, strip by strip, whole or not at all."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import cranpm
from cranpm.forecast.engine import EngineSpec
from cranpm.forecast.files import Field, write_atomically
from cranpm.forecast.run import ForecastStore, LeadForecast, Strip
from cranpm.grid import Grid, wrap_longitude
from cranpm.variables import COARSE

STEP = 1 / 128  # ug m-3: values are rounded to this, far below the accuracy of any PM2.5, so that files compress
OBSERVED, FILLED, SEA = 0, 1, 2
_CHUNK = 512  # pixels along a chunk's side
_SPACE = ("lat", "lon")
_WHEN = ("forecast_reference_time", "forecast_period")
_PM_NAME = COARSE["pm2p5"].standard_name


@dataclass(frozen=True)
class Written:
    """What was written: the file, and per lead how many land pixels were raised to 0."""

    path: Path
    clipped: Mapping[int, int]
    filled: int


def write_forecast(
    path: Path,
    store: ForecastStore,
    leads: Sequence[int],
    forecasts: Iterable[LeadForecast],
    attributes: Mapping[str, str | int | float],
    *,
    on_strip: Callable[[int, Strip], None] | None = None,
) -> Written:
    """Write the leads of one issue day to a NetCDF file, or to a Zarr store where the path ends in .zarr.

    The path appears only when everything is written; an existing one is replaced.

    Args:
        path: the file to write.
        store: the store the forecast was made from.
        leads: the leads, in the order in which `forecasts` gives them.
        forecasts: as `run.forecast` yields them; strips are written as they are computed.
        attributes: global attributes, see `provenance`.
        on_strip: called with each lead and strip, for a picture of the map in passing.
    """
    forecasts = iter(forecasts)
    first = next(forecasts)
    turn = _turn(store.fine)
    clipped: dict[int, int] = {}
    filled = 0
    with write_atomically(path, _sizes(store.fine, leads), _fields(store.fine, first.day, leads), attributes) as put:
        for k, lead in enumerate(_chain(first, forecasts)):
            clipped[lead.lead] = 0
            for strip in lead.strips:
                rows = slice(strip.row, strip.row + len(strip.pm))
                put("pm2p5", (0, k, rows), np.roll(np.round(strip.pm / STEP) * STEP, turn, axis=1))
                clipped[lead.lead] += strip.clipped
                if k == 0:
                    flags = _flags(store, lead.day, rows)
                    filled += int(np.count_nonzero(flags == FILLED))
                    put("input_status", (0, rows), np.roll(flags, turn, axis=1))
                if on_strip is not None:
                    on_strip(lead.lead, strip)
            put("clipped_pixels", (0, k), np.int32(clipped[lead.lead]))
    return Written(path, clipped, filled)


def provenance(
    spec: EngineSpec, store: ForecastStore, *, title: str, licence: str, attribution: str, created: dt.datetime
) -> dict[str, str | int | float]:
    """Global attributes that say what made the file, of what, and on what terms."""
    simulated = bool(getattr(store, "simulated", False))
    attrs = dict(getattr(store, "attrs", {}))
    untrained = " RANDOM WEIGHTS: an untrained network, not a forecast." if spec.random_weights else ""
    unreal = " SIMULATED: inputs come from the sample world, not from measurements." if simulated else ""
    stamp = created.strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "Conventions": "CF-1.11",
        "title": f"{'SIMULATED ' if simulated else ''}PM2.5 forecast at 1 km, {title}",
        "source": f"cranpm {cranpm.__version__}, network '{spec.name}'"
        + (f" with adapter '{spec.adapter.name}'" if spec.adapter else ""),
        "history": f"{stamp} written by cranpm {cranpm.__version__}",
        "references": "CRAN-PM, arXiv:2603.11725",
        "comment": "Daily means of UTC days. forecast_reference_time is day t, the last day whose analyses are used; "
        f"time is the start of the valid day, t + forecast_period.{unreal}{untrained}",
        "license": licence or "not stated",
        "attribution": attribution,
        "region": store.region,
        "world": "sample" if simulated else "real",
        "simulated": json.dumps(attrs.get("simulated")) if simulated else "no",
        "model_name": spec.name,
        "model_hash": spec.hash or "none (random weights)",
        **({"bundle_hash": spec.bundle} if spec.bundle else {}),
        "model_trained_on": f"{'simulated ' if spec.simulated else ''}{spec.region}" if spec.region else "nothing",
        "model_license": spec.licence or "not stated",
        **_adapter_attributes(spec),
        "random_weights": int(spec.random_weights),
        "store_schema_version": int(attrs.get("schema_version", 0)),
        "store_sources": json.dumps(attrs.get("sources", {}), default=str, sort_keys=True),
        "cranpm_version": cranpm.__version__,
    }


def _adapter_attributes(spec: EngineSpec) -> dict[str, str]:
    """What an adapter is and where it was trained; nothing where none is worn."""
    adapter = spec.adapter
    if adapter is None:
        return {}
    return {
        "adapter_name": adapter.name,
        "adapter_hash": adapter.hash,
        "adapter_region": adapter.region,
        "adapter_trained_on": adapter.trained_on,
        "adapter_days": json.dumps(dict(adapter.days)),
        "adapter_simulated": "yes" if adapter.simulated else "no",
        "adapter_license": adapter.licence,
    }


def _sizes(grid: Grid, leads: Sequence[int]) -> dict[str, int]:
    when = {"forecast_reference_time": 1, "forecast_period": len(leads), "bounds": 2}
    return when | {"lat": grid.height, "lon": grid.width}


def _fields(grid: Grid, day: dt.date, leads: Sequence[int]) -> list[Field]:
    return [*_coordinates(grid, day, leads), *_maps(grid)]


def _coordinates(grid: Grid, day: dt.date, leads: Sequence[int]) -> list[Field]:
    epoch = (day - dt.date(1970, 1, 1)).days
    since = {"units": "days since 1970-01-01 00:00:00", "calendar": "standard", "units_metadata": "leap_seconds: none"}
    valid = np.array([[epoch + lead for lead in leads]], np.int32)
    lons = np.roll(np.round(wrap_longitude(grid.lons), 6), _turn(grid))
    lat_attrs = {"standard_name": "latitude", "units": "degrees_north", "axis": "Y", "long_name": "latitude"}
    lon_attrs = {"standard_name": "longitude", "units": "degrees_east", "axis": "X", "long_name": "longitude"}
    if _turn(grid):
        west, east = wrap_longitude([grid.edges[0], grid.edges[2]])
        lon_attrs["comment"] = (
            "The domain lies across the date line: columns are ordered from -180 to 180, "
            f"its west edge is at {west:g} and its east edge at {east:g}"
        )
    return [
        Field("forecast_reference_time", _WHEN[:1], np.array([epoch], np.int32),
              {"standard_name": "forecast_reference_time", "long_name": "day t, the last day known", **since}),
        Field("forecast_period", _WHEN[1:], np.array(leads, np.int32),
              {"standard_name": "forecast_period", "long_name": "whole days ahead", "units": "days"}),
        Field("time", _WHEN, valid,
              {"standard_name": "time", "long_name": "start of the valid day, UTC", "bounds": "time_bounds", **since}),
        Field("time_bounds", (*_WHEN, "bounds"), np.stack([valid, valid + 1], axis=-1)),
        Field("lat", _SPACE[:1], grid.lats, lat_attrs),
        Field("lon", _SPACE[1:], lons, lon_attrs),
    ]  # fmt: skip


def _maps(grid: Grid) -> list[Field]:
    chunk = (min(_CHUNK, grid.height), min(_CHUNK, grid.width))
    flags = {
        "standard_name": "status_flag",
        "long_name": "what the model's PM2.5 of day t was at this pixel",
        "flag_values": np.array([OBSERVED, FILLED, SEA], np.int8),
        "flag_meanings": "observed filled_from_the_day_before_or_the_coarse_analysis sea_not_forecast",
        "grid_mapping": "crs",
    }
    pm = {
        "standard_name": _PM_NAME,
        "long_name": "PM2.5, daily mean near the surface",
        "units": "ug m-3",
        "cell_methods": "time: mean area: mean",
        "coordinates": "time",
        "grid_mapping": "crs",
        "ancillary_variables": "input_status clipped_pixels",
        "valid_min": np.float32(0),
        "comment": "missing over sea; rounded to 1/128 ug m-3; negative values were raised to 0 and are counted",
    }
    clipped = {"long_name": "land pixels that came out negative and were raised to 0", "units": "1"}
    crs = {
        "grid_mapping_name": "latitude_longitude",
        "semi_major_axis": 6378137.0,
        "inverse_flattening": 298.257223563,
        "longitude_of_prime_meridian": 0.0,
        "crs_wkt": 'GEOGCRS["WGS 84",DATUM["World Geodetic System 1984",ELLIPSOID["WGS 84",6378137,298.257223563]],'
        'CS[ellipsoidal,2],AXIS["latitude",north],AXIS["longitude",east],ANGLEUNIT["degree",0.0174532925199433],'
        'ID["EPSG",4326]]',
    }
    return [
        Field("crs", (), np.array(0, np.int8), crs),
        Field("pm2p5", (*_WHEN, *_SPACE), None, pm, "f4", (1, 1, *chunk), np.float32(np.nan)),
        Field("input_status", (_WHEN[0], *_SPACE), None, flags, "i1", (1, *chunk)),
        Field("clipped_pixels", _WHEN, None, clipped, "i4"),
    ]


def _turn(grid: Grid) -> int:
    """By how many columns to roll the map so that longitudes in -180..180 ascend; 0 away from the date line."""
    return -int(np.argmin(wrap_longitude(grid.lons)))


def _flags(store: ForecastStore, day: dt.date, rows: slice) -> NDArray[np.int8]:
    gaps = np.isnan(store.pm(day, rows, slice(0, store.fine.width)))
    return np.where(store.land[rows], np.where(gaps, FILLED, OBSERVED), SEA).astype(np.int8)


def _chain(first: LeadForecast, rest: Iterable[LeadForecast]) -> Iterable[LeadForecast]:
    yield first
    yield from rest
