"""Values of a JSON manifest from outside, each of the kind that it must be."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, TypeGuard

from cranpm.errors import CranpmError

_LIMIT = 4_000_000  # bytes: far above any manifest, far below what would fill a memory


def json_object(path: Path) -> dict[str, Any]:
    """A JSON object from a file of reasonable size.

    Raises:
        CranpmError: the file is larger, or holds something else.
    """
    if (size := path.stat().st_size) > _LIMIT:
        raise CranpmError(f"{path}: {size:,} bytes, at most {_LIMIT:,} are expected; copy the adapter again")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise CranpmError(f"{path}: not valid JSON ({error}); copy the adapter again") from error
    if not isinstance(document, dict):
        raise CranpmError(f"{path}: a JSON object is expected; copy the adapter again")
    return document


def a_text(key: str, value: object) -> str:
    """A text that is not empty; `key` names it in the error, as in the following."""
    if not (isinstance(value, str) and value):
        raise CranpmError(f"{key}: {value!r}, a text is expected")
    return value


def a_truth(key: str, value: object) -> bool:
    """True or false."""
    if not isinstance(value, bool):
        raise CranpmError(f"{key}: {value!r}, true or false is expected")
    return value


def a_sha256(key: str, value: object) -> str:
    """A SHA-256, hexadecimal."""
    if not (isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")):
        raise CranpmError(f"{key}: {value!r}, a SHA-256 of 64 hexadecimal digits is expected")
    return value


def some_names(key: str, values: object) -> tuple[str, ...]:
    """A list of names that is not empty."""
    if not (isinstance(values, list) and values and all(isinstance(value, str) for value in values)):
        raise CranpmError(f"{key}: a list of names is expected")
    return tuple(values)


def is_whole(value: object) -> TypeGuard[int]:
    """Whether it is a whole number; true and false are none."""
    return isinstance(value, int) and not isinstance(value, bool)


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether it is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
