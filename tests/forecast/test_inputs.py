"""What the network is fed."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from cranpm.errors import CranpmError
from cranpm.forecast.inputs import KnownPast, day_inputs, fill_today, tile_inputs, token_centres
from cranpm.grid import Grid, bilinear, coarse_grid
from cranpm.tiles import Tile
from cranpm.variables import CHANNELS, CORRECTED_MAP, FORECAST_MAP, USUAL_MAP
from tests.forecast.fake_store import FIRST, FakeStore, made_up_past, make_store

DAY = FIRST + dt.timedelta(days=2)
BEFORE = DAY - dt.timedelta(days=1)
TILE = Tile((1, 2), 24, 56, 32)
EAST_OF_IT = Tile((1, 3), 24, 80, 32)
MAPS = ("pm2p5_t", CORRECTED_MAP, USUAL_MAP)


def test_coarse_inputs_are_today_then_yesterday_by_name():
    store = make_store()
    day = day_inputs(store, DAY)
    assert day.coarse.shape == (70, 16, 20)
    np.testing.assert_array_equal(day.channel("u10_t"), store.coarse_day(DAY)[0])
    np.testing.assert_array_equal(day.channel("co_t-1"), store.coarse_day(BEFORE)[-1])


def test_network_may_order_channels_differently_but_not_rename_them():
    store = make_store()
    backwards = CHANNELS[::-1]
    np.testing.assert_array_equal(
        day_inputs(store, DAY, backwards).channel("q_850_t"), day_inputs(store, DAY).channel("q_850_t")
    )
    with pytest.raises(CranpmError, match=r"pm25_t.*known: u10"):
        day_inputs(store, DAY, (*CHANNELS[:-1], "pm25_t"))


def test_nothing_after_the_issue_day_is_read():
    store = make_store()
    tile_inputs(store, day_inputs(store, DAY), [TILE], patch=8, coarse_patch=4)
    assert max(store.reads) == DAY and min(store.reads) == BEFORE


def test_gap_takes_yesterday_then_the_coarse_field_of_its_own_day():
    store = make_store()
    store.pm_maps[DAY][30, 60:64] = np.nan
    store.pm_maps[BEFORE][30, 60:62] = 33.0
    store.pm_maps[BEFORE][30, 62:64] = np.nan
    day = day_inputs(store, DAY)
    pm, filled = fill_today(store, day, slice(0, 96), slice(0, 112))
    assert filled[30, 60:64].all() and np.isfinite(pm).all()
    np.testing.assert_array_equal(pm[30, 60:62], 33.0)
    np.testing.assert_allclose(pm[30, 62:64], day.channel("pm2p5_t")[0, 0], rtol=1e-5)
    tiles = tile_inputs(store, day, [TILE], patch=8, coarse_patch=4)
    np.testing.assert_allclose(tiles.pm[0, 1, 6, 6:8], day.channel("pm2p5_t-1")[0, 0], rtol=1e-5)


def test_sea_is_filled_from_the_coarse_field_and_flagged():
    store = make_store()
    day = day_inputs(store, DAY)
    pm, filled = fill_today(store, day, slice(0, 96), slice(0, 30))
    assert filled.all()
    np.testing.assert_allclose(pm, day.channel("pm2p5_t")[0, 0], rtol=1e-5)


def test_tile_batch_has_the_shapes_and_places_of_its_tiles():
    store = make_store()
    day = day_inputs(store, DAY)
    tiles = tile_inputs(store, day, [TILE, EAST_OF_IT], patch=8, coarse_patch=4)
    assert tiles.pm.shape == (2, 2, 32, 32) and tiles.elevation.shape == (2, 32, 32)
    assert tiles.wind.shape == tiles.queries.shape == (2, 16, 2) and tiles.keys.shape == (2, 20, 2)
    np.testing.assert_allclose(tiles.lats[0], store.fine.lats[24:56], rtol=1e-6)
    np.testing.assert_allclose(tiles.queries.mean(axis=1), 0, atol=1e-4)
    north_west, east_of_it = tiles.queries[0, 0], tiles.queries[0, 1]
    assert north_west[0] < 0 < north_west[1]
    assert east_of_it[1] == north_west[1]
    assert tiles.queries[0, 4][1] - north_west[1] == pytest.approx(-0.08 * 111.195, rel=1e-4)
    assert tiles.keys[0, 0][0] < 0 < tiles.keys[0, 0][1]


def test_wind_at_tokens_is_the_coarse_wind_of_the_day_there():
    store = make_store()
    day = day_inputs(store, DAY)
    ramp = np.broadcast_to(day.grid.lons.astype(np.float32), day.grid.shape)
    day.wind[:] = ramp, -ramp
    wind = tile_inputs(store, day, [TILE], patch=8, coarse_patch=4).wind[0]
    expected = store.fine.lons[56:88].reshape(4, 8).mean(axis=1)
    np.testing.assert_allclose(wind[:4, 0], expected, rtol=1e-5)
    np.testing.assert_allclose(wind[:, 1], -wind[:, 0], rtol=1e-6)


def test_token_centres_of_the_paper():
    lats, lons = token_centres(coarse_grid(72.0, -25.0, 168, 280), 8)
    assert (len(lats), len(lons)) == (21, 35)
    assert lats[0] == pytest.approx(72 - 0.875) and lons[-1] == pytest.approx(-25 + 0.25 * (272 + 3.5))
    assert len(token_centres(Grid(10, 0, 0.25, 9, 8), 4)[0]) == 3


def test_tile_must_divide_into_tokens():
    store = make_store()
    with pytest.raises(CranpmError, match="do not divide"):
        tile_inputs(store, day_inputs(store, DAY), [TILE], patch=5, coarse_patch=4)


def maps_of_the_valid_day(store: FakeStore, lead: int, past: KnownPast | None) -> dict[str, np.ndarray]:
    """The maps of two tiles, each of shape (2, 32, 32)."""
    day = day_inputs(store, DAY, (*CHANNELS, FORECAST_MAP), lead, past)
    tiles = tile_inputs(store, day, [TILE, EAST_OF_IT], patch=8, coarse_patch=4, maps=MAPS)
    assert tiles.pm.dtype == np.float32
    return dict(zip(MAPS, np.moveaxis(tiles.pm, 1, 0), strict=True))


def test_maps_of_the_past_are_what_was_fitted_for_the_valid_day_and_its_lead():
    store = make_store()
    past = made_up_past(store.fine, store.coarse)
    for lead in (1, 2, 3):
        made = maps_of_the_valid_day(store, lead, past)
        issued = store.forecast(DAY, lead, ("pm2p5",))[0]
        corrected, usual = past.cams_corrected(issued, lead), past.climatology(DAY + dt.timedelta(days=lead))
        for k, tile in enumerate((TILE, EAST_OF_IT)):
            np.testing.assert_allclose(made[CORRECTED_MAP][k], corrected[tile.window], rtol=1e-5)
            np.testing.assert_allclose(made[USUAL_MAP][k], usual[tile.window], rtol=1e-5)


def test_without_a_past_today_stands_for_the_usual_and_the_forecast_for_the_corrected_one():
    store = make_store()
    made = maps_of_the_valid_day(store, 2, None)
    np.testing.assert_array_equal(made[USUAL_MAP], made["pm2p5_t"])
    rows, columns = TILE.window
    issued = store.forecast(DAY, 2, ("pm2p5",))[0]
    as_issued = bilinear(issued, store.coarse, store.fine.lats[rows], store.fine.lons[columns])
    np.testing.assert_allclose(made[CORRECTED_MAP][0], as_issued, rtol=1e-5)


def test_a_lead_that_the_past_was_not_fitted_for_has_the_forecast_as_it_is():
    store = make_store()
    past = replace(made_up_past(store.fine, store.coarse), leads=(1, 2))
    made, without = (maps_of_the_valid_day(store, 3, known) for known in (past, None))
    np.testing.assert_array_equal(made[CORRECTED_MAP], without[CORRECTED_MAP])
    assert not np.allclose(made[USUAL_MAP], without[USUAL_MAP])


def test_the_truth_of_the_valid_day_does_not_reach_the_maps_of_the_past():
    store, other = make_store(), make_store()
    for day in other.pm_maps:
        if day > DAY:
            other.pm_maps[day] = np.full_like(other.pm_maps[day], 400.0)
    past = made_up_past(store.fine, store.coarse)
    for lead in (1, 3):
        made, again = (maps_of_the_valid_day(held, lead, past) for held in (store, other))
        assert all(np.array_equal(made[name], again[name]) for name in MAPS)
    assert max(other.reads) == DAY
