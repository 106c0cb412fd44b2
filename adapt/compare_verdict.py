"""Which model to use: differences from the zero-shot model with paired intervals, and a recommendation in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cranpm.adapt.compare import Comparison, Row
from cranpm.verify.exceedance import exceedance_of
from cranpm.verify.intervention_report import BLOCK, DRAWS, FEW_BLOCKS, block_starts
from cranpm.verify.metrics import scores_of

EVENTS = 1e-3
"""A threshold counts where the truth reaches it in this share of the pixels."""
SLACK = 0.005
"""A critical success index that is lower by no more than this is no worse."""
Interval = tuple[float, float] | None


@dataclass(frozen=True)
class Paired:
    """A row beside the zero-shot model, on the same days.

    Attributes:
        difference: by lead, its RMSE minus that of the zero-shot model, ug m-3.
        intervals: by lead, what holds 95 % of the drawings of that; None with fewer than five blocks of days.
        ratio: its RMSE over that of the zero-shot model, mean over the leads.
        interval: of the ratio.
    """

    difference: Mapping[int, float]
    intervals: Mapping[int, Interval]
    ratio: float
    interval: Interval

    @property
    def percent(self) -> float:
        """Change of the RMSE, mean over the leads, percent; below 0 where it is lower."""
        return 100 * (self.ratio - 1)


@dataclass(frozen=True)
class Worse:
    """A threshold at which a model is worse than the zero-shot one: critical success indices, means over leads."""

    threshold: float
    own: float
    zero_shot: float


def paired(found: Comparison, row: Row, *, draws: int = DRAWS) -> Paired:
    """A row against the zero-shot model, blocks of days drawn with replacement (seed 0), the same for both.

    Args:
        found: the scores.
        row: a model or a baseline.
        draws: how often.
    """
    leads, days = found.scored_leads, list(found.days)
    pairs = [[[found.days[day].get(lead, {}).get(r.made) for day in days] for r in (row, found.models[0])]
             for lead in leads]  # fmt: skip
    squared, count = (
        np.array([[[getattr(sums.pixels, name) if sums else 0.0 for sums in line] for line in pair] for pair in pairs])
        for name in ("squared", "weight")
    )
    starts = block_starts(days)
    squared, count = np.add.reduceat(squared, starts, axis=-1), np.add.reduceat(count, starts, axis=-1)
    rmse = np.sqrt(squared.sum(axis=-1) / count.sum(axis=-1))
    difference, ratio = rmse[:, 0] - rmse[:, 1], _ratio(rmse[:, 0], rmse[:, 1])
    intervals: dict[int, Interval] = dict.fromkeys(leads)
    interval: Interval = None
    if len(starts) >= FEW_BLOCKS:
        times = np.random.default_rng(0).multinomial(len(starts), np.full(len(starts), 1 / len(starts)), size=draws)
        with np.errstate(invalid="ignore"):  # a drawing may hold no day of a lead
            drawn = np.sqrt((squared @ times.T) / (count @ times.T))  # lead, which, drawing
        intervals = {lead: _bounds(gap) for lead, gap in zip(leads, drawn[:, 0] - drawn[:, 1], strict=True)}
        interval = _bounds(_ratio(drawn[:, 0], drawn[:, 1]))
    return Paired(dict(zip(leads, difference.tolist(), strict=True)), intervals, float(ratio), interval)


def worse_csi(found: Comparison, row: Row) -> list[Worse]:
    """The thresholds at which the CSI of a model is lower than that of the zero-shot model, means over the leads."""
    worse = []
    for k, threshold in enumerate(found.bounds.thresholds):
        tables = [[found.total(lead, r).tables[k] for r in (row, found.models[0])] for lead in found.scored_leads]
        scores = [[exceedance_of(table).csi or 0.0 for table in pair] for pair in tables if pair[1].base_rate >= EVENTS]
        if scores:
            own, zero_shot = (float(value) for value in np.mean(scores, axis=0))
            if own < zero_shot - SLACK:
                worse.append(Worse(threshold, own, zero_shot))
    return worse


def recommendation(found: Comparison) -> str:
    """Which model to use, in one sentence: the lowest RMSE that is certain and costs no high days."""
    others = found.models[1:]
    if not others:
        return "Keep the zero-shot model: nothing else was compared with it."
    held = {row: paired(found, row) for row in others}
    order = sorted(others, key=lambda row: held[row].ratio)
    best = order[0]
    if held[best].interval is None:
        return (
            f"Keep the zero-shot model for now: {_counted(len(found.days), 'day')} "
            f"{'is' if len(found.days) == 1 else 'are'} too few to tell {_name(best)} from it "
            f"(RMSE {_change(held[best])}); at least {FEW_BLOCKS} blocks of {BLOCK} days are needed."
        )
    lower = [row for row in order if held[row].interval[1] < 1]  # type: ignore[index]
    rejected = {row: worse for row in lower if (worse := worse_csi(found, row))}
    chosen = next((row for row in lower if row not in rejected), None)
    if chosen is not None:
        aside = [row for row in order[: order.index(chosen)] if row in rejected]
        also = f"; {_name(aside[0])} has a lower RMSE still but {_lost(rejected[aside[0]])}" if aside else ""
        return (
            f"Use {_name(chosen)}: its RMSE is {_change(held[chosen], sure=True)} than that of the zero-shot model, "
            f"mean over {_leads(found.scored_leads)}{_high_days(found)}{also}."
        )
    if rejected:
        return (
            f"Keep the zero-shot model: {_name(lower[0])} has a {_change(held[lower[0]])} RMSE but "
            f"{_lost(rejected[lower[0]])}."
        )
    if held[best].ratio >= 1:
        return (
            f"Keep the zero-shot model: no other has a lower RMSE (the nearest: {_name(best)}, {_change(held[best])})."
        )
    return (
        f"Keep the zero-shot model: {_name(best)}, lowest by RMSE, is not told apart from it "
        f"({_change(held[best], sure=True)})."
    )


def remark(found: Comparison) -> str:
    """Where a baseline has a lower RMSE than every model, in one sentence; empty where none has."""
    parts = []
    leads = found.scored_leads
    for lead in leads:
        model, baseline = (
            min(rows, key=lambda row: rmse(found, lead, row)) for rows in (found.models, found.baselines)
        )
        own, other = rmse(found, lead, model), rmse(found, lead, baseline)
        if other < own:
            parts.append(f"{baseline.name} at T+{lead} ({other:.2f} against {own:.2f} µg/m³ of {_name(model)})")
    if not parts:
        return ""
    where = "At every lead" if len(parts) == len(leads) else "Not at every lead, but here"
    return f"{where} a baseline has a lower RMSE than all models: {', '.join(parts)}."


def rmse(found: Comparison, lead: int, row: Row) -> float:
    """RMSE of a row over all its days, ug m-3."""
    value = scores_of(found.total(lead, row).pixels).rmse
    return float("inf") if value is None else value


def _ratio(own: NDArray, other: NDArray) -> NDArray:
    """Mean over the leads (first axis) of the ratio of two RMSEs; 1 where both are 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(own == other, 1.0, own / other).mean(axis=0)


def _bounds(values: NDArray) -> Interval:
    low, high = np.nanquantile(values, [0.025, 0.975])
    return float(low), float(high)


def _name(row: Row) -> str:
    if row.kind == "zero-shot":
        return "the zero-shot model"
    return f"{'the adapter' if row.kind == 'adapter' else 'the full fine-tuning'} '{row.name}'"


def _change(held: Paired, *, sure: bool = False) -> str:
    """How much lower or higher, with the interval where asked for."""
    text = f"{abs(held.percent):.1f} % {'lower' if held.percent < 0 else 'higher'}"
    if not sure or held.interval is None:
        return text
    low, high = (f"{100 * (bound - 1):+.1f}".replace("-", "\u2212") for bound in held.interval)
    return f"{text} (95 % interval of the change {low} to {high} %)"


def _lost(worse: Sequence[Worse]) -> str:
    parts = [f"{item.threshold:g} µg/m³ ({item.own:.2f} against {item.zero_shot:.2f})" for item in worse]
    return f"a lower critical success index at {' and '.join(parts)}"


def _high_days(found: Comparison) -> str:
    """What is said of the thresholds that count."""
    row = found.models[0]
    counted = [
        f"{threshold:g}"
        for k, threshold in enumerate(found.bounds.thresholds)
        if any(found.total(lead, row).tables[k].base_rate >= EVENTS for lead in found.scored_leads)
    ]
    return f", and its critical success index is no lower at {_listed(counted)} µg/m³" if counted else ""


def _leads(leads: Sequence[int]) -> str:
    return _listed([f"T+{lead}" for lead in leads])


def _listed(parts: Sequence[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _counted(count: int, thing: str) -> str:
    return f"{count} {thing}{'' if count == 1 else 's'}"
