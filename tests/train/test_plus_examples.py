"""Examples and forecasts of networks that read what was issued on day t for the valid day."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest
import torch

from cranpm.data.dataset import Draw, Examples, HeldStore
from cranpm.errors import CranpmError
from cranpm.forecast.inputs import day_inputs, tile_inputs
from cranpm.forecast.load import load_engine
from cranpm.forecast.run import assemble_map, forecast
from cranpm.grid import bilinear
from cranpm.model.config import FORECAST, ModelConfig, plus
from cranpm.model.network import CranPM
from cranpm.model.statistics import nominal
from cranpm.tiles import Tile
from cranpm.train.blend_start import start_from_blend
from cranpm.variables import CORRECTED_MAP, FORECAST_MAP, USUAL_MAP
from tests.forecast.fake_store import FIRST as FAKE_FIRST
from tests.forecast.fake_store import made_up_past, make_store
from tests.train.toy import CONFIG, FIRST, ToyStore, held

PLUS = plus(CONFIG, "plus-toy")
WITHOUT_PAST = replace(PLUS, local_channels=("pm2p5_t", "pm2p5_t-1", FORECAST_MAP, "elevation"))
DAY = FIRST + timedelta(days=7)
TILE = Tile((0, 0), 12, 8, 32)


def examples(store: ToyStore | None = None, config: ModelConfig = PLUS, *, past: bool = False) -> Examples:
    """The toy world's, with a past of its year or without any."""
    source = store or ToyStore()
    made = HeldStore(source, source.days, FORECAST)  # type: ignore[arg-type]
    if past:
        made.pasts = dict.fromkeys(made.days, made_up_past(source.fine, source.coarse))
    return Examples([made], config, (1, 2, 3))


def tile_of(config: ModelConfig, name: str, lead: int, *, past: bool = False) -> np.ndarray:
    """One map of the tile on the day."""
    batch = examples(config=config, past=past).batch([Draw(0, DAY, (TILE,), (lead,))])
    return batch.pm[0, config.maps.index(name)].numpy()


def test_a_day_has_what_was_issued_on_it_for_the_lead():
    store = ToyStore()
    for lead in (1, 3):
        batch = examples(store).batch([Draw(0, DAY, (TILE, TILE), (lead, lead))])
        assert batch.coarse.shape == (1, 70 + len(FORECAST), 16, 20)
        assert np.array_equal(batch.coarse[0, 70:].numpy(), store.forecast(DAY, lead, FORECAST))
        issued = store.forecast(DAY, lead, ["pm2p5"])[0]
        rows, columns = TILE.window
        expected = bilinear(issued, store.coarse, store.fine.lats[rows], store.fine.lons[columns])
        assert np.allclose(tile_of(WITHOUT_PAST, FORECAST_MAP, lead), expected, atol=1e-4)


def test_a_day_has_what_its_past_says_of_the_valid_day():
    store = ToyStore()
    fitted = made_up_past(store.fine, store.coarse)
    for lead in (1, 3):
        issued = store.forecast(DAY, lead, ["pm2p5"])[0]
        corrected = fitted.cams_corrected(issued, lead)[TILE.window]
        usual = fitted.climatology(DAY + timedelta(days=lead))[TILE.window]
        assert np.allclose(tile_of(PLUS, CORRECTED_MAP, lead, past=True), corrected, atol=1e-4)
        assert np.allclose(tile_of(PLUS, USUAL_MAP, lead, past=True), usual, atol=1e-4)
    assert not np.allclose(usual, fitted.climatology(DAY)[TILE.window], atol=1e-4)


def test_a_day_of_a_year_without_a_past_makes_do_with_today_and_the_forecast_as_it_is():
    for lead in (1, 3):
        assert np.array_equal(tile_of(PLUS, USUAL_MAP, lead), tile_of(PLUS, "pm2p5_t", lead))
        assert np.array_equal(tile_of(PLUS, CORRECTED_MAP, lead), tile_of(WITHOUT_PAST, FORECAST_MAP, lead))


def test_nothing_issued_or_measured_after_day_t_reaches_the_inputs():
    later, draws = ToyStore(), [Draw(0, DAY, (TILE,), (2,))]
    for part in (later.issued, later.maps, later.fields):
        part[8:] = 99.0  # from DAY + 1 on
    one, other = (examples(store, past=True).batch(draws) for store in (ToyStore(), later))
    assert all(torch.equal(a, b) for a, b in zip([*one.day, *one.tiles], [*other.day, *other.tiles], strict=True))
    assert not torch.equal(one.target, other.target)
    now = ToyStore()
    now.issued[7] = 99.0
    changed = examples(now, past=True).batch(draws)
    assert not torch.equal(changed.coarse, one.coarse)
    corrected, usual = (PLUS.maps.index(name) for name in (CORRECTED_MAP, USUAL_MAP))
    assert not torch.equal(changed.pm[:, corrected], one.pm[:, corrected])
    assert torch.equal(changed.pm[:, usual], one.pm[:, usual])


def test_the_tiles_of_a_day_share_their_lead():
    draws = examples().draw(np.random.default_rng(0), 12, 5, (1, 1, 1))
    assert all(len(set(draw.leads)) == 1 for draw in draws)
    assert {draw.leads[0] for draw in draws} == {1, 2, 3}
    sweep = next(iter(examples().sweep(every=4, tiles=2)))
    assert [draw.leads for draw in sweep] == [(1, 1), (2, 2), (3, 3)]
    assert len({draw.tiles for draw in sweep}) == 1


def test_held_forecasts_are_those_of_the_store():
    store, kept = ToyStore(), held(issued=FORECAST)
    assert np.array_equal(kept.forecast(DAY, 2, FORECAST), store.forecast(DAY, 2, FORECAST))
    assert np.array_equal(kept.forecast(DAY, 2, ["co", "u10"]), store.forecast(DAY, 2, ["co", "u10"]))


@pytest.fixture
def engine():
    """`plus-small` with weights that are not zero at the end."""
    made = load_engine("plus-small", random_weights=True, device="cpu")
    with torch.no_grad():
        made._network.decoder.head.weight.normal_(0, 0.05, generator=torch.Generator().manual_seed(3))
    return made


def maps(engine, store, leads=(1, 2)) -> list[np.ndarray]:
    day = FAKE_FIRST + dt.timedelta(days=3)
    return [assemble_map(lead.strips, store.fine.shape)[0] for lead in forecast(engine, store, day, leads)]


def test_a_forecast_uses_the_forecast_of_its_own_lead(engine):
    store = make_store(height=160, width=200)
    first, second = maps(engine, store)
    assert np.nanstd(first) > 0
    assert np.allclose(maps(engine, store, leads=(2,))[0], second, equal_nan=True)
    issued = store.forecast

    def warmer_second(day, lead, channels=None):
        return issued(day, lead, channels) + (5.0 if lead == 2 else 0.0)

    store.forecast = warmer_second
    changed = maps(engine, store)
    assert np.array_equal(changed[0], first, equal_nan=True)
    assert np.nanmax(np.abs(changed[1] - second)) > 1e-3


def test_a_day_without_a_forecast_is_refused(engine):
    store = make_store(height=160, width=200)
    store.without_cams.add(FAKE_FIRST + dt.timedelta(days=3))
    with pytest.raises(CranpmError, match="no forecast issued"):
        maps(engine, store)


def test_training_starts_at_the_best_blend_of_today_and_the_forecast():
    """Tomorrow is 4 + 0.3 today + 0.5 of what was issued: the coefficients come back, and with them the forecast."""
    store = ToyStore()
    issued = store.forecast

    def level(day, lead, channels):
        values = issued(day, lead, channels)
        values[list(channels).index("pm2p5")] = 10 + 3 * (store.days.index(day) % 5)
        return values

    store.forecast = level
    for k in range(len(store.days) - 1, 0, -1):
        store.maps[k] = np.where(store.land, 25 + k % 7, np.nan)
    for k, day in enumerate(store.days[:-1]):
        store.maps[k + 1] = 4 + 0.3 * store.maps[k] + 0.5 * level(day, 1, ["pm2p5"])[0, 0, 0]
    made = Examples([HeldStore(store, store.days, FORECAST)], WITHOUT_PAST, (1,))
    network = CranPM(WITHOUT_PAST, nominal()).eval()
    start_from_blend(network, made, 0)
    found = network.output.blend[0].detach().numpy() * (20, 1, 1)
    assert found == pytest.approx((4, 0.3, 0.5), abs=0.05)  # the store rounds to 0.1
    assert network.output.blend[1].tolist() == [0, 1, 0]  # a lead that is not trained
    batch = made.batch([Draw(0, DAY, (TILE,), (1,))])
    with torch.inference_mode():
        change = 20 * network(*batch.day, *batch.tiles)
    error = (batch.pm[:, 0] + change - batch.target)[batch.valid]
    assert error.abs().max() < 0.2


def test_training_starts_at_the_best_blend_of_what_the_past_says():
    """Tomorrow is 3 + 0.2 today + 0.3 of the corrected forecast + 0.4 of what is usual."""
    store = ToyStore()
    past = made_up_past(store.fine, store.coarse)
    rng = np.random.default_rng(1)
    store.maps[0] = np.where(store.land, rng.uniform(5, 60, store.fine.shape), np.nan)
    for k, day in enumerate(store.days[:-1]):
        corrected = past.cams_corrected(store.forecast(day, 1, ["pm2p5"])[0], 1)
        usual = past.climatology(day + timedelta(days=1))
        store.maps[k + 1] = 3 + 0.2 * store.maps[k] + 0.3 * corrected + 0.4 * usual
    kept = HeldStore(store, store.days, FORECAST)
    kept.pasts = dict.fromkeys(kept.days, past)
    network = CranPM(PLUS, nominal()).eval()
    start_from_blend(network, Examples([kept], PLUS, (1,)), 0)
    found = network.output.blend[0].detach().numpy() * (20, 1, 1, 1)
    assert found == pytest.approx((3, 0.2, 0.3, 0.4), abs=0.05)
    assert network.output.blend[1].tolist() == [0, 1, 0, 0]


def test_other_outputs_start_as_they_are():
    network = CranPM(CONFIG, nominal())
    start_from_blend(network, Examples([held()], CONFIG, (1, 2)), 0)
    assert not any("blend" in name for name, _ in network.named_parameters())


def test_maps_come_in_the_order_asked_for():
    store = make_store()
    three = ("pm2p5_t", FORECAST_MAP, "pm2p5_t-1")
    orders = ((*PLUS.maps, FORECAST_MAP), three, three[:2], ("pm2p5_t", USUAL_MAP, FORECAST_MAP, CORRECTED_MAP))
    tile = Tile((0, 0), 40, 56, 32)
    for past in (None, made_up_past(store.fine, store.coarse)):
        day = day_inputs(store, FAKE_FIRST + dt.timedelta(days=3), PLUS.channels, 1, past)
        made = [tile_inputs(store, day, [tile], patch=8, coarse_patch=4, maps=order).pm[0] for order in orders]
        named = [dict(zip(order, pm, strict=True)) for order, pm in zip(orders, made, strict=True)]
        for other in named[1:]:
            assert all(np.array_equal(values, named[0][name]) for name, values in other.items())
        assert not np.array_equal(named[0]["pm2p5_t-1"], named[0][FORECAST_MAP])
