"""How the sample world is observed: a GHAP-like daily retrieval at 1 km, and ground stations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cranpm.grid import Grid
from cranpm.sample.emissions import City, smooth
from cranpm.sample.noise import generator
from cranpm.sample.regrid import Regrid

Field = NDArray[np.float32]

_NOISE, _CLOUDY_NOISE = 0.035, 0.09  # sd of the log error, in patches: always, and what full cloud adds
_PIXEL_NOISE = 0.02  # the same from pixel to pixel
_PATCH = 0.2  # degrees
_BLUR = 0.1  # degrees: under cloud the map is filled from its surroundings
_MISSING = 0.03  # share of a day that stays without a value, on average
_STATIONS = 36


@dataclass(frozen=True)
class Station:
    """A simulated ground station; elevation in m."""

    id: str
    name: str
    lat: float
    lon: float
    elevation: float
    kind: str


class Retrieval:
    """Makes the observations of a day; the noise depends on the key and the day alone."""

    def __init__(self, fine: Grid, land: NDArray[np.bool_], to_fine: Regrid, key: tuple[str | int, ...]):
        self.fine, self.land, self.to_fine, self.key = fine, land, to_fine, key
        size = int(round(_PATCH / fine.step))
        height, width = fine.height // size + 3, fine.width // size + 3
        north, west = fine.north + _PATCH / 2, fine.west - _PATCH / 2
        self.patches = Grid(round(min(north, 90), 6), round(west, 6), _PATCH, height, width)
        self.spread = Regrid(self.patches, fine)

    def ghap(self, day: int, truth: Field, cloud: Field) -> Field:
        """The retrieval: ug m-3 in steps of 0.1, NaN at sea and in gaps.

        Args:
            day: proleptic ordinal.
            truth: daily mean, shape (h, w).
            cloud: cover between 0 and 1, shape (h, w).
        """
        rng = generator("ghap", *self.key, day)
        noise, gaps = self.spread(rng.standard_normal((2, *self.patches.shape), dtype=np.float32) * np.float32(1.3))
        pixel = rng.standard_normal(truth.shape, dtype=np.float32)
        seen = truth + cloud * (smooth(truth, self.fine, _BLUR) - truth)
        seen = seen * np.exp((_NOISE + _CLOUDY_NOISE * cloud) * noise + _PIXEL_NOISE * pixel)
        missing = gaps + 1.2 * cloud > 2.55
        tenths = np.round(np.clip(seen, 0.1, 6000) * 10)
        return np.where(self.land & ~missing, tenths / np.float32(10), np.nan).astype(np.float32)

    def stations(self, day: int, truth: Field, stations: tuple[Station, ...]) -> Field:
        """Daily means at the stations, NaN where one did not report; shape (stations,)."""
        rng = generator("stations", *self.key, day)
        noise, lost = rng.standard_normal(len(stations)), rng.uniform(size=len(stations))
        rows, columns = _pixels(self.fine, stations)
        value = truth[rows, columns] * np.exp(0.08 * noise + station_bias(stations))
        return np.where(lost < _MISSING, np.nan, np.round(np.maximum(value, 0.1), 1)).astype(np.float32)


def place_stations(
    seed: int, fine: Grid, land: NDArray[np.bool_], elevation: Field, cities: list[City]
) -> tuple[Station, ...]:
    """Stations in the largest cities of the fine grid and some in the countryside."""
    west, south, east, north = fine.edges
    inside = [c for c in cities if west < c.lon < east and south < c.lat < north]
    largest = sorted(inside, key=lambda c: (-c.people, c.name))[: _STATIONS * 2 // 3]
    places = [(c.name, c.lat, c.lon, "urban") for c in largest]
    rng = generator("countryside", seed, round(north, 3), round(west, 3))
    for number, (down, right) in enumerate(rng.uniform(0.02, 0.98, size=(60, 2))):
        places.append((f"countryside {number}", north - down * (north - south), west + right * (east - west), "rural"))
    found: list[Station] = []
    for name, lat, lon, kind in places:
        row = min(max(int(round(float(fine.rows(lat)))), 0), fine.height - 1)
        column = min(max(int(round(float(fine.columns(lon)))), 0), fine.width - 1)
        if land[row, column] and len(found) < _STATIONS:
            position = round(float(fine.lats[row]), 5), round(float(fine.lons[column]), 5)
            height = round(float(elevation[row, column]), 1)
            found.append(Station(f"SIM{len(found):04d}", f"simulated {name}", *position, height, kind))
    return tuple(found)


def station_bias(stations: tuple[Station, ...]) -> NDArray[np.float64]:
    """Log ratio of a station to its square kilometre: streets are dirtier than their surroundings."""
    return np.array([0.06 if s.kind == "urban" else -0.04 for s in stations])


def _pixels(fine: Grid, stations: tuple[Station, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    rows = np.round(fine.rows([s.lat for s in stations])).astype(int)
    return rows, np.round(fine.columns([s.lon for s in stations])).astype(int)
