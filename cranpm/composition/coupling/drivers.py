"""Weather models that can drive a forecast of composition, by name: what their files are and what is in them.

What the published files say, as looked up in November 2026: ECMWF's documentation of its open data, the code that FuXi
is published with, and the CDS's of ERA5. A name is wanted where the files alone do not tell.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from cranpm.errors import CranpmError

ON_LEVELS = ("u", "v", "t", "z", "q", "r")
"""Our variables that lie on pressure levels; a channel has the level in hPa behind it, as `u_850`."""

UNITS = {"u10": "m s-1", "v10": "m s-1", "t2m": "K", "sp": "Pa", "msl": "Pa", "tp": "m"}
UNITS |= {"u": "m s-1", "v": "m s-1", "t": "K", "z": "m2 s-2", "q": "kg kg-1", "r": "%"}
"""What values are in once they are read."""

_GRIB = {"10u": "u10", "10v": "v10", "2t": "t2m", "msl": "msl", "sp": "sp", "tp": "tp", "u": "u", "v": "v", "t": "t"}


@dataclass(frozen=True)
class Form:
    """The form in which a model's weather comes.

    Attributes:
        name: what it is called at the command line.
        title: what it is called in a sentence.
        format: "grib", or "channels" for NetCDF with one array that has a dimension of named channels.
        names: our variable by theirs: GRIB short names, or the names of channels without their level.
        issued: whether a forecast; it must be one of 00 UTC of the day. Else analyses, by valid time.
        classes: MARS classes of its GRIB messages; others in the folder are another model's.
        rain_hours: how long precipitation has been summed before its valid time; None where each message says it.
        units: of what the files name no unit for, by our variable.
        advice: what to do where something lacks.
    """

    name: str
    title: str
    format: str
    names: dict[str, str]
    issued: bool
    advice: str
    classes: tuple[str, ...] = ()
    rain_hours: int | None = None
    units: dict[str, str] = field(default_factory=dict)


_STEPS = "download YYYYMMDD000000-STEPh-oper-fc.grib2 for the steps 0, 12, .. 120 h"
FORMS = {
    "era5": Form(
        name="era5",
        title="ERA5",
        format="grib",
        names=_GRIB | {"q": "q", "r": "r", "z": "z"},
        issued=False,
        classes=("ea",),
        rain_hours=1,
        advice="request it from the CDS, 00 and 12 UTC of the day and the five after it, precipitation for every hour",
    ),
    # Precipitation in m since the start; heights in gpm; steps 0 to 144 h every 3 h, then every 6 h.
    "ifs": Form(
        name="ifs",
        title="IFS open data",
        format="grib",
        names=_GRIB | {"q": "q", "r": "r", "gh": "z"},
        issued=True,
        classes=("od",),
        advice=f"{_STEPS} (model ifs, 0p25)",
    ),
    # Steps every 6 h. Precipitation in kg m-2, of 6 h until the summer of 2025 and since the start from then on: its
    # step range tells. Geopotential as `z`, in later files as heights. No relative humidity.
    "aifs": Form(
        name="aifs",
        title="AIFS open data",
        format="grib",
        names=_GRIB | {"q": "q", "z": "z", "gh": "z"},
        issued=True,
        classes=("ai",),
        advice=f"{_STEPS} (and of 6, 18, .. before August 2025; model aifs-single); AIFS has no relative humidity",
    ),
    "fuxi": Form(
        name="fuxi",
        title="FuXi",
        format="channels",
        names={n: n for n in ("t2m", "u10", "v10", "msl", "tp", "z", "t", "u", "v", "r")},
        issued=True,
        rain_hours=6,
        units=UNITS | {"tp": "mm"},
        advice="keep 006.nc to 120.nc of the run of 00 UTC and the input file it started from in the folder; FuXi has "
        "no surface pressure and no specific humidity: a network that needs them wants another driver",
    ),
}


def parse_driver(text: str) -> tuple[Form | None, Path]:
    """The form and the folder of `NAME:FOLDER`; no form of a bare folder, whose files tell what they are.

    Raises:
        CranpmError: there is no such driver, or no folder behind the name.
    """
    name, colon, folder = text.partition(":")
    if not colon or (name not in FORMS and Path(text).exists()):
        return None, Path(text)
    if name not in FORMS:
        raise CranpmError(f"no driver '{name}'; there are {', '.join(FORMS)}, as in ifs:FOLDER, or give a bare folder")
    if not folder:
        raise CranpmError(f"'{text}' names no folder; give one behind the name, as in {name}:FOLDER")
    return FORMS[name], Path(folder)
