"""What a file is, in our terms: the content decides, the name only helps GHAP, which writes its day nowhere else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from cranpm.data.days import format_days
from cranpm.data.products import ghap, stations, terrain
from cranpm.data.products.description import PRODUCTS, Description
from cranpm.data.products.gridded import describe
from cranpm.data.products.results import names_text
from cranpm.data.products.sources import Source, kind, sources
from cranpm.grid import wrap_longitude


def identify(path: Path) -> list[Description]:
    """Descriptions of a file, or of every member of a zip.

    Raises:
        CranpmError: the file cannot be read, or is damaged.
    """
    found = [_identify(source) for source in sources(path)]
    if len(found) > 1 and {f.product for f in found} & {"cams", "cams_forecast"}:
        # A zip is one request: weather beside composition is CAMS's own weather.
        rename = {"era5": "cams", "weather_forecast": "cams_forecast"}
        found = [replace(f, product=rename.get(f.product, f.product)) for f in found]
    return found


def report(path: Path) -> Iterator[str]:
    """Lines that say what a file, or each file of a folder, is.

    Raises:
        CranpmError: nothing there, or a single file that cannot be read.
    """
    from cranpm.data.catalogue import Catalogue

    path = Path(path)
    if path.is_file():
        for description in identify(path):
            yield from _lines(description)
        return
    catalogue = Catalogue(path)
    for description in catalogue.files:
        yield from _lines(description)
    for problem in catalogue.problems:
        yield f"cannot be used: {problem}"
    counts = [f"{len(catalogue.of(product))} {title}" for product, title in PRODUCTS.items() if catalogue.of(product)]
    yield f"{path}: {', '.join(counts) or 'no file'}" + (f"; {len(catalogue.problems)} unusable" * bool(catalogue.problems))


def _identify(source: Source) -> Description:
    found = kind(source)
    if found == "netcdf":
        return ghap.identify(source) or describe(source)
    if found in ("tiff", "hgt"):
        return terrain.identify(source) or Description(source, "other", "raster with several bands")
    if found in ("parquet", "gzip", "text"):
        return stations.identify(source) or Description(source, "other", f"{found} file without a station table")
    if found == "grib":
        note = "GRIB is not read here: request NetCDF, or convert it (grib_to_netcdf, or earthkit)"
        return Description(source, "other", "GRIB", notes=(note,))
    return Description(source, "other", f"{found} file")


def _lines(file: Description) -> Iterator[str]:
    yield f"{file.source}: {file.title}"
    if file.variables:
        gridded = file.product in ("era5", "weather_forecast", "cams", "cams_forecast")
        yield f"  gives     {names_text(file.variables) if gridded else ', '.join(file.variables)}"
    if file.days:
        what = "issued on" if file.product.endswith("forecast") else "days"
        yield f"  {what:<9} {format_days(file.days)} ({len(file.days)})"
    if file.axes is not None:
        grid = file.axes.grid
        west, east = float(wrap_longitude(grid.west)), float(wrap_longitude(grid.east))
        yield f"  grid      {grid.height} x {grid.width} at {grid.step:g} deg, {grid.south:g}..{grid.north:g}N {west:g}..{east:g}E"
    for note in file.notes:
        yield f"  note      {note}"
