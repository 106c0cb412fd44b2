"""Windows of sharded maps read straight from their files: training asks for thousands, of a few chunks each.

Zarr reads the same values, but takes two milliseconds to organise what is decompressed in a third of one. Only the
layout that `cranpm.data.writer` gives large maps is read here; whatever else is met, damage included, is left to
`Store.pm`, which reads it through Zarr or says what is wrong.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from io import FileIO
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numcodecs import blosc
from numpy.typing import NDArray

Cell = tuple[int, int]
Spans = tuple[range, range]

_ENTRY, _CHECKSUM = 16, 4  # bytes of the index at a file's end: of each chunk, and of what comes after them
_ABSENT = np.iinfo(np.uint64).max  # offset of a chunk that holds nothing but the fill value
_INDEX_CODECS = [{"name": "bytes", "configuration": {"endian": "little"}}, {"name": "crc32c"}]


class ShardedMaps:
    """Daily maps of 16-bit counts in chunks, of which each file of a day (a shard) holds several.

    Nothing is held open between reads; it may be sent to another process.

    Args:
        path: the array's folder.
    """

    def __init__(self, path: Path) -> None:
        layout = _layout(path)
        self.path, self.known = path, _is_known(layout)
        if self.known:
            self._shape, self._fill = _cell(layout["shape"]), int(layout["fill_value"])
            self._shard = _cell(layout["chunk_grid"]["configuration"]["chunk_shape"])
            self._chunk = _cell(layout["codecs"][0]["configuration"]["chunk_shape"])
            self._parts = self._shard[0] // self._chunk[0], self._shard[1] // self._chunk[1]

    def window(self, day: int, rows: slice, columns: slice) -> NDArray[np.uint16] | None:
        """The counts of a day in a window, or None where `Store.pm` must read it.

        Args:
            day: place on the time axis.
            rows, columns: of the map, without a step.
        """
        if not self.known:
            return None
        spans = range(*rows.indices(self._shape[0])), range(*columns.indices(self._shape[1]))
        out = np.full([len(span) for span in spans], self._fill, np.uint16)
        try:
            for shard in product(_touched(spans[0], self._shard[0]), _touched(spans[1], self._shard[1])):
                self._read_shard(day, shard, spans, out)
        except (OSError, RuntimeError, ValueError):
            return None
        return out

    def _read_shard(self, day: int, shard: Cell, spans: Spans, out: NDArray[np.uint16]) -> None:
        """Put what a file holds of a window into it.

        Raises:
            OSError, RuntimeError, ValueError: the file is not there, or damaged.
        """
        with FileIO(self.path / "c" / f"{day}" / f"{shard[0]}" / f"{shard[1]}") as file:
            index = _index(file, self._parts)
            for cell in product(*map(_touched, spans, self._chunk)):
                place = cell[0] - shard[0] * self._parts[0], cell[1] - shard[1] * self._parts[1]
                inside = 0 <= place[0] < self._parts[0] and 0 <= place[1] < self._parts[1]
                if inside and index[place][0] != _ABSENT:
                    values = blosc.decompress(_read(file, *map(int, index[place])))
                    chunk = np.frombuffer(values, "<u2").reshape(self._chunk)
                    own, theirs = zip(*map(_overlap, cell, self._chunk, spans), strict=True)
                    out[theirs] = chunk[own]


def _layout(path: Path) -> dict[str, Any]:
    """An array's description; empty where it cannot be read, which is for Zarr to say."""
    try:
        return dict(json.loads((path / "zarr.json").read_text(encoding="utf-8")))
    except (OSError, ValueError):
        return {}


def _is_known(layout: dict[str, Any]) -> bool:
    """Whether an array's description is of the one layout that is read here."""
    names = [codec["name"] for codec in layout.get("codecs", [])]
    if names != ["sharding_indexed"]:
        return False
    inner = layout["codecs"][0]["configuration"]
    return (
        find_spec("google_crc32c") is not None  # an older Zarr brings another library: it reads everything then
        and len(layout["shape"]) == 3
        and layout["data_type"] == "uint16"
        and layout["chunk_key_encoding"] == {"name": "default", "configuration": {"separator": "/"}}
        and inner["index_location"] == "end"
        and inner["index_codecs"] == _INDEX_CODECS
        and [codec["name"] for codec in inner["codecs"]] == ["bytes", "blosc"]
        and inner["codecs"][0] == _INDEX_CODECS[0]
        and layout["chunk_grid"]["configuration"]["chunk_shape"][0] == inner["chunk_shape"][0] == 1
    )


def _cell(sides: list[int]) -> Cell:
    """Rows and columns of a shape that begins with days."""
    return int(sides[1]), int(sides[2])


def _touched(span: range, side: int) -> range:
    """The chunks or files along an axis in which a span of pixels lies."""
    return range(span.start // side, -(-span.stop // side)) if len(span) else range(0)


def _overlap(number: int, side: int, span: range) -> tuple[slice, slice]:
    """What a chunk and a span share along an axis: as a part of the chunk, and as a part of the span."""
    first, last = max(number * side, span.start), min((number + 1) * side, span.stop)
    return slice(first - number * side, last - number * side), slice(first - span.start, last - span.start)


def _index(file: FileIO, parts: Cell) -> NDArray[np.uint64]:
    """Offset and length of each chunk of a file, shape (rows, columns, 2).

    Raises:
        OSError, ValueError: the index is cut or does not have its checksum.
    """
    import google_crc32c

    length = parts[0] * parts[1] * _ENTRY
    raw = _read(file, file.seek(0, 2) - length - _CHECKSUM, length + _CHECKSUM)
    if google_crc32c.value(raw[:length]) != int.from_bytes(raw[length:], "little"):
        raise ValueError("the index does not have its checksum")
    return np.frombuffer(raw, "<u8", count=2 * parts[0] * parts[1]).reshape(*parts, 2)


def _read(file: FileIO, start: int, length: int) -> bytes:
    """Some bytes of a file.

    Raises:
        OSError, ValueError: they are not there.
    """
    file.seek(start)
    found = file.read(length)
    if found is None or len(found) != length:
        raise ValueError(f"{len(found or b'')} bytes at {start} instead of {length}")
    return found
