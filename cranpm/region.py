"""The region pack: a place on Earth as one YAML file, read strictly and checked before anything trusts it.

Overlap, thresholds and windows belong to the pack; tile size, patches and coarse shape to the checkpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from cranpm.config import Document, nearest, read_document
from cranpm.errors import CranpmError
from cranpm.grid import COARSE_STEP, FINE_STEP, Grid
from cranpm.pack import AirIndex, Hotspot, Pack, PublishedWindow, Sample, Source, Split, Stations, check_pack

__all__ = ["AirIndex", "Check", "Hotspot", "Region", "SampleWindow", "Source", "Split", "Stations", "Window"]
__all__ += ["check_region", "find_pack", "list_regions", "load_region"]


@dataclass(frozen=True)
class Window:
    """A coarse grid, the fine grid it surrounds, and the least overlap of neighbouring tiles in pixels."""

    coarse: Grid
    fine: Grid
    overlap: int


@dataclass(frozen=True)
class SampleWindow:
    """The part of the domain that the sample world simulates by default.

    Attributes:
        coarse, fine: the grids, parts of the pack's own.
        overlap: least overlap of neighbouring tiles, pixels.
        climate: which climate the simulator plays.
        days: the days evaluated by default, "YYYY-MM-DD" or "YYYY-MM-DD..YYYY-MM-DD".
    """

    coarse: Grid
    fine: Grid
    overlap: int
    climate: str
    days: tuple[str, ...]


@dataclass(frozen=True)
class Region:
    """A region pack.

    `path` is the file it was read from; `published` is empty where nothing is published; `sharpened` are the years
    whose composition is the sharpened reanalysis.
    """

    name: str
    title: str
    schema_version: int
    coarse: Grid
    fine: Grid
    overlap: int
    sample: SampleWindow
    hotspots: tuple[Hotspot, ...]
    sources: dict[str, Source]
    stations: Stations
    index: AirIndex
    thresholds: tuple[float, ...]
    licence: str
    attribution: str
    published: dict[str, float | str]
    published_window: Window | None
    split: Split
    path: Path | None = None
    sharpened: tuple[int, ...] = ()

    @property
    def given(self) -> str:
        """What a command line names the pack by: the name of one that ships with the package, the path of another."""
        own = self.path is not None and self.path.parent != _packs()
        return str(self.path) if own else self.name

    def window(self, full: bool) -> Window:
        """The whole domain, or the sample window."""
        if full:
            return Window(self.coarse, self.fine, self.overlap)
        return Window(self.sample.coarse, self.sample.fine, self.sample.overlap)


@dataclass(frozen=True)
class Check:
    """One check of a pack: what was looked at, and the reason it failed (empty when it passed)."""

    name: str
    problem: str = ""


def load_region(name_or_path: str | Path) -> Region:
    """Read a pack that ships with the package (by name) or any other (by path).

    Raises:
        CranpmError: no such pack, or the pack fails a check (file:line and the reason).
    """
    document = read_document(find_pack(name_or_path), Pack)
    for _, errors in check_pack(document):
        if errors:
            raise errors[0]
    return _region(document)


def list_regions() -> list[str]:
    """Names of the packs that ship with the package."""
    return sorted(entry.name.removesuffix(".yaml") for entry in _packs().iterdir() if entry.name.endswith(".yaml"))


def find_pack(name_or_path: str | Path) -> Path:
    """The file of a pack given by name or path."""
    text, path = str(name_or_path), Path(name_or_path)
    if path.suffix in (".yaml", ".yml") or path.parent != Path() or path.is_file():
        if not path.is_file():
            raise CranpmError(f"{text}: no such pack file; write one with `cranpm region new NAME --bbox W S E N`")
        return path
    names = list_regions()
    if text not in names:
        raise CranpmError(f"no region '{text}' ({nearest(text, names)}); a pack of your own is given by its path")
    return _packs() / f"{text}.yaml"


def check_region(name_or_path: str | Path) -> list[Check]:
    """All checks of a pack in order; those after a file that cannot be read as a pack are left out.

    Raises:
        CranpmError: there is no such pack.
    """
    path = find_pack(name_or_path)
    try:
        document = read_document(path, Pack)
    except CranpmError as error:
        return [Check("keys and types", str(error))]
    found = [Check("keys and types")]
    for name, errors in check_pack(document):
        found += [Check(name, str(error)) for error in errors] or [Check(name)]
    return found


def _packs() -> Path:
    return Path(str(files("cranpm.regions"))) / "packs"


def _region(document: Document[Pack]) -> Region:
    pack = document.value
    return Region(
        name=pack.name,
        title=pack.title,
        schema_version=pack.schema_version,
        coarse=pack.coarse.grid(COARSE_STEP),
        fine=pack.fine.grid(FINE_STEP),
        overlap=pack.overlap,
        sample=_sample(pack.sample),
        hotspots=pack.hotspots,
        sources=pack.sources,
        stations=pack.stations,
        index=pack.index,
        thresholds=pack.thresholds,
        licence=pack.licence,
        attribution=pack.attribution,
        published=pack.published or {},
        published_window=_published_window(pack.published_window, pack.overlap),
        split=pack.split,
        path=Path(document.source),
        sharpened=pack.sharpened,
    )


def _sample(sample: Sample) -> SampleWindow:
    coarse, fine = sample.coarse.grid(COARSE_STEP), sample.fine.grid(FINE_STEP)
    return SampleWindow(coarse, fine, sample.overlap, sample.climate, sample.days)


def _published_window(window: PublishedWindow | None, overlap: int) -> Window | None:
    return Window(window.coarse.grid(COARSE_STEP), window.fine.grid(FINE_STEP), overlap) if window else None
