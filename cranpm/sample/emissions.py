"""Where PM2.5 comes from in the sample world: cities and towns, roads between them, the countryside, fires.

Maps are relative (1 = the heart of a middling city); the climate's scale makes them ug m-2 s-1.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from cranpm.grid import KM_PER_DEGREE, Grid, bilinear, wrap_longitude
from cranpm.sample.climates import Climate
from cranpm.sample.noise import generator, value_noise
from cranpm.sample.places import CITIES
from cranpm.sample.terrain import is_land

Field = NDArray[np.float32]

_LOWLAND = 1400.0  # m: no towns above
_EPOCH = 8  # days: fires are drawn epoch by epoch, and none burns longer
_CELL = 2  # degrees: and cell by cell
_FIRE_RADIUS = 14.0  # km
_FIRE_CAP = 6.0  # kg/s


@dataclass(frozen=True)
class City:
    """A city: millions of people, and the radius in km over which they live."""

    name: str
    lat: float
    lon: float
    people: float

    @property
    def radius(self) -> float:
        """How far the city reaches from its middle, km."""
        return float(1.8 + 3.2 * self.people**0.45)


@dataclass(frozen=True)
class Fire:
    """A fire as it burns on one day: where, and kg of PM2.5 per second."""

    lat: float
    lon: float
    strength: float


def find_cities(seed: int, climate: Climate, area: Grid, elevation: Field, ground: Grid) -> list[City]:
    """Real large cities and made-up towns on the land of an area, the same for all windows that see them."""
    west, south, east, north = area.edges
    centre = (west + east) / 2
    cities = [
        City(name, lat, float(centre + wrap_longitude(lon - centre)), people) for name, lat, lon, people in CITIES
    ]
    for row in range(int(np.floor(south)), int(np.ceil(north))):
        for column in range(int(np.floor(west)), int(np.ceil(east))):
            cities += _towns(seed, climate, row, column)
    inside = [c for c in cities if west < c.lon < east and south < c.lat < north]
    rows = np.clip(np.round(ground.rows([c.lat for c in inside])).astype(int), 0, ground.height - 1)
    columns = np.clip(np.round(ground.columns([c.lon for c in inside])).astype(int), 0, ground.width - 1)
    heights = elevation[rows, columns]
    return [c for c, height in zip(inside, heights, strict=True) if 0 < height < _LOWLAND]


def _towns(seed: int, climate: Climate, row: int, column: int) -> list[City]:
    """The made-up towns of one square degree."""
    column = int(wrap_longitude(column))
    rng = generator("towns", seed, row, column)
    number = rng.poisson(climate.cities * np.cos(np.radians(row)))
    places = rng.uniform(size=(number, 2))
    people = np.minimum(0.02 * (1 - rng.uniform(size=number)) ** (-1 / 1.15), 1.5)
    return [
        City(f"town {row}/{column}/{i}", row + places[i, 0], column + places[i, 1], float(people[i]))
        for i in range(number)
    ]


def city_map(grid: Grid, cities: list[City]) -> Field:
    """Emission of cities and of the roads between them on a grid, relative units."""
    total = np.zeros(grid.shape, np.float32)
    km_row = grid.step * KM_PER_DEGREE
    for city in cities:
        _add_blob(total, grid, city.lat, city.lon, max(city.radius, 0.6 * km_row), 165 * city.people**0.65)
    for line in _roads(cities):
        _add_line(total, grid, *line)
    return total


def countryside(seed: int, grid: Grid, land: Field | NDArray[np.bool_], elevation: Field) -> Field:
    """Emission of villages, farms and stoves: lowland, denser here and sparser there; relative units."""
    where = value_noise(("villages", seed), grid.lats, grid.lons, 0.4) + 0.5 * value_noise(
        ("hamlets", seed), grid.lats, grid.lons, 0.08
    )
    return (land * (0.15 + 0.75 * where**1.5) * np.exp(-np.maximum(elevation - 150, 0) / 450)).astype(np.float32)


def fires_of(seed: int, realisation: int, climate: Climate, area: Grid, day: int, day_of_year: int) -> list[Fire]:
    """The fires that burn on a day within an area, whoever asks."""
    west, south, east, north = area.edges
    centre, width = climate.fire_season
    away = (day_of_year - centre + 182.6) % 365.25 - 182.6
    season = float(np.exp(-0.5 * (away / width) ** 2)) + 0.01
    burning: list[Fire] = []
    for epoch in (day // _EPOCH - 1, day // _EPOCH):
        for row in range(int(south // _CELL), int(north // _CELL) + 1):
            for column in range(int(west // _CELL), int(east // _CELL) + 1):
                name = ("fires", seed, realisation, epoch, row, int(wrap_longitude(column * _CELL)))
                burning += _burning(climate, season, row, column, name, day - epoch * _EPOCH)
    burning = [f for f in burning if west < f.lon < east and south < f.lat < north]
    return [f for f in burning if is_land(Grid(f.lat, f.lon, 0.01, 1, 1))[0, 0]] if burning else []


def fire_map(grid: Grid, fires: list[Fire]) -> Field:
    """Emission of fires on a grid, ug m-2 s-1."""
    total = np.zeros(grid.shape, np.float32)
    for fire in fires:
        _add_blob(
            total, grid, fire.lat, fire.lon, max(_FIRE_RADIUS, 0.5 * grid.step * KM_PER_DEGREE), fire.strength * 1e3
        )
    return total


@lru_cache(maxsize=20_000)
def _cell_fires(name: tuple[str | int, ...], expected: float) -> tuple[tuple[float, ...], ...]:
    """All fires that an epoch and cell could have: place, start, length, chance (uniform) and size (normal)."""
    rng = generator(*name)
    number = rng.poisson(expected)
    draws = np.concatenate([rng.uniform(size=(number, 5)), rng.standard_normal((number, 1))], axis=1)
    return tuple(tuple(float(value) for value in row) for row in draws)


def _burning(
    climate: Climate, season: float, row: int, column: int, name: tuple[str | int, ...], age: int
) -> list[Fire]:
    """Fires of one epoch and cell that burn `age` days after the epoch began."""
    area = (_CELL * KM_PER_DEGREE) ** 2 * np.cos(np.radians(row * _CELL + 1)) / 1e6
    expected = float(climate.fires * area * _EPOCH * 2.0)  # drawn at twice the peak rate, thinned by the season
    found = []
    for lat, lon, start, length, chance, size in _cell_fires(name, expected):
        begin, days = int(start * _EPOCH), 2 + int(length * (_EPOCH - 2))
        if chance < 0.5 * season and begin <= age < begin + days:
            rate = min(climate.fire_size * float(np.exp(0.9 * size)), _FIRE_CAP)
            found.append(Fire((row + lat) * _CELL, (column + lon) * _CELL, rate * min(1.0, 0.5 + 0.5 * (age - begin))))
    return found


def _roads(cities: list[City]) -> list[tuple[float, float, float, float, float]]:
    """Each city's roads to its two nearest larger neighbours: ends and strength."""
    large = sorted((c for c in cities if c.people > 0.08), key=lambda c: (-c.people, c.name))
    lines = []
    for index, city in enumerate(large):
        scale = np.cos(np.radians(city.lat))
        reach = [(float(np.hypot(o.lat - city.lat, (o.lon - city.lon) * scale)), o) for o in large[:index]]
        for distance, other in sorted(reach, key=lambda pair: pair[0])[:2]:
            if distance < 1.5:
                lines.append((city.lat, city.lon, other.lat, other.lon, 0.4 + 0.5 * min(city.people, 2.0)))
    return lines


def _add_blob(total: Field, grid: Grid, lat: float, lon: float, radius: float, weight: float) -> None:
    """Add a Gaussian of a total weight (units x km2) to a map, in place."""
    row, column = float(grid.rows(lat)), float(grid.columns(lon))
    km_row = grid.step * KM_PER_DEGREE
    km_column = km_row * np.cos(np.radians(lat))
    reach_row, reach_column = int(3 * radius / km_row) + 1, int(3 * radius / km_column) + 1
    rows = np.arange(max(int(row) - reach_row, 0), min(int(row) + reach_row + 2, grid.height))
    columns = np.arange(max(int(column) - reach_column, 0), min(int(column) + reach_column + 2, grid.width))
    if rows.size and columns.size:
        down = np.exp(-0.5 * ((rows - row) * km_row / radius) ** 2)
        right = np.exp(-0.5 * ((columns - column) * km_column / radius) ** 2)
        density = weight / (2 * np.pi * radius**2)
        total[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += (density * np.outer(down, right)).astype(
            np.float32
        )


def _add_line(total: Field, grid: Grid, lat0: float, lon0: float, lat1: float, lon1: float, strength: float) -> None:
    """Add a road, slightly winding, to a map, in place; strength per km of road."""
    km = float(np.hypot(lat1 - lat0, (lon1 - lon0) * np.cos(np.radians(lat0)))) * KM_PER_DEGREE
    count = max(int(km / 0.35), 2)
    part = np.linspace(0, 1, count)
    bend = 0.05 * np.sin(np.pi * part) * np.sin(3 * np.pi * part + lat0)
    lats, lons = lat0 + (lat1 - lat0) * part + bend * (lon1 - lon0), lon0 + (lon1 - lon0) * part - bend * (lat1 - lat0)
    rows, columns = np.round(grid.rows(lats)).astype(int), np.round(grid.columns(lons)).astype(int)
    inside = (rows >= 0) & (rows < grid.height) & (columns >= 0) & (columns < grid.width)
    area = (grid.step * KM_PER_DEGREE) ** 2 * np.cos(np.radians(lat0))
    np.add.at(total, (rows[inside], columns[inside]), np.float32(strength * km / count / area))


def smooth(field: Field, grid: Grid, coarse_step: float) -> Field:
    """The field without detail finer than a step, by block means and interpolation; shape kept."""
    size = max(int(round(coarse_step / grid.step)), 1)
    height, width = grid.height // size, grid.width // size
    blocks = field[: height * size, : width * size].reshape(height, size, width, size).mean(axis=(1, 3))
    offset = (size - 1) / 2 * grid.step
    middle = Grid(grid.north - offset, grid.west + offset, grid.step * size, height, width)
    lats = np.clip(grid.lats, middle.south, middle.north)
    lons = np.clip(grid.lons, middle.west, middle.east)
    return bilinear(blocks.astype(np.float32), middle, lats, lons)
