"""Static fields that travel with a bundle: the terrain and the land mask of the store it was exported with.

A site prepares its own store. Where its terrain or its land mask are others than the exporter's, forecasts are made,
but not quite those that were scored: whoever runs them is told.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cranpm.errors import CranpmError
from cranpm.forecast.bundle import Bundle
from cranpm.forecast.inputs import Float
from cranpm.forecast.run import ForecastStore
from cranpm.grid import Grid

STATIC = "static"
ROUNDING = 1.0  # m; the fine terrain travels in whole metres
_MICRO = 1_000_000  # a degree, in which corners and steps of grids are whole numbers
_ROWS = 512  # compared at a time


@dataclass(frozen=True)
class Static:
    """Static fields of a region.

    Attributes:
        fine, coarse: the grids.
        elevation: metres, whole ones, shape (h, w).
        land: which fine pixels are land, shape (h, w).
        coarse_elevation: metres, shape (H, W).
    """

    fine: Grid
    coarse: Grid
    elevation: NDArray[np.int16]
    land: NDArray[np.bool_]
    coarse_elevation: Float


def static_tensors(store: ForecastStore) -> dict[str, NDArray[Any]]:
    """A store's static fields as the tensors of a file."""
    height, width = store.fine.shape
    return {
        "grids": np.array([_corner(store.fine), _corner(store.coarse)], np.int64),
        "elevation": np.rint(store.elevation[0:height, 0:width]).astype(np.int16),
        "land": np.packbits(store.land, axis=1),
        "coarse_elevation": np.ascontiguousarray(store.coarse_elevation, np.float32),
    }


def static_of(bundle: Bundle, region: str) -> Static | None:
    """What a bundle holds for a region, or None.

    Raises:
        CranpmError: it changed since the bundle was opened, or is no such file.
    """
    name = bundle.manifest["packs"].get(region, {}).get(STATIC)
    if name is None:
        return None
    tensors = bundle.tensors(name)
    try:
        fine, coarse = (
            Grid(north / _MICRO, west / _MICRO, step / _MICRO, *tensors[key].shape)
            for (north, west, step), key in zip(
                tensors["grids"].tolist(), ("elevation", "coarse_elevation"), strict=True
            )
        )
        land = np.unpackbits(tensors["land"], axis=1, count=fine.width).astype(bool)
        if land.shape != fine.shape:
            raise ValueError(f"a land mask of {land.shape}, terrain of {fine.shape}")
        return Static(fine, coarse, tensors["elevation"], land, tensors["coarse_elevation"])
    except (KeyError, TypeError, ValueError) as error:
        raise CranpmError(f"{bundle.path}: '{name}' holds no static fields ({error!r}); export it again") from error


def difference(static: Static, store: ForecastStore) -> str:
    """How a store's ground differs from what travels with the bundle, where both have it; empty where it does not."""
    rows, columns, from_row, from_column = _overlap(static.fine, store.fine)
    apart, land, pixels, most = 0, 0, 0, 0.0
    for start in range(rows.start, rows.stop, _ROWS):
        here = slice(start, min(start + _ROWS, rows.stop))
        there = slice(here.start + from_row, here.stop + from_row), _moved(columns, from_column)
        metres = np.abs(store.elevation[here, columns] - static.elevation[there])
        apart, most = apart + int((metres > ROUNDING).sum()), max(most, float(metres.max(initial=0)))
        land, pixels = land + int((store.land[here, columns] != static.land[there]).sum()), pixels + metres.size
    rows, columns, from_row, from_column = _overlap(static.coarse, store.coarse)
    theirs = static.coarse_elevation[_moved(rows, from_row), _moved(columns, from_column)]
    coarse = float(np.abs(store.coarse_elevation[rows, columns] - theirs).max(initial=0))
    found = []
    if apart:
        found.append(f"the terrain of {100 * apart / pixels:.2g} % of the pixels, by at most {most:.0f} m")
    if land:
        found.append(f"the land mask of {100 * land / pixels:.2g} % of the pixels")
    if coarse > ROUNDING:
        found.append(f"the coarse terrain, by at most {coarse:.0f} m")
    return f"not what the bundle was exported with: {'; '.join(found)}" if found else ""


def _corner(grid: Grid) -> tuple[int, int, int]:
    return round(grid.north * _MICRO), round(grid.west * _MICRO), round(grid.step * _MICRO)


def _moved(part: slice, by: int) -> slice:
    return slice(part.start + by, part.stop + by)


def _overlap(one: Grid, store: Grid) -> tuple[slice, slice, int, int]:
    """Rows and columns of the store that the other grid has too, and what to add for the other's."""
    row = round((one.north - store.north) / store.step)
    column = round((store.west - one.west) / store.step)
    rows = slice(max(0, -row), max(0, min(store.height, one.height - row), -row))
    columns = slice(max(0, -column), max(0, min(store.width, one.width - column), -column))
    return rows, columns, row, column
