"""The sample world straight into a store, without files in between: for years of training days.

The result equals writing the providers' files and preparing them, up to what those formats round.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cranpm.data.layout import FORECAST_LEADS, STORE_CHANNELS, DayRecord, Fixed, Header, StationTable
from cranpm.data.progress import Progress, silent
from cranpm.data.writer import open_writer
from cranpm.variables import COMPOSITION, LEVELS, SURFACE, UPPER

if TYPE_CHECKING:
    from cranpm.sample.world import SimulatedDay, World


def write_store(
    world: World, days: Sequence[date], path: Path, progress: Progress | None = None, *, first: date | None = None
) -> Path:
    """Simulate days and write them to a store, one day in memory at a time.

    Args:
        world: the sample world.
        days: the days wanted, in any order; days that are ready are not simulated again.
        path: the store's folder, made where there is none.
        progress: told after each day.
        first: where a new store's time axis starts; without, at the earliest of the days.

    Returns:
        The path of the store.

    Raises:
        CranpmError: the folder holds another world's store, or another process writes there.
    """
    tell, wanted = progress or silent, sorted(set(days))
    if not wanted:
        return path
    with open_writer(path, sample_header(world), lambda: fixed_fields(world), first or wanted[0], wanted[-1]) as writer:
        missing = [day for day in wanted if day not in writer.ready]
        for done, simulated in enumerate(world.days(missing), start=1):
            writer.write_day(day_record(simulated))
            tell("simulated days", done, len(missing))
    return path


def sample_header(world: World) -> Header:
    """The header of a store of the sample world."""
    region = world.region
    sources = {"sample": {"name": "simulated by cranpm", "url": None}}
    licences = {"sample": {"licence": region.licence, "attribution": "simulated, not data"}}
    return Header(
        region.name, "sample", world.coarse, world.fine, world.overlap, world.identity(), sources, licences
    )  # fmt: skip


def fixed_fields(world: World) -> Fixed:
    """Elevation, land and stations of a sample world."""
    stations = world.stations
    table = StationTable(
        id=tuple(s.id for s in stations),
        name=tuple(s.name for s in stations),
        kind=tuple(s.kind for s in stations),
        latitude=tuple(float(s.lat) for s in stations),
        longitude=tuple(float(s.lon) for s in stations),
        elevation=tuple(float(s.elevation) for s in stations),
    )
    return Fixed(world.coarse_elevation, world.elevation, world.land, table)


def day_record(simulated: SimulatedDay) -> DayRecord:
    """The daily values of a simulated day as a store holds them."""
    leads = range(len(FORECAST_LEADS))
    issued = [
        _daily(_lead(simulated.forecast_weather, k), _lead(simulated.forecast_composition, k)) for k in leads
    ]  # fmt: skip
    return DayRecord(
        day=simulated.day,
        coarse=_daily(simulated.weather, simulated.composition),
        pm=simulated.ghap,
        forecast=np.stack(issued),
        stations=simulated.stations,
    )


def _lead(fields: dict[str, NDArray[np.float32]], k: int) -> dict[str, NDArray[np.float32]]:
    return {name: values[k] for name, values in fields.items()}


def _daily(weather: dict[str, NDArray[np.float32]], composition: dict[str, NDArray[np.float32]]) -> NDArray[np.float32]:
    """The 35 daily fields of the store from the instants of a day, shape (35, H, W).

    Means over the instants; precipitation, which each instant gives for the three hours after it, is summed.
    """
    out = np.empty((len(STORE_CHANNELS), *composition[COMPOSITION[0].name].shape[1:]), dtype=np.float32)
    row = 0
    for variable in SURFACE:
        combine = np.sum if variable.daily == "sum" else np.mean
        combine(weather[variable.name], axis=0, out=out[row], dtype=np.float32)
        row += 1
    for variable in UPPER:
        np.mean(weather[variable.name], axis=0, out=out[row : row + len(LEVELS)])
        row += len(LEVELS)
    for variable in COMPOSITION:
        np.mean(composition[variable.name], axis=0, out=out[row])
        row += 1
    return out
