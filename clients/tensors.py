"""Tensors of an adapter as a safetensors file, written whole or not at all, and read within bounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.clients.message import Tensors
from cranpm.errors import CranpmError, require
from cranpm.folders import write_whole


def write_file(path: Path, tensors: Tensors) -> None:
    """Write tensors in float32, in the order of their names."""
    save = require("safetensors.numpy", extra="federate").save
    ordered = {name: np.ascontiguousarray(tensors[name], dtype=np.float32) for name in sorted(tensors)}
    write_whole(path, save(ordered, metadata={"format": "pt"}))


def read_file(path: Path) -> dict[str, NDArray[np.float32]]:
    """What `write_file` wrote.

    Raises:
        CranpmError: it is no safetensors file.
    """
    load_file = require("safetensors.numpy", extra="federate").load_file
    error = require("safetensors", extra="federate").SafetensorError
    try:
        return dict(load_file(path))
    except (error, OSError) as problem:
        raise CranpmError(f"{path}: not a safetensors file ({problem}); copy it again") from problem
