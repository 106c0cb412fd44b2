"""Steps: the same whoever makes them, wherever a run begins; and each process reads its own tiles alone."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader
from zarr.abc.store import RangeByteRequest, SuffixByteRequest
from zarr.storage import LocalStore

from cranpm.data.dataset import Batch, DiskStore, Examples
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.region import Hotspot
from cranpm.train.loader import Sampling, Steps, feed
from tests.train import stored
from tests.train.toy import examples

SAMPLING = Sampling(groups=4, days=2, tiles_per_day=3, lead_shares=(1.0, 1.0))
CHUNK, SHARD = 256, (2, 8)  # of `stored`: pixels of a chunk, chunks of a file
INDEX = 2 * 8 * 16 + 4  # bytes at the end of a file
HOTSPOT = Hotspot("Coal Valley", west=15.0, south=46.5, east=16.0, north=47.5)


def same(one: list[Batch], two: list[Batch]) -> bool:
    """Whether groups hold the same values in every tensor."""
    names = [field.name for field in fields(Batch)]
    pairs = [(getattr(a, name), getattr(b, name)) for a, b in zip(one, two, strict=True) for name in names]
    return all(a.dtype == b.dtype and torch.equal(a.nan_to_num(-1), b.nan_to_num(-1)) for a, b in pairs)


@pytest.mark.parametrize("ranks", [2, 4])
def test_the_processes_share_a_step_of_one_process_out(ranks):
    whole = Steps(examples(), SAMPLING, seed=7, steps=3)
    shares = [Steps(examples(), SAMPLING, 7, rank, ranks, steps=3) for rank in range(ranks)]
    for step in range(3):
        parts = [share[step] for share in shares]
        assert all(len(part) == 4 // ranks for part in parts)
        assert same(whole[step], [parts[group % ranks][group // ranks] for group in range(4)])


def test_a_step_does_not_depend_on_the_steps_before_it():
    made = Steps(examples(), SAMPLING, seed=7, steps=9)
    first = list(feed(made))
    assert len(first) == 9
    assert same(Steps(examples(), SAMPLING, seed=7, steps=9)[5], first[5])
    assert all(same(a, b) for a, b in zip(feed(made, 6), first[6:], strict=True))
    assert not same(first[4], first[5])
    assert not same(Steps(examples(), SAMPLING, seed=8, steps=9)[5], first[5])


def test_a_group_has_its_days_and_tiles():
    for batch in Steps(examples(), SAMPLING, seed=7, steps=1)[0]:
        assert len(batch.coarse) == 2 and len(batch.valid) == len(batch.station_pm) == 6


def test_a_step_holds_different_days_while_there_are_enough():
    days = torch.cat([batch.coarse[:, 0, 0, 0] for batch in Steps(examples(), SAMPLING, seed=7, steps=1)[0]])
    assert len(days.unique()) == 8


def test_groups_that_cannot_be_shared_out_are_refused():
    with pytest.raises(
        CranpmError, match=r"4 groups per step .* 3 processes: set `groups` to a multiple of 3, such as 6"
    ):
        Steps(examples(), SAMPLING, 7, 0, 3, steps=1)


def test_a_step_that_is_not_there_ends_the_loop():
    made = Steps(examples(), SAMPLING, seed=7, steps=2)
    assert len(made) == 2 and len(list(made)) == 2
    for step in (-1, 2):
        with pytest.raises(IndexError):
            made[step]


@pytest.fixture(scope="module")
def chunked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored.write(tmp_path_factory.mktemp("stores") / "chunkland.zarr")


def from_disk(path: Path, sampling: Sampling, rank: int = 0, ranks: int = 1) -> Steps:
    store = Store.open(path)
    made = Examples([DiskStore(store, store.days)], stored.CONFIG, (1, 2), (HOTSPOT,))
    return Steps(made, sampling, 7, rank, ranks, steps=4)


@pytest.mark.slow
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_workers_make_the_same_steps(chunked, method):
    steps = from_disk(chunked, replace(SAMPLING, hotspot_ratio=0.5, align=64))
    here = list(feed(steps, 1))
    there = list(DataLoader(steps, None, sampler=range(1, 4), num_workers=2, multiprocessing_context=method))
    assert len(there) == 3 and all(same(a, b) for a, b in zip(here, there, strict=True))
    if method == "fork":
        assert all(same(a, b) for a, b in zip(here, feed(steps, 1, workers=2), strict=True))


def test_hotspots_are_drawn_alike_for_every_number_of_processes(chunked):
    sampling = replace(SAMPLING, hotspot_ratio=0.5, align=64)
    whole, shares = from_disk(chunked, sampling), [from_disk(chunked, sampling, rank, 4) for rank in range(4)]
    assert same(whole[2], [share[2][0] for share in shares])
    assert not same(whole[2], from_disk(chunked, replace(sampling, hotspot_ratio=0.4))[2])


def test_hotspots_and_alignment_reach_the_draws(chunked):
    plain, spots, aligned = (
        from_disk(chunked, replace(SAMPLING, groups=2, **change))[0]
        for change in ({}, {"hotspot_ratio": 1.0}, {"align": 64})
    )
    centred = [(b.lats.mean(1) - 47.0).abs().max() < 0.52 and (b.lons.mean(1) - 15.5).abs().max() < 0.52 for b in spots]
    assert all(centred) and not same(plain, spots)
    columns = (torch.cat([b.lons[:, 0] for b in aligned]).double() - 6.005) / 0.01
    assert ((columns % 64).round() % 64 == 0).logical_or(columns.round() == 2200 - 128).all()
    assert not same(plain, aligned)


@contextmanager
def recorded() -> Iterator[tuple[set[str], Counter[tuple[str, int, int]]]]:
    """What Zarr reads meanwhile: whole files by key, and pieces (key, offset, length) of sharded ones."""
    keys: set[str] = set()
    pieces: Counter[tuple[str, int, int]] = Counter()
    get = LocalStore.get

    async def telling(self: LocalStore, key: str, prototype: object, byte_range: object = None) -> object:
        name = f"{self.root}/{key}".split(".zarr/")[1]
        if isinstance(byte_range, RangeByteRequest):
            pieces[name, byte_range.start, byte_range.end - byte_range.start] += 1
        elif not isinstance(byte_range, SuffixByteRequest):  # that is a file's index
            keys.add(name)
        return await get(self, key, prototype, byte_range)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalStore, "get", telling)
        yield keys, pieces


def chunk_places(path: Path, key: str) -> dict[tuple[int, int], tuple[int, int]]:
    """Row and column, among all chunks of the map, of each chunk of a file, by its offset and length."""
    _, row, column = map(int, key.split("/")[-3:])
    index = np.frombuffer((path / key).read_bytes()[-INDEX:-4], "<u8").reshape(*SHARD, 2).astype(int)
    cells = {tuple(index[cell]): cell for cell in np.ndindex(SHARD)}
    return {piece: (row * SHARD[0] + i, column * SHARD[1] + j) for piece, (i, j) in cells.items()}


@pytest.mark.parametrize("align", [1, 128])
def test_a_process_reads_the_chunks_of_its_own_tiles_and_nothing_else(chunked, align):
    sampling = Sampling(groups=4, days=1, tiles_per_day=2, lead_shares=(1.0, 1.0), align=align)
    mine = from_disk(chunked, sampling, rank=1, ranks=2)
    mine[0]  # opens the arrays and reads what does not change from day to day
    mine.examples.stores[0].station_pm(stored.FIRST)
    with recorded() as (keys, pieces):
        mine[1]
    draws = mine.examples.draw(np.random.default_rng([7, 1]), 4, 2, (1.0, 1.0), 0.0, align)[1::2]
    expected, coarse, valid = Counter(), set(), set()
    for draw in draws:
        day = (draw.day - stored.FIRST).days
        coarse |= {f"coarse/data/c/{day}/0/0/0", f"coarse/data/c/{day - 1}/0/0/0"}
        for tile, lead in zip(draw.tiles, draw.leads, strict=True):
            valid.add(f"stations/pm2p5/c/{day + lead}/0")
            rows, columns = ({pixel // CHUNK for pixel in range(at, at + 128)} for at in (tile.row, tile.column))
            expected.update(product((day, day - 1, day + lead), rows, columns))
    found = Counter()
    for (key, start, length), times in pieces.items():
        assert key.startswith("fine/pm2p5/c/")
        if length != INDEX:
            found[int(key.split("/")[3]), *chunk_places(chunked, key)[start, length]] += times
    assert found == expected
    assert keys == coarse | valid  # and Zarr none of the maps
