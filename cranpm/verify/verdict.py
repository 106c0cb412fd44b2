"""What the figures say, in words that a forecaster can repeat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cranpm.verify.baselines import ROWS
from cranpm.verify.evaluate import TWO_DAY_MEAN, DayLead, Evaluation
from cranpm.verify.metrics import Scores

HIGH = 40.0  # ug m-3: above it the CRAN-PM paper finds under-prediction over India
_DRAWS, _LEVEL = 2000, 95
_FEW_DAYS = 5
_SAME = 0.05  # percent: less is no difference
_MANY_RAISED = 0.05  # share of pixels raised to 0 that a reader must hear of
BLANK = "\u2013"

Outcome = Literal["beats", "same", "unclear", "loses", "few"]


@dataclass(frozen=True)
class Skill:
    """Reduction of the RMSE relative to a reference, percent, and its interval from resampled days.

    Attributes:
        percent: positive where the model is better.
        low, high: 95 % interval; None with fewer than five days.
    """

    percent: float
    low: float | None
    high: float | None

    @property
    def outcome(self) -> Outcome:
        """Better or worse, not to be told apart from chance, or seen on too few days to ask."""
        if abs(self.percent) < _SAME:
            return "same"
        if self.low is None or self.high is None:
            return "few"
        if self.low <= 0 <= self.high:
            return "unclear"
        return "beats" if self.percent > 0 else "loses"


def skill(results: Sequence[DayLead], row: str = "model", reference: str = "persistence") -> Skill:
    """Skill of a row over a reference, days resampled with replacement (seed 0, 2000 draws)."""
    own, other = (np.array([result.sums[name].fine.squared for result in results]) for name in (row, reference))
    percent = _reduction(own.sum(), other.sum())
    if len(results) < _FEW_DAYS:
        return Skill(percent, None, None)
    draws = np.random.default_rng(0).integers(len(results), size=(_DRAWS, len(results)))
    reductions = [_reduction(*pair) for pair in zip(own[draws].sum(axis=1), other[draws].sum(axis=1), strict=True)]
    low, high = np.percentile(reductions, [(100 - _LEVEL) / 2, (100 + _LEVEL) / 2])
    return Skill(percent, float(low), float(high))


def headline(found: Evaluation) -> str:
    """The verdict in one line: against persistence, and against the best reference of each lead."""
    leads = _scored(found)
    best = {lead: best_reference(found, lead) for lead in leads}
    against = {lead: skill(found.of(lead)).outcome for lead in leads}
    if set(best.values()) == {"persistence"}:
        alone = set(found.rows) <= {"model", "persistence"}
        return _standing(against, "persistence" if alone else "persistence, the best reference,")
    line = _standing(against, "persistence")
    hardest = {lead: skill(found.of(lead), reference=best[lead]).outcome for lead in leads if against[lead] != "few"}
    return f"{line}; {_lowered(_standing(hardest, 'the best reference', best))}" if hardest else line


def best_reference(found: Evaluation, lead: int) -> str:
    """The row other than the model's whose RMSE is lowest."""
    others = [row for row in found.rows if row != "model"]
    return min(others, key=lambda row: _value(found.scores(lead, row)))


def _standing(outcomes: dict[int, Outcome], reference: str, rows: Mapping[int, str] | None = None) -> str:
    """How the model stands to a reference, its leads grouped by outcome; `rows` says which row it is at each lead."""
    words = {
        "beats": f"Beats {reference} at",
        "same": f"The same as {reference} at",
        "unclear": f"Not told apart from {reference} at",
        "loses": f"Worse than {reference} at",
        "few": "Too few days to judge",
    }
    groups = {kind: [lead for lead, outcome in outcomes.items() if outcome == kind] for kind in words}
    parts = [f"{words[kind]} {_leads(leads)}{_named(leads, rows)}" for kind, leads in groups.items() if leads]
    if len(parts) == 1 and len(outcomes) > 1:
        only = next(kind for kind, leads in groups.items() if leads)
        return f"{words[only]} {'any' if only in ('unclear', 'few') else 'every'} lead{_named(list(outcomes), rows)}"
    return "; ".join([parts[0], *map(_lowered, parts[1:])])


def _named(leads: Sequence[int], rows: Mapping[int, str] | None) -> str:
    """In brackets, which row is meant at some leads; empty where that needs no saying."""
    if rows is None:
        return ""
    groups = {row: [lead for lead in leads if rows[lead] == row] for row in dict.fromkeys(rows[lead] for lead in leads)}
    if len(groups) == 1:
        return f" ({ROWS[next(iter(groups))]})"
    return f" ({'; '.join(f'{ROWS[row]} at {_leads(own)}' for row, own in groups.items())})"


def _lowered(text: str) -> str:
    return text[0].lower() + text[1:]


def verdict(found: Evaluation, *, simulated: bool, random_weights: bool) -> list[str]:
    """The verdict in full: persistence, the strongest baseline, and where the model fails.

    Args:
        found: the scores.
        simulated: whether the store is of the sample world.
        random_weights: whether the network is untrained.
    """
    sentences = []
    if random_weights:
        sentences.append("The network is untrained (random weights): nothing here says how a trained one does.")
    sentences += [_against_persistence(found, lead) for lead in _scored(found)]
    sentences.append(_against_the_rest(found))
    sentences += _failures(found)
    if simulated:
        sentences.append("All of this is simulated: it judges the model in the sample world, not in the real one.")
    return [sentence for sentence in sentences if sentence]


def _against_persistence(found: Evaluation, lead: int) -> str:
    model, persistence = found.scores(lead, "model"), found.scores(lead, "persistence")
    gain = skill(found.of(lead))
    if not (model.rmse is not None and persistence.rmse is not None):
        return f"T+{lead}: no valid pixel."
    figures = f"RMSE {model.rmse:.2f} against {persistence.rmse:.2f} µg/m³"
    if gain.outcome == "same":
        return f"T+{lead}: the same as persistence, {figures}."
    way = "lower" if gain.percent > 0 else "higher"
    much = f"{abs(gain.percent):.1f} % {way} than persistence"
    if gain.low is None or gain.high is None:
        return f"T+{lead}: {figures}, {much}; too few days ({len(found.of(lead))}) to say how sure that is."
    sure = f"95 % interval of the reduction {number(gain.low, '.1f')} to {number(gain.high, '.1f')} %, days resampled"
    verb = {"beats": "beats persistence", "loses": "worse than persistence"}
    what = verb.get(gain.outcome, "not told apart from persistence")
    return f"T+{lead}: {what}, {figures}, {much} ({sure})."


def _against_the_rest(found: Evaluation) -> str:
    others = [row for row in found.rows if row not in ("model", "persistence")]
    if not others:
        return ""
    ahead: list[str] = []
    behind: list[str] = []
    for lead in _scored(found):
        rmse = {row: _value(found.scores(lead, row)) for row in ("model", *others)}
        best = min(others, key=rmse.__getitem__)
        text = f"{ROWS[best]} at T+{lead} ({rmse[best]:.2f} against {rmse['model']:.2f})"
        (ahead if rmse["model"] < rmse[best] else behind).append(text)
    parts = []
    if ahead:
        parts.append(f"The best of the other baselines is beaten: {', '.join(ahead)}.")
    if behind:
        parts.append(f"A simpler method is better still, by RMSE: {', '.join(behind)}.")
    return " ".join(parts)


def _failures(found: Evaluation) -> list[str]:
    lead = _scored(found)[0]
    scores = found.scores(lead, "model")
    sentences = []
    raised = sum(result.clipped for result in found.of(lead)) / max(scores.n, 1)
    if raised > _MANY_RAISED:
        sentences.append(
            f"{100 * min(raised, 1):.0f} % of its land pixels came out below zero at T+{lead} and were raised to 0: "
            "here it works far outside what it was trained on."
        )
    high, low = _above(found, lead, "model"), _above(found, lead, "persistence")
    if high is not None and low is not None and abs(high) > 1:
        way = "under" if high < 0 else "over"
        sentences.append(
            f"Where the truth exceeds {HIGH:g} µg/m³ it {way}-predicts at T+{lead} by {abs(high):.1f} µg/m³ "
            f"on average (persistence: {number(low, '+.1f')})."
        )
    if scores.slope is not None and abs(scores.slope - 1) > 0.1:
        word = "Contrasts are too weak" if scores.slope < 1 else "Contrasts are too strong"
        reference = found.scores(lead, "persistence").slope
        beside = f" (persistence {reference:.2f})" if reference is not None else ""
        sentences.append(f"{word} at T+{lead}: slope of forecast on truth {scores.slope:.2f}{beside}.")
    sentences.append(_blur(found))
    worst = max(found.of(lead), key=lambda result: _value_of(result, "model"))
    sentences.append(
        f"Its worst day at T+{lead} was issued on {worst.day}: RMSE {_value_of(worst, 'model'):.2f} "
        f"(persistence {_value_of(worst, 'persistence'):.2f}) µg/m³."
    )
    return sentences


def _blur(found: Evaluation) -> str:
    """Where the model's maps hold less detail than the truth averaged over two days; empty where they do not."""
    parts = []
    for lead in _scored(found):
        own, least = found.spectrum(lead, "model").detail, found.spectrum(lead, TWO_DAY_MEAN).detail
        if own is not None and least is not None and own < least:
            parts.append(f"{100 * own:.0f} % at T+{lead} ({100 * least:.0f} %)")
    if not parts:
        return ""
    return f"Blurred at 2 to 16 km: of the truth's variance (mean of two days of truth) it holds {', '.join(parts)}."


def _above(found: Evaluation, lead: int, row: str) -> float | None:
    """Mean error over pixels whose truth exceeds HIGH; None where the bands do not split there or hold none."""
    if HIGH not in found.edges:
        return None
    total = found.bands(lead, row)
    n, error = total[0, found.edges.index(HIGH) + 1 :].sum(), total[1, found.edges.index(HIGH) + 1 :].sum()
    return float(error / n) if n > 0 else None


def number(value: float | None, form: str) -> str:
    """A figure, or a dash where it is not defined; minus signs as such, and no minus before a zero."""
    if value is None:
        return BLANK
    text = format(value, form)
    if not any(digit in text for digit in "123456789"):
        text = text.lstrip("+-")
    return text.replace("-", "\u2212")


def _scored(found: Evaluation) -> list[int]:
    return [lead for lead in found.leads if found.of(lead)]


def _reduction(own: float, other: float) -> float:
    if not other > 0:
        return 0.0
    return float(100 * (1 - np.sqrt(own / other)))


def _leads(leads: Sequence[int]) -> str:
    names = [f"T+{lead}" for lead in leads]
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _value(scores: Scores) -> float:
    return float("inf") if scores.rmse is None else scores.rmse


def _value_of(result: DayLead, row: str) -> float:
    sums = result.sums[row].fine
    return float(np.sqrt(sums.squared / sums.weight))
