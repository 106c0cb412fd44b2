"""The cached day: all tiles of a group share one pass of the global branch, forwards and backwards (supplement S1).

The day is encoded once. Its tiles run a few at a time on a detached copy of Z^g: each pass frees its own graph and
adds to the copy's gradient. The last pass hands that gradient to the global branch, which goes backwards once.
The gradient is the one of all tiles in one graph; the memory is that of one pass and the day.
"""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Protocol

import torch
from torch import Tensor

from cranpm.data.batch import Batch
from cranpm.model.network import CranPM


class Sums(Protocol):
    """The terms of the objective, summed over some tiles."""

    def __call__(self, residual: Tensor, part: Batch, /) -> Tensor:
        """From the residual of the tiles (B, S, S) and their batch to the sums, shape (T,)."""


def run_group(network: CranPM, group: Batch, sums: Sums, scale: Tensor, *, at_once: int) -> tuple[Tensor, Tensor]:
    """Run a group's tiles forwards, and all but the last pass backwards.

    Args:
        network: its parameters' gradients are added to.
        group: D days with their tiles, on the network's device.
        sums: the terms of the objective.
        scale: what each sum counts in the loss, shape (T,); additive, so passes and groups may be of any size.
        at_once: tiles of each day in one pass of the local branch.

    Returns:
        A scalar whose `backward` completes the gradient of the group (its value means nothing), and the group's
        sums, detached, shape (T,).
    """
    state = network.encode_day(*group.day).float()
    passes = split_tiles(group, at_once)
    total = torch.zeros_like(scale)
    cached = state.detach().requires_grad_()
    for part in passes[:-1]:
        terms = sums(network.forward_tiles(cached, *part.tiles).float(), part)
        total += terms.detach()
        _backward((scale * terms).sum())
    terms = sums(network.forward_tiles(state, *passes[-1].tiles).float(), passes[-1])
    total += terms.detach()
    closing = (scale * terms).sum()
    if cached.grad is not None:  # what the earlier passes ask of the day
        closing = closing + (state * cached.grad).sum()
    return closing, total


def split_tiles(group: Batch, at_once: int) -> list[Batch]:
    """The group in passes of `at_once` tiles of each of its days; the last one may be smaller."""
    days, tiles = len(group.coarse), len(group.pm)
    per_day = tiles // days
    if at_once >= per_day:
        return [group]
    index = torch.arange(tiles, device=group.pm.device).reshape(days, per_day)
    return [_tiles(group, index[:, start : start + at_once].flatten()) for start in range(0, per_day, at_once)]


def _tiles(group: Batch, index: Tensor) -> Batch:
    """The same days with some of their tiles."""
    kept = ("coarse", "coarse_elevation")
    return replace(group, **{f.name: getattr(group, f.name)[index] for f in fields(group) if f.name not in kept})


def _backward(loss: Tensor) -> None:
    """Backwards outside autocast, which would lower the precision of gradients that are kept in float32."""
    with torch.autocast(loss.device.type, enabled=False):
        loss.backward()
