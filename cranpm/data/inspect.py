"""What a file is, in our terms: the content decides, the name only helps GHAP, which writes its day nowhere else."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cranpm.data.days import format_days
from cranpm.data.products import ghap, stations, terrain
from cranpm.data.products.description import PRODUCTS, Description
from cranpm.data.products.gridded import describe
from cranpm.data.products.results import names_text
from cranpm.data.products.sources import Source, kind, read_head, sources
from cranpm.errors import CranpmError
from cranpm.grid import wrap_longitude

MARK = "SIMULATED.json"


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
    for files in _alike(catalogue.files):
        yield from _lines(files[0], files)
    for problem in catalogue.problems:
        yield f"cannot be used: {problem}"
    counts = [f"{len(catalogue.of(product))} {title}" for product, title in PRODUCTS.items() if catalogue.of(product)]
    unusable = f"; {len(catalogue.problems)} unusable" if catalogue.problems else ""
    simulated = "; simulated, not data" if (path / MARK).exists() else ""
    yield f"{path}: {', '.join(counts) or 'no file'}{unusable}{simulated}"


def _alike(files: Sequence[Description]) -> Iterator[list[Description]]:
    """Files that differ only in their days, together: a year of daily files is one paragraph."""
    groups: dict[tuple[object, ...], list[Description]] = {}
    for file in files:
        grid = file.axes.grid if file.axes is not None else None
        groups.setdefault((file.product, file.title, file.variables, grid, file.notes), []).append(file)
    yield from groups.values()


_BINARY = (".nc", ".nc4", ".zip", ".tif", ".tiff", ".parquet", ".gz", ".grib", ".grb")


def _not_what_its_name_says(source: Source) -> str:
    head = read_head(source, 200)
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return f"{source}: a web page saved under this name, not the file itself; download it again"
    what = "empty" if not head else "not what its name says (its first bytes are of no format known here)"
    return f"{source}: {what}; download it again"


def _identify(source: Source) -> Description:
    found = kind(source)
    if found in ("text", "unknown") and Path(source.member or source.path).suffix.lower() in _BINARY:
        raise CranpmError(_not_what_its_name_says(source))
    if found == "netcdf":
        return ghap.identify(source) or describe(source)
    if found in ("tiff", "hgt"):
        return terrain.identify(source) or Description(source, "other", "raster with several bands")
    if found == "text" and Path(source.member or source.path).name == MARK:
        return Description(source, "other", "mark of the sample world: the files beside it are simulated, not data")
    if found in ("parquet", "gzip", "text"):
        return stations.identify(source) or Description(source, "other", f"{found} file without a station table")
    if found == "grib":
        note = "GRIB is not read here: request NetCDF, or convert it (grib_to_netcdf, or earthkit)"
        return Description(source, "other", "GRIB", notes=(note,))
    return Description(source, "other", f"{found} file")


def _lines(file: Description, alike: Sequence[Description] = ()) -> Iterator[str]:
    more = f" and {len(alike) - 1} more" if len(alike) > 1 else ""
    yield f"{file.source}{more}: {file.title}"
    if file.variables:
        gridded = file.product in ("era5", "weather_forecast", "cams", "cams_forecast")
        yield f"  gives     {names_text(file.variables) if gridded else ', '.join(file.variables)}"
    if days := sorted({day for one in alike or (file,) for day in one.days}):
        what = "issued on" if file.product.endswith("forecast") else "days"
        yield f"  {what:<9} {format_days(days)} ({len(days)})"
    if file.axes is not None:
        grid = file.axes.grid
        west, east = float(wrap_longitude(grid.west)), float(wrap_longitude(grid.east))
        extent = f"{grid.south:g}..{grid.north:g}N {west:g}..{east:g}E"
        yield f"  grid      {grid.height} x {grid.width} at {grid.step:g} degrees, {extent}"
    for note in file.notes:
        yield f"  note      {note}"
