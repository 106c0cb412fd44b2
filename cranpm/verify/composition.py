"""What another forecast composition is worth to the 1 km score: the same days with it and with the store's own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from cranpm.config import nearest
from cranpm.data.catalogue import scan
from cranpm.data.composed import ComposedStore
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.verify.evaluate import Evaluation

ROWS = {"model": "the model", "cams": "the forecast composition itself", "cams_corrected": "the same, corrected"}
"""Rows of a report that depend on the forecast composition."""

_DRAWS = 2000


PREPARED = {
    "raw": "coarse composition from the reanalysis at 0.75 degrees, every 3 hours",
    "sharpened": "coarse composition from the reanalysis sharpened to 0.25 degrees, every hour",
}
"""What a reader must know of a store prepared in one of these ways, by the value of `--composition`."""


def check_composition(kind: str | None, folder: Path | None) -> Literal["raw", "sharpened"] | None:
    """Refuse what cannot be scored, before anything takes long; else what the store must be prepared from, if anything.

    Raises:
        CranpmError: no such kind, no folder for one, or a folder for one that has none.
    """
    if kind is not None and kind not in (*PREPARED, *KINDS):
        raise CranpmError(f"--composition {kind} ({nearest(kind, [*PREPARED, *KINDS])})")
    if folder is not None and kind not in KINDS:
        raise CranpmError(f"--composition-from {folder}: goes with --composition forecast")
    if kind in KINDS and folder is None:
        raise CranpmError(f"--composition {kind}: give the folder of its files with --composition-from")
    if folder is not None and not folder.exists():
        raise CranpmError(f"{folder}: no such folder; give the one with the files of --composition {kind}")
    return "raw" if kind == "raw" else "sharpened" if kind == "sharpened" else None


def score_beside(
    scored: Callable[..., Evaluation], store: Store, kind: str, folder: Path, notes: Sequence[str]
) -> tuple[Evaluation, Store, list[str]]:
    """Score a model with another composition beside the store's own.

    Args:
        scored: scores a store; takes `notes`.
        store: the store.
        kind: a key of `KINDS`.
        folder: the files of that composition.
        notes: what a reader must know of both.

    Returns:
        The scores with the other composition, with what it is worth among their notes; the store that has it; what it
        is worth.

    Raises:
        CranpmError: the files hold no such composition.
    """
    composed, said = KINDS[kind](store, folder)
    own, other = scored(store, notes=notes), scored(composed, notes=[*notes, said])
    gained = worth(own, other)
    return replace(other, notes=(*other.notes, *gained)), composed, gained


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


def _forecast(store: Store, folder: Path) -> tuple[Store, str]:
    """What `cranpm composition forecast` wrote.

    Of the sample world only PM2.5 counts: gases and coarse particles are tracers of their own on the grid of those
    forecasts, while at 1 km they follow from PM2.5 and the weather.
    """
    files = scan(folder).of("cams_forecast")
    if not files:
        raise CranpmError(f"{folder}: no composition forecasts; write them with: cranpm composition forecast")
    channels = ("pm2p5",) if store.simulated else ()
    what = "PM2.5" if store.simulated else "composition"
    said = f"the forecast {what} is that of {folder}, not the store's, and rows named CAMS are made of it"
    return ComposedStore(store, files, channels), said


KINDS: Mapping[str, Callable[[Store, Path], tuple[Store, str]]] = {"forecast": _forecast}
"""Compositions that can take the place of the store's own, by the value of `--composition`."""
