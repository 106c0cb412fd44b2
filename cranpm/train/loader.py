"""The batches of each optimiser step, made where they are needed: in this process or in a loader's workers.

What a step sees depends on the seed and the step alone: not on the steps before it, so a killed run goes on anywhere,
and not on the number of processes, which share a step's groups out among themselves.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Sized
from dataclasses import dataclass

import numpy as np
from torch.utils.data import DataLoader, Dataset, Sampler

from cranpm.data.dataset import Batch, Examples
from cranpm.errors import CranpmError
from cranpm.train.interruption import SIGNALS


@dataclass(frozen=True)
class Sampling:
    """What an optimiser step is made of.

    Attributes:
        groups: batches of a step, over all processes.
        days: days of a group; each is encoded once.
        tiles_per_day: tiles of each day, at random places, each with a random lead.
        lead_shares: how often each lead is drawn, in the order of the leads.
        hotspot_ratio: how often a tile is centred in a hotspot of the pack.
        align: pixels of whose multiples tiles start; the side of the store's chunks, or 1.
        at_once: tiles of each day in one pass of the local branch, which bounds the memory; all of them without.
    """

    groups: int
    days: int
    tiles_per_day: int
    lead_shares: tuple[float, ...]
    hotspot_ratio: float = 0.0
    align: int = 1
    at_once: int | None = None


class Steps(Dataset[list[Batch]]):
    """One process's share of every optimiser step: item s holds its groups of step s, in order.

    Args:
        examples: what is drawn from.
        sampling: what a step is made of.
        seed: decides, with the step, what is drawn.
        rank, ranks: this process and how many there are; it takes the groups rank, rank + ranks, ...
        steps: optimiser steps in all.

    Raises:
        CranpmError: the groups cannot be shared out evenly.
    """

    def __init__(
        self, examples: Examples, sampling: Sampling, seed: int, rank: int = 0, ranks: int = 1, *, steps: int
    ) -> None:
        if sampling.groups % ranks:
            raise CranpmError(
                f"{sampling.groups} groups per step cannot be shared out evenly to {ranks} processes: set `groups` to "
                f"a multiple of {ranks}, such as {-(-sampling.groups // ranks) * ranks}, or start as many processes "
                f"as divide {sampling.groups}"
            )
        self.examples, self.sampling, self.seed = examples, sampling, seed
        self.rank, self.ranks, self.steps = rank, ranks, steps

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, step: int) -> list[Batch]:
        """This process's groups of a step.

        Raises:
            IndexError: there is no such step.
        """
        if not 0 <= step < self.steps:
            raise IndexError(f"step {step} of {self.steps}")
        plan, rng = self.sampling, np.random.default_rng([self.seed, step])
        draws = self.examples.draw(
            rng, plan.groups * plan.days, plan.tiles_per_day, plan.lead_shares, plan.hotspot_ratio, plan.align
        )
        mine = range(self.rank, plan.groups, self.ranks)
        return [self.examples.batch(draws[g * plan.days : (g + 1) * plan.days]) for g in mine]


class Remaining(Sampler[int]):
    """The steps from one on; as long as the whole run, which is how Lightning counts a resumed epoch."""

    def __init__(self, steps: Sized, first: int) -> None:
        self.total, self.first = len(steps), first

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.total))

    def __len__(self) -> int:
        return self.total


def feed(steps: Steps, first: int = 0, *, workers: int = 0, pinned: bool = False) -> DataLoader[list[Batch]]:
    """The steps from `first` on, in order.

    Args:
        steps: this process's share.
        first: the step to begin with, e.g. where a killed run goes on.
        workers: processes that read ahead, two steps each; 0 reads here, when a step is asked for.
        pinned: whether batches lie in page-locked memory, from where they go to a GPU while that computes.
    """
    return DataLoader(
        steps, batch_size=None, sampler=Remaining(steps, first), num_workers=workers, pin_memory=pinned,
        worker_init_fn=_leave_signals_to_the_parent,
    )  # fmt: skip


def _leave_signals_to_the_parent(worker: int) -> None:
    """Signals to the whole process group end the run in good order: its readers must live until it has saved."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
