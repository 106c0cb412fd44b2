"""The sample world: the same for whoever asks, different where it should be, and honest about what is known."""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import subprocess
import sys
from itertools import pairwise

import numpy as np
import pytest

from cranpm.grid import coarse_grid, fine_grid
from cranpm.region import Window, load_region
from cranpm.sample.emissions import fires_of
from cranpm.sample.pollution import BLOCK
from cranpm.sample.world import FORECAST_LEADS, World
from cranpm.variables import COARSE, LEVELS

START = dt.date.fromordinal((dt.date(2019, 3, 1).toordinal() // BLOCK) * BLOCK)
WINDOW = Window(coarse_grid(48.0, 4.0, 24, 32), fine_grid(44.8, 8.2, 96, 128), 16)


def small_world(realisation: int = 1, window: Window = WINDOW) -> World:
    return World(load_region("europe"), realisation=realisation, window=window)


def dates(*offsets: int) -> list[dt.date]:
    return [START + dt.timedelta(days=offset) for offset in offsets]


@pytest.fixture(scope="module")
def world() -> World:
    return small_world()


@pytest.fixture(scope="module")
def run(world: World):
    """Six days in a row."""
    return list(world.days(dates(*range(6))))


def same(one, other) -> bool:
    fields = [(one.truth, other.truth), (one.ghap, other.ghap), (one.stations, other.stations)]
    for name in ("weather", "composition", "forecast_weather", "forecast_composition"):
        fields += list(zip(getattr(one, name).values(), getattr(other, name).values(), strict=True))
    return all(np.array_equal(a, b, equal_nan=True) for a, b in fields)


def test_day_is_the_same_whatever_else_is_asked_for(run) -> None:
    alone = list(small_world().days(dates(4)))
    gaps = list(small_world().days(dates(5, 1, 1)))
    assert same(alone[0], run[4]) and same(gaps[0], run[1]) and same(gaps[1], run[5])
    assert [day.day for day in gaps] == dates(1, 5)


def test_day_of_a_later_block_does_not_depend_on_the_earlier(world: World) -> None:
    after = dates(BLOCK)[0]
    alone = next(small_world().days([after]))
    assert same(list(world.days([*dates(BLOCK - 1), after]))[1], alone)


def test_blocks_join_without_a_jump(world: World) -> None:
    """The day before and after a seam differ no more than other neighbours: the start is forgotten."""
    days = list(world.days(dates(BLOCK - 3, BLOCK - 2, BLOCK - 1, BLOCK, BLOCK + 1)))
    steps = [abs(np.log(b.truth.mean() / a.truth.mean())) for a, b in pairwise(days)]
    assert steps[2] < max(0.7, 2 * max(steps[0], steps[1], steps[3]))


def test_another_process_makes_the_same_day(run) -> None:
    code = (
        "import datetime as dt, hashlib, tests.sample.test_world as t\n"
        "day = next(t.small_world().days([t.dates(2)[0]]))\n"
        "print(hashlib.sha256(day.truth.tobytes() + day.forecast_composition['pm2p5'].tobytes()).hexdigest())"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2", "OPENBLAS_NUM_THREADS": "2"}
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    expected = hashlib.sha256(run[2].truth.tobytes() + run[2].forecast_composition["pm2p5"].tobytes()).hexdigest()
    assert found.stdout.strip() == expected


def test_realisation_changes_the_weather_and_not_the_ground(world: World, run) -> None:
    other = small_world(realisation=2)
    assert np.array_equal(other.elevation, world.elevation) and other.stations == world.stations
    day = next(other.days(dates(0)))
    assert np.corrcoef(day.weather["u10"].ravel(), run[0].weather["u10"].ravel())[0, 1] < 0.95
    assert not np.array_equal(day.ghap, run[0].ghap, equal_nan=True)


def test_overlapping_windows_share_their_ground_and_weather(world: World, run) -> None:
    moved = Window(coarse_grid(48.0, 5.0, 24, 32), fine_grid(44.8, 8.5, 96, 128), 16)
    other = small_world(window=moved)
    assert np.array_equal(other.elevation[:, :98], world.elevation[:, 30:])
    day = next(other.days(dates(0)))
    np.testing.assert_allclose(day.weather["v10"][:, :, :28], run[0].weather["v10"][:, :, 4:], atol=0.02)


def test_days_have_the_shapes_units_and_ranges_of_the_variables(world: World, run) -> None:
    day = run[0]
    for name, variable in COARSE.items():
        base, _, level = name.partition("_")
        where = day.weather if base in day.weather else day.composition
        field = where[base] if not level else where[base][:, LEVELS.index(int(level))]
        assert field.shape == (8, *world.coarse.shape) and field.dtype == np.float32
        assert np.isfinite(field).all() and field.min() >= variable.low and field.max() <= variable.high, name
    assert day.forecast_weather["t"].shape == (3, 8, 5, *world.coarse.shape)
    assert day.forecast_composition["o3"].shape == (3, 8, *world.coarse.shape)


def test_retrieval_is_missing_at_sea_and_in_steps_of_a_tenth(world: World, run) -> None:
    assert not world.land.all() and world.land.any()
    for day in run:
        assert np.isnan(day.ghap[~world.land]).all() and np.isfinite(day.truth).all()
        seen = day.ghap[np.isfinite(day.ghap)].astype(float) * 10
        assert np.abs(seen - np.round(seen)).max() < 1e-3
        log_error = np.log(day.ghap / day.truth)[np.isfinite(day.ghap) & (day.truth > 2)]
        assert 0.02 < log_error.std() < 0.3


def test_forecast_is_never_the_analysis_of_the_day_it_is_for(run) -> None:
    for issued, day in enumerate(run):
        for lead in FORECAST_LEADS:
            if issued + lead < len(run):
                later, at = run[issued + lead], lead - 1
                pairs = [(day.forecast_composition[name][at], later.composition[name]) for name in later.composition]
                pairs += [(day.forecast_weather[name][at], later.weather[name]) for name in later.weather]
                assert not any(np.array_equal(ahead, analysed) for ahead, analysed in pairs)


def test_forecast_of_the_wind_worsens_with_lead(world: World) -> None:
    weather, error = world._pollution.weather, np.zeros(len(FORECAST_LEADS))
    for issued in range(START.toordinal(), START.toordinal() + 120, 8):
        days = weather.forecast(issued)
        for lead in FORECAST_LEADS:
            real = weather.analysis(issued + lead).fields["u10"]
            error[lead - 1] += np.mean((days[lead].fields["u10"] - real) ** 2)
    assert 0 < error[0] < 0.8 * error[1] and error[1] < 0.9 * error[2]


def test_forecast_knows_something_of_tomorrow(run) -> None:
    """The forecast wind is nearer to tomorrow's than today's wind is."""
    forecast = np.mean([(a.forecast_weather["u10"][0] - b.weather["u10"]) ** 2 for a, b in pairwise(run)])
    persistence = np.mean([(a.weather["u10"] - b.weather["u10"]) ** 2 for a, b in pairwise(run)])
    assert forecast < 0.5 * persistence


def test_temperature_and_geopotential_hang_together(run) -> None:
    """Warm layers are thick: the 1000-700 hPa thickness follows the 850 hPa temperature."""
    z, t = run[0].weather["z"], run[0].weather["t"]
    thickness = z[:, 1] - z[:, 4]
    assert np.corrcoef(thickness.ravel(), t[:, 2].ravel())[0, 1] > 0.9
    assert abs(thickness.mean() / (287 * np.log(1000 / 700)) - t[:, 2].mean()) < 6


def test_wind_aloft_is_geostrophic(world: World, run) -> None:
    """On 500 hPa the wind blows along the height contours, the high on its right."""
    z, v = run[0].weather["z"][:, 0], run[0].weather["v"][:, 0]
    assert np.corrcoef(np.gradient(z, axis=2).ravel(), v.ravel())[0, 1] > 0.9


def test_fires_are_the_same_for_every_area_that_sees_them(world: World) -> None:
    climate, area = world._pollution.climate, world._ground.terrain_grid
    wide = fires_of(0, 1, climate, area, START.toordinal() + 150, 220)
    west, south, east, north = WINDOW.fine.edges
    narrow = fires_of(0, 1, climate, WINDOW.fine, START.toordinal() + 150, 220)
    assert [f for f in wide if west < f.lon < east and south < f.lat < north] == narrow


def test_a_seed_makes_another_country(world: World) -> None:
    other = World(load_region("europe"), seed=1, realisation=1, window=WINDOW)
    assert np.array_equal(other.land, world.land) and not np.array_equal(other.elevation, world.elevation)


def test_stations_stand_on_land_at_the_height_of_their_pixel(world: World, run) -> None:
    assert len({s.id for s in world.stations}) == len(world.stations) >= 20
    assert all(s.elevation > 0 for s in world.stations)
    reported = np.array([day.stations for day in run])
    assert reported.shape == (6, len(world.stations)) and np.nanmin(reported) > 0
