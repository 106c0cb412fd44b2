"""Elevation from GeoTIFF or SRTM tiles, averaged over the cells of a grid."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cranpm.data.products.description import SIMULATED, Description
from cranpm.data.products.sources import Source, local_path
from cranpm.errors import CranpmError, require
from cranpm.grid import Grid, bilinear, wrap_longitude

LOWEST, HIGHEST = -500.0, 9000.0  # m; the Dead Sea and Everest fit in
VOIDS = (-32768.0, -32767.0)
STRIP = 1024  # source rows read at a time
TOLERATED = 0.005  # share of cells without data that is filled from the neighbours
DEM = "https://portal.opentopography.org (SRTM GL3 up to 60N; Copernicus GLO-30 or GMTED2010 beyond)"


def identify(path: Path | Source) -> Description | None:
    """An elevation raster described, or None if it is not a single-band geographic raster."""
    source = path if isinstance(path, Source) else Source(path)
    with _open(source) as raster:
        if raster.count != 1:
            return None
        west, south, east, north = _extent(raster, source)
        step = abs(raster.transform.a)
        simulated = SIMULATED in raster.tags().get("history", "")
    notes: tuple[str, ...] = (f"{south:.4g}..{north:.4g}N {west:.4g}..{east:.4g}E, step {step * 3600:.3g} arc seconds",)
    notes += ("simulated, not data",) if simulated else ()
    return Description(source, "terrain", "elevation raster", {"elevation": "1"}, ("elevation",), (), None, {}, notes)


def elevation(files: Sequence[Description], grid: Grid, land: NDArray[np.bool_] | None = None) -> NDArray[np.float32]:
    """Mean elevation of the source pixels in each cell; bilinear where the source is coarser than the grid.

    Args:
        files: descriptions; those that are not elevation are passed over. Overlapping tiles are averaged.
        grid: the cells.
        land: which cells must have an elevation, shape (height, width); all of them when None. Cells off land
            without data are 0.

    Returns:
        Metres, shape (height, width), float32.

    Raises:
        CranpmError: no tile, or more than 0.5 % of the needed cells without data.
    """
    tiles = [file for file in files if file.product == "terrain"]
    if not tiles:
        raise CranpmError(f"no elevation file; get GeoTIFF tiles that cover {_span(grid)} from {DEM}")
    total, count = np.zeros(grid.shape), np.zeros(grid.shape)
    for tile in tiles:
        with _open(tile.source) as raster:
            _add(raster, tile.source, grid, total, count)
    values = np.where(count > 0, total / np.maximum(count, 1), np.nan).astype(np.float32)
    needed = np.ones(grid.shape, bool) if land is None else land
    holes = np.isnan(values) & needed
    if holes.sum() > TOLERATED * max(needed.sum(), 1):
        rows, columns = np.nonzero(holes)
        part = f"{grid.lats[rows.max()]:.4g}..{grid.lats[rows.min()]:.4g}N {grid.lons[columns.min()]:.4g}.."
        raise CranpmError(
            f"elevation: {holes.sum()} of {needed.sum()} cells without data ({part}{grid.lons[columns.max()]:.4g}E) in "
            f"{len(tiles)} files; get the missing tiles from {DEM}"
        )
    filled = _fill(values, holes)
    return np.where(np.isnan(filled), np.float32(0), filled)


def _open(source: Source) -> Any:
    rasterio = require("rasterio", extra="terrain")
    try:
        return rasterio.open(local_path(source))
    except rasterio.errors.RasterioIOError as error:
        raise CranpmError(f"{source}: no readable raster ({error}); download it again") from error


def _extent(raster: Any, source: Source) -> tuple[float, float, float, float]:
    """West, south, east, north of the outermost pixel centres, degrees.

    Sample-centred rasters (AREA_OR_POINT=Point, SRTM) arrive here already shifted by half a pixel, so the
    centre of pixel (0, 0) is the first sample in both conventions.
    """
    transform = raster.transform
    if raster.crs is not None and not raster.crs.is_geographic:
        raise CranpmError(f"{source}: projected ({raster.crs}); expected degrees: gdalwarp -t_srs EPSG:4326 IN OUT")
    if transform.b or transform.d or transform.a <= 0 or transform.e >= 0:
        raise CranpmError(
            f"{source}: rotated or south-first raster; expected north up: gdalwarp -t_srs EPSG:4326 IN OUT"
        )
    west, north = transform.c + transform.a / 2, transform.f + transform.e / 2
    east, south = west + transform.a * (raster.width - 1), north + transform.e * (raster.height - 1)
    if not (-90.01 <= south <= north <= 90.01 and -361 <= west <= east <= 361):
        raise CranpmError(
            f"{source}: runs to {north:g}N {east:g}E, so it is not in degrees; gdalwarp -t_srs EPSG:4326 IN OUT"
        )
    return west, south, east, north


def _add(raster: Any, source: Source, grid: Grid, total: NDArray, count: NDArray) -> None:
    """Add one raster to the sums of the cells."""
    west, _, _, north = _extent(raster, source)
    step_x, step_y = raster.transform.a, -raster.transform.e
    lons = west + step_x * np.arange(raster.width)
    lats = north - step_y * np.arange(raster.height)
    centre = (grid.west + grid.east) / 2
    lons = lons + np.round((centre - lons.mean()) / 360) * 360
    if max(step_x, step_y) > grid.step * 1.0001:
        if abs(step_x - step_y) > 1e-6 * step_y:
            raise CranpmError(
                f"{source}: pixels of {step_x:g} by {step_y:g} degrees, larger than the region's {grid.step:g}; "
                f"expected square ones: gdalwarp -tr {step_y:g} {step_y:g} -r bilinear IN OUT"
            )
        return _add_bilinear(
            raster, source, grid, Grid(float(lats[0]), float(lons[0]), step_x, lats.size, lons.size), total, count
        )
    rows = np.floor(grid.rows(lats) + 0.5 + 1e-6).astype(int)
    columns = np.floor((lons - grid.west) / grid.step + 0.5 + 1e-6).astype(int)
    inside_rows = np.flatnonzero((rows >= 0) & (rows < grid.height))
    inside_columns = np.flatnonzero((columns >= 0) & (columns < grid.width))
    if not inside_rows.size or not inside_columns.size:
        return None
    first, width = int(inside_columns[0]), inside_columns.size
    targets = columns[inside_columns]
    for start in range(int(inside_rows[0]), int(inside_rows[-1]) + 1, STRIP):
        stop = min(start + STRIP, int(inside_rows[-1]) + 1)
        values = _window(raster, source, start, stop, first, width)
        valid = np.isfinite(values)
        _bin(np.where(valid, values, 0.0), rows[start:stop], targets, total)
        _bin(valid.astype(float), rows[start:stop], targets, count)
    return None


def _bin(values: NDArray, rows: NDArray, columns: NDArray, into: NDArray) -> None:
    """Add values to the cells they fall in; rows and columns are rising."""
    row_starts = np.flatnonzero(np.diff(rows, prepend=rows[0] - 1))
    column_starts = np.flatnonzero(np.diff(columns, prepend=columns[0] - 1))
    sums = np.add.reduceat(np.add.reduceat(values, row_starts, axis=0), column_starts, axis=1)
    into[np.ix_(rows[row_starts], columns[column_starts])] += sums


def _add_bilinear(raster: Any, source: Source, grid: Grid, own: Grid, total: NDArray, count: NDArray) -> None:
    rows = np.flatnonzero((grid.lats <= own.north + own.step / 2) & (grid.lats >= own.south - own.step / 2))
    columns = np.flatnonzero((grid.lons >= own.west - own.step / 2) & (grid.lons <= own.east + own.step / 2))
    if rows.size and columns.size:
        values = _window(raster, source, 0, raster.height, 0, raster.width)
        found = bilinear(values, own, grid.lats[rows], grid.lons[columns])
        at = np.ix_(rows, columns)
        total[at] += np.where(np.isfinite(found), found, 0.0)
        count[at] += np.isfinite(found)


def _window(raster: Any, source: Source, start: int, stop: int, first: int, width: int) -> NDArray[np.float64]:
    """Source rows as metres, voids as NaN."""
    rasterio = require("rasterio", extra="terrain")
    try:
        raw = raster.read(1, window=rasterio.windows.Window(first, start, width, stop - start))
    except rasterio.errors.RasterioError as error:
        raise CranpmError(f"{source}: truncated or damaged raster ({error}); download it again") from error
    values = raw.astype(np.float64)
    for void in (*VOIDS, *([raster.nodata] if raster.nodata is not None else [])):
        values[raw == void] = np.nan
    low, high = np.nanmin(values, initial=0.0), np.nanmax(values, initial=0.0)
    if low < LOWEST or high > HIGHEST:
        raise CranpmError(f"{source}: elevations from {low:g} to {high:g}; expected metres, {LOWEST:g} to {HIGHEST:g}")
    return values


def _fill(values: NDArray[np.float32], holes: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The holes filled from their nearest ring of neighbours outward."""
    values = values.copy()
    todo = holes & np.isnan(values)
    while todo.any():
        padded = np.pad(values, 1, constant_values=np.nan)
        height, width = values.shape
        around = np.stack(
            [padded[1 + i : 1 + i + height, 1 + j : 1 + j + width] for i in (-1, 0, 1) for j in (-1, 0, 1)]
        )
        known = np.isfinite(around).sum(axis=0)
        mean = np.nansum(around, axis=0) / np.maximum(known, 1)
        ready = todo & (known > 0)
        if not ready.any():
            break
        values[ready] = mean[ready]
        todo &= ~ready
    return values


def _span(grid: Grid) -> str:
    west, south, east, north = grid.edges
    return f"{south:g}..{north:g}N {float(wrap_longitude(west)):g}..{float(wrap_longitude(east)):g}E"
