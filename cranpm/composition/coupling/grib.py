"""Weather out of GRIB files, message by message: each is decoded only if it is wanted, and no index is written.

cfgrib's own way to a file, its datasets, pickles an index beside it and wants one kind of level and step at a time.
Its stream of messages needs neither.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cranpm.composition.coupling.drivers import ON_LEVELS, Form
from cranpm.composition.coupling.gathered import Gathered, Onto, Wanted, in_our_unit, onto
from cranpm.data.products.sources import Source
from cranpm.errors import CranpmError, require

_OPEN_DATA = re.compile(r"(\d{8})(\d{2})0000-(\d+)h-([a-z]+)-[a-z]+\.grib2")
_HOUR = np.timedelta64(3600, "s")


def read_grib(paths: Iterable[Path], form: Form, wanted: Wanted) -> Gathered:
    """The wanted fields of GRIB files, the first of each instant; members of an ensemble are passed over.

    Raises:
        CranpmError: a damaged file, a grid that is not regular or does not reach far enough, an unknown unit.
        MissingExtra: cfgrib is not installed.
    """
    require("cfgrib", extra="grib")
    import eccodes
    from cfgrib.messages import FileStream

    found = Gathered()
    grids: dict[str, Onto] = {}
    for path in paths:
        if _is_of_no_use(path.name, form, wanted, found):
            continue
        try:
            for _, message in FileStream(str(path), errors="raise").items():
                _take(message, Source(path), form, wanted, found, grids)
        except (EOFError, eccodes.CodesInternalError) as error:
            raise CranpmError(f"{path.name}: damaged GRIB ({error}); download it again") from error
    return found


def _is_of_no_use(name: str, form: Form, wanted: Wanted, found: Gathered) -> bool:
    """Whether the name of an open data file tells that it is another day's, an ensemble's or after the last step."""
    told = _OPEN_DATA.fullmatch(name)
    if told is None or not form.issued:
        return False
    day, hour, step, stream = told.groups()
    issued = np.datetime64(f"{day[:4]}-{day[4:6]}-{day[6:]}T{hour}:00:00")
    found.issued.add(issued)
    return issued != wanted.start or stream != "oper" or issued + int(step) * _HOUR > wanted.instants[-1]


def _take(message: Any, source: Source, form: Form, wanted: Wanted, found: Gathered, grids: dict[str, Onto]) -> None:
    """Keep a message's field if it is wanted and new."""
    channel = _channel(message, form)
    if channel is None:
        return
    issued = _time(message["dataDate"], message["dataTime"])
    valid = _time(message["validityDate"], message["validityTime"])
    if form.issued:
        found.issued.add(issued)
        if issued != wanted.start:
            return
    found.held.add(channel)
    hours = form.rain_hours
    begin = valid - hours * _HOUR if hours is not None else issued + int(message["startStep"]) * _HOUR
    if not wanted.takes(channel, begin, valid) or found.has(channel, begin, valid):
        return
    key = message["md5GridSection"]
    if key not in grids:
        grids[key] = onto(*_points(message, source), wanted.grid, source)
    values: NDArray = np.asarray(message["values"])
    if message["bitmapPresent"]:
        values = np.where(values == message["missingValue"], np.nan, values)
    values = in_our_unit(values, channel, str(message["units"]), form, source)
    found.put(channel, begin, valid, grids[key](values.reshape(message["Nj"], message["Ni"])))


def _channel(message: Any, form: Form) -> str | None:
    """Our name of what a message holds; None for what is another model's, a member's, or none of ours."""
    name = form.names.get(message.get("shortName", ""))
    if name is None or message.get("class", form.classes[0]) not in form.classes or message.get("number", 0):
        return None
    on_level = message["typeOfLevel"] == "isobaricInhPa"
    if on_level != (name in ON_LEVELS):
        return None
    return f"{name}_{message['level']}" if on_level else name


def _time(date: int, clock: int) -> np.datetime64:
    text = f"{date:08d}"
    return np.datetime64(f"{text[:4]}-{text[4:6]}-{text[6:]}T{clock // 100:02d}:{clock % 100:02d}:00")


def _points(message: Any, source: Source) -> tuple[NDArray, NDArray]:
    """Latitudes and longitudes of a regular grid, in the order of its values."""
    kind = message["gridType"]
    if kind != "regular_ll" or message["iScansNegatively"] or message["jPointsAreConsecutive"]:
        raise CranpmError(
            f"{source}: its grid is '{kind}'; expected regular latitudes and longitudes, row by row from the west: "
            "download it in degrees, or interpolate it"
        )
    first, last = (message[f"longitudeOf{which}GridPointInDegrees"] for which in ("First", "Last"))
    north, south = (message[f"latitudeOf{which}GridPointInDegrees"] for which in ("First", "Last"))
    east = first + (last - first) % 360
    return np.linspace(north, south, message["Nj"]), np.linspace(first, east, message["Ni"])
