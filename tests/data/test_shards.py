"""Sharded maps read without Zarr: the same counts, and nothing else than what a window touches."""

from __future__ import annotations

import json
import pickle
from io import FileIO
from pathlib import Path

import numpy as np
import pytest
import zarr
from zarr.codecs import BloscCodec

from cranpm.data import shards
from cranpm.data.shards import ShardedMaps

MISSING = 65535


@pytest.fixture(scope="module")
def maps(tmp_path_factory: pytest.TempPathFactory) -> zarr.Array:
    """Two maps of 70 x 110 in chunks of 16, up to 2 x 3 of them in a file; the second has an empty file and chunk."""
    path = tmp_path_factory.mktemp("maps") / "pm2p5"
    array = zarr.create_array(
        path, shape=(2, 70, 110), dtype="uint16", chunks=(1, 16, 16), shards=(1, 32, 48), fill_value=MISSING,
        compressors=BloscCodec(cname="zstd", clevel=1, shuffle="shuffle"),
    )  # fmt: skip
    values = np.random.default_rng(0).integers(0, 400, (2, 70, 110)).astype(np.uint16)
    values[1, :32, :48] = MISSING
    values[1, 32:48, 48:64] = MISSING
    array[:] = values
    return array


def folder(maps: zarr.Array) -> Path:
    return Path(maps.store.root)


def test_any_window_holds_what_zarr_reads(maps: zarr.Array) -> None:
    read, rng = ShardedMaps(folder(maps)), np.random.default_rng(1)
    assert read.known
    for _ in range(60):
        (a, b), (c, d) = (sorted(rng.integers(0, side + 1, 2)) for side in (70, 110))
        found = read.window(0, slice(a, b), slice(c, d))
        assert found is not None and found.dtype == np.uint16
        np.testing.assert_array_equal(found, maps[0, a:b, c:d])
    np.testing.assert_array_equal(read.window(0, slice(None), slice(None)), maps[0])
    np.testing.assert_array_equal(
        pickle.loads(pickle.dumps(read)).window(1, slice(40, None), slice(9)), maps[1, 40:, :9]
    )


def test_chunks_without_values_are_missing_pixels(maps: zarr.Array) -> None:
    found = ShardedMaps(folder(maps)).window(1, slice(32, 64), slice(48, 96))
    np.testing.assert_array_equal(found, maps[1, 32:64, 48:96])
    assert found is not None and (found[:16, :16] == MISSING).all() and (found[16:] != MISSING).all()


def test_a_file_that_is_not_there_is_left_to_the_store(maps: zarr.Array) -> None:
    assert not (folder(maps) / "c/1/0/0").exists()
    assert ShardedMaps(folder(maps)).window(1, slice(0, 5), slice(0, 5)) is None


def test_only_the_index_and_the_chunks_that_are_touched_are_read(
    maps: zarr.Array, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    read = shards._read

    def telling(file: FileIO, start: int, length: int) -> bytes:
        asked.append((Path(str(file.name)).relative_to(folder(maps)).as_posix(), length))
        return read(file, start, length)

    monkeypatch.setattr(shards, "_read", telling)
    ShardedMaps(folder(maps)).window(0, slice(20, 40), slice(50, 60))  # two chunks of two files
    index = 2 * 3 * 16 + 4
    assert [(key, length == index) for key, length in asked] == [
        ("c/0/0/1", True), ("c/0/0/1", False), ("c/0/1/1", True), ("c/0/1/1", False)
    ]  # fmt: skip


@pytest.mark.parametrize("place", [-3, -40, 10])
def test_damage_is_left_to_the_store(maps: zarr.Array, tmp_path: Path, place: int) -> None:
    broken = tmp_path / "c/0/0/0"
    broken.parent.mkdir(parents=True)
    (tmp_path / "zarr.json").write_bytes((folder(maps) / "zarr.json").read_bytes())
    raw = bytearray((folder(maps) / "c/0/0/0").read_bytes())
    whole = slice(0, 32), slice(0, 48)
    broken.write_bytes(raw)
    assert ShardedMaps(tmp_path).window(0, *whole) is not None
    raw[place] ^= 0xFF  # the checksum, the index, the first chunk's header
    broken.write_bytes(raw)
    assert ShardedMaps(tmp_path).window(0, *whole) is None
    broken.write_bytes(raw[:50])
    assert ShardedMaps(tmp_path).window(0, *whole) is None


def test_another_layout_is_left_to_the_store(maps: zarr.Array, tmp_path: Path) -> None:
    whole = zarr.create_array(tmp_path / "whole", shape=(2, 40, 50), dtype="uint16", chunks=(1, 40, 50), fill_value=0)
    whole[:] = 1
    changed = json.loads((folder(maps) / "zarr.json").read_text())
    changed["codecs"][0]["configuration"]["index_location"] = "start"
    (tmp_path / "zarr.json").write_text(json.dumps(changed))
    for path in (tmp_path / "whole", tmp_path, tmp_path / "absent"):
        read = ShardedMaps(path)
        assert not read.known and read.window(0, slice(0, 5), slice(0, 5)) is None
