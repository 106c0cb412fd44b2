"""Examples: what goes in, what is to be forecast, and that nothing later than day t is seen."""

import shutil
from dataclasses import fields
from datetime import timedelta
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from cranpm.data.dataset import DiskStore, Draw, Examples, HeldStore, statistics_of
from cranpm.data.layout import StationTable
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.grid import fine_grid
from cranpm.region import Hotspot
from cranpm.tiles import Tile
from cranpm.variables import CHANNELS, COARSE
from tests.train import stored
from tests.train.toy import CONFIG, FIRST, STATIONS, ToyStore, examples, held

DAY = FIRST + timedelta(days=7)
TILE = Tile((0, 0), 12, 8, 32)
HOTSPOT = Hotspot("Coal Valley", west=26.0, south=40.0, east=26.2, north=40.3)
DOWNS = Hotspot("Smoky Downs", west=22.0, south=43.0, east=22.1, north=43.2)


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


def test_draws_without_hotspots_and_alignment_are_the_frozen_ones():
    # the draws that the shipped checkpoint's code made: they must never change
    expected = [
        (5, [(16, 17), (11, 18), (5, 29), (20, 33)], (2, 1, 1, 2)),
        (13, [(29, 35), (3, 2), (32, 13), (26, 22)], (2, 1, 1, 1)),
        (16, [(0, 10), (15, 19), (0, 34), (6, 31)], (1, 2, 1, 1)),
    ]
    draws = examples().draw(np.random.default_rng([3, 8]), 3, 4, [3, 1])
    got = [((d.day - FIRST).days, [(t.row, t.column) for t in d.tiles], d.leads) for d in draws]
    assert got == expected
    rng = np.random.default_rng([5, 1])
    Examples([held(0), held(1, days=9)], CONFIG, (1, 2), (HOTSPOT,)).draw(rng, 6, 2, [1, 1])
    assert rng.integers(1 << 30) == 763365522


def wide(*hotspots: Hotspot, land: np.ndarray | None = None) -> Examples:
    """A store of 800 x 1000 px whose tiles can be drawn but not read."""
    fine = fine_grid(45.0, 20.0, 800, 1000)
    days = tuple(FIRST + timedelta(days=k) for k in range(10))
    store = SimpleNamespace(fine=fine, land=np.ones(fine.shape, bool) if land is None else land, days=days)
    return Examples([store], CONFIG, (1, 2), hotspots)


def centres(made: Examples, ratio: float, *, tiles: int = 400, seed: int = 1, align: int = 1) -> np.ndarray:
    """Latitude and longitude of the centre pixels of tiles on five days, shape (n, 2)."""
    draws = made.draw(np.random.default_rng([seed, 0]), 5, tiles, [1, 1], ratio, align)
    fine, half = made.stores[0].fine, CONFIG.tile // 2
    return np.array([(fine.lats[t.row + half], fine.lons[t.column + half]) for d in draws for t in d.tiles])


def within(places: np.ndarray, spot: Hotspot) -> np.ndarray:
    lat, lon = places.T
    return (spot.south <= lat) & (lat <= spot.north) & (spot.west <= lon) & (lon <= spot.east)


@pytest.mark.parametrize("ratio", [0.0, 0.2, 0.5, 1.0])
def test_hotspots_get_their_share_of_the_tiles(ratio):
    made = wide(HOTSPOT)
    share = within(centres(made, ratio), HOTSPOT).mean()
    assert made.has_hotspots and made.hotspots == (("Coal Valley",),)
    assert share == pytest.approx(ratio, abs=4 * np.sqrt(ratio * (1 - ratio) / 2000) + 0.003)


def test_larger_hotspots_get_more_tiles():
    places = centres(wide(HOTSPOT, DOWNS), 1.0)
    share = within(places, HOTSPOT).mean()
    assert share + within(places, DOWNS).mean() == 1.0
    assert share == pytest.approx(0.75, abs=4 * np.sqrt(0.75 * 0.25 / 2000))  # 600 px and 200 px


def test_hotspot_draws_depend_on_the_generator_and_the_ratio_alone():
    one, two = (centres(wide(HOTSPOT), 0.5) for _ in range(2))
    assert np.array_equal(one, two)
    assert not np.array_equal(one, centres(wide(HOTSPOT), 0.5, seed=2))
    assert not np.array_equal(one, centres(wide(HOTSPOT), 0.0))


def test_a_hotspot_outside_the_store_or_at_sea_is_not_drawn_from():
    land = np.ones((800, 1000), bool)
    land[450:520, 580:640] = False  # the valley is a bay
    away = Hotspot("Elsewhere", west=50.0, south=40.0, east=51.0, north=41.0)
    made = wide(HOTSPOT, away, land=land)
    assert not made.has_hotspots and made.hotspots == ((),)
    assert np.array_equal(centres(made, 0.5), centres(made, 0.0))


def test_hotspot_tiles_have_land_and_stay_on_the_map():
    corner = Hotspot("Cape", west=19.0, south=44.9, east=20.1, north=46.0)  # reaches beyond the map
    land = np.zeros((800, 1000), bool)
    land[9, 9] = True
    made = wide(corner, land=land)
    (draw,) = made.draw(np.random.default_rng(0), 1, 50, [1, 1], 1.0)
    assert all(0 <= tile.row <= 9 and 0 <= tile.column <= 9 for tile in draw.tiles)


@pytest.mark.parametrize("ratio", [0.0, 0.5])
def test_aligned_tiles_start_at_multiples_or_flush_with_the_edge(ratio):
    draws = wide(HOTSPOT).draw(np.random.default_rng(3), 5, 400, [1, 1], ratio, align=24)
    tiles = [tile for draw in draws for tile in draw.tiles]
    assert {tile.row for tile in tiles} == {*range(0, 769, 24)}  # 768 is flush
    assert {tile.column for tile in tiles} == {*range(0, 968, 24), 968}


def test_aligned_hotspot_tiles_cover_the_pixel_they_were_drawn_for():
    dot = Hotspot("Stack", west=26.0, south=40.0, east=26.01, north=40.01)
    draws = wide(dot).draw(np.random.default_rng(3), 5, 20, [1, 1], 1.0, align=32)
    assert {(t.row <= 499 < t.row + 32, t.column <= 600 < t.column + 32) for d in draws for t in d.tiles} == {
        (True, True)
    }


@pytest.mark.parametrize("ratio, align", [(1.5, 1), (-0.1, 1), (0.5, 0), (0.5, 33)])
def test_a_ratio_that_is_no_share_and_an_alignment_beyond_the_tile_are_refused(ratio, align):
    with pytest.raises(CranpmError, match=r"expected 0\.\.1 and 1\.\.32 px"):
        wide(HOTSPOT).draw(np.random.default_rng(0), 1, 1, [1, 1], ratio, align)


def test_stations_stand_at_their_coordinates_with_the_value_of_the_valid_day():
    store = ToyStore()
    batch = examples().batch([Draw(0, DAY, (TILE, TILE), (1, 2))])
    grid = store.fine.window(TILE.row, TILE.column, TILE.size, TILE.size)
    expected = [
        (i, row, column)
        for i, (lat, lon) in enumerate(zip(STATIONS.latitude, STATIONS.longitude, strict=True))
        if 0 <= (row := grid.rows(lat)) <= 31 and 0 <= (column := grid.columns(lon)) <= 31
    ]
    assert 0 < len(expected) < len(STATIONS)
    for k, lead in enumerate((1, 2)):
        np.testing.assert_allclose(batch.station_at[k], [place[1:] for place in expected], atol=1e-5)
        measured = store.measured[7 + lead][[place[0] for place in expected]]
        np.testing.assert_array_equal(batch.station_pm[k], measured)


def test_stations_on_the_outermost_centres_are_inside_and_those_beyond_are_not():
    made = examples()
    lats, lons = made.stores[0].fine.lats, made.stores[0].fine.lons
    store = ToyStore()
    store.stations = lambda: StationTable(
        latitude=(lats[12], lats[43], lats[12] + 0.001, lats[43]), longitude=(lons[8], lons[39], lons[8], lons[40]),
        id=tuple("ABCD"), name=tuple("ABCD"), kind=tuple("ABCD"), elevation=(0.0,) * 4,
    )  # fmt: skip
    store.station_pm = lambda day: np.arange(4, dtype=np.float32)
    batch = Examples([HeldStore(store, store.days)], CONFIG, (1,)).batch([Draw(0, DAY, (TILE,), (1,))])
    assert batch.station_at[0].tolist() == [[0.0, 0.0], [31.0, 31.0]]
    assert batch.station_pm[0].tolist() == [0.0, 1.0]


def test_tiles_with_fewer_stations_are_padded_without_values():
    tiles = (TILE, Tile((0, 1), 32, 0, 32))
    batch = examples().batch([Draw(0, DAY, tiles, (1, 1))])
    counts = [int((at != 0).any(-1).sum()) for at in batch.station_at]
    assert counts[1] < counts[0] == batch.station_pm.shape[1]
    assert batch.station_pm[1, counts[1] :].isnan().all()


def test_a_store_without_stations_gives_none():
    store = ToyStore()
    store.stations = StationTable
    batch = Examples([HeldStore(store, store.days)], CONFIG, (1,)).batch([Draw(0, DAY, (TILE, TILE), (1, 1))])
    assert batch.station_at.shape == (2, 0, 2) and batch.station_pm.shape == (2, 0)


@pytest.fixture(scope="module")
def chunked(tmp_path_factory):
    return stored.write(tmp_path_factory.mktemp("stores") / "chunkland.zarr")


def test_batches_from_disk_equal_those_from_memory(chunked):
    store = Store.open(chunked)
    memory, disk = (Examples([kind(store, store.days)], stored.CONFIG, (1, 2)) for kind in (HeldStore, DiskStore))
    draws = [made.draw(np.random.default_rng(4), 2, 6, [1, 1], 0.0, 128) for made in (memory, disk)]
    assert draws[0] == draws[1]
    one, two = memory.batch(draws[0]), disk.batch(draws[1])
    assert one.station_pm.shape[1] > 0
    for field in fields(one):
        values = (getattr(batch, field.name).numpy() for batch in (one, two))
        np.testing.assert_array_equal(*values, err_msg=field.name)


def test_statistics_from_disk_equal_those_from_memory(chunked):
    store, told = Store.open(chunked), []
    memory = statistics_of([HeldStore(store, store.days[:2]), HeldStore(store, store.days[2:])])
    disk = statistics_of(
        [DiskStore(store, store.days[:2]), DiskStore(store, store.days[2:])], lambda *told_: told.append(told_)
    )
    for name, scale in memory.coarse.items():
        assert disk.coarse[name] == pytest.approx(scale, rel=1e-6), name
    assert [done for _, done, _ in told] == [1, 2, 3, 4, 5, 6] and {total for *_, total in told} == {6}


def test_streamed_statistics_stay_exact_far_from_zero():
    store = ToyStore()
    store.fields += 1e4  # a deviation of one part in ten thousand, as of pressures
    kept = HeldStore(store, store.days)
    streamed = SimpleNamespace(days=kept.days, coarse_day=kept.coarse_day)
    memory, disk = statistics_of([kept]), statistics_of([streamed])
    assert all(disk.coarse[name] == pytest.approx(scale, rel=1e-6) for name, scale in memory.coarse.items())


def test_days_that_are_not_on_disk_are_refused_before_the_training(chunked):
    with pytest.raises(CranpmError, match=r"1 of the 7 days .* not prepared .*--days 2018-05-07"):
        DiskStore(Store.open(chunked), [stored.FIRST + timedelta(days=k) for k in range(7)])


def test_a_map_that_is_lost_from_the_disk_is_refused(chunked, tmp_path):
    copy = tmp_path / "broken.zarr"
    shutil.copytree(chunked, copy)
    store = Store.open(copy)
    kept = DiskStore(store, store.days)
    day, window = store.days[2], (slice(0, 128), slice(2060, 2188))
    assert np.isfinite(kept.pm(day, *window)).any()
    (copy / "fine/pm2p5/c/2/0/1").write_bytes(b"damaged")
    with pytest.raises(CranpmError, match=f"map of {day} cannot be read .* the store is damaged"):
        kept.pm(day, *window)
    (copy / "fine/pm2p5/c/2/0/1").unlink()
    with pytest.raises(CranpmError, match=f"map of {day} cannot be read .*2/0/1 is gone"):
        kept.pm(day, *window)


def test_a_batch_does_not_share_memory_with_its_store(chunked):
    store = Store.open(chunked)
    for kept in (HeldStore(store, store.days), DiskStore(store, store.days)):
        made = Examples([kept], stored.CONFIG, (1,))
        draws = made.draw(np.random.default_rng(0), 1, 1, [1])
        first, second = made.batch(draws), made.batch(draws)
        for field in fields(first):
            tensor, again = getattr(first, field.name), getattr(made.batch(draws), field.name)
            tensor.zero_()
            torch.testing.assert_close(getattr(second, field.name), again, rtol=0, atol=0, equal_nan=True)


def test_a_batch_moves_with_its_stations():
    batch = examples().batch([Draw(0, DAY, (TILE,), (1,))])
    moved = batch.to(torch.device("meta"))
    assert all(getattr(moved, field.name).is_meta for field in fields(batch))
