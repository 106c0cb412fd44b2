"""RMSE, MAE and R of sharpened and of interpolated maps, month by month, as the paper's Tables 2 and 3."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray

from cranpm.composition.deepcams.objective import Network, interpolated, predict
from cranpm.composition.deepcams.pairs import Pairs
from cranpm.data.progress import Progress, silent


@dataclass(frozen=True)
class Row:
    """Scores of a sample or of the mean of samples: R, RMSE and MAE (ug m-3) of interpolation and of the network."""

    r: tuple[float, float]
    rmse: tuple[float, float]
    mae: tuple[float, float]


@dataclass
class Table:
    """Scores by month.

    Each sample (an hour) is scored on its own; a month is the mean over its samples, the year that of the months, as
    in the paper. `pooled` is over all pixels of all samples, which is what `cranpm` reports elsewhere.
    """

    months: dict[str, list[Row]] = field(default_factory=dict)
    squared: NDArray[np.float64] = field(default_factory=lambda: np.zeros(2))
    pixels: int = 0

    def add(self, month: str, truth: NDArray, guesses: tuple[NDArray, NDArray]) -> None:
        """Score one sample: the truth, and the guesses of interpolation and of the network."""
        errors = [guess.astype(np.float64) - truth for guess in guesses]
        rs, rmses, maes = [], [], []
        for guess, error in zip(guesses, errors, strict=True):
            rs.append(float(np.corrcoef(guess.ravel(), truth.ravel())[0, 1]))
            rmses.append(float(np.sqrt((error**2).mean())))
            maes.append(float(np.abs(error).mean()))
        self.months.setdefault(month, []).append(Row(tuple(rs), tuple(rmses), tuple(maes)))  # type: ignore[arg-type]
        self.squared += [float((error**2).sum()) for error in errors]
        self.pixels += truth.size

    def monthly(self) -> dict[str, Row]:
        """The mean of each month's samples, in order."""
        return {month: _mean(rows) for month, rows in sorted(self.months.items())}

    @property
    def average(self) -> Row:
        """The mean of the months."""
        return _mean(self.monthly().values())

    @property
    def pooled(self) -> tuple[float, float]:
        """RMSE over all pixels and samples, of interpolation and of the network."""
        first, second = np.sqrt(self.squared / max(self.pixels, 1))
        return float(first), float(second)


def score(network: Network, pairs: Pairs, *, every: int = 1, tell: Progress = silent) -> Table:
    """Score a network and its yardstick on whole maps.

    Args:
        network: temporal or spatial.
        pairs: what to score on.
        every: each n-th map or interval.
        tell: told after each.
    """
    table, total = Table(), sum(1 for _ in pairs.scored(every))
    device = next(network.parameters()).device
    with torch.inference_mode():
        for done, (times, batch) in enumerate(pairs.scored(every), start=1):
            guess = predict(network, batch.to(device)).float().cpu()
            maps = [values.numpy()[:, 0] * pairs.scale for values in (batch.target, interpolated(batch), guess)]
            for time, truth, plain, sharp in zip(times, *maps, strict=True):
                table.add(str(time)[:7], truth, (plain, np.maximum(sharp, 0)))
            tell("scoring hours", done, total)
    return table


def markdown(table: Table, plain: str) -> str:
    """A table as the paper prints it, beside the gain in RMSE.

    Args:
        table: the scores.
        plain: what the interpolation is called.
    """
    head = (
        f"| month | R {plain} | R DeepCAMS | RMSE {plain} | RMSE DeepCAMS | MAE {plain} | MAE DeepCAMS | RMSE change |"
    )
    lines = [head, "|" + "---|" * 8]
    for month, row in (*table.monthly().items(), ("mean", table.average)):
        figures = [*(f"{v:.5f}" for v in row.r), *(f"{v:.3f}" for v in (*row.rmse, *row.mae))]
        lines.append(f"| {month} | {' | '.join(figures)} | {100 * (row.rmse[1] / row.rmse[0] - 1):+.1f}% |")
    first, second = table.pooled
    return (
        "\n".join(lines)
        + f"\n\nRMSE over all pixels: {first:.3f} and {second:.3f} ({100 * (second / first - 1):+.1f}%)."
    )


def _mean(rows: Iterable[Row]) -> Row:
    listed = list(rows)

    def pair(name: str) -> tuple[float, float]:
        first, second = np.mean([getattr(row, name) for row in listed], axis=0)
        return float(first), float(second)

    return Row(pair("r"), pair("rmse"), pair("mae"))
