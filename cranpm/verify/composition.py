"""What another forecast composition is worth to the 1 km score: the same days with it and with the store's own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from cranpm.config import nearest
from cranpm.data.composed import ComposedStore
from cranpm.data.progress import Progress, silent
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.verify.evaluate import Evaluation

ROWS = {"model": "the model", "cams": "the forecast composition itself", "cams_corrected": "the same, corrected"}
"""Rows of a report that depend on the forecast composition."""

_DRAWS = 2000


def compose(
    kind: str, store: Store, folder: Path | None, days: Sequence[dt.date], *, sample: bool, tell: Progress = silent
) -> tuple[Store, str]:
    """A store with another composition, and a sentence about it for the report.

    Args:
        kind: a key of `KINDS`.
        store: the store that is scored.
        folder: the files of that composition; None where they are to be made for the sample world.
        days: issue days.
        sample: whether the store is the sample world's, made on demand.
        tell: told how far the making is.

    Raises:
        CranpmError: no such kind, or its files are missing.
    """
    if kind not in KINDS:
        raise CranpmError(f"--composition {kind} ({nearest(kind, list(KINDS))})")
    return KINDS[kind](store, folder, days, sample, tell)


def worth(own: Evaluation, other: Evaluation) -> list[str]:
    """A sentence for each lead and row: the RMSE with the other composition beside that with the store's own.

    The interval is over issue days (95 %, bootstrap in pairs); only days that both could be scored on count.
    """
    lines = []
    for lead in other.leads:
        pairs = {result.day: result for result in own.of(lead)}
        both = [(pairs[result.day], result) for result in other.of(lead) if result.day in pairs]
        for row, name in ROWS.items():
            if both and row in own.rows and row in other.rows:
                sums = np.array([[(s.sums[row].fine.squared, s.sums[row].fine.weight) for s in pair] for pair in both])
                lines.append(f"T+{lead}, {name}: {_change(sums)}")
    return lines


def _change(sums: np.ndarray) -> str:
    """RMSE of both and the relative change, from (squared error, weight) of both by day, shape (days, 2, 2)."""
    rng, days = np.random.default_rng(0), len(sums)

    def rmse(chosen: np.ndarray) -> np.ndarray:
        total = sums[chosen].sum(axis=0)
        return np.sqrt(total[:, 0] / total[:, 1])

    own, other = rmse(np.arange(days))
    drawn = np.array([rmse(rng.integers(days, size=days)) for _ in range(_DRAWS)])
    low, high = 100 * np.quantile(drawn[:, 1] / drawn[:, 0] - 1, [0.025, 0.975])
    change = 100 * (other / own - 1)
    return f"RMSE {other:.3f} beside {own:.3f} with the store's own, {change:+.1f} % ({low:+.1f} to {high:+.1f})"


def _forecast(
    store: Store, folder: Path | None, days: Sequence[dt.date], sample: bool, tell: Progress
) -> tuple[Store, str]:
    """What `cranpm composition forecast` wrote, or would write for the sample world."""
    from cranpm.data.catalogue import scan

    if folder is not None:
        files, channels = scan(folder).of("cams_forecast"), ()
        if not files:
            raise CranpmError(f"{folder}: no composition forecasts; write them with: cranpm composition forecast")
        return ComposedStore(store, files), f"the forecast composition is that of {folder}, not the store's"
    if not sample:
        raise CranpmError("--composition forecast: with --data, give the folder of the forecasts: --composition-from")
    from cranpm.composition.coupling.sample import sample_forecasts

    made, channels = sample_forecasts(days, store.coarse, tell=tell)
    said = (
        "the forecast PM2.5 is that of the coupling network that ships with cranpm, from the sample world's analysis "
        "at 0.75 degrees; the other species, which are other quantities there, stay the CAMS-like model's"
    )
    return ComposedStore(store, scan(made).of("cams_forecast"), channels), f"{said}; rows named CAMS are made of it"


Maker = Callable[[Store, Path | None, Sequence[dt.date], bool, Progress], tuple[Store, str]]
KINDS: Mapping[str, Maker] = {"forecast": _forecast}
"""Compositions that can take the place of the store's own, by the value of `--composition`."""
