"""What a store looks like on disk: its header, its arrays, and the constants both sides share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import date
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cranpm.errors import CranpmError
from cranpm.grid import Grid
from cranpm.variables import COARSE

SCHEMA_VERSION = 1
FORMAT = "cranpm-store"
STORE_CHANNELS: tuple[str, ...] = tuple(COARSE)
"""The 35 channels of one day in the order of `coarse/data` and `forecast/data`."""
FORECAST_LEADS = (1, 2, 3)
EPOCH = date(1970, 1, 1)
TIME_UNITS = "days since 1970-01-01"

World = Literal["sample", "real"]


@dataclass(frozen=True)
class Header:
    """The root attributes of a store.

    Attributes:
        region: name of the pack the store was made for.
        world: "real", or "sample" for anything simulated.
        coarse, fine: the grids of the two branches.
        overlap: smallest overlap of tiles, pixels (the pack's).
        simulated: seed, realisation and version of the sample world; None for real data.
        sources: name and address of each product used, by product.
        licences: licence and attribution of each product used, by product.
    """

    region: str
    world: World
    coarse: Grid
    fine: Grid
    overlap: int
    simulated: dict[str, Any] | None = None
    sources: dict[str, Any] = field(default_factory=dict)
    licences: dict[str, Any] = field(default_factory=dict)

    def attributes(self) -> dict[str, Any]:
        """The header as JSON for the store's root."""
        title = f"{'Simulated' if self.world == 'sample' else 'Real'} PM2.5 store of {self.region}"
        return {"format": FORMAT, "schema_version": SCHEMA_VERSION, "title": title, **asdict(self)}


@dataclass(frozen=True)
class StationTable:
    """Stations of a store: identifiers, names, kinds, and where they stand (degrees, metres), all of shape (n,)."""

    id: tuple[str, ...] = ()
    name: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    latitude: tuple[float, ...] = ()
    longitude: tuple[float, ...] = ()
    elevation: tuple[float, ...] = ()

    def __len__(self) -> int:
        return len(self.id)


@dataclass(frozen=True)
class Fixed:
    """What does not change from day to day.

    Attributes:
        coarse_elevation: metres over the whole coarse window, shape (H, W).
        elevation: metres on the fine grid, 0 at sea, shape (h, w).
        land: which fine pixels are land, shape (h, w).
        stations: the stations inside the fine domain.
    """

    coarse_elevation: NDArray[np.float32]
    elevation: NDArray[np.float32]
    land: NDArray[np.bool_]
    stations: StationTable = StationTable()


@dataclass(frozen=True)
class DayRecord:
    """All a store holds of one day.

    Attributes:
        day: the UTC day.
        coarse: daily values in the order of `STORE_CHANNELS`, physical units, shape (35, H, W).
        pm: fine PM2.5, ug m-3, NaN where missing, shape (h, w).
        forecast: what was issued on this day for leads 1, 2, 3, NaN where no source gave it, shape
            (3, 35, H, W); None where nothing was issued.
        stations: daily means at the stations, ug m-3, NaN where missing, shape (n,); None for none.
    """

    day: date
    coarse: NDArray[np.float32]
    pm: NDArray[np.float32]
    forecast: NDArray[np.float32] | None = None
    stations: NDArray[np.float32] | None = None


def simulated_terms(licence: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Sources and licences of a store of the sample world: no provider's, whichever files it went through."""
    sources = {"sample": {"name": "simulated by cranpm", "url": None}}
    return sources, {"sample": {"licence": licence, "attribution": "simulated by cranpm, not data"}}


def simulated_identity(identity: Mapping[str, object]) -> dict[str, object]:
    """Seed, realisation and version out of what a sample world says of itself."""
    return {key: value for key, value in identity.items() if key not in ("region", "window")}


def grid_from(attributes: Mapping[str, Any]) -> Grid:
    """A grid from its dictionary in the header."""
    north, west, step = (float(attributes[key]) for key in ("north", "west", "step"))
    return Grid(north, west, step, int(attributes["height"]), int(attributes["width"]))


def day_number(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


def check_coarse(values: NDArray[np.float32], where: str) -> None:
    """Refuse a coarse day that is not finite or not in its variables' ranges.

    Args:
        values: shape (35, H, W) in the order of `STORE_CHANNELS`.
        where: what the message names: the store or source, and the day.

    Raises:
        CranpmError: names the first channel at fault and what was found in it.
    """
    low, high = values.min(axis=(1, 2)), values.max(axis=(1, 2))
    for name, least, most, field_ in zip(STORE_CHANNELS, low, high, values, strict=True):
        variable = COARSE[name]
        if not (np.isfinite(least) and np.isfinite(most)):
            bad = int((~np.isfinite(field_)).sum())
            raise CranpmError(
                f"{where}: channel '{name}' is missing (NaN) at {bad} of {field_.size} points; every coarse channel "
                f"must be complete: get the day's file again, or leave the day out with --days"
            )
        if least < variable.low or most > variable.high:
            raise CranpmError(
                f"{where}: channel '{name}' spans {least:g}..{most:g} {variable.unit}, expected within "
                f"{variable.low:g}..{variable.high:g}: a wrong unit or a damaged file"
            )
