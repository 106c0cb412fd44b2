"""What a file is, in our terms: the product, our variables, its days. Found by content, never by name."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

import numpy as np

from cranpm.data.products.axes import Axes
from cranpm.data.products.sources import Source

SIMULATED = "simulated by cranpm"
"""What the sample world writes into the history of each of its files."""

SHARPENED = "sharpened"
"""How the note on a file that `cranpm composition sharpen` wrote begins; its global attribute is `sharpened_by`."""

STANDS_IN = "stands in for a CAMS forecast"
"""What `cranpm composition forecast` writes into the history of its files, and the note on them."""

PRODUCTS = {
    "era5": "ERA5 analysis",
    "weather_forecast": "weather forecast",
    "cams": "CAMS analysis",
    "cams_forecast": "CAMS forecast",
    "ghap": "GHAP daily PM2.5",
    "terrain": "elevation",
    "stations": "stations",
    "other": "not used",
}


@dataclass(frozen=True)
class Description:
    """One file or zip member.

    Attributes:
        source: where it lies.
        product: a key of `PRODUCTS`.
        title: what a person would call it, e.g. "ERA5, new CDS NetCDF".
        names: the file's own variable name by ours (`u`, not `u_850`).
        variables: our store names that it gives (`u10`, `u_850`, `pm2p5`).
        days: UTC days with any value; for forecasts the days of issue.
        axes: axes of a gridded file.
        units: unit text by our variable name.
        notes: what a reader should know, one sentence each.
    """

    source: Source
    product: str
    title: str
    names: dict[str, str] = field(default_factory=dict)
    variables: tuple[str, ...] = ()
    days: tuple[date, ...] = ()
    axes: Axes | None = None
    units: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def utc_days(times: Iterable[np.datetime64] | np.ndarray) -> tuple[date, ...]:
    """The UTC days that instants fall on, in order, each once."""
    days = np.unique(np.asarray(times, dtype="datetime64[D]"))
    return tuple(days.tolist())
