"""The tile plan and the streamed blending of overlapping tiles (numpy only).

Tiles arrive in row-major order and leave as finished strips of rows, so memory holds one row of tiles,
never the map's tiles. Blending weights are separable raised-cosine ramps over the overlaps (supplement S1
of the CRAN-PM paper) and sum to 1 at every pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from cranpm.errors import CranpmError


@dataclass(frozen=True)
class Tile:
    """A square of fine pixels: its place in the plan and its first row and column on the fine grid."""

    index: tuple[int, int]
    row: int
    column: int
    size: int

    @property
    def window(self) -> tuple[slice, slice]:
        """Slices of rows and columns on the fine grid."""
        return slice(self.row, self.row + self.size), slice(self.column, self.column + self.size)


@dataclass(frozen=True)
class TilePlan:
    """Where tiles of one size start along both axes of a fine grid."""

    height: int
    width: int
    size: int
    rows: tuple[int, ...]
    columns: tuple[int, ...]

    def tiles(self, land: NDArray[np.bool_] | None = None) -> list[Tile]:
        """The tiles in row-major order; with a land mask (height, width), only those with a land pixel.

        Every tile that touches a land pixel is kept, so the weights of the kept tiles still sum to 1 there.
        """
        tiles = [
            Tile((i, j), row, column, self.size)
            for i, row in enumerate(self.rows)
            for j, column in enumerate(self.columns)
        ]
        if land is None:
            return tiles
        if land.shape != (self.height, self.width):
            raise CranpmError(f"land mask of shape {land.shape} for a domain of {(self.height, self.width)}")
        return [tile for tile in tiles if land[tile.window].any()]


def plan_tiles(height: int, width: int, *, size: int, overlap: int) -> TilePlan:
    """The fewest tiles, anchored at both ends of each axis, whose overlap is at least the one asked for.

    Args:
        height, width: the fine domain, pixels.
        size: side of a tile, pixels (the checkpoint's).
        overlap: smallest overlap of neighbours, pixels (the pack's).

    Raises:
        CranpmError: the domain is smaller than a tile, or the overlap leaves no room to advance.
    """
    if not 0 <= overlap < size:
        raise CranpmError(f"overlap of {overlap} px with tiles of {size} px: it must be at least 0 and below the tile")
    if height < size or width < size:
        raise CranpmError(f"a domain of {height} x {width} px cannot hold a tile of {size} px: enlarge the fine domain")
    rows, columns = (_starts(length, size, overlap) for length in (height, width))
    return TilePlan(height, width, size, rows, columns)


def blend(plan: TilePlan, tiles: Iterable[tuple[Tile, NDArray]]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Blend tiles into finished strips of the map.

    Args:
        plan: the plan the tiles come from.
        tiles: pairs of a tile and its values, shape (size, size), in row-major order; tiles may be left out.

    Yields:
        First row and values of each strip, shape (rows, width), from north to south, covering every row
        once. Pixels no tile covers are NaN; where only some of the tiles of a pixel are given, their
        weights are scaled to sum to 1.

    Raises:
        CranpmError: a tile comes out of order or with another shape.
    """
    down, across = _weights(plan.rows, plan.height, plan.size), _weights(plan.columns, plan.width, plan.size)
    value = np.zeros((plan.size, plan.width), dtype=np.float32)
    weight = np.zeros_like(value)
    top = 0  # row of the map at which the buffers start
    previous = (-1, -1)
    for i, row_of_tiles in groupby(tiles, key=lambda pair: pair[0].index[0]):
        yield from _leave(top, plan.rows[i], value, weight)
        top = plan.rows[i]
        for tile, pixels in row_of_tiles:
            if tile.index <= previous or pixels.shape != (plan.size, plan.size):
                raise CranpmError(
                    f"tile {tile.index} of shape {pixels.shape} after {previous}: "
                    f"tiles of {plan.size} px in row-major order expected"
                )
            previous = tile.index
            columns = slice(tile.column, tile.column + plan.size)
            share = (down[i][:, None] * across[tile.index[1]]).astype(np.float32)
            value[:, columns] += share * pixels
            weight[:, columns] += share
    yield from _leave(top, plan.height, value, weight)


def assemble(plan: TilePlan, strips: Iterable[tuple[int, NDArray[np.float32]]]) -> NDArray[np.float32]:
    """The whole map from its strips, for domains that fit in memory, shape (height, width)."""
    out = np.full((plan.height, plan.width), np.nan, dtype=np.float32)
    for row, strip in strips:
        out[row : row + len(strip)] = strip
    return out


def _starts(length: int, size: int, overlap: int) -> tuple[int, ...]:
    count = 1 + -(-(length - size) // (size - overlap))
    return tuple((i * (length - size)) // max(count - 1, 1) for i in range(count))


def _weights(starts: tuple[int, ...], length: int, size: int) -> list[NDArray[np.float64]]:
    """Raised-cosine weight of each tile along one axis, scaled so that they sum to 1 at every pixel."""
    raw = [np.ones(size) for _ in starts]
    for k, (left, right) in enumerate(pairwise(starts)):
        shared = left + size - right
        ramp = np.sin(0.5 * np.pi * (np.arange(shared) + 0.5) / max(shared, 1)) ** 2
        raw[k + 1][:shared] *= ramp
        raw[k][size - shared :] *= ramp[::-1]
    total = np.zeros(length)
    for start, w in zip(starts, raw, strict=True):
        total[start : start + size] += w
    return [w / total[start : start + size] for start, w in zip(starts, raw, strict=True)]


def _leave(
    top: int, bottom: int, value: NDArray[np.float32], weight: NDArray[np.float32]
) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield the rows from top to bottom as strips no taller than the buffers, and move the buffers on."""
    for row in range(top, bottom, len(value)):
        rows = min(len(value), bottom - row)
        strip = np.full((rows, value.shape[1]), np.nan, dtype=np.float32)
        np.divide(value[:rows], weight[:rows], out=strip, where=weight[:rows] > 0)
        for buffer in (value, weight):
            buffer[: len(buffer) - rows] = buffer[rows:]
            buffer[len(buffer) - rows :] = 0
        yield row, strip
