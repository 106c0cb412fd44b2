"""The stream of leads and strips."""

import datetime as dt
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest

from cranpm.errors import CranpmError
from cranpm.forecast.inputs import day_inputs, fill_today
from cranpm.forecast.run import assemble_map, forecast
from tests.forecast.fake_store import FIRST, ConstantEngine, PastEngine, PlaceEngine, made_up_past, make_store

DAY = FIRST + dt.timedelta(days=3)


def whole(engine, store, lead=1, batch=3):
    (result,) = forecast(engine, store, DAY, [lead], batch=batch)
    return assemble_map(result.strips, store.fine.shape)


def test_zero_residual_is_persistence_with_gaps_filled_and_sea_left_out():
    store = make_store()
    pm, clipped = whole(ConstantEngine(0.0), store)
    expected, _ = fill_today(store, day_inputs(store, DAY), slice(None), slice(None))
    np.testing.assert_allclose(pm[store.land], expected[store.land], rtol=1e-6)
    assert np.isnan(pm[~store.land]).all() and clipped == 0


def test_residual_is_scaled_by_twenty_and_leads_carry_their_valid_day():
    store = make_store()
    results = []
    for lead in forecast(ConstantEngine(0.1), store, DAY, (1, 3)):
        results.append((lead.lead, lead.valid_day, assemble_map(lead.strips, store.fine.shape)[0]))
    assert [r[:2] for r in results] == [(1, DAY + dt.timedelta(days=1)), (3, DAY + dt.timedelta(days=3))]
    difference = (results[1][2] - results[0][2])[store.land]
    np.testing.assert_allclose(difference, 4.0, atol=1e-4)


def test_result_does_not_depend_on_the_batch():
    store = make_store()
    one, many = whole(PlaceEngine(), store, batch=1)[0], whole(PlaceEngine(), store, batch=64)[0]
    np.testing.assert_allclose(one, many, rtol=1e-5, atol=1e-5)


def test_strips_cover_every_row_once_from_north_to_south():
    store = make_store()
    (result,) = forecast(PlaceEngine(), store, DAY, [1])
    rows = [(s.row, len(s.pm)) for s in result.strips]
    assert rows[0][0] == 0 and sum(n for _, n in rows) == store.fine.height
    assert all(a + n == b for (a, n), (b, _) in pairwise(rows))


def test_sea_tiles_are_not_computed():
    store = make_store()
    store.land[:, :80] = False
    engine = ConstantEngine()
    whole(engine, store, batch=1)
    assert len(engine.batches) < 12  # 4 x 5 tiles of the plan, of which the two easternmost columns hold land


def test_negative_land_pixels_are_clipped_and_counted():
    store = make_store()
    pm, clipped = whole(ConstantEngine(-10.0), store)
    assert np.nanmax(pm) == 0.0 and clipped == store.land.sum()


def test_untrained_lead_is_refused_before_any_work():
    with pytest.raises(CranpmError, match=r"lead 4: .*trained for leads 1, 2, 3"):
        next(forecast(ConstantEngine(), make_store(), DAY, [1, 4]))


def test_first_day_of_a_store_has_no_day_before():
    with pytest.raises(CranpmError, match=r"lacks 2022-02-28 and holds 2022-03-01\.\.2022-03-08"):
        next(forecast(ConstantEngine(), make_store(), FIRST))


def test_other_coarse_shape_is_warned_of():
    with pytest.warns(UserWarning, match="56 x 84 nodes, 'testland' has 16 x 20"):
        next(forecast(ConstantEngine(coarse_shape=(56, 84)), make_store(), DAY))


def test_bad_residual_is_refused():
    with pytest.raises(CranpmError, match="not finite"):
        whole(ConstantEngine(np.nan), make_store())


def test_a_known_past_changes_the_forecast_of_an_engine_that_reads_it():
    store = make_store()
    past = made_up_past(store.fine, store.coarse)
    for lead in (1, 3):
        (known,) = forecast(PastEngine(), store, DAY, [lead], past=past)
        corrected = past.cams_corrected(store.forecast(DAY, lead, ("pm2p5",))[0], lead)
        expected = (corrected + past.climatology(known.valid_day)) / 2
        pm, _ = assemble_map(known.strips, store.fine.shape)
        np.testing.assert_allclose(pm[store.land], expected[store.land], rtol=1e-4)
        without, _ = whole(PastEngine(), store, lead)
        assert np.abs(without - pm)[store.land].max() > 1
    (reads_none,) = forecast(ConstantEngine(0.1), store, DAY, [1], past=past)
    assert np.array_equal(
        assemble_map(reads_none.strips, store.fine.shape)[0], whole(ConstantEngine(0.1), store)[0], equal_nan=True
    )


def test_memory_is_that_of_a_strip_not_of_the_map():
    def peak(height: int) -> int:
        store = make_store(height=height, width=128, days=5)
        store.elevation[:, :].sum()
        (result,) = forecast(PlaceEngine(coarse_shape=store.coarse.shape), store, DAY, [1])
        tracemalloc.start()
        for _ in result.strips:
            pass
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    assert peak(384) < 1.2 * peak(96)
