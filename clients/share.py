"""An agency's days in three parts: to train on, to choose by, and to score on, so that no score was chosen by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

from cranpm.adapt.local_days import LocalDays, divide
from cranpm.adapt.settings import Blocks
from cranpm.data.days import ONE_DAY, shown_days, stretches
from cranpm.errors import CranpmError


@dataclass(frozen=True)
class Shares:
    """Days of one agency; no day is in two parts, and an example's inputs and targets all lie in one.

    Attributes:
        train: to train on.
        select: to choose by: what a coordinator hears of, and what the recommendation follows.
        score: what is reported of the choice.
    """

    train: tuple[date, ...]
    select: tuple[date, ...]
    score: tuple[date, ...]

    @property
    def selecting(self) -> LocalDays:
        """Training days with those to choose by."""
        return LocalDays(self.train, self.select)

    @property
    def scoring(self) -> LocalDays:
        """Training days with those to score on."""
        return LocalDays(self.train, self.score)


def share(days: Sequence[date], blocks: Blocks, leads: Sequence[int]) -> Shares:
    """Cut days as `cranpm adapt` does; held-out blocks serve to choose and to score in turn, a single one in halves.

    Raises:
        CranpmError: there are too few days for an example of each kind.
    """
    local = divide(days, blocks, leads)
    runs = stretches(local.held_out)
    if len(runs) == 1:
        middle = len(runs[0]) // 2
        runs = [runs[0][:middle], runs[0][middle:]]
    select = tuple(day for run in runs[0::2] for day in run)
    score = tuple(day for run in runs[1::2] for day in run)
    for name, part in (("to choose by", select), ("to score on", score)):
        if not any(all(day + k * ONE_DAY in part for k in (-1, *leads)) for day in part):
            raise CranpmError(
                f"{len(days)} days ({shown_days(days)}): none is left {name} with the day before and the {max(leads)} "
                f"days after it; held-out blocks of at least {2 * (max(leads) + 2)} days are needed"
            )
    return Shares(local.train, select, score)
