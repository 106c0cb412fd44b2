"""What a coupled forecast starts from, out of folders of files as the providers deliver them, on the network's grid.

The composition are CAMS analyses, the driver any weather that the product loader reads: forecasts issued on the day
(IFS, or one that learned: FuXi, AIFS), or an analysis (ERA5), for a forecast after the fact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.composition.coupling.config import STEP_HOURS, STEPS
from cranpm.data.catalogue import scan
from cranpm.data.products.description import Description
from cranpm.data.products.hours import Hours, Want, gather
from cranpm.data.products.results import latest_issue
from cranpm.errors import CranpmError
from cranpm.grid import Grid
from cranpm.variables import COMPOSITION, SURFACE, UPPER, Variable

Field = NDArray[np.float32]
_HOUR, _SECOND = np.timedelta64(1, "h"), np.timedelta64(1, "s")
_KNOWN = {v.name: v for v in (*SURFACE, *UPPER)}
_SPECIES = {v.name: v for v in COMPOSITION}


@dataclass(frozen=True)
class Driver:
    """Weather every 12 h.

    Attributes:
        fields: by channel, shape (n, H, W): from the start on.
        source: what it is, for provenance.
        simulated: whether a file says that it is.
    """

    fields: dict[str, Field]
    source: str
    simulated: bool


@dataclass(frozen=True)
class Start:
    """The composition that a forecast starts from.

    Attributes:
        before, now: the species at 12 UTC of the day before and at 00 UTC of the day, shape (C, H, W).
        others: more species that the files hold, both instants, shape (2, H, W).
        simulated: whether a file says that it is.
    """

    before: Field
    now: Field
    others: dict[str, Field]
    simulated: bool


def read_composition(folder: Path, day: date, species: Sequence[str], grid: Grid, *, also: Sequence[str] = ()) -> Start:
    """The species at 12 UTC of the day before and at 00 UTC of the day.

    Args:
        folder: CAMS analyses.
        day: of the start.
        species: what is needed, as `no2_850`.
        grid: where.
        also: species that are taken if they are there.

    Raises:
        CranpmError: a species or an instant is missing; a channel is none that the loader knows.
    """
    files = scan(folder).of("cams")
    start = np.datetime64(day, "s")
    instants = np.array([start - STEP_HOURS * _HOUR, start])
    wants = [_species_want(name, instants[0], instants[1] + _SECOND) for name in (*species, *also)]
    if not files:
        raise CranpmError(f"{folder}: no CAMS analyses; give the folder with those of {day} and the day before")
    found = gather(files, wants, grid)
    both = np.stack([_at(found, name, instants, folder, "CAMS analysis") for name in species], axis=1)
    others = {name: _at(found, name, instants, folder, "CAMS analysis") for name in also if name in found}
    return Start(both[0], both[1], others, any(map(_says_simulated, files)))


def read_driver(
    folder: Path, day: date, channels: Sequence[str], grid: Grid, *, also: Sequence[str] = (), forecasts: bool = True
) -> Driver:  # fmt: skip
    """The weather of a day's 00 UTC and every 12 h of the five days after it.

    Rain of the 12 h before the start is in no forecast: that of the first 12 h stands for it.

    Args:
        folder: the driver's files; forecasts issued on the day come before analyses.
        day: of the start.
        channels: what is needed, as `u_850`.
        grid: where.
        also: channels that are taken if they are there.
        forecasts: whether forecasts count; else only analyses do.

    Raises:
        CranpmError: a channel or an instant is missing; a channel is none that the loader knows.
    """
    files = scan(folder)
    analyses = files.of("era5")
    issued_today = [file for file in files.of("weather_forecast") if forecasts and day in file.days]
    start = np.datetime64(day, "s")
    instants = start + np.arange(STEPS + 1) * STEP_HOURS * _HOUR
    names = [*channels, *(name for name in also if name not in channels)]
    issued = latest_issue(issued_today, day, "weather forecast") if issued_today else None
    chosen = issued_today if issued_today else analyses
    if not chosen:
        raise CranpmError(
            f"{folder}: no {f'weather forecast issued on {day} and no ' if forecasts else ''}ERA5; "
            "give the folder of the driver's files"
        )
    first = start - STEP_HOURS * _HOUR
    wants = [_weather_want(name, first if issued is None else start, instants[-1] + _SECOND) for name in names]
    found = gather(chosen, wants, grid, issued=issued)
    fields = {}
    for name in names:
        if name in also and name not in channels and name not in found:
            continue
        if name == "tp":
            fields[name] = _rain(found, instants, folder, accumulated=issued is not None)
        else:
            fields[name] = _at(found, name, instants, folder, "driver")
    what = f"weather forecast issued {issued}" if issued is not None else "ERA5 (an analysis: not known on the day)"
    return Driver(fields, what, any(map(_says_simulated, chosen)))


def _species_want(name: str, start: np.datetime64, stop: np.datetime64) -> Want:
    variable, level = _split(name, _SPECIES)
    if level is not None:
        variable = replace(variable, unit="kg kg-1")
    return Want(name, variable, level, start, stop)


def _weather_want(name: str, start: np.datetime64, stop: np.datetime64) -> Want:
    return Want(name, *_split(name, _KNOWN), start, stop)


def _split(name: str, known: dict[str, Variable]) -> tuple[Variable, float | None]:
    stem, _, level = name.rpartition("_")
    found = known.get(stem if level.isdigit() and stem else name)
    if found is None:
        raise CranpmError(f"channel '{name}' is none that the product loader reads yet (it reads {', '.join(known)})")
    return found, float(level) if level.isdigit() and stem else None


def _at(found: dict[str, Hours], name: str, instants: NDArray, folder: Path, what: str) -> Field:
    hours = found.get(name)
    absent = instants if hours is None else np.setdiff1d(instants, hours.times)
    if hours is None or absent.size:
        shown = ", ".join(str(time)[:16] for time in absent[:3]) + (" .." if absent.size > 3 else "")
        raise CranpmError(f"{folder}: {what}: '{name}' lacks {absent.size} of {instants.size} instants ({shown} UTC)")
    values = hours.values[np.searchsorted(hours.times, instants)]
    if gaps := int((~np.isfinite(values)).sum()):
        raise CranpmError(f"{hours.where}: '{name}' has {gaps} missing values; expected none: download it again")
    return values


def _rain(found: dict[str, Hours], instants: NDArray, folder: Path, *, accumulated: bool) -> Field:
    """Metres in the 12 h before each instant: differences of accumulations, or sums of hourly amounts."""
    if accumulated:
        total = _at(found, "tp", instants[1:], folder, "driver")
        sums = np.diff(np.concatenate([np.zeros_like(total[:1]), total]), axis=0)
        return np.maximum(np.concatenate([sums[:1], sums]), 0)
    hours = instants[:, None] - np.arange(STEP_HOURS)[::-1] * _HOUR
    return np.stack([_at(found, "tp", row, folder, "driver").sum(axis=0) for row in hours])


def _says_simulated(file: Description) -> bool:
    return any(note.startswith("simulated") for note in file.notes)
