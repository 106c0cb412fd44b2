"""The fitted baselines find what a made-up past was made of."""

import dataclasses
import datetime as dt

import numpy as np
import pytest

from cranpm.errors import CranpmError
from cranpm.grid import bilinear, coarse_grid, fine_grid
from cranpm.verify.baselines import BLOCK, block_grid, read_fitted, spread_blocks, write_fitted
from cranpm.verify.fit import fit
from cranpm.verify.past import LEADS, PastDay

FINE, COARSE = fine_grid(45.0, 20.0, 60, 50), coarse_grid(46.0, 19.0, 10, 12)
DAYS = [dt.date(2017, 1, 1) + dt.timedelta(days=k) for k in range(4 * 365 + 1)]
LAND = np.ones(FINE.shape, bool)
LAND[:, :10] = False
PATTERN = (20 + 8 * np.sin(np.arange(50) / 10) + 4 * np.cos(np.arange(60) / 9)[:, None]) * np.ones(FINE.shape)
RHO = 0.7


def year(day: dt.date) -> float:
    return 1 + 0.4 * np.cos(2 * np.pi * (day.timetuple().tm_yday - 1) / 365.25)


def made_up_past(rng):
    """Season x pattern + a departure that decays by 0.7 a day; CAMS sees half of the departure, 3 too high."""
    departures = [0.0]
    for _ in range(len(DAYS) + 3):
        departures.append(RHO * departures[-1] + rng.normal(scale=3))
    for k, day in enumerate(DAYS):
        pm = np.where(LAND, PATTERN * year(day) + departures[k], np.nan)
        pm[rng.random(pm.shape) < 0.03] = np.nan
        usual = [20 * (year(day + dt.timedelta(days=lead)) - 1) + departures[k + lead] for lead in LEADS]
        cams = np.stack([np.full(COARSE.shape, 23 + 0.5 * value) for value in usual])
        yield PastDay(day, pm.astype(np.float32), cams.astype(np.float32), cams[0])


@pytest.fixture(scope="module")
def fitted():
    return fit(
        lambda: made_up_past(np.random.default_rng(0)), FINE, COARSE, LAND, {"world": "sample", "region": "testland"}
    )


def test_climatology_is_pattern_times_season(fitted):
    for day in (dt.date(2022, 1, 1), dt.date(2022, 7, 1), dt.date(2022, 10, 1)):
        error = (fitted.climatology(day) - PATTERN * year(day))[LAND]
        assert abs(error).max() < 2.0 and abs(error.mean()) < 0.7


def test_no_annual_cycle_is_made_of_half_a_year():
    """From January to June alone a cycle would run wild in autumn; the mean of what was seen is all that is known."""
    seen = [day for day in made_up_past(np.random.default_rng(0)) if day.day.year == 2017 and day.day.month <= 6]
    half = fit(lambda: seen, FINE, COARSE, LAND, {"world": "sample", "region": "testland"})
    spring, autumn = half.climatology(dt.date(2022, 4, 1)), half.climatology(dt.date(2022, 10, 1))
    np.testing.assert_array_equal(spring, autumn)
    mean = np.mean([year(day.day) for day in seen])
    assert abs((autumn - PATTERN * mean)[LAND].mean()) < 1.5


def test_damping_is_the_autocorrelation_of_the_departures(fitted):
    for k, lead in enumerate(LEADS):
        assert fitted.damping[k].mean() == pytest.approx(RHO**lead, abs=0.06)


def test_damped_persistence_lies_between_today_and_the_usual(fitted):
    day = dt.date(2022, 3, 1)
    usual = fitted.climatology(day)
    np.testing.assert_allclose(fitted.damped(usual, day, 1), fitted.climatology(day + dt.timedelta(days=1)), rtol=1e-5)
    raised = fitted.damped(usual + 10, day, 1) - fitted.damped(usual, day, 1)
    assert raised[LAND].mean() == pytest.approx(10 * RHO, abs=0.6)


def test_corrected_cams_undoes_bias_and_damping(fitted):
    cams = np.full(COARSE.shape, 23 + 0.5 * 6.0, np.float32)
    error = (fitted.cams_corrected(cams, 2) - (PATTERN + 6.0))[LAND]
    assert abs(error.mean()) < 0.6


def test_a_window_of_a_baseline_is_that_part_of_the_whole_map(fitted):
    day, cams = dt.date(2022, 8, 20), np.arange(120, dtype=np.float32).reshape(COARSE.shape)
    for window in ((slice(3, 29), slice(17, 50)), (slice(0, 60), slice(0, 8)), (slice(40, 41), slice(None))):
        np.testing.assert_allclose(fitted.climatology(day, *window), fitted.climatology(day)[window], rtol=1e-5)
        for lead in LEADS:
            part, all_of_it = fitted.cams_corrected(cams, lead, *window), fitted.cams_corrected(cams, lead)
            np.testing.assert_allclose(part, all_of_it[window], rtol=1e-5)


def test_file_is_small_and_reads_back(fitted, tmp_path):
    path = tmp_path / "testland.baselines.nc"
    write_fitted(path, fitted)
    again = read_fitted(path)
    assert (again.fine, again.coarse, again.leads) == (FINE, COARSE, LEADS)
    assert again.about["world"] == "sample" and again.data_range == fitted.data_range
    np.testing.assert_allclose(again.mean, fitted.mean, atol=0.011)
    np.testing.assert_allclose(again.damping, fitted.damping)
    np.testing.assert_allclose(again.cams_mean, fitted.cams_mean)
    assert path.stat().st_size < 100_000


def test_another_window_or_world_is_a_mismatch(fitted):
    assert fitted.mismatch(FINE, COARSE, "sample") == ""
    assert "another window" in fitted.mismatch(dataclasses.replace(FINE, west=21.005), COARSE, "sample")
    assert "real world" in fitted.mismatch(FINE, COARSE, "real")


def test_too_short_a_past_and_a_damaged_file_are_refused(tmp_path):
    short = list(made_up_past(np.random.default_rng(0)))[:20]
    with pytest.raises(CranpmError, match="20 days of past"):
        fit(lambda: short, FINE, COARSE, LAND, {})
    (tmp_path / "x.nc").write_bytes(b"not a file")
    with pytest.raises(CranpmError, match="not a file of fitted baselines"):
        read_fitted(tmp_path / "x.nc")
    with pytest.raises(CranpmError, match="cranpm region fit"):
        read_fitted(tmp_path / "absent.nc")


def test_blocks_are_interpolated_between_their_centres():
    grid = block_grid(FINE)
    ramp = np.broadcast_to(grid.lons.astype(np.float32), grid.shape)
    inside = slice(BLOCK, 40)
    np.testing.assert_allclose(spread_blocks(ramp, FINE)[0, inside], FINE.lons[inside], rtol=1e-6)
    assert bilinear(ramp, grid, FINE.lats, FINE.lons).shape == FINE.shape


def test_data_range_spans_the_usual_values(fitted):
    assert 25 < fitted.data_range < 60
