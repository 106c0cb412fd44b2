"""What an agency found after the last round, and the names of what it could choose from; needs no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cranpm.clients.message import four_digits

KINDS = ("zero_shot", "local", "global", "personal")
NAMES = {
    "zero_shot": "the base as it is",
    "local": "the adapter trained alone",
    "global": "the federation's adapter",
    "personal": "the federation's adapter, trained further alone",
}
STRENGTHS = (0.25, 0.5, 0.75, 1.0)
"""How much of an adapter's change is tried on the selection days; of equals the weaker one is taken."""
SURE = 2.0
"""Standard errors of the daily differences by which going alone must be better than staying together."""
ADAPTER, FILE, PICTURE = "adapter", "choice.json", "before_after.png"


def choose(daily: Mapping[str, Sequence[float]]) -> str:
    """Which of `KINDS` to keep, by the squared errors of each selection day.

    The better of the base and the federation's adapter stands. What was trained on the agency's weeks alone must beat
    it by more than `SURE` standard errors of the daily differences: a few weeks say little of other weather.
    """
    stands = min(("zero_shot", "global"), key=lambda kind: float(np.mean(daily[kind])))
    gains = {kind: np.asarray(daily[stands]) - np.asarray(daily[kind]) for kind in ("local", "personal")}
    sure = {
        kind: float(gain.mean())
        for kind, gain in gains.items()
        if len(gain) > 1 and gain.mean() > SURE * gain.std(ddof=1) / math.sqrt(len(gain))
    }
    return max(sure, key=lambda kind: sure[kind]) if sure else stands


@dataclass(frozen=True)
class Choice:
    """What an agency found.

    Attributes:
        chosen: one of `KINDS`, as `choose` says by the selection days.
        strengths: by kind, how much of its change counts: the best of `STRENGTHS` on the selection days.
        select, score: RMSE by kind, mean over leads, ug m-3.
        persistence: RMSE of persistence on the scoring days.
        select_days, score_days: which days, as text.
        simulated: whether they are of the sample world.
    """

    chosen: str
    strengths: dict[str, float]
    select: dict[str, float]
    score: dict[str, float]
    persistence: float
    select_days: str
    score_days: str
    simulated: bool

    def scalars(self) -> dict[str, float]:
        """What the coordinator may hear (`LAST_SCALARS`)."""
        return {**{kind: four_digits(self.score[kind]) for kind in KINDS}, "chosen": KINDS.index(self.chosen)}

    @property
    def sentence(self) -> str:
        """The recommendation."""
        own, zero, alone = (self.score[kind] for kind in (self.chosen, "zero_shot", "local"))
        world = " (simulated)" if self.simulated else ""
        compared = (
            f"RMSE {own:.2f} ug m-3 on days that nothing was chosen by{world}; the base {zero:.2f}, alone {alone:.2f}"
        )
        strength = self.strengths[self.chosen]
        weaker = f", at strength {strength:g}" if strength != 1.0 else ""
        return f"Use {NAMES[self.chosen]}{weaker}: {compared}."
