"""Examples: what goes in, what is to be forecast, and that nothing later than day t is seen."""

from datetime import timedelta

import numpy as np
import pytest
import torch

from cranpm.data.dataset import Draw, Examples, HeldStore, statistics_of
from cranpm.errors import CranpmError
from cranpm.tiles import Tile
from cranpm.variables import CHANNELS, COARSE
from tests.train.toy import CONFIG, FIRST, ToyStore, examples, held

DAY = FIRST + timedelta(days=7)
TILE = Tile((0, 0), 12, 8, 32)


def test_the_target_is_the_map_of_the_valid_day():
    store = ToyStore()
    batch = examples().batch([Draw(0, DAY, (TILE, TILE), (1, 2))])
    for k, lead in enumerate((1, 2)):
        truth = store.maps[7 + lead][TILE.window]
        valid = np.isfinite(truth)
        assert torch.equal(batch.valid[k], torch.from_numpy(valid))
        assert np.abs(batch.target[k].numpy()[valid] - truth[valid]).max() < 1e-4
        assert (batch.target[k][~batch.valid[k]] == 0).all()
    assert batch.coarse.shape == (1, 70, 16, 20) and batch.lead.tolist() == [1, 2]
    assert np.array_equal(batch.coarse[0].numpy(), np.concatenate([store.fields[7], store.fields[6]]))


def test_nothing_after_day_t_reaches_the_inputs():
    source, later = ToyStore(), ToyStore()
    later.fields[8:] = 99.0
    later.maps[8:] = 99.0
    draws = [Draw(0, DAY, (TILE,), (1,))]
    one, other = (Examples([HeldStore(s, s.days)], CONFIG, (1, 2)).batch(draws) for s in (source, later))
    assert all(torch.equal(a, b) for a, b in zip([*one.day, *one.tiles], [*other.day, *other.tiles], strict=True))
    assert not torch.equal(one.target, other.target)


def test_sea_and_gaps_are_not_scored():
    store = ToyStore()
    store.maps[:, ~store.land] = 33.0  # a retrieval over the sea as well: it must not count
    batch = Examples([HeldStore(store, store.days)], CONFIG, (1, 2)).batch([Draw(0, DAY, (TILE,), (1,))])
    assert not batch.valid[0][:, :12].any()  # columns 8..19 of the map are sea
    assert batch.valid[0].float().mean() < 20 / 32
    assert torch.isfinite(batch.pm).all()


def test_only_days_with_their_neighbours_are_drawn():
    made = examples(leads=(1, 2), days=6)
    assert [day for _, day in made.starts] == [FIRST + timedelta(days=k) for k in (1, 2, 3)]
    with pytest.raises(CranpmError, match="longer ranges"):
        examples(leads=(1, 2), days=3)


def test_a_window_without_land_is_refused_before_a_tile_is_looked_for():
    sea = held()
    sea.land = np.zeros_like(sea.land)
    with pytest.raises(CranpmError, match="without land or smaller than a tile of 32 px"):
        Examples([sea], CONFIG, (1, 2))


def test_draws_depend_on_the_generator_alone():
    made = examples()
    one, two = (made.draw(np.random.default_rng([3, 8]), 5, 4, [1, 1]) for _ in range(2))
    other = made.draw(np.random.default_rng([3, 9]), 5, 4, [1, 1])
    assert one == two and one != other
    assert len({draw.day for draw in one}) == 5  # without repetition while there are enough
    assert all(made.stores[0].land[tile.window].any() for draw in one for tile in draw.tiles)


def test_leads_are_drawn_by_their_shares():
    draws = examples().draw(np.random.default_rng(1), 30, 20, [3, 1])
    leads = [lead for draw in draws for lead in draw.leads]
    assert leads.count(1) / len(leads) == pytest.approx(0.75, abs=0.05)
    only = examples().draw(np.random.default_rng(1), 5, 4, [0, 1])
    assert {lead for draw in only for lead in draw.leads} == {2}


def test_a_sweep_covers_days_leads_and_takes_turns_with_tiles():
    draws = [draw for part in examples().sweep(every=4, tiles=2) for draw in part]
    assert [draw.day for draw in draws][:2] == [FIRST + timedelta(days=1), FIRST + timedelta(days=5)]
    assert all(draw.leads == (1, 1, 2, 2) and draw.tiles[:2] == draw.tiles[2:] for draw in draws)
    assert len({draw.tiles for draw in draws}) > 1


def test_statistics_are_of_all_days_and_by_name():
    stores = [held(0), held(1, days=9)]
    statistics = statistics_of(stores)
    pooled = np.concatenate([store.fields for store in stores])
    for k, name in enumerate(COARSE):
        assert statistics.coarse[f"{name}_t"] == pytest.approx((pooled[:, k].mean(), pooled[:, k].std()), rel=1e-3)
        assert statistics.coarse[f"{name}_t"] == statistics.coarse[f"{name}_t-1"]
    assert set(statistics.coarse) == set(CHANNELS)


def test_a_held_store_reads_like_the_store():
    store, kept = ToyStore(), held()
    rows, columns = slice(3, 9), slice(30, 50)
    assert np.allclose(kept.pm(DAY, rows, columns), store.maps[7][rows, columns], atol=1e-4, equal_nan=True)
    assert np.array_equal(kept.coarse_day(DAY), store.fields[7])
