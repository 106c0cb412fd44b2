"""Tensors of a safetensors file that lies within another file: where each is, and their values, hashed on the way.

Each tensor has memory of its own, and the file is never whole in memory: what a runtime has packed for itself can go,
tensor by tensor.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from cranpm.errors import CranpmError

_KINDS: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
    "I16": np.dtype("<i2"),
    "U8": np.dtype("u1"),
}
_HEADER_LIMIT = 4_000_000  # bytes


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in its file: type, shape, first byte and length."""

    kind: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    length: int


def tensor_places(stream: BinaryIO, start: int, size: int, name: str) -> dict[str, Place]:
    """Every tensor of a safetensors file; only its header is read.

    Args:
        stream: what holds the file.
        start: its first byte there.
        size: its bytes.
        name: what errors call it.

    Raises:
        CranpmError: not such a file, or a tensor that does not lie where it says.
    """
    stream.seek(start)
    length = int.from_bytes(stream.read(8), "little")
    try:
        if size < 8 or length > min(_HEADER_LIMIT, size - 8):
            raise ValueError(f"a header of {length:,} bytes")
        header = json.loads(stream.read(length))
        header.pop("__metadata__", None)
        return {key: _place(entry, 8 + length, size) for key, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise CranpmError(f"{name}: not a safetensors file ({error!r}); export the bundle again") from error


def read_tensors(stream: BinaryIO, start: int, size: int, name: str) -> tuple[dict[str, NDArray[Any]], str]:
    """The tensors, and the SHA-256 of the whole file, hexadecimal; see `tensor_places`.

    Raises:
        CranpmError: not such a file, or tensors that do not lie one after the other.
    """
    places = sorted(tensor_places(stream, start, size, name).items(), key=lambda item: item[1].start)
    digest, tensors, done = hashlib.sha256(), {}, 0
    stream.seek(start)
    for key, place in places:
        if place.start < done:
            raise CranpmError(f"{name}: tensor '{key}' lies over another; export the bundle again")
        digest.update(stream.read(place.start - done))
        content = bytearray(place.length)
        stream.readinto(content)  # type: ignore[attr-defined]
        digest.update(content)
        tensors[key] = np.frombuffer(content, place.kind).reshape(place.shape)
        done = place.start + place.length
    digest.update(stream.read(size - done))
    return tensors, digest.hexdigest()


def _place(entry: Mapping[str, Any], origin: int, end: int) -> Place:
    first, last = (int(offset) for offset in entry["data_offsets"])
    kind, shape = _KINDS[entry["dtype"]], tuple(int(length) for length in entry["shape"])
    count = 1
    for length in shape:
        count *= length
    if not (0 <= first <= last <= end - origin) or last - first != count * kind.itemsize or min(shape, default=0) < 0:
        raise ValueError(f"a tensor of shape {shape} in bytes {first} to {last}")
    return Place(kind, shape, origin + first, last - first)
