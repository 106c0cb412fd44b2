"""High days: how often a threshold is reached in forecast and truth, and how high the highest values are.

A mean error over the pixels whose *truth* is high is below zero for every calibrated forecast, which no forecast of
the same days can help: high values are judged by how often they are forecast (frequency bias, 1 where as often as they
come), where (critical success index) and how high (ratio of percentiles, each of its own distribution).
Counts and histograms add up over days exactly; a value that equals a threshold reaches it, as in the bands of an index.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cranpm.errors import require

BIN = 0.5
"""Width of a bin of the histograms, ug m-3."""
BINS = 4000
"""Number of bins; the last one takes whatever lies above."""
Float = NDArray[np.floating]
Counts = NDArray[np.int64]


@dataclass(frozen=True)
class Contingency:
    """Pixels by whether forecast and truth reach a threshold; adding pools days.

    Attributes:
        hits: both do.
        misses: only the truth does.
        false_alarms: only the forecast does.
        correct_negatives: neither does.
    """

    hits: int = 0
    misses: int = 0
    false_alarms: int = 0
    correct_negatives: int = 0

    def __add__(self, other: Contingency) -> Contingency:
        return Contingency(*(getattr(self, item.name) + getattr(other, item.name) for item in fields(self)))

    @property
    def total(self) -> int:
        """All pixels."""
        return self.hits + self.misses + self.false_alarms + self.correct_negatives

    @property
    def base_rate(self) -> float:
        """Share of the pixels whose truth reaches the threshold; 0 without any pixel."""
        return (self.hits + self.misses) / max(self.total, 1)


@dataclass(frozen=True)
class Exceedance:
    """Categorical scores of one threshold; None where one is not defined.

    Attributes:
        frequency_bias: how often it is forecast over how often it comes.
        csi: critical success index: hits over all that were forecast or came.
        pod: probability of detection: hits over all that came.
        far: false alarm ratio: false alarms over all that were forecast.
        ets: equitable threat score: the CSI less what chance hits.
    """

    frequency_bias: float | None
    csi: float | None
    pod: float | None
    far: float | None
    ets: float | None


def contingency(forecast: Float, truth: Float, threshold: float) -> Contingency:
    """Count pixels of one map; forecast and truth in ug m-3, without gaps, of one shape."""
    warned, came = forecast >= threshold, truth >= threshold
    hits, forecasts, events = (int(np.count_nonzero(part)) for part in (warned & came, warned, came))
    return Contingency(hits, events - hits, forecasts - hits, truth.size - events - forecasts + hits)


def exceedance_of(counts: Contingency) -> Exceedance:
    """The scores of pooled counts, by the `scores` package."""
    xarray, categorical = require("xarray", extra="verify"), require("scores.categorical", extra="verify")
    names = {
        "tp_count": counts.hits,
        "fn_count": counts.misses,
        "fp_count": counts.false_alarms,
        "tn_count": counts.correct_negatives,
        "total_count": counts.total,
    }
    table = categorical.BasicContingencyManager(
        {name: xarray.DataArray(np.float64(value)) for name, value in names.items()}
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        return Exceedance(
            frequency_bias=_defined(table.frequency_bias()),
            csi=_defined(table.critical_success_index()),
            pod=_defined(table.probability_of_detection()),
            far=_defined(table.false_alarm_ratio()),
            ets=_defined(table.equitable_threat_score()),
        )


def histogram(values: Float) -> Counts:
    """How many values lie in each bin of 0.5 ug m-3 from 0 on, shape (BINS,); values in ug m-3, without gaps."""
    places = np.clip(values / BIN, 0, BINS - 1).astype(np.int64)
    return np.bincount(places.ravel(), minlength=BINS)


def percentile(counts: Counts, percent: float) -> float | None:
    """A percentile of what was counted, ug m-3, values spread evenly within their bin; None where nothing was."""
    below = np.concatenate([[0], np.cumsum(counts)])
    if not below[-1]:
        return None
    wanted = percent / 100 * below[-1]
    k = min(int(np.searchsorted(below, wanted, side="left")), len(counts)) - 1
    k = max(k, int(np.flatnonzero(counts)[0]))
    return float(BIN * (k + (wanted - below[k]) / counts[k]))


def percentile_ratio(forecast: Counts, truth: Counts, percent: float = 95.0) -> float | None:
    """Percentile of the forecast over that of the truth; 1 where the forecast is as high as the truth is."""
    above, below = percentile(forecast, percent), percentile(truth, percent)
    return above / below if above is not None and below else None


def _defined(score: Any) -> float | None:
    """A score as a plain number, None where it was divided by nothing."""
    value = float(score)
    return value if np.isfinite(value) else None
