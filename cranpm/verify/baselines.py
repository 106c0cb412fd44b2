"""What a forecast must beat: persistence, damped persistence, climatology, CAMS forecasts, and a blend of them.

What needs years of past is fitted once per pack (`cranpm region fit`) and read from `<pack>.baselines.nc`:

* climatology: mean map at 1 km times one plus two annual harmonics per block of 8 x 8 pixels;
* damped persistence: climatology of the valid day + a (PM of day t - climatology of day t), a per block and lead;
* corrected CAMS: mean map + b (CAMS forecast - its mean), b per block and lead: one straight line per place;
* linear blend: u PM of day t + v climatology of the valid day + w corrected CAMS + c, four numbers per lead.

Fields per block are interpolated bilinearly between block centres. All baselines are at least 0.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cranpm.errors import CranpmError
from cranpm.forecast.files import Field, write_atomically
from cranpm.grid import Grid, bilinear

Map = NDArray[Any]
WHOLE = slice(None)
BLOCK = 8  # pixels along a block's side
MEAN_STEP = 0.02  # ug m-3 per count of the mean map
SCHEMA_VERSION = 2
ROWS = {
    "model": "model",
    "persistence": "persistence",
    "damped": "damped persistence",
    "climatology": "climatology",
    "cams": "CAMS forecast",
    "cams_corrected": "CAMS forecast, corrected",
    "blend": "linear blend",
}
"""The rows of a report, in its order."""
MEMBERS = ("persistence", "climatology", "cams_corrected")
"""The rows that the blend weighs."""


@dataclass(frozen=True, eq=False)  # compared and hashed as the object it is
class Fitted:
    """What was fitted on a pack's past.

    Attributes:
        fine, coarse: the grids it was fitted on.
        leads: leads in days of the last three fields.
        mean: mean PM2.5, ug m-3, shape (h, w).
        harmonics: constant, cos, sin, cos 2x, sin 2x of the annual cycle relative to the mean, shape (5, bh, bw).
        damping: factor a, shape (leads, bh, bw).
        cams_mean: mean CAMS forecast, ug m-3, shape (leads, H, W).
        cams_slope: factor b, shape (leads, bh, bw).
        weights: of `MEMBERS` in the blend, shape (leads, members).
        constant: what the blend adds to their weighted sum, ug m-3, shape (leads,).
        data_range: 0.5 to 99.5 percentile of daily PM2.5 on land, ug m-3: the data range of the SSIM.
        about: region, world, years, number of days, simulated identity.
    """

    fine: Grid
    coarse: Grid
    leads: tuple[int, ...]
    mean: Map
    harmonics: Map
    damping: Map
    cams_mean: Map
    cams_slope: Map
    weights: Map
    constant: Map
    data_range: float
    about: dict[str, object]

    def climatology(self, day: dt.date, rows: slice = WHOLE, columns: slice = WHOLE) -> Map:
        """The usual PM2.5 of a day of the year, ug m-3, on the whole grid or a window of it, shape (h, w)."""
        if rows == columns == WHOLE:
            return _whole_climatology(self, day)
        ratio = np.tensordot(season(np.array(year_fraction(day))), self.harmonics, axes=1).astype(np.float32)
        return np.maximum(self.mean[rows, columns] * (1 + spread_blocks(ratio, self.fine, rows, columns)), 0)

    def damped(self, today: Map, day: dt.date, lead: int) -> Map:
        """Damped persistence from the filled map of day t, ug m-3."""
        departure = today - self.climatology(day)
        factor = spread_blocks(self.damping[self.leads.index(lead)], self.fine)
        return np.maximum(self.climatology(day + dt.timedelta(days=lead)) + factor * departure, 0)

    def cams_corrected(self, cams: Map, lead: int, rows: slice = WHOLE, columns: slice = WHOLE) -> Map:
        """A coarse CAMS forecast (H, W) put on the line fitted at each place, ug m-3, shape (h, w)."""
        k = self.leads.index(lead)
        lats, lons = self.fine.lats[rows], self.fine.lons[columns]
        departure = bilinear(cams - self.cams_mean[k], self.coarse, lats, lons)
        slope = spread_blocks(self.cams_slope[k], self.fine, rows, columns)
        return np.maximum(self.mean[rows, columns] + slope * departure, 0)

    def blend(self, members: Sequence[Map], lead: int) -> Map:
        """The linear blend of the maps of `MEMBERS`, ug m-3, shape (h, w)."""
        k = self.leads.index(lead)
        return np.maximum(self.constant[k] + sum(w * part for w, part in zip(self.weights[k], members, strict=True)), 0)

    def mismatch(self, fine: Grid, coarse: Grid, world: str) -> str:
        """Why this does not serve a store, in words; empty where it does."""
        if (fine, coarse) != (self.fine, self.coarse):
            west, south, east, north = self.fine.edges
            return f"fitted on another window (fine {south:g}..{north:g}N, {west:g}..{east:g}E)"
        if world != self.about.get("world"):
            return f"fitted on the {self.about.get('world')} world, the store is of the {world} world"
        return ""


def block_grid(fine: Grid, size: int = BLOCK) -> Grid:
    """The grid of block centres; a last partial block counts as whole."""
    offset = fine.step * (size - 1) / 2
    height, width = -(-fine.height // size), -(-fine.width // size)
    return Grid(round(fine.north - offset, 6), round(fine.west + offset, 6), fine.step * size, height, width)


def spread_blocks(blocks: Map, fine: Grid, rows: slice = WHOLE, columns: slice = WHOLE) -> Map:
    """A field of blocks on the pixels of the fine grid or of a window of it, shape (h, w)."""
    return bilinear(blocks, block_grid(fine), fine.lats[rows], fine.lons[columns])


def season(days: NDArray[np.floating]) -> NDArray[np.float32]:
    """Constant and two annual harmonics at fractions of a year, shape (5, ...)."""
    x = 2 * np.pi * np.asarray(days)
    return np.stack([np.ones_like(x), np.cos(x), np.sin(x), np.cos(2 * x), np.sin(2 * x)]).astype(np.float32)


def year_fraction(day: dt.date) -> float:
    """How far into its year a day lies, 0 to 1."""
    return (day.timetuple().tm_yday - 1) / 365.25


def write_fitted(path: Path, fitted: Fitted) -> None:
    """Write what was fitted as a small NetCDF file, atomically."""
    blocks = ("block_row", "block_column")
    about = {
        "schema_version": SCHEMA_VERSION,
        "title": "PM2.5 baselines",
        "about": json.dumps(fitted.about, default=str),
    }
    grids = {name: json.dumps(_grid_dict(getattr(fitted, name))) for name in ("fine", "coarse")}
    mean = np.clip(np.round(fitted.mean / MEAN_STEP), 0, 65535).astype(np.uint16)
    fields = [
        Field("lead", ("lead",), np.array(fitted.leads, np.int32), {"units": "days"}),
        Field("mean", ("row", "column"), mean, {"units": "ug m-3", "step": MEAN_STEP}, chunks=mean.shape),
        _small("harmonics", ("harmonic", *blocks), fitted.harmonics),
        _small("damping", ("lead", *blocks), fitted.damping),
        _small("cams_mean", ("lead", "coarse_row", "coarse_column"), fitted.cams_mean),
        _small("cams_slope", ("lead", *blocks), fitted.cams_slope),
        Field("weights", ("lead", "member"), fitted.weights.astype(np.float32), {"members": " ".join(MEMBERS)}),
        Field("constant", ("lead",), fitted.constant.astype(np.float32), {"units": "ug m-3"}),
    ]
    sizes = {name: size for item in fields for name, size in zip(item.dims, _shape(item), strict=True)}
    attributes = {**about, **grids, "data_range": fitted.data_range, "block_pixels": BLOCK}
    with write_atomically(path, sizes, fields, attributes):
        pass


def read_fitted(path: Path) -> Fitted:
    """Read what `write_fitted` wrote.

    Raises:
        CranpmError: the file is not there, is damaged, or is of another version.
    """
    import netCDF4

    if not path.is_file():
        raise CranpmError(f"{path}: no fitted baselines; make them: cranpm region fit REGION --out {path}")
    try:
        with netCDF4.Dataset(path) as file:
            file.set_auto_mask(False)
            if int(file.schema_version) != SCHEMA_VERSION:
                raise CranpmError(
                    f"{path}: schema_version {file.schema_version}, {SCHEMA_VERSION} expected; fit again: "
                    f"cranpm region fit REGION --out {path}"
                )
            get = {name: np.asarray(file[name][:]) for name in file.variables}
            grids = {name: Grid(**json.loads(file.getncattr(name))) for name in ("fine", "coarse")}
            return Fitted(
                leads=tuple(int(lead) for lead in get["lead"]),
                mean=get["mean"].astype(np.float32) * np.float32(file["mean"].step),
                harmonics=get["harmonics"],
                damping=get["damping"],
                cams_mean=get["cams_mean"],
                cams_slope=get["cams_slope"],
                weights=get["weights"],
                constant=get["constant"],
                data_range=float(file.data_range),
                about=json.loads(file.about),
                fine=grids["fine"],
                coarse=grids["coarse"],
            )
    except (OSError, RuntimeError, KeyError, AttributeError, ValueError, IndexError) as error:
        raise CranpmError(
            f"{path}: not a file of fitted baselines ({error}); make it again: cranpm region fit"
        ) from error


@lru_cache(maxsize=8)
def _whole_climatology(fitted: Fitted, day: dt.date) -> Map:
    return fitted.climatology(day, slice(0, fitted.fine.height), slice(0, fitted.fine.width))


def _shape(item: Field) -> tuple[int, ...]:
    return () if item.data is None else item.data.shape


def _small(name: str, dims: tuple[str, ...], values: Map) -> Field:
    return Field(name, dims, values.astype(np.float32), chunks=values.shape)


def _grid_dict(grid: Grid) -> dict[str, float]:
    return {"north": grid.north, "west": grid.west, "step": grid.step, "height": grid.height, "width": grid.width}
