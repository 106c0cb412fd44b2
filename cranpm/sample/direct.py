"""The sample world straight into a store, without files in between: for years of training days.

The result equals writing the providers' files and preparing them, up to what those formats round.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from cranpm.data.layout import DayRecord, Fixed, Header, StationTable, simulated_identity, simulated_terms
from cranpm.data.progress import Progress, silent
from cranpm.data.writer import open_writer
from cranpm.sample.daily import daily_channels, forecast_channels

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
    sources, licences = simulated_terms(region.licence)
    identity, overlap = simulated_identity(world.identity()), world.window.overlap
    return Header(region.name, "sample", world.coarse, world.fine, overlap, identity, sources, licences)


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
    """The daily values of a simulated day as a store holds them, from the instants that the files would hold."""
    return DayRecord(
        day=simulated.day,
        coarse=daily_channels(simulated),
        pm=simulated.ghap,
        forecast=forecast_channels(simulated),
        stations=simulated.stations,
    )
