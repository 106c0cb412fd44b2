"""How much memory a bundle takes, by part, before it is run: from sizes alone, without loading anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cranpm.errors import CranpmError
from cranpm.forecast.bundle import DAY, PRECISIONS, TILE, TILE_GRAPH, Bundle
from cranpm.forecast.onnx_engine import LARGE
from cranpm.model.config import ModelConfig, token_grid

_MB = 1e6
_PROCESS = {"cpu": 170.0, "cuda": 550.0}  # Python, numpy, ONNX Runtime, the store; a card's context and libraries, MB
_TWICE = {DAY: 1.6, TILE: 2.0}  # on a CPU: weights as read, and as ONNX Runtime holds (the day's) or packs them
_ARENA = {"cpu": {1: 1.3, 2: 2.5}, "cuda": {1: 2.0, 2: 2.3}}
"""What the arena holds over what is alive at one time, by tiles. A CPU's grows by doubling, and was measured."""
_MORE = {"cpu": 2.5, "cuda": 2.6}
_DAY = {"cpu": 0.85, "cuda": 1.0}  # the same of the day, which has no arena on a CPU
BATCHES = (8, 4, 2, 1)


@dataclass(frozen=True)
class Budget:
    """Predicted peaks in MB (1e6 bytes).

    Attributes:
        device: "cpu" or "cuda".
        batch: tiles at a time.
        parts: by part; `process` is always there, the others while the day or the tiles run.
        peak: the larger of the day's and the tiles' sum.
    """

    device: str
    batch: int
    parts: Mapping[str, float]
    peak: float


def budget(bundle: Bundle, *, device: str, batch: int, window: tuple[int, int] | None = None) -> Budget:
    """What a forecast takes on a device.

    Args:
        bundle: the bundle.
        device: "cpu" (memory of the process) or "cuda" (of the card).
        batch: tiles at a time.
        window: rows and columns of the coarse window; without, the bundle's largest.
    """
    config, shape = bundle.checkpoint.config, window or max(bundle.days)
    half = 0.5 if bundle.precision == "fp16" and device == "cuda" else 1.0  # a CPU computes half precision in whole
    twice = _TWICE if device == "cpu" else {DAY: 1.0, TILE: 1.0}
    weights = {part: twice[part] * _weights(bundle, part) / _MB for part in (DAY, TILE)}
    day, tile = (alive * half / _MB for alive in (_day_alive(config, shape), _tile_alive(config, shape)))
    parts = {
        "process": _PROCESS[device],
        "day: weights": weights[DAY],
        "day: fields": _DAY[device] * day,
        "tiles: weights": weights[TILE],
        "tiles: fields": _ARENA[device].get(batch, _MORE[device]) * batch * tile,
    }
    kept = weights[DAY] if weights[DAY] * _MB <= LARGE else 0.0
    during_day = parts["process"] + parts["day: weights"] + parts["day: fields"]
    during_tiles = parts["process"] + kept + parts["tiles: weights"] + parts["tiles: fields"]
    left = 0.1 * during_day if device == "cuda" and not kept else 0.0  # a CPU's goes back to the system
    return Budget(device, batch, parts, max(during_day, during_tiles + left))


def advice(bundle: Bundle, *, device: str, limit: float) -> tuple[Budget | None, str]:
    """The largest batch that fits into some MB, and what to do, in words."""
    for batch in BATCHES if device == "cuda" else (1,):
        found = budget(bundle, device=device, batch=batch)
        if found.peak <= limit:
            return found, f"fits: {batch} tile{'s' if batch > 1 else ''} at a time in {bundle.precision}"
    smaller = PRECISIONS[1] if bundle.precision == "fp32" else PRECISIONS[2]
    advised = "" if bundle.precision == "int8" else f"; export it with --precision {smaller}"
    return None, f"does not fit, not even one tile at a time in {bundle.precision}{advised}"


def megabytes(text: str) -> float:
    """MB (1e6 bytes) from what a person writes: 4GB, 4GiB, 800MB.

    Raises:
        CranpmError: not such a size.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(GB|GiB|MB|MiB|G|M)", text.strip(), flags=re.ASCII | re.IGNORECASE)
    if found is None:
        raise CranpmError(f"'{text}': a size such as 4GB or 800MB is expected")
    unit = {"gb": 1e3, "g": 1e3, "gib": 2**30 / 1e6, "mb": 1.0, "m": 1.0, "mib": 2**20 / 1e6}[found[2].lower()]
    return float(found[1]) * unit


def as_json(found: Budget) -> dict[str, Any]:
    """Plain values."""
    parts = {name: round(size, 1) for name, size in found.parts.items()}
    return {"device": found.device, "batch": found.batch, "peak_mb": round(found.peak, 1), "parts_mb": parts}


def _weights(bundle: Bundle, part: str) -> int:
    """Bytes of the weights of a graph, beside it or inside."""
    beside = bundle.manifest["weights"].get(part)
    inside = TILE_GRAPH if part == TILE else max(bundle.days.values(), key=lambda name: bundle.members[name].size)
    return bundle.members[inside].size + (0 if beside is None else bundle.members[beside].size)


def _tile_alive(config: ModelConfig, window: tuple[int, int]) -> int:
    """Bytes alive at the fullest moment of a tile: three fields of the decoder's last stage, or of the scores."""
    queries, keys = config.grid[0] * config.grid[1], _tokens(config, window)
    last = config.decoder_widths[-1] * config.tile**2
    scores = max(config.local_heads * queries**2, config.bridge_heads * queries * keys)
    return 4 * (3 * max(last, scores) + (len(config.maps) + 6) * config.tile**2)


def _day_alive(config: ModelConfig, window: tuple[int, int]) -> int:
    """The same of a day: five fields of scores, and the coarse channels twice."""
    fields = 2 * len(config.channels) * window[0] * window[1]
    return 4 * (5 * config.global_heads * _tokens(config, window) ** 2 + fields)


def _tokens(config: ModelConfig, window: tuple[int, int]) -> int:
    rows, columns = token_grid(window, config.coarse_patch)
    return rows * columns
