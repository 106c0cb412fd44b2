"""Regular latitude-longitude grids: north first, longitudes continuous, everything by coordinates.

The 25 km and the 1 km grid have different origins (ERA5 nodes lie on multiples of 0.25 degrees, fine
pixels are centred between multiples of 0.01), so two grids are only ever related through coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cranpm.errors import CranpmError

Array = NDArray[np.float64]

COARSE_STEP = 0.25
FINE_STEP = 0.01
KM_PER_DEGREE = 111.195  # mean Earth radius 6371.0 km x pi / 180
_TOLERANCE = 1e-6  # of a degree: far below a pixel, far above the rounding of float64


@dataclass(frozen=True)
class Grid:
    """A regular grid of points (nodes or pixel centres).

    Attributes:
        north: latitude of the first row, degrees.
        west: longitude of the first column, degrees, continuous: 190 is allowed, wrapping is for output.
        step: spacing in both directions, degrees.
        height: number of rows, running southward.
        width: number of columns, running eastward.
    """

    north: float
    west: float
    step: float
    height: int
    width: int

    def __post_init__(self) -> None:
        if self.height < 1 or self.width < 1 or not self.step > 0:
            raise CranpmError(f"grid of {self.height} x {self.width} points, step {self.step}: all must be positive")
        if self.north > 90 + _TOLERANCE or self.south < -90 - _TOLERANCE:
            raise CranpmError(f"latitudes {self.south:g}..{self.north:g} leave the Earth (-90..90)")
        if self.width * self.step > 360 + _TOLERANCE:
            raise CranpmError(f"{self.width} columns of {self.step:g} degrees go round the Earth more than once")

    @property
    def shape(self) -> tuple[int, int]:
        """Rows, columns."""
        return self.height, self.width

    @property
    def south(self) -> float:
        """Latitude of the last row, degrees."""
        return round(self.north - self.step * (self.height - 1), 6)

    @property
    def east(self) -> float:
        """Longitude of the last column, degrees, continuous."""
        return round(self.west + self.step * (self.width - 1), 6)

    @property
    def lats(self) -> Array:
        """Latitudes of the rows, north first, shape (height,)."""
        return np.round(self.north - self.step * np.arange(self.height), 6)

    @property
    def lons(self) -> Array:
        """Longitudes of the columns, continuous, shape (width,)."""
        return np.round(self.west + self.step * np.arange(self.width), 6)

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """West, south, east, north of the outer cell edges, degrees."""
        half = self.step / 2
        west, south, east, north = self.west - half, self.south - half, self.east + half, self.north + half
        return round(west, 6), round(south, 6), round(east, 6), round(north, 6)

    def rows(self, lats: ArrayLike) -> Array:
        """Fractional row of each latitude."""
        return (self.north - np.asarray(lats, dtype=float)) / self.step

    def columns(self, lons: ArrayLike) -> Array:
        """Fractional column of each longitude; the turn of the circle nearest to the grid's centre is taken."""
        centre = (self.west + self.east) / 2
        lons = centre + wrap_longitude(np.asarray(lons, dtype=float) - centre)
        return (lons - self.west) / self.step

    def window(self, row: int, column: int, height: int, width: int) -> Grid:
        """The sub-grid that starts at a row and column; it must lie inside."""
        if row < 0 or column < 0 or row + height > self.height or column + width > self.width:
            raise CranpmError(f"window {height} x {width} at ({row}, {column}) leaves a grid of {self.shape}")
        north = round(self.north - self.step * row, 6)
        west = round(self.west + self.step * column, 6)
        return Grid(north, west, self.step, height, width)

    def locate(self, part: Grid) -> tuple[int, int]:
        """Row and column at which a sub-grid of the same step starts.

        Raises:
            CranpmError: the steps differ, the points do not coincide, or the part leaves this grid.
        """
        row, column = float(self.rows(part.north)), float(self.columns(part.west))
        aligned = all(abs(place - round(place)) * self.step < _TOLERANCE for place in (row, column))
        if abs(self.step - part.step) > _TOLERANCE or not aligned:
            raise CranpmError(
                f"grids do not share points: step {part.step:g} from {part.north:g}N {part.west:g}E "
                f"against step {self.step:g} from {self.north:g}N {self.west:g}E"
            )
        self.window(round(row), round(column), part.height, part.width)
        return round(row), round(column)

    def covers(self, other: Grid) -> bool:
        """Whether every point of another grid lies at most one step outside the outermost points of this one.

        That is the reach of `bilinear`; Europe's fine domain ends 0.165 degrees south of the last coarse node.
        """
        rows, columns = self.rows([other.north, other.south]), self.columns([other.west, other.east])
        reach = 1 + _TOLERANCE / self.step
        within_rows = -reach <= rows[0] and rows[1] <= self.height - 1 + reach
        within_columns = -reach <= columns[0] <= columns[1] <= self.width - 1 + reach
        return bool(within_rows and within_columns)


def coarse_grid(north: float, west: float, height: int, width: int) -> Grid:
    """The 0.25 degree grid whose first node is (north, west)."""
    return Grid(north, west, COARSE_STEP, height, width)


def fine_grid(north: float, west: float, height: int, width: int) -> Grid:
    """The 0.01 degree grid whose north-west *edge* is (north, west); the first centre lies half a pixel inside."""
    return Grid(round(north - FINE_STEP / 2, 6), round(west + FINE_STEP / 2, 6), FINE_STEP, height, width)


def wrap_longitude(lon: ArrayLike) -> Array:
    """Longitudes brought to -180 <= lon < 180."""
    return (np.asarray(lon, dtype=float) + 180.0) % 360.0 - 180.0


def bilinear(field: NDArray, source: Grid, lats: ArrayLike, lons: ArrayLike) -> NDArray:
    """Bilinear interpolation from a grid to the rows and columns spanned by latitudes and longitudes.

    Args:
        field: values on the source grid, shape (..., height, width).
        source: the grid of the field.
        lats: target latitudes, degrees, shape (h,).
        lons: target longitudes, degrees, shape (w,).

    Returns:
        Values, shape (..., h, w), dtype of the field. Targets up to one step outside take the edge value.

    Raises:
        CranpmError: a target lies further outside the source grid.
    """
    down, row = _weights(source.rows(lats), source.height, "latitude", source)
    right, column = _weights(source.columns(lons), source.width, "longitude", source)
    down, right = down.astype(field.dtype)[:, None], right.astype(field.dtype)
    if column.size:  # the others would be interpolated between rows for nothing
        first = int(column.min())
        field, column = field[..., first : int(column.max()) + 2], column - first
    last_row, last_column = source.height - 1, field.shape[-1] - 1
    upper, lower = field[..., row, :], field[..., np.minimum(row + 1, last_row), :]
    rows = upper * (1 - down) + lower * down
    return rows[..., column] * (1 - right) + rows[..., np.minimum(column + 1, last_column)] * right


def sample_points(field: NDArray, source: Grid, lats: ArrayLike, lons: ArrayLike) -> NDArray:
    """Bilinear interpolation from a grid to single points.

    Args:
        field: values on the source grid, shape (..., height, width).
        source: the grid of the field.
        lats, lons: the points, degrees, both of shape (n,) or of any one shape.

    Returns:
        Values, shape (..., n).

    Raises:
        CranpmError: a point lies more than one step outside the source grid.
    """
    down, row = _weights(source.rows(lats), source.height, "latitude", source)
    right, column = _weights(source.columns(lons), source.width, "longitude", source)
    below, beside = np.minimum(row + 1, source.height - 1), np.minimum(column + 1, source.width - 1)
    upper = field[..., row, column] * (1 - right) + field[..., row, beside] * right
    lower = field[..., below, column] * (1 - right) + field[..., below, beside] * right
    return (upper * (1 - down) + lower * down).astype(field.dtype)


def block_mean(field: NDArray, valid: NDArray[np.bool_], *, size: int = 25) -> tuple[NDArray, NDArray[np.bool_]]:
    """Means over square blocks of pixels from the north-west corner: the 25 km view of a 1 km field.

    Args:
        field: values, shape (height, width).
        valid: which pixels count, same shape.
        size: pixels along a block's side.

    Returns:
        Block means (0 where not kept) and the mask of kept blocks: those with at least half of their pixels
        valid. Rows and columns that do not fill a block are dropped.
    """
    rows, columns = field.shape[0] // size, field.shape[1] // size
    cut = (slice(0, rows * size), slice(0, columns * size))
    blocks = (rows, size, columns, size)
    count = valid[cut].reshape(blocks).sum(axis=(1, 3))
    total = np.where(valid[cut], field[cut], 0.0).reshape(blocks).sum(axis=(1, 3), dtype=np.float64)
    kept = count * 2 >= size * size
    return np.where(kept, total / np.maximum(count, 1), 0.0), kept


def tangent_plane(lats: ArrayLike, lons: ArrayLike, centre_lat: float, centre_lon: float) -> NDArray[np.float32]:
    """Positions in km east and north of a centre, on the plane that touches the Earth there.

    Longitudes are scaled by the cosine of the centre's latitude, so the plane is the same for both branches.

    Returns:
        Positions (east, north), km, shape (..., 2) for inputs that broadcast to shape (...).
    """
    lats, lons = np.broadcast_arrays(np.asarray(lats, dtype=float), np.asarray(lons, dtype=float))
    east = wrap_longitude(lons - centre_lon) * KM_PER_DEGREE * np.cos(np.radians(centre_lat))
    north = (lats - centre_lat) * KM_PER_DEGREE
    return np.stack([east, north], axis=-1).astype(np.float32)


def _weights(position: Array, length: int, axis: str, source: Grid) -> tuple[Array, NDArray[np.intp]]:
    """Weight of the later neighbour and index of the earlier one, for fractional positions along an axis."""
    if position.size and not (position.min() >= -1 - 1e-9 and position.max() <= length + 1e-9):
        raise CranpmError(
            f"{axis} outside the source grid ({source.south:g}..{source.north:g}N, {source.west:g}..{source.east:g}E): "
            f"position {position.min():.1f}..{position.max():.1f} of 0..{length - 1}"
        )
    inside = np.clip(position, 0, length - 1)
    index = np.minimum(np.floor(inside + 1e-9).astype(np.intp), length - 1)
    return np.clip(inside - index, 0.0, 1.0), index
