"""What a folder of products holds: every file recognised by its content, its days and variables known."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path

from cranpm.data.days import ONE_DAY, format_days
from cranpm.data.products import cams, era5, ghap, terrain
from cranpm.data.products.description import PRODUCTS, Description
from cranpm.data.products.results import names_text
from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError, MissingExtra
from cranpm.region import Region

DAILY = {"era5": era5.CHANNELS, "cams": cams.CHANNELS}
ISSUED = {"weather_forecast": era5.CHANNELS, "cams_forecast": cams.CHANNELS}


class Catalogue:
    """All files of a folder, described.

    Args:
        folder: searched with its sub-folders; hidden files and folders are passed over. A single file also does.
        progress: told after each file.

    Attributes:
        files: descriptions of all files and zip members that could be read.
        problems: one line for each file that could not.

    Raises:
        CranpmError: no such folder, or it is a prepared store.
    """

    def __init__(self, folder: Path, progress: Progress | None = None):
        from cranpm.data.inspect import identify

        self.folder, tell = Path(folder), progress or silent
        paths = _files(self.folder)
        files: list[Description] = []
        problems: list[str] = []
        for number, path in enumerate(paths, start=1):
            try:
                files += identify(path)
            except MissingExtra:
                raise
            except CranpmError as error:
                problems.append(str(error))
            tell("reading files", number, len(paths))
        self.files: tuple[Description, ...] = tuple(files)
        self.problems: tuple[str, ...] = tuple(problems)

    def of(self, product: str) -> tuple[Description, ...]:
        """The files of one product (a key of `PRODUCTS`)."""
        return tuple(file for file in self.files if file.product == product)

    def days(self, product: str) -> tuple[date, ...]:
        """UTC days with any value of a product; for forecasts the days of issue."""
        return tuple(sorted({day for file in self.of(product) for day in file.days}))

    def complete_days(self) -> tuple[date, ...]:
        """Days for which every product that a store needs has every variable, judged by the files' axes.

        A day's rain ends at 00 UTC of the next, which a download of whole days lacks for its last: that day is not
        complete. A day in the midst of others counts, so that a lost file is told and not passed over.
        """
        found = [self._days_with(product, names) for product, names in DAILY.items()]
        days = set.intersection(*found, set(self.days("ghap")))
        following = {day - ONE_DAY for day in days}
        return tuple(sorted(days & (following | self._days_with_all_rain())))

    def missing(self, region: Region, days: Sequence[date]) -> list[str]:
        """What a forecast for these days would lack, as lines for a person; empty when nothing does."""
        lines: list[str] = []
        for product, names in DAILY.items():
            lines += self._missing_names(product, names, days)
        held = set(self.days("ghap"))
        if absent := [day for day in days if day not in held]:
            years = sorted({day.year for day in absent})
            records = ", ".join(f"https://zenodo.org/records/{ghap.ZENODO[y]}" for y in years if y in ghap.ZENODO)
            lines.append(
                f"GHAP PM2.5: no {format_days(absent)}; get the monthly zips from {records or 'https://zenodo.org'}"
            )
        if not self.of("terrain"):
            lines.append(f"elevation: no file; get tiles that cover {_box(region)} from {terrain.DEM}")
        return lines

    def _missing_names(self, product: str, names: Sequence[str], days: Sequence[date]) -> list[str]:
        """Lines for one product: what is there, what is not, where to get it."""
        title, where = PRODUCTS[product], era5.CDS if product == "era5" else cams.ADS
        by_name = {name: {day for f in self.of(product) if name in f.variables for day in f.days} for name in names}
        there = [name for name in names if by_name[name]]
        lines = []
        if never := [name for name in names if not by_name[name]]:
            request = dict.fromkeys(era5.LONG_NAMES.get(name.partition("_")[0], name) for name in never)
            lines.append(
                f"{title}: found {names_text(there) or 'nothing'}; missing {names_text(never)}: request "
                f"{', '.join(request)} from {where}"
            )
        for absent, group in _grouped({name: [d for d in days if d not in by_name[name]] for name in there}):
            lines.append(
                f"{title}: {names_text(group)} not there for {format_days(absent)}: request those days from {where}"
            )
        return lines

    def _days_with_all_rain(self) -> set[date]:
        """Days whose last hour of precipitation, that which ends at 00 UTC of the next, is there."""
        axes = [file.axes for file in self.of("era5") if "tp" in file.variables and file.axes is not None]
        midnights = {
            t for one in axes for t in one.instants[one.instants == one.instants.astype("datetime64[D]")].tolist()
        }
        return {time.date() - ONE_DAY for time in midnights}

    def _days_with(self, product: str, names: Iterable[str]) -> set[date]:
        per_name = [{day for f in self.of(product) if name in f.variables for day in f.days} for name in names]
        return set.intersection(*per_name) if per_name else set()


def scan(folder: Path, progress: Progress | None = None) -> Catalogue:
    """The catalogue of a folder."""
    return Catalogue(folder, progress)


def _files(folder: Path) -> list[Path]:
    if folder.is_file():
        return [folder]
    if not folder.is_dir():
        raise CranpmError(f"{folder}: no such folder; give the one that holds the providers' files")
    if (folder / "zarr.json").exists():
        raise CranpmError(f"{folder}: a Zarr store, not a folder of products; use it with --data")
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not any(p.startswith(".") for p in path.relative_to(folder).parts))


def _grouped(by_name: dict[str, list[date]]) -> list[tuple[list[date], list[str]]]:
    """Names that lack the same days, together."""
    groups: dict[tuple[date, ...], list[str]] = {}
    for name, days in by_name.items():
        if days:
            groups.setdefault(tuple(days), []).append(name)
    return [(list(days), names) for days, names in groups.items()]


def _box(region: Region) -> str:
    west, south, east, north = region.coarse.edges
    return f"{south:g}..{north:g}N {west:g}..{east:g}E"
