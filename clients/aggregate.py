"""What is computed of several agencies' adapters: how far each went, clipping, and what averaging A and B costs."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from cranpm.clients.message import Tensors
from cranpm.clients.method import DOWN, UP

Named = dict[str, NDArray[np.float32]]


def distance(tensors: Tensors, origin: Tensors) -> float:
    """Euclidean length of the way from one set of tensors to another, over the names of the first."""
    return math.sqrt(sum(float(np.square(tensors[n].astype(np.float64) - origin[n]).sum()) for n in sorted(tensors)))


def clipped_to_median(updates: Mapping[int, Tensors], origin: Tensors) -> tuple[dict[int, Named], dict[int, float]]:
    """Shorten every update that is longer than the round's median update to that length.

    No number of attackers must be assumed, and agencies that agree in length are left as they are.

    Args:
        updates: each agency's tensors.
        origin: the tensors that all began with.

    Returns:
        The tensors, clipped; and for those that were, the factor that the update was multiplied by.
    """
    lengths = {node: distance(tensors, origin) for node, tensors in updates.items()}
    limit = statistics.median(lengths.values()) if lengths else 0.0
    factors = {node: limit / length for node, length in lengths.items() if length > limit}
    clipped = {
        node: {
            name: (origin[name] + np.float32(factors.get(node, 1.0)) * (values - origin[name])).astype(np.float32)
            if node in factors
            else np.asarray(values)
            for name, values in tensors.items()
        }
        for node, tensors in updates.items()
    }
    return clipped, factors


def mean_of(parts: Sequence[Tensors], weights: Sequence[float]) -> Named:
    """Weighted mean, in float64 and the order given, back to float32."""
    total, mean = sum(weights), {}
    for name in sorted(parts[0]):
        scaled = [weight / total * part[name].astype(np.float64) for weight, part in zip(weights, parts, strict=True)]
        mean[name] = np.add.reduce(scaled).astype(np.float32)
    return mean


def aggregation_error(parts: Sequence[Tensors], weights: Sequence[float], made: Tensors) -> float | None:
    """How far the update B A of the aggregate is from the weighted mean of the agencies' updates, relative to that.

    Averaging A and B separately is not averaging their products: mean(B) mean(A) != mean(B A).

    Args:
        parts: each agency's whole adapter (the tensors it keeps may stand in as the coordinator knows them).
        weights: of the agencies.
        made: the aggregate.

    Returns:
        Frobenius norm of the difference over that of the mean update, over all layers; None where that is 0.
    """
    total, error, size = sum(weights), 0.0, 0.0
    for down in sorted(name for name in made if name.endswith(DOWN)):
        up = down.removesuffix(DOWN) + UP
        ups = [w / total * part[up].astype(np.float64) for w, part in zip(weights, parts, strict=True)]
        downs = [part[down].astype(np.float64) for part in parts]
        size += _square(ups, downs)
        error += _square([*ups, -made[up].astype(np.float64)], [*downs, made[down].astype(np.float64)])
    return math.sqrt(max(error, 0.0) / size) if size > 0 else None


def _square(ups: Sequence[NDArray[np.float64]], downs: Sequence[NDArray[np.float64]]) -> float:
    """Squared Frobenius norm of the sum of B A, by the small Gram matrices: the products are never formed."""
    b, a = np.concatenate(ups, axis=1), np.concatenate(downs, axis=0)
    return float(((b.T @ b) * (a @ a.T)).sum())
