"""Is a reply what was asked for? Nothing of it is used before every question here is answered with yes."""

from __future__ import annotations

import statistics
from collections.abc import Mapping

import numpy as np

from cranpm.clients.aggregate import distance
from cranpm.clients.message import MONTH, MOST, SCALARS, Order, Reply, Tensors
from cranpm.clients.method import sent_part

FURTHEST = 5.0
"""An update this many times the median of the round's is no update: it is left out instead of clipped."""


def problem_of(reply: Reply, order: Order, present: Tensors) -> str:
    """Why a reply cannot count, in words; empty where it can.

    Args:
        reply: as received.
        order: what was asked for.
        present: the coordinator's tensors at the start of the round: names and shapes are theirs.
    """
    if reply.base_hash != order.base_hash:
        return f"base {reply.base_hash[:12] or 'without hash'}…, the federation's is {order.base_hash[:12]}…"
    expected = sent_part(order.method, present)
    missing, unknown = sorted(expected.keys() - reply.tensors.keys()), sorted(reply.tensors.keys() - expected.keys())
    if missing or unknown:
        named = f"'{missing[0]}' missing" if missing else f"'{unknown[0][:80]}' unknown"
        return f"keys: {named} ({len(missing)} missing, {len(unknown)} unknown)"
    for name, wanted in expected.items():
        found = reply.tensors[name]
        if found.shape != wanted.shape:
            return f"shape of '{name}': {found.shape}, expected {wanted.shape}"
        if found.dtype != np.float32:
            return f"dtype of '{name}': {found.dtype}, expected float32"
        if not np.isfinite(found).all():
            return f"'{name}' is not finite"
    return _scalars(reply.scalars, order)


def too_far(replies: Mapping[int, Reply], present: Tensors) -> dict[int, str]:
    """Which updates are so long that they are left out, and why; with fewer than three replies none can be told."""
    lengths = {node: distance(reply.tensors, present) for node, reply in replies.items()}
    if len(lengths) < 3:
        return {}
    usual = statistics.median(lengths.values())
    return {
        node: f"norm: the update is {length / usual:.1f} times the round's median, up to {FURTHEST:g} counts"
        for node, length in lengths.items()
        if usual and length > FURTHEST * usual
    }


def _scalars(scalars: Mapping[str, float], order: Order) -> str:
    if wrong := sorted(set(scalars) ^ set(SCALARS)):
        return f"scalar '{wrong[0][:40]}' {'missing' if wrong[0] in SCALARS else 'unknown'}"
    for name, value in scalars.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not np.isfinite(value) or value < 0:
            return f"scalar '{name}': {value!r}, a finite number of 0 or more is expected"
    if scalars["rank"] != order.rank:
        return f"rank {scalars['rank']:g}, expected {order.rank}"
    if scalars["examples"] not in range(MONTH, MOST + 1, MONTH):
        return f"scalar 'examples': {scalars['examples']:g}, whole months of {MONTH} up to {MOST} are expected"
    return ""
