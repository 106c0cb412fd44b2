"""The linear blend finds the mix that a made-up past was made of, and nothing where there is nothing to find."""

import datetime as dt
import tracemalloc
from dataclasses import replace

import netCDF4
import numpy as np
import pytest

from cranpm.errors import CranpmError
from cranpm.forecast.inputs import day_inputs, fill_today
from cranpm.grid import coarse_grid, fine_grid
from cranpm.verify.baselines import MEMBERS, Fitted, block_grid, read_fitted, write_fitted
from cranpm.verify.blend import filled_today, fit_blend
from cranpm.verify.fit import fit
from cranpm.verify.fitting import fit_store
from cranpm.verify.past import PastDay, past_of_store
from tests.forecast.fake_store import make_store

FINE, COARSE = fine_grid(45.0, 20.0, 40, 32), coarse_grid(46.0, 19.0, 10, 12)
BLOCKS = block_grid(FINE).shape
LAND = np.ones(FINE.shape, bool)
LAND[:, :6] = False
START = dt.date(2017, 1, 1)
ONE = dt.timedelta(days=1)
WEIGHTS = np.array([[0.5, 0.1, 0.4], [0.2, 0.2, 0.7]])


def known_baselines(leads=(1, 2)) -> Fitted:
    """A mean map with an annual cycle, and a CAMS line of slope 1.5, as if they had been fitted."""
    harmonics = np.zeros((5, *BLOCKS), np.float32)
    harmonics[1] = 0.4
    return Fitted(
        fine=FINE, coarse=COARSE, leads=leads,
        mean=(20 + 6 * np.sin(np.arange(32) / 5) * np.ones(FINE.shape)).astype(np.float32),
        harmonics=harmonics,
        damping=np.full((len(leads), *BLOCKS), 0.5, np.float32),
        cams_mean=np.full((len(leads), *COARSE.shape), 12.0, np.float32),
        cams_slope=np.full((len(leads), *BLOCKS), 1.5, np.float32),
        weights=np.zeros((len(leads), len(MEMBERS)), np.float32),
        constant=np.zeros(len(leads), np.float32),
        data_range=50.0, about={"world": "sample"},
    )  # fmt: skip


def mixed_past(fitted, mix, lead, *, days=240, constant=0.0, noise=0.0, gaps=0.05):
    """Each day's map is the given mix of what a forecast issued `lead` days before would have had in hand."""
    rng, past = np.random.default_rng(7), []
    for k in range(days):
        day = START + k * ONE
        pm = fitted.climatology(day) + rng.normal(scale=4)
        if k > lead:
            issued, before = past[k - lead], past[k - lead - 1]
            today = filled_today(issued, before, FINE, COARSE)
            corrected = fitted.cams_corrected(issued.cams[fitted.leads.index(lead)], lead)
            pm = mix[0] * today + mix[1] * fitted.climatology(day) + mix[2] * corrected + constant
        pm = np.where(rng.random(FINE.shape) < gaps, np.nan, pm + rng.normal(scale=noise, size=FINE.shape))
        cams = 12 + rng.normal(scale=3, size=(len(fitted.leads), 1, 1)) + rng.normal(size=(1, *COARSE.shape))
        past.append(PastDay(day, pm.astype(np.float32), cams.astype(np.float32), np.full(COARSE.shape, 15, np.float32)))
    return past


@pytest.mark.parametrize("lead", [1, 2])
def test_known_mix_is_found_again(lead):
    fitted, mix, k = known_baselines(), (0.3, 0.25, 0.4), lead - 1
    weights, constant = fit_blend(mixed_past(fitted, mix, lead, constant=1.5), fitted, LAND)
    np.testing.assert_allclose(weights[k], mix, atol=2e-3)
    assert constant[k] == pytest.approx(1.5, abs=0.02)


def test_member_that_says_nothing_gets_no_weight():
    fitted = known_baselines()
    noisy = fit_blend(mixed_past(fitted, (0.6, 0.4, 0.0), 1, days=500, noise=3.0), fitted, LAND)[0][0]
    np.testing.assert_allclose(noisy, (0.6, 0.4, 0.0), atol=0.03)


def test_member_that_would_count_against_itself_is_left_out():
    fitted = known_baselines()
    weights, _ = fit_blend(mixed_past(fitted, (0.6, 0.6, -0.2), 1, days=500, noise=3.0), fitted, LAND)
    assert weights[0, 2] == 0
    assert weights[0, 0] == pytest.approx(0.6, abs=0.1) and weights[0, 1] > 0.3


def test_sea_and_retrieval_gaps_do_not_count():
    fitted, mix = known_baselines((1,)), (0.3, 0.25, 0.45)
    past = mixed_past(fitted, mix, 1, gaps=0.0)
    expected, _ = fit_blend(past, fitted, LAND)
    spoilt = [replace(day, pm=np.where(LAND, day.pm, 500).astype(np.float32)) for day in past]
    np.testing.assert_array_equal(fit_blend(spoilt, fitted, LAND)[0], expected)
    holed = [replace(day, pm=np.where(np.arange(32) < 16, day.pm, np.nan).astype(np.float32)) for day in past]
    west = fit_blend(holed, fitted, LAND & (np.arange(32) < 16))[0]
    np.testing.assert_array_equal(fit_blend(holed, fitted, LAND)[0], west)


def test_blend_is_never_worse_than_its_best_member_on_the_days_it_was_fitted_on():
    store = make_store(days=90)
    fitted = fit(lambda: past_of_store(store, store.days), store.fine, store.coarse, store.land, {})
    for lead in fitted.leads:
        squares = dict.fromkeys((*MEMBERS, "blend"), 0.0)
        for day in store.days[1:-lead]:
            truth, valid_day = store.pm(day + lead * ONE), day + lead * ONE
            today, _ = fill_today(store, day_inputs(store, day), slice(None), slice(None))
            corrected = fitted.cams_corrected(store.forecast(day, lead, ("pm2p5",))[0], lead)
            maps = dict(zip(MEMBERS, (today, fitted.climatology(valid_day), corrected), strict=True))
            maps["blend"] = fitted.blend([maps[row] for row in MEMBERS], lead)
            valid = store.land & np.isfinite(truth)
            for row, values in maps.items():
                squares[row] += float(((values - truth)[valid].astype(float) ** 2).sum())
        assert squares["blend"] < min(squares[row] for row in MEMBERS)


def test_its_today_is_the_map_that_persistence_is_scored_with():
    store = make_store()
    for day in store.days[2:4]:
        store.pm_maps[day][:40] = np.nan  # two days without a value: filled from the coarse analysis
    before, now = list(past_of_store(store, store.days))[2:4]
    expected, _ = fill_today(store, day_inputs(store, now.day), slice(None), slice(None))
    np.testing.assert_array_equal(filled_today(now, before, store.fine, store.coarse), expected)


def test_years_that_are_not_asked_for_are_not_looked_at():
    def weights(scored: float):
        store = make_store(days=430)  # 2022-03-01 to 2023-05-04
        for day in store.days:
            if day.year == 2023:
                store.pm_maps[day][:] = scored
        fitted = fit_store(store, (2022,), lambda *_: None)
        assert max(store.reads).year == 2022 and fitted.about["fitted_days"] == 306
        return fitted.weights

    np.testing.assert_array_equal(weights(5.0), weights(90.0))


def test_days_that_do_not_follow_each_other_cannot_be_blended():
    fitted = known_baselines((1,))
    with pytest.raises(CranpmError, match=r"T\+1 has a truth.*at least 3 days"):
        fit_blend(mixed_past(fitted, (0.5, 0.5, 0.0), 1)[::2], fitted, LAND)


def test_memory_does_not_grow_with_the_days():
    fitted = known_baselines()
    past = mixed_past(fitted, (0.3, 0.25, 0.45), 1)

    def peak(days: int) -> int:
        tracemalloc.start()
        fit_blend(iter(past[:days]), fitted, LAND)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(10)
    assert peak(200) < 1.2 * peak(20)


def test_weights_travel_with_the_file_and_a_file_from_before_the_blend_is_refused(tmp_path):
    path = tmp_path / "testland.baselines.nc"
    write_fitted(path, replace(known_baselines(), weights=WEIGHTS, constant=np.array([-0.5, -1])))
    np.testing.assert_allclose(read_fitted(path).weights, WEIGHTS)
    np.testing.assert_allclose(read_fitted(path).constant, [-0.5, -1])
    with netCDF4.Dataset(path, "a") as file:
        file.schema_version = 1
    with pytest.raises(CranpmError, match="schema_version 1, 2 expected; fit again: cranpm region fit"):
        read_fitted(path)


def test_blend_is_not_below_zero():
    fitted = replace(known_baselines((1,)), weights=np.array([[1.0, -2.0, 0.0]]), constant=np.array([-1.0]))
    maps = [np.array([[1.0, 10.0]]), np.array([[2.0, 1.0]]), np.zeros((1, 2))]
    assert fitted.blend(maps, 1).tolist() == [[0.0, 7.0]]
