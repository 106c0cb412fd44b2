"""The sample world's particles and gases on a coarse grid."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from cranpm.grid import Grid
from cranpm.region import load_region
from cranpm.sample.species import SpeciesDay, SpeciesWorld
from cranpm.sample.tracers import CHANNELS, daylight

GRID = Grid(52.0, 6.0, 0.75, 6, 8)
FIRST = dt.date(2022, 7, 1)
DAYS = [FIRST + dt.timedelta(days=k) for k in range(10)]


@pytest.fixture(scope="module")
def world() -> SpeciesWorld:
    return SpeciesWorld(load_region("europe"), GRID)


@pytest.fixture(scope="module")
def july(world: SpeciesWorld) -> list[SpeciesDay]:
    return list(world.days(DAYS))


def series(days: list[SpeciesDay], name: str, view: str = "analysis") -> np.ndarray:
    return np.concatenate([getattr(day, view)[name] for day in days])


def change(fields: np.ndarray, steps: int) -> float:
    """RMSE of persistence over so many half days, in standard deviations."""
    return float(np.sqrt(((fields[steps:] - fields[:-steps]) ** 2).mean()) / fields.std())


@pytest.mark.slow
def test_no2_turns_with_the_sun_and_lives_for_hours(july: list[SpeciesDay]):
    no2 = series(july, "no2_1000")
    assert change(no2, 2) < 0.5 * change(no2, 1)  # a day ago tells more than half a day ago
    assert no2[::2].mean() > 2 * no2[1::2].mean()  # midnight against noon


@pytest.mark.slow
def test_particles_and_co_change_little_in_half_a_day(july: list[SpeciesDay]):
    for name in ("pm2p5", "co_1000"):
        fields = series(july, name)
        assert change(fields, 1) < change(fields, 2), name


@pytest.mark.slow
def test_pm10_holds_pm2p5_and_every_value_is_a_concentration(july: list[SpeciesDay]):
    assert (series(july, "pm10") >= series(july, "pm2p5")).all()
    for name in CHANNELS:
        for view in ("analysis", "reanalysis"):
            values = series(july, name, view)
            assert np.isfinite(values).all() and (values >= 0).all(), name


@pytest.mark.slow
def test_gases_thin_out_upwards(july: list[SpeciesDay]):
    for gas in ("co", "no2"):
        low, middle, high = (series(july, f"{gas}_{level}").mean() for level in (1000, 850, 500))
        assert low > middle > high


@pytest.mark.slow
def test_the_reanalysis_is_another_view_of_the_same_air(july: list[SpeciesDay]):
    truth, model = series(july, "pm2p5"), series(july, "pm2p5", "reanalysis")
    assert 0.3 < np.corrcoef(truth.ravel(), model.ravel())[0, 1] < 0.999


@pytest.mark.slow
def test_a_day_is_the_same_whichever_others_are_asked_for(world: SpeciesWorld, july: list[SpeciesDay]):
    alone = next(iter(world.days([DAYS[4]])))
    for name in CHANNELS:
        assert np.array_equal(alone.analysis[name], july[4].analysis[name]), name
    assert np.array_equal(alone.weather["tp"], july[4].weather["tp"])


@pytest.mark.slow
def test_a_forecast_begins_at_the_analysis_and_its_weather_strays(world: SpeciesWorld, july: list[SpeciesDay]):
    issued = next(iter(world.forecasts([DAYS[2]])))
    weather = np.concatenate([day.weather["u10"] for day in july[2:8]])[:11]
    off = np.sqrt(((issued.weather["u10"] - weather) ** 2).mean((1, 2)))
    assert off[0] == 0 and off[1] < off[10]
    truth = np.concatenate([day.analysis["co_850"] for day in july[2:8]])[1:11]
    error = np.sqrt(((issued.composition["co_850"] - truth) ** 2).mean((1, 2)))
    assert error[0] < error[9] and issued.composition["pm2p5"].shape == (10, *GRID.shape)


@pytest.mark.slow
def test_rain_is_that_of_the_half_day_before(july: list[SpeciesDay]):
    for day in july:
        assert (day.weather["tp"] >= 0).all()
    assert sum(day.weather["tp"].sum() for day in july) > 0


def test_the_sun_stands_highest_at_local_noon_and_not_at_night():
    day = dt.date(2022, 6, 21).toordinal()
    grid = Grid(60.0, 0.0, 5.0, 3, 2)
    noon, night = daylight(grid, day, 12.0), daylight(grid, day, 0.0)
    assert noon[2, 0] == pytest.approx(np.sin(np.radians(90 - 50 + 23.44)), abs=2e-3)
    assert night[2, 0] == 0 and noon[0, 0] < noon[2, 0]
