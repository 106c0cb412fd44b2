"""An agency's own days: which of a store's, and how they are divided to train, to choose, and to fit the past on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

from cranpm.adapt.settings import Blocks
from cranpm.data.days import ONE_DAY, shown_days, stretches
from cranpm.errors import CranpmError
from cranpm.region import Region

MONTH, YEAR = 30, 365
"""Days of a month of `--months`, and of the year that they are spread over."""
STRETCHES, SHORTEST = 4, 15
"""Months are taken in four stretches, one for each season, as long as none is shorter than 15 days."""
FOLDS = 6
LEAST_PAST = 45
"""Days without which nothing is fitted on the local past: lines and seasons would be noise."""


@dataclass(frozen=True)
class LocalDays:
    """Local days, divided.

    No day is in both parts, and an example's inputs and targets all lie in one: nothing that a training example sees,
    as input or as target, is part of an example that is held out.

    Attributes:
        train: days of the training blocks, in order.
        held_out: days of the blocks that weights are chosen by.
    """

    train: tuple[date, ...]
    held_out: tuple[date, ...]

    @property
    def all(self) -> tuple[date, ...]:
        """Both, in order."""
        return tuple(sorted((*self.train, *self.held_out)))


def choose_days(store_days: Sequence[date], region: Region, months: int | None, asked: Sequence[date]) -> list[date]:
    """The local days: those asked for, else months of the latest year before the years that the pack is scored on.

    Months are spread over that year in stretches: what is learned of one season alone misleads in the others.

    Args:
        store_days: what the store holds.
        region: the pack, whose test years are left alone.
        months: how many months of 30 days; all days without.
        asked: days named by a person, or none.

    Raises:
        CranpmError: a day asked for is not in the store, or none is left.
    """
    held = sorted(store_days)
    if asked:
        if missing := set(asked) - set(held):
            raise CranpmError(f"--days: the store lacks {shown_days(missing)}; it holds {shown_days(held)}")
        return sorted(asked)
    free = [day for day in held if day.year not in region.split.test]
    if not free:
        years = ", ".join(map(str, region.split.test))
        raise CranpmError(
            f"all days of the store ({shown_days(held)}) lie in {years}, which pack '{region.name}' keeps for scoring: "
            "name the days to adapt to with --days, and score on others"
        )
    return free if months is None else spread(free[-YEAR:], months * MONTH)


def spread(days: Sequence[date], count: int) -> list[date]:
    """So many of the days, in stretches at equal distances; the last ends with the last day. All where there are no
    more."""
    if count >= len(days):
        return list(days)
    number = max(min(STRETCHES, count // SHORTEST), 1)
    ends = [round((k + 1) * len(days) / number) for k in range(number)]
    lengths = [count * (k + 1) // number - count * k // number for k in range(number)]
    return [day for end, length in zip(ends, lengths, strict=True) for day in days[end - length : end]]


def divide(days: Sequence[date], blocks: Blocks, leads: Sequence[int]) -> LocalDays:
    """Cut days into cycles of a training block and a held-out block.

    Each stretch without a gap is cut by itself, into the nearest number of cycles, one at least.

    Args:
        days: the local days, in order.
        blocks: days of each kind in a cycle.
        leads: days ahead; a block gives examples only if it is longer than the longest and the day before.

    Raises:
        CranpmError: there are too few days for one example of each kind.
    """
    train: list[date] = []
    held_out: list[date] = []
    cycle, least = blocks.train + blocks.held_out, max(leads) + 2
    for stretch in stretches(days):
        cycles = max(round(len(stretch) / cycle), 1)
        bounds = [round(k * len(stretch) / cycles) for k in range(cycles + 1)]
        for start, end in pairwise(bounds):
            kept = max(round((end - start) * blocks.held_out / cycle), least)
            train += stretch[start : max(end - kept, start)]
            held_out += stretch[max(end - kept, start) : end]
    for name, part in (("training", train), ("held-out", held_out)):
        if not any(all(day + k * ONE_DAY in part for k in (-1, *leads)) for day in part):
            raise CranpmError(
                f"{len(days)} local days ({shown_days(days)}): no {name} block has a day with the day before and the "
                f"{max(leads)} days after it; at least {2 * least} days in a row are needed"
            )
    return LocalDays(tuple(train), tuple(held_out))


def folds(days: LocalDays, leads: Sequence[int]) -> list[tuple[tuple[date, ...], tuple[date, ...]]]:
    """For each group of local days, the training days that its past is fitted on: never those it is to forecast.

    Training days come in up to six groups, each with the training days outside it and outside its targets; held-out
    days are one group, with all training days.

    Returns:
        Pairs of days and of the days to fit on; empty where too few would be left.
    """
    bounds = [round(k * len(days.train) / FOLDS) for k in range(FOLDS + 1)]
    pairs = []
    for start, end in pairwise(bounds):
        group = days.train[start:end]
        ahead = {day + k * ONE_DAY for day in group for k in (0, *leads)}
        pairs.append((group, tuple(day for day in days.train if day not in ahead)))
    pairs.append((days.held_out, days.train))
    return pairs if min(len(past) for _, past in pairs) >= LEAST_PAST else []
