"""Whether the edges of tiles show in a map."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cranpm.tiles import TilePlan


def seam_ratio(change: NDArray, valid: NDArray[np.bool_], plan: TilePlan) -> float | None:
    """Mean step between neighbouring pixels across tile edges, over the mean step everywhere.

    Args:
        change: what the network added to today's map, ug m-3, shape (h, w).
        valid: pixels that count, shape (h, w).
        plan: the tiles behind the map.

    Returns:
        1 where edges do not show, more where they do; None with a single tile or where nothing changes.
    """
    at_edges, everywhere = [], []
    for axis, starts in ((0, plan.rows), (1, plan.columns)):
        edges = set(starts[1:]) | {start + plan.size for start in starts[:-1]}
        both = valid & np.roll(valid, 1, axis)
        steps = np.abs(change - np.roll(change, 1, axis))
        places = np.zeros(change.shape[axis], bool)
        places[sorted(edges)] = True
        inner = np.arange(change.shape[axis]) > 0
        shape = (-1, 1) if axis == 0 else (1, -1)
        at_edges.append(steps[both & places.reshape(shape)])
        everywhere.append(steps[both & inner.reshape(shape)])
    edge, all_ = np.concatenate(at_edges), np.concatenate(everywhere)
    if not edge.size or not all_.mean() > 1e-6:
        return None
    return float(edge.mean() / all_.mean())
