"""Tensors of a safetensors file as views of its bytes: no copy, and where in the file each lies."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cranpm.errors import CranpmError

_KINDS: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I64": np.dtype("<i8"),
    "I32": np.dtype("<i4"),
}
_HEADER_LIMIT = 4_000_000  # bytes


@dataclass(frozen=True)
class Place:
    """Where a tensor lies in its file: type, shape, first byte and length."""

    kind: np.dtype[Any]
    shape: tuple[int, ...]
    start: int
    length: int


def tensor_places(content: bytes, name: str) -> dict[str, Place]:
    """Every tensor of a safetensors file.

    Args:
        content: the bytes of the file.
        name: what errors call it.

    Raises:
        CranpmError: not such a file, or a tensor that does not lie where it says.
    """
    try:
        size = int.from_bytes(content[:8], "little")
        if len(content) < 8 or size > min(_HEADER_LIMIT, len(content) - 8):
            raise ValueError(f"a header of {size:,} bytes")
        header = json.loads(content[8 : 8 + size])
        header.pop("__metadata__", None)
        return {key: _place(entry, 8 + size, len(content)) for key, entry in header.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CranpmError(f"{name}: not a safetensors file ({error!r}); export the bundle again") from error


def views(content: bytes, places: Mapping[str, Place]) -> dict[str, NDArray[Any]]:
    """The tensors themselves, read-only, as long as `content` lives."""
    return {
        name: np.frombuffer(content, place.kind, place.length // place.kind.itemsize, place.start).reshape(place.shape)
        for name, place in places.items()
    }


def _place(entry: Mapping[str, Any], origin: int, end: int) -> Place:
    first, last = (int(offset) for offset in entry["data_offsets"])
    kind, shape = _KINDS[entry["dtype"]], tuple(int(length) for length in entry["shape"])
    count = 1
    for length in shape:
        count *= length
    if not (0 <= first <= last <= end - origin) or last - first != count * kind.itemsize or min(shape, default=0) < 0:
        raise ValueError(f"a tensor of shape {shape} in bytes {first} to {last}")
    return Place(kind, shape, origin + first, last - first)
