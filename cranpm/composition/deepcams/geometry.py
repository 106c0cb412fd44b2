"""A map and the grid three times finer, true to the node: around the date line, across the poles, in tiles.

Fine index 3 i + 1 of a network's output lies on coarse index i. The fine grid that starts at the coarse grid's first
node therefore begins at index 1: the first and last row are dropped, and on a globe the columns turn by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cranpm.composition.deepcams.degrade import FACTOR
from cranpm.errors import CranpmError
from cranpm.grid import Grid
from cranpm.tiles import Tile, TilePlan, blend, plan_tiles

Map = NDArray[np.float32]
_POLE = 1e-4  # degrees


def finer(grid: Grid, *, periodic: bool) -> Grid:
    """The grid of a third of the step whose first node is the coarse grid's, e.g. 241 x 480 to 721 x 1440."""
    height = FACTOR * (grid.height - 1) + 1
    width = FACTOR * grid.width if periodic else FACTOR * (grid.width - 1) + 1
    return Grid(grid.north, grid.west, round(grid.step / FACTOR, 8), height, width)


def surrounded(map: Map, grid: Grid, margin: int, *, periodic: bool, left: int = 0, right: int = 0) -> Map:
    """A map continued on all sides.

    Rows beyond a pole are those on the other side of it, half round the globe; elsewhere the edge goes on. Columns go
    round the globe, or the edge goes on.

    Args:
        map: shape (height, width).
        grid: of the map.
        margin: rows to add at both ends, and columns where `left` and `right` are not given.
        periodic: whether the columns go round the globe.
        left, right: columns to add.
    """
    left, right = (left, right) if left or right else (margin, margin)
    columns = np.arange(-left, grid.width + right)
    columns = columns % grid.width if periodic else np.clip(columns, 0, grid.width - 1)
    over = periodic and grid.width % 2 == 0
    top = _beyond(map, margin, pole=over and grid.north > 90 - _POLE)
    bottom = _beyond(map[::-1], margin, pole=over and grid.south < _POLE - 90)[::-1]
    return np.ascontiguousarray(np.concatenate([top[::-1], map, bottom[::-1]])[:, columns])


def _beyond(map: Map, margin: int, *, pole: bool) -> Map:
    """Rows beyond the first one, nearest first."""
    if not pole or margin >= len(map):
        return np.repeat(map[:1], margin, axis=0)
    return np.roll(map[1 : margin + 1], map.shape[1] // 2, axis=1)


@dataclass(frozen=True)
class Tiling:
    """How a map is cut into overlapping tiles, in coarse pixels.

    Attributes:
        grid: of the map.
        periodic: whether its columns go round the globe; then tiles do, too, at equal distances, so that no place is
            different from any other.
        size: side of a tile.
        overlap: least overlap of neighbours.
        margin: rows (and columns, where the map does not go round) added around, and dropped again.
    """

    grid: Grid
    periodic: bool
    size: int = 60
    overlap: int = 12
    margin: int = 6

    def refine(self, map: Map, network: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Map:
        """The map on the finer grid.

        Args:
            map: shape (height, width).
            network: from tiles (n, size, size) to (n, 3 size, 3 size); called once for each row of tiles.
        """
        plan, padded, offset = self._plan(map)
        fine = TilePlan(
            FACTOR * plan.height, FACTOR * plan.width, FACTOR * plan.size,
            tuple(FACTOR * row for row in plan.rows), tuple(FACTOR * column for column in plan.columns),
        )  # fmt: skip
        out = np.empty(finer(self.grid, periodic=self.periodic).shape, np.float32)
        first_row, first_column = FACTOR * self.margin + 1, FACTOR * offset + 1
        columns = slice(first_column, first_column + out.shape[1])
        for row, strip in blend(fine, self._tiles(plan, fine, padded, network)):
            begin, end = max(row, first_row), min(row + len(strip), first_row + len(out))
            if begin < end:
                out[begin - first_row : end - first_row] = strip[begin - row : end - row, columns]
        return out

    def _plan(self, map: Map) -> tuple[TilePlan, Map, int]:
        """The tiles, the map with what is added around it, and how many columns are added on its left."""
        height, width = self.grid.shape
        tall = height + 2 * self.margin
        if not self.periodic:
            padded = surrounded(map, self.grid, self.margin, periodic=False)
            size = min(self.size, *padded.shape)
            plan = plan_tiles(*padded.shape, size=size, overlap=min(self.overlap, size // 3))
            return plan, padded, self.margin
        size = min(self.size, tall, width)
        count = -(-width // (size - min(self.overlap, size // 3)))
        while width % count:
            count += 1
        stride = width // count
        rows = plan_tiles(tall, max(size, 1), size=size, overlap=min(self.overlap, size // 3)).rows
        padded = surrounded(map, self.grid, self.margin, periodic=True, left=stride, right=size)
        starts = tuple(stride * k for k in range(count + 2))
        return TilePlan(tall, width + stride + size, size, rows, starts), padded, stride

    def _tiles(
        self, plan: TilePlan, fine: TilePlan, padded: Map, network: Callable[[Map], Map]
    ) -> Iterator[tuple[Tile, Map]]:
        """Tiles in row-major order; on a globe the first and the last two of a row repeat others."""
        unique = len(plan.columns) - 2 if self.periodic else len(plan.columns)
        tiles = fine.tiles()
        for i, row in enumerate(plan.rows):
            cuts = [padded[row : row + plan.size, column : column + plan.size] for column in plan.columns[:unique]]
            refined = network(np.stack(cuts))
            if refined.shape[1:] != (fine.size, fine.size):
                raise CranpmError(f"tiles of shape {refined.shape[1:]}; expected {fine.size} x {fine.size}")
            for j in range(len(plan.columns)):
                yield tiles[i * len(plan.columns) + j], refined[j % unique]


def area_mean(map: Map, grid: Grid) -> float:
    """Mean over the area of the cells around the nodes; at a pole half a cell's height counts."""
    edges = np.clip(np.append(grid.lats + grid.step / 2, grid.lats[-1] - grid.step / 2), -90, 90)
    weights = -np.diff(np.sin(np.radians(edges)))
    return float(weights @ map.mean(axis=1, dtype=np.float64) / weights.sum())
