"""A valid pack for any place on Earth, from a box of longitudes and latitudes."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from cranpm.config import parse_document
from cranpm.errors import CranpmError
from cranpm.grid import COARSE_STEP, FINE_STEP, wrap_longitude
from cranpm.pack import Domain, Pack, check_pack
from cranpm.region import list_regions, load_region

LandMask = Callable[[NDArray[np.float64], NDArray[np.float64]], NDArray[np.bool_]]

SMALLEST = 512  # px: the fine domain holds a tile of every registered configuration
WINDOW = 56  # nodes: 7 tokens of 8 nodes, so that token grids divide into windows of 7 x 7
BASE = (168, 280)  # nodes: Europe's coarse shape, which a model trained there knows
WIDEST = 350  # degrees: a pack has a western and an eastern end
ROOM = 2.0  # degrees of coarse domain wanted on every side of the fine one
SAMPLE_COARSE = (56, 84)  # nodes
SAMPLE_FINE = 448  # px
ENOUGH_LAND = 0.4  # share of a sample window that makes it a good one


@dataclass(frozen=True)
class Domains:
    """The four grids of a new pack."""

    coarse: Domain
    fine: Domain
    sample_coarse: Domain
    sample_fine: Domain


def write_pack(name: str, bbox: tuple[float, float, float, float], path: Path, *, title: str | None = None) -> Path:
    """Write a new pack; an existing file is never touched.

    Args:
        name: name of the pack: lower-case letters, digits, underscores.
        bbox: west, south, east, north of the area to map, degrees; east < west crosses the date line.
        path: the file to write.
        title: name for people; made from the name when absent.

    Raises:
        CranpmError: the box is impossible or holds no land, the name is taken, or the file exists.
    """
    if name in list_regions():
        raise CranpmError(f"'{name}' ships with cranpm; choose another name (shipped: {', '.join(list_regions())})")
    if path.exists():
        raise CranpmError(f"{path} exists and is not overwritten; remove it or give another --out")
    text = pack_text(name, title or name.replace("_", " ").title(), plan_domains(*bbox))
    document = parse_document(text, Pack, source=str(path))
    for _, errors in check_pack(document):
        if errors:
            raise errors[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(text)
    return path


def plan_domains(west: float, south: float, east: float, north: float, *, land: LandMask | None = None) -> Domains:
    """The grids for a box of degrees; the fine domain is the box, grown to at least 512 px a side.

    Args:
        west, south, east, north: the box; east < west crosses the date line.
        land: says which points (latitudes, longitudes in -180..180) are land; absent: the 1 km mask.

    Raises:
        CranpmError: the box is impossible or holds no land.
    """
    west, east = _continuous(west, south, east, north)
    fine_south, fine_north = _grown(south, north, -90.0, 90.0)
    fine_west, fine_east = _grown(west, east, -math.inf, math.inf)
    fine = Domain(
        fine_north,
        fine_west,
        round((fine_north - fine_south) / FINE_STEP),
        round((fine_east - fine_west) / FINE_STEP),
    )
    coarse = _coarse(fine)
    sample_fine = _landfall(fine, land or _one_kilometre_mask())
    shift = _turned(coarse.west) - coarse.west  # the coarse domain starts in -180..180, the rest runs on from there
    domains = (coarse, fine, _around(sample_fine, coarse), sample_fine)
    return Domains(*(replace(domain, west=round(domain.west + shift, 6)) for domain in domains))


def pack_text(name: str, title: str, domains: Domains) -> str:
    """The YAML of a new pack."""
    europe = load_region("europe")
    sources = {
        key: {"name": s.name, "url": s.url, "licence": s.licence, "attribution": s.attribution}
        for key, s in europe.sources.items()
    }
    days = "\n".join(f"    - {days}" for days in europe.sample.days)
    return f"""\
# Written by `cranpm region new`; edit freely, then run `cranpm region check` on this file.
schema_version: 1
name: {json.dumps(name)}
title: {json.dumps(title)}
# Coarse by its first node (multiples of 0.25 degrees), fine by its north-west edge (multiples of 0.01).
# Longitudes run on past 180, they never jump to -180.
coarse: {_flow(domains.coarse)}
fine: {_flow(domains.fine)}
overlap: 64  # px; the least overlap of neighbouring tiles
sample:  # the part that the sample world simulates; it has land in it
  coarse: {_flow(domains.sample_coarse)}
  fine: {_flow(domains.sample_fine)}
  overlap: 16
  climate: {_climate(domains.fine)}  # the simulated climate: europe, north_america or india
  days:
{days}
hotspots: []  # e.g. [{{name: My city, west: 1.0, south: 2.0, east: 3.0, north: 4.0}}]
{yaml.safe_dump({"sources": sources}, sort_keys=False, allow_unicode=True, width=1000).rstrip()}
stations:
  source: openaq  # or eea, epa_aqs
  url: https://openaq.org
  licence: CC-BY-4.0 (OpenAQ); the terms of each provider apply
  attribution: OpenAQ and its providers
# The index and the thresholds of your country go here.
index:
  name: US Air Quality Index (2024)
  bands: [9.0, 35.4, 55.4, 125.4, 225.4]
  labels: [Good, Moderate, Unhealthy for sensitive groups, Unhealthy, Very unhealthy, Hazardous]
thresholds: [15, 35]  # ug m-3, daily mean: WHO 2021, US NAAQS
licence: CC-BY-4.0
attribution: {json.dumps(f"Region pack {title}")}
split:
  train: [2017, 2018, 2019, 2020]
  validate: [2021]
  test: [2022]
"""


def _continuous(west: float, south: float, east: float, north: float) -> tuple[float, float]:
    """West in -180..180 and an east above it."""
    box = f"--bbox {west:g} {south:g} {east:g} {north:g}"
    if not all(map(math.isfinite, (west, south, east, north))):
        raise CranpmError(f"{box}: four numbers in degrees are expected: west south east north")
    if not -90 <= south < north <= 90:
        raise CranpmError(f"{box}: expected -90 <= south < north <= 90 (the order is west south east north)")
    if not (-180 <= west <= 360 and -180 <= east <= 360) or east == west:
        raise CranpmError(f"{box}: expected different west and east between -180 and 360 degrees")
    if east < west:
        east += 360
    if east - west > WIDEST:
        raise CranpmError(
            f"{box}: {east - west:g} degrees from west to east, at most {WIDEST} fit a pack (are W and E exchanged?)"
        )
    start = _turned(west)
    return start, start + east - west


def _turned(west: float) -> float:
    return round(float(wrap_longitude(west)), 6)


def _grown(low: float, high: float, lowest: float, highest: float) -> tuple[float, float]:
    """Edges on multiples of 0.01 around an interval, at least the smallest domain apart, within limits."""
    first, last = math.floor(round(low / FINE_STEP, 6)), math.ceil(round(high / FINE_STEP, 6))
    lacking = max(0, SMALLEST - (last - first))
    first, last = first - lacking // 2, last + lacking - lacking // 2
    shift = max(0.0, lowest / FINE_STEP - first) - max(0.0, last - highest / FINE_STEP)
    return round((first + shift) * FINE_STEP, 6), round((last + shift) * FINE_STEP, 6)


def _coarse(fine: Domain) -> Domain:
    """Whole windows of tokens around the fine domain, Europe's shape where it fits, clipped at the poles."""
    south, east = fine.north - fine.height * FINE_STEP, fine.west + fine.width * FINE_STEP
    height = min(_nodes(fine.north - south, BASE[0]), 721)
    width = _nodes(east - fine.west, BASE[1])
    width = width if width <= 1440 else math.ceil((east - fine.west) / COARSE_STEP) + 1
    centre = (fine.north + south) / 2
    # More room on the side the weather comes from: west in the westerlies, east in the trades.
    upwind = 0.4 if abs(centre) < 30 else 0.6
    spare_rows = (height - 1) * COARSE_STEP - (fine.north - south)
    spare_columns = (width - 1) * COARSE_STEP - (east - fine.west)
    north = min(90.0, max(fine.north + spare_rows / 2, -90.0 + (height - 1) * COARSE_STEP))
    west = fine.west - max(spare_columns, 0.0) * upwind
    return Domain(_node(north), _node(west), height, width)


def _nodes(extent: float, base: int) -> int:
    """Nodes across an extent in degrees with room on both sides, in whole windows of tokens."""
    needed = math.ceil((extent + 2 * ROOM) / COARSE_STEP) + 1
    return max(base, -(-needed // WINDOW) * WINDOW)


def _node(value: float) -> float:
    return round(round(value / COARSE_STEP) * COARSE_STEP, 6)


def _landfall(fine: Domain, land: LandMask) -> Domain:
    """The window nearest to the centre of the fine domain with enough land, else the one with most.

    Looks at every 0.05 degrees (coarser in very large domains).
    """
    stride = max(5, math.ceil(max(fine.height, fine.width) / 1500))  # px between the points looked at
    lats = fine.north - FINE_STEP * (np.arange(0, fine.height, stride) + 0.5)
    lons = fine.west + FINE_STEP * (np.arange(0, fine.width, stride) + 0.5)
    mask = land(*np.meshgrid(lats, wrap_longitude(lons), indexing="ij"))
    side = min(SAMPLE_FINE // stride, *mask.shape)
    total = np.pad(mask, ((1, 0), (1, 0))).astype(np.int64).cumsum(0).cumsum(1)
    share = (total[side:, side:] - total[:-side, side:] - total[side:, :-side] + total[:-side, :-side]) / side**2
    rows, columns = (fine.height - SAMPLE_FINE) // stride + 1, (fine.width - SAMPLE_FINE) // stride + 1
    share = share[:rows, :columns]
    if share.max() == 0:
        raise CranpmError("no land in this box, and PM2.5 at 1 km exists on land only; choose a box with a coast in it")
    row, column = np.indices(share.shape)
    away = np.hypot(row - (share.shape[0] - 1) / 2, column - (share.shape[1] - 1) / 2)
    good = share >= min(ENOUGH_LAND, share.max())
    i, j = np.unravel_index(np.where(good, away, np.inf).argmin(), share.shape)
    north, west = fine.north - int(i) * stride * FINE_STEP, fine.west + int(j) * stride * FINE_STEP
    return Domain(round(north, 6), round(west, 6), SAMPLE_FINE, SAMPLE_FINE)


def _around(fine: Domain, coarse: Domain) -> Domain:
    """The sample's coarse window: around its fine one, inside the pack's coarse domain."""
    height, width = SAMPLE_COARSE
    south = coarse.north - (coarse.height - 1) * COARSE_STEP
    half = SAMPLE_FINE * FINE_STEP / 2
    north = fine.north - half + (height - 1) / 2 * COARSE_STEP
    north = min(coarse.north, max(north, south + (height - 1) * COARSE_STEP))
    west = fine.west + half - (width - 1) / 2 * COARSE_STEP
    west = max(coarse.west, min(west, coarse.west + (coarse.width - width) * COARSE_STEP))
    return Domain(_node(north), _node(west), height, width)


def _climate(fine: Domain) -> str:
    """Which simulated climate comes nearest."""
    latitude = fine.north - fine.height * FINE_STEP / 2
    if abs(latitude) < 32:
        return "india"
    longitude = float(wrap_longitude(fine.west + fine.width * FINE_STEP / 2))
    return "north_america" if -170 <= longitude <= -30 else "europe"


def _flow(domain: Domain) -> str:
    return f"{{north: {domain.north}, west: {domain.west}, height: {domain.height}, width: {domain.width}}}"


def _one_kilometre_mask() -> LandMask:
    from global_land_mask import globe  # 4 s and 0.9 GB at import

    def is_land(lats: NDArray[np.float64], lons: NDArray[np.float64]) -> NDArray[np.bool_]:
        return np.asarray(globe.is_land(np.clip(lats, -90, 90), np.clip(lons, -180, 179.999)), dtype=bool)

    return is_land
