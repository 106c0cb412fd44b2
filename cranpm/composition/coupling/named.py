"""The weather that drives a forecast, out of the files of a model that was named."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np

from cranpm.composition.coupling.config import STEP_HOURS, STEPS
from cranpm.composition.coupling.drivers import Form
from cranpm.composition.coupling.fuxi import read_channels
from cranpm.composition.coupling.gathered import Field, Gathered, Wanted, amount
from cranpm.composition.coupling.grib import read_grib
from cranpm.composition.coupling.inputs import Driver, read_driver
from cranpm.data.products.results import names_text
from cranpm.data.products.sources import Source, kind
from cranpm.errors import CranpmError
from cranpm.grid import Grid

_STEP = np.timedelta64(STEP_HOURS * 3600, "s")
_KINDS = {"grib": "GRIB", "channels": "NetCDF"}


def read_named(
    form: Form, folder: Path, day: date, channels: Sequence[str], grid: Grid, *, also: Sequence[str] = ()
) -> Driver:
    """The weather of a day's 00 UTC and every 12 h of the five days after it, as `read_driver` gives it.

    Precipitation is what fell in the 12 h before each instant; before the start, where no file tells it, that of the
    first 12 h stands for it. ERA5 in NetCDF is read as the product loader reads it.

    Args:
        form: the model's.
        folder: its files, in sub-folders too.
        day: of the start.
        channels: what is needed, as `u_850`.
        grid: where.
        also: channels that are taken if they are there.

    Raises:
        CranpmError: no file of this form, none of this day, or something that is needed is not in them.
        MissingExtra: GRIB, and cfgrib is not installed.
    """
    files = _files(folder)
    mine = [path for path, found in files.items() if found == _KINDS[form.format].lower()]
    if not mine and form.name == "era5" and "netcdf" in files.values():
        return read_driver(folder, day, channels, grid, also=also, forecasts=False)
    if not mine:
        raise CranpmError(
            f"{folder}: no {_KINDS[form.format]} files of {form.title} ({_counted(files)}); {form.advice}"
        )
    start = np.datetime64(day, "s")
    instants = start + np.arange(STEPS + 1) * _STEP
    wanted = Wanted(frozenset((*channels, *also)), start, instants, grid)
    found = (read_grib if form.format == "grib" else read_channels)(mine, form, wanted)
    _check_issue(found, form, folder, start)
    fields = {name: _stacked(found, name, form, folder, instants) for name in dict.fromkeys((*channels, *also))}
    if lacking := [name for name in channels if not isinstance(fields[name], np.ndarray)]:
        raise CranpmError(
            f"{folder}: {form.title}: found {_shown(found.held)}; the network needs too: "
            f"{'; '.join(f'{name} ({fields[name]})' for name in lacking[:6])}"
            f"{f' and {len(lacking) - 6} more' if len(lacking) > 6 else ''}; {form.advice}"
        )
    there = {name: values for name, values in fields.items() if isinstance(values, np.ndarray)}
    source = f"{form.title} issued {start}" if form.issued else f"{form.title} (an analysis: not known on the day)"
    return Driver(there, source, found.simulated)


def _stacked(found: Gathered, name: str, form: Form, folder: Path, instants: np.ndarray) -> Field | str:
    """A channel at all instants, shape (n, H, W), or what it lacks."""
    if name not in found.held:
        return "in no file"
    if name == "tp":
        fields = [amount(found.rain, end - _STEP, end) for end in instants]
        if fields[0] is None and form.issued:
            fields[0] = fields[1]
    else:
        fields = [found.fields.get(name, {}).get(instant) for instant in instants]
    absent = [str(instant)[:16] for instant, one in zip(instants, fields, strict=True) if one is None]
    if absent:
        what = f"the {STEP_HOURS} h up to " if name == "tp" else ""
        more = " .." if len(absent) > 3 else ""
        return f"not for {what}{', '.join(absent[:3])}{more} UTC: {len(absent)} of {instants.size}"
    values = np.stack([one for one in fields if one is not None])
    if gaps := int((~np.isfinite(values)).sum()):
        raise CranpmError(f"{folder}: '{name}' has {gaps} missing values; expected none: download it again")
    return values


def _check_issue(found: Gathered, form: Form, folder: Path, start: np.datetime64) -> None:
    if form.issued and start not in found.issued:
        days = sorted(str(time)[:13] for time in found.issued)
        shown = f"{', '.join(days[:3])}{' ..' if len(days) > 3 else ''} UTC" if days else "none"
        raise CranpmError(f"{folder}: {form.title}: found issues: {shown}; expected {start} UTC; {form.advice}")


def _files(folder: Path) -> dict[Path, str]:
    """What kind each file of a folder is; hidden ones are passed over."""
    if not folder.is_dir():
        raise CranpmError(f"{folder}: no such folder; give the one that holds the driver's files")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    shown = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    return {path: kind(Source(path)) for path in shown}


def _counted(files: dict[Path, str]) -> str:
    kinds = list(files.values())
    return "found " + (", ".join(f"{kinds.count(one)} {one}" for one in dict.fromkeys(kinds)) or "no file")


def _shown(held: set[str]) -> str:
    ordered = sorted(held, key=lambda name: (name.partition("_")[0], int(name.partition("_")[2] or 0)))
    return names_text(ordered) or "none of its variables"
