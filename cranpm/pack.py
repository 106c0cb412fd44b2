"""A pack as its YAML file says it: the keys, and the checks of what types cannot tell."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

from cranpm.config import Document, Key, nearest
from cranpm.data.days import parse_days
from cranpm.errors import CranpmError
from cranpm.grid import COARSE_STEP, FINE_STEP, Grid, coarse_grid, fine_grid

SCHEMA_VERSION = 1
PRODUCTS = ("era5", "cams", "ghap", "terrain")
"""The sources every pack names."""


@dataclass(frozen=True)
class Domain:
    """A grid as a pack writes it: coarse by its first node, fine by its north-west edge."""

    north: float
    west: float
    height: int
    width: int

    def grid(self, step: float) -> Grid:
        """The grid of nodes (step 0.25) or of pixel centres (step 0.01)."""
        make = coarse_grid if step == COARSE_STEP else fine_grid
        return make(self.north, self.west, self.height, self.width)


@dataclass(frozen=True)
class Sample:
    """The part of the domain that the sample world simulates by default."""

    coarse: Domain
    fine: Domain
    overlap: int
    climate: Literal["europe", "north_america", "india"]
    days: tuple[str, ...]


@dataclass(frozen=True)
class PublishedWindow:
    """The window on which published figures were computed, where it is not the pack's."""

    coarse: Domain
    fine: Domain


@dataclass(frozen=True)
class Pack:
    """The YAML of a pack, key by key."""

    schema_version: int
    name: str
    title: str
    coarse: Domain
    fine: Domain
    overlap: int
    sample: Sample
    hotspots: tuple[Hotspot, ...]
    sources: dict[str, Source]
    stations: Stations
    index: AirIndex
    thresholds: tuple[float, ...]
    licence: str
    attribution: str
    split: Split
    published: dict[str, float | str] | None = None
    published_window: PublishedWindow | None = None
    sharpened: tuple[int, ...] = ()


@dataclass(frozen=True)
class Hotspot:
    """An area that deserves its own eye: edges in degrees, longitudes continuous like the pack's."""

    name: str
    west: float
    south: float
    east: float
    north: float


@dataclass(frozen=True)
class Split:
    """Years to train on, to choose by, and to score."""

    train: tuple[int, ...]
    validate: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True)
class AirIndex:
    """A country's PM2.5 index: upper bounds of all classes but the last, and the classes' names.

    Attributes:
        bands: upper bounds, ug m-3, ascending.
        labels: names, one more than bands.
        hourly: the index is defined on hourly values, so a daily mean shown in its colours must say so.
    """

    name: str
    bands: tuple[float, ...]
    labels: tuple[str, ...]
    hourly: bool = False


@dataclass(frozen=True)
class Stations:
    """Where measurements come from, and the format they come in."""

    source: Literal["eea", "epa_aqs", "openaq"]
    url: str
    licence: str
    attribution: str


@dataclass(frozen=True)
class Source:
    """A product that feeds the region: who delivers it and on what terms."""

    name: str
    licence: str
    attribution: str
    url: str | None = None


def check_pack(document: Document[Pack]) -> Iterator[tuple[str, list[CranpmError]]]:
    """Name of each check and the errors it found, in the order in which they should be put right."""
    for name, check in _CHECKS:
        yield name, list(check(document))


def _domains(pack: Pack) -> dict[Key, Domain]:
    domains: dict[Key, Domain] = {("coarse",): pack.coarse, ("fine",): pack.fine}
    domains |= {("sample", "coarse"): pack.sample.coarse, ("sample", "fine"): pack.sample.fine}
    if pack.published_window:
        domains[("published_window", "coarse")] = pack.published_window.coarse
        domains[("published_window", "fine")] = pack.published_window.fine
    return domains


def _outer(key: Key) -> Key | None:
    """The domain that another one lies in: longitudes run on from there."""
    if key[-1] == "fine":
        return (*key[:-1], "coarse")
    return ("coarse",) if key[0] == "sample" else None


def _step(key: Key) -> float:
    return COARSE_STEP if key[-1] == "coarse" else FINE_STEP


def _check_identity(document: Document[Pack]) -> Iterator[CranpmError]:
    pack = document.value
    if pack.schema_version != SCHEMA_VERSION:
        reason = f"pack of schema {pack.schema_version}, this version reads {SCHEMA_VERSION}; update cranpm or the pack"
        yield document.error(("schema_version",), reason)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", pack.name):
        yield document.error(("name",), f"'{pack.name}' is no pack name: lower-case letters, digits and _ only")


def _check_domains(document: Document[Pack]) -> Iterator[CranpmError]:
    """On the Earth and of a possible size."""
    domains = _domains(document.value)
    for key, domain in domains.items():
        name = ".".join(map(str, key))
        outer = _outer(key)
        first = domains[outer].west - COARSE_STEP if outer else -180.0
        if not first <= domain.west < first + 360:
            reason = f"{domain.west:g}, expected {first:g}..{first + 360:g}"
            reason += f", running on from {'.'.join(map(str, outer))} (170..190, not 170..-170)" if outer else ""
            yield document.error((*key, "west"), f"{name}.west: {reason}")
        small = [side for side in ("height", "width") if getattr(domain, side) < 2]
        for side in small:
            yield document.error((*key, side), f"{name}.{side}: {getattr(domain, side)}, expected at least 2")
        if small:
            continue
        try:
            domain.grid(_step(key))
        except CranpmError as error:
            yield document.error((*key, "north"), f"{name}: {error}; change its north, height or width")


def _check_steps(document: Document[Pack]) -> Iterator[CranpmError]:
    """Coarse nodes on multiples of 0.25 degrees, fine edges on multiples of 0.01."""
    for key, domain in _domains(document.value).items():
        step = _step(key)
        for side in ("north", "west"):
            value = getattr(domain, side)
            on_grid = round(round(value / step) * step, 6)
            if abs(value - on_grid) > 1e-6:
                name = ".".join(map(str, (*key, side)))
                reason = f"{value} is not on the grid of {step} degrees; the nearest value is {on_grid:g}"
                yield document.error((*key, side), f"{name}: {reason}")


def _check_nesting(document: Document[Pack]) -> Iterator[CranpmError]:
    """The fine domain inside the coarse one, the sample windows inside the pack's."""
    pack = document.value
    try:
        grids = {key: domain.grid(_step(key)) for key, domain in _domains(pack).items()}
    except CranpmError:
        return  # told by the check of the domains
    for key in grids:
        if key[-1] == "fine":
            yield from _surrounded(document, key, grids[key], grids[(*key[:-1], "coarse")])
    for part in ("coarse", "fine"):
        try:
            grids[(part,)].locate(grids[("sample", part)])
        except CranpmError:
            yield document.error(("sample", part), f"sample.{part}: not inside the pack's own {part} domain")


def _surrounded(document: Document[Pack], key: Key, fine: Grid, coarse: Grid) -> Iterator[CranpmError]:
    """Every fine pixel at most one coarse step outside the outermost coarse nodes."""
    rows, columns = coarse.rows([fine.north, fine.south]), coarse.columns([fine.west, fine.east])
    inside = rows[0] >= -1 and rows[1] <= coarse.height and columns[0] >= -1 and columns[1] <= coarse.width
    if not (inside and columns[0] < columns[1]):
        west, south, east, north = fine.edges
        reason = f"the fine domain ({south:g}..{north:g}N, {west:g}..{east:g}E) is not inside the coarse one"
        reason += f" ({coarse.south:g}..{coarse.north:g}N, {coarse.west:g}..{coarse.east:g}E)"
        yield document.error(key, f"{'.'.join(map(str, key))}: {reason}; move or enlarge one of them")


def _check_overlap(document: Document[Pack]) -> Iterator[CranpmError]:
    pack = document.value
    for key, overlap, fine in (
        (("overlap",), pack.overlap, pack.fine),
        (("sample", "overlap"), pack.sample.overlap, pack.sample.fine),
    ):
        side = min(fine.height, fine.width)
        if not 0 < overlap < side:
            yield document.error(key, f"{'.'.join(key)}: {overlap} px, expected 1..{side - 1} for this fine domain")


def _check_hotspots(document: Document[Pack]) -> Iterator[CranpmError]:
    for i, spot in enumerate(document.value.hotspots):
        key = ("hotspots", i)
        if spot.south >= spot.north:
            reason = f"south ({spot.south:g}) is not below north ({spot.north:g})"
        elif spot.west >= spot.east:
            reason = f"west ({spot.west:g}) is not below east ({spot.east:g}); across the date line east runs on to 190"
        elif not _hotspot_inside(spot, document.value.fine):
            reason = "outside the fine domain"
        else:
            continue
        yield document.error(key, f"hotspot '{spot.name}': {reason}")


def _hotspot_inside(spot: Hotspot, fine: Domain) -> bool:
    east, south = fine.west + fine.width * FINE_STEP, fine.north - fine.height * FINE_STEP
    slack = 1e-6
    across = fine.west - slack <= spot.west and spot.east <= east + slack
    return across and south - slack <= spot.south and spot.north <= fine.north + slack


def _check_sources(document: Document[Pack]) -> Iterator[CranpmError]:
    sources = document.value.sources
    for name in sources:
        if name not in PRODUCTS:
            yield document.error(("sources", name), f"unknown source '{name}'; {nearest(name, PRODUCTS)}")
    missing = [name for name in PRODUCTS if name not in sources]
    if missing:
        reason = f"{', '.join(missing)} missing; each needs name, licence, attribution"
        yield document.error(("sources",), f"sources: {reason}")
    published = document.value.published
    if published and not isinstance(published.get("source"), str):
        yield document.error(("published",), "published: figures without their 'source'; say where they are printed")


def _check_index(document: Document[Pack]) -> Iterator[CranpmError]:
    pack = document.value
    for key, values in ((("thresholds",), pack.thresholds), (("index", "bands"), pack.index.bands)):
        if not values or values[0] <= 0 or any(a >= b for a, b in pairwise(values)):
            yield document.error(key, f"{'.'.join(key)}: expected positive values in ascending order, in ug m-3")
    labels, bounds = len(pack.index.labels), len(pack.index.bands)
    if labels != bounds + 1:
        reason = f"{labels} labels for {bounds} bounds, expected one label more than bounds"
        yield document.error(("index", "labels"), f"index.labels: {reason}")


def _check_split(document: Document[Pack]) -> Iterator[CranpmError]:
    """No year in two parts, and the sample's default days inside the years to score."""
    split, sample = document.value.split, document.value.sample
    seen: dict[int, str] = {}
    for part in ("train", "validate", "test"):
        years = getattr(split, part)
        if not years:
            yield document.error(("split", part), f"split.{part}: no year given")
        for year in years:
            if year in seen:
                yield document.error(("split", part), f"split.{part}: {year} is already in split.{seen[year]}")
            seen[year] = part
    if not sample.days:
        yield document.error(("sample", "days"), "sample.days: no day given")
    for i, text in enumerate(sample.days):
        try:
            outside = [day for day in parse_days(text) if day.year not in split.test]
        except CranpmError as error:
            yield document.error(("sample", "days", i), f"sample.days: {error}")
            continue
        if outside:
            reason = f"{outside[0]} is not in the test years ({', '.join(map(str, split.test))})"
            yield document.error(("sample", "days", i), f"sample.days: {reason}")


_CHECKS: tuple[tuple[str, Callable[[Document[Pack]], Iterator[CranpmError]]], ...] = (
    ("name and schema version", _check_identity),
    ("domains on the Earth", _check_domains),
    ("domains on the grids", _check_steps),
    ("fine inside coarse, sample inside both", _check_nesting),
    ("tile overlap", _check_overlap),
    ("hotspots", _check_hotspots),
    ("sources and published figures", _check_sources),
    ("thresholds and index", _check_index),
    ("years and sample days", _check_split),
)
