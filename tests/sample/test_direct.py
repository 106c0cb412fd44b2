"""The sample world straight into a store: daily values, resuming, and agreement with the file route."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cranpm.data.days import parse_days
from cranpm.data.layout import STORE_CHANNELS
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.grid import coarse_grid, fine_grid
from cranpm.sample.daily import CAMS_FORECAST_STEP, LEVEL_STEP, every
from cranpm.sample.direct import write_store
from cranpm.variables import COMPOSITION, LEVELS, SURFACE, UPPER

COARSE, FINE = coarse_grid(50, 5, 4, 5), fine_grid(49.8, 5.3, 20, 30)


class TinyWorld:
    """Uniform fields that tell their hour, level and day; no physics."""

    region = SimpleNamespace(name="nowhere", licence="CC0", attribution="nobody")
    coarse, fine, seed, realisation = COARSE, FINE, 3, 1
    window = SimpleNamespace(coarse=COARSE, fine=FINE, overlap=4)
    elevation, land = np.full(FINE.shape, 7, np.float32), np.ones(FINE.shape, bool)
    coarse_elevation, coarse_land = np.full(COARSE.shape, 9, np.float32), np.ones(COARSE.shape, bool)
    stations = (SimpleNamespace(id="S1", name="Somewhere", lat=49.7, lon=5.4, elevation=3.0, kind="urban"),)

    def __init__(self, fail_at: date | None = None) -> None:
        self.fail_at = fail_at
        self.asked: list[date] = []

    def identity(self) -> dict[str, object]:
        return {"seed": self.seed, "realisation": self.realisation}

    def days(self, days: Sequence[date]) -> Iterator[SimpleNamespace]:
        for day in days:
            if day == self.fail_at:
                raise RuntimeError("power cut")
            self.asked.append(day)
            yield _simulated(day)


def _simulated(day: date) -> SimpleNamespace:
    hours = np.arange(8, dtype=np.float32).reshape(8, 1, 1) + np.zeros(COARSE.shape, np.float32)
    weather = {v.name: _centre(v.low, v.high) + 0.01 * hours + day.day for v in SURFACE}
    weather["tp"] = 1e-3 * hours
    levels = np.arange(len(LEVELS), dtype=np.float32).reshape(1, -1, 1, 1)
    weather |= {v.name: (_centre(v.low, v.high) + 0.01 * hours[:, None] + levels) for v in UPPER}
    weather["q"] = (1e-3 * (hours[:, None] / 100 + levels)).astype(np.float32)
    air = {v.name: 10 + hours for v in COMPOSITION}
    lead = np.arange(1, 4, dtype=np.float32)

    def ahead(fields: dict[str, np.ndarray], rate: float) -> dict[str, np.ndarray]:
        return {
            n: v[None] * (1 + rate * lead.reshape(-1, *(1,) * v.ndim)).astype(np.float32) for n, v in fields.items()
        }

    pm = np.full(FINE.shape, 10 + day.day / 10, np.float32)
    pm[0, 0] = np.nan
    return SimpleNamespace(
        day=day, weather=weather, composition=air, forecast_weather=ahead(weather, 1e-4),
        forecast_composition=ahead(air, 0.1), truth=pm, ghap=pm, stations=np.array([12.5], np.float32),
    )  # fmt: skip


def _centre(low: float, high: float) -> float:
    return (max(low, -20) + high) / 2


def test_days_are_means_of_their_instants_and_precipitation_their_sum(tmp_path: Path) -> None:
    days = parse_days("2022-01-01..2022-01-02")
    store = Store.open(write_store(TinyWorld(), days, tmp_path / "s.zarr"))
    day = dict(zip(STORE_CHANNELS, store.coarse_day(days[1]), strict=True))
    assert np.allclose(day["t2m"], _centre(180, 340) + 0.035 + 2)
    assert np.allclose(day["tp"], 28e-3)
    level_hours = np.arange(8)[every(LEVEL_STEP)].mean()
    assert np.allclose(day["u_500"], _centre(-150, 150) + 0.01 * level_hours)
    assert np.allclose(day["u_1000"], _centre(-150, 150) + 0.01 * level_hours + 4)
    assert np.allclose(day["q_850"], 1e-3 * (0.01 * level_hours + 2))
    assert np.allclose(day["co"], 13.5)
    issued = dict(zip(STORE_CHANNELS, store.forecast(days[1], 2), strict=True))
    assert np.allclose(issued["pm2p5"], (10 + np.arange(8)[every(CAMS_FORECAST_STEP)].mean()) * 1.2)
    assert np.allclose(issued["tp"], 28e-3 * 1.0002)
    assert np.isnan(store.pm(days[1])[0, 0]) and np.allclose(store.pm(days[1])[1:], 10.2)
    assert store.simulated and store.attrs["simulated"]["seed"] == 3
    assert store.station_pm(days[0]) == [12.5] and store.stations().name == ("Somewhere",)


def test_broken_run_is_completed_without_simulating_finished_days_again(tmp_path: Path) -> None:
    days, path = parse_days("2022-01-01..2022-01-06"), tmp_path / "s.zarr"
    with pytest.raises(RuntimeError, match="power cut"):
        write_store(TinyWorld(fail_at=days[3]), days, path)
    assert Store.open(path).days == days[:3]
    again = TinyWorld()
    write_store(again, days, path)
    assert again.asked == list(days[3:])
    whole = Store.open(write_store(TinyWorld(), days, tmp_path / "whole.zarr"))
    np.testing.assert_array_equal(Store.open(path).coarse_days(days), whole.coarse_days(days))
    np.testing.assert_array_equal(Store.open(path).pm_days(days), whole.pm_days(days))


def test_second_run_writes_nothing(tmp_path: Path) -> None:
    days, path = parse_days("2022-01-01..2022-01-02"), tmp_path / "s.zarr"
    write_store(TinyWorld(), days, path)
    before = {file: file.stat().st_mtime_ns for file in path.rglob("*")}
    write_store(TinyWorld(), days, path)
    assert {file: file.stat().st_mtime_ns for file in path.rglob("*")} == before


def test_store_of_another_realisation_is_not_added_to(tmp_path: Path) -> None:
    write_store(TinyWorld(), parse_days("2022-01-01"), tmp_path / "s.zarr")
    other = TinyWorld()
    other.realisation = 2
    with pytest.raises(CranpmError, match="simulated world"):
        write_store(other, parse_days("2022-01-02"), tmp_path / "s.zarr")
