"""What the models are held against, fitted twice: on the pack's past, and on the local days that an adapter had."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cranpm.data.days import format_days
from cranpm.data.progress import Progress
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.verify.baselines import ROWS, Fitted
from cranpm.verify.evaluate import has_cams, possible_rows
from cranpm.verify.fit import MIN_DAYS
from cranpm.verify.fitting import fit_days
from cranpm.verify.past import LEADS, PastStore

FITTED = ("damped", "cams_corrected", "blend")
LOCAL = " (local days)"
"""What the names of rows end with that were fitted on local days."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """A row that is no model.

    Attributes:
        name: of the row.
        key: of its map (see `cranpm.verify.evaluate.baseline_maps`).
        fitted: what it was fitted with; None for persistence.
    """

    name: str
    key: str
    fitted: Fitted | None = None

    def made(self) -> str:
        """What its maps depend on beside the inputs, as a digest."""
        return f"{self.key} {made_of(self.fitted)}" if self.fitted is not None else self.key


def baselines_of(
    fits: Mapping[str, Fitted], store: PastStore, days: Sequence[dt.date], leads: Sequence[int]
) -> tuple[list[Baseline], list[str]]:
    """Persistence, and of each fit damped persistence, corrected CAMS forecast and blend; why others cannot be made.

    Args:
        fits: by what the names of their rows end with.
        store, days, leads: what is scored.
    """
    found, notes = [Baseline(ROWS["persistence"], "persistence")], []
    for ending, fitted in fits.items():
        possible, told = possible_rows(store, days, leads, fitted)
        found += [Baseline(ROWS[key] + ending, key, fitted) for key in FITTED if key in possible]
        notes += told
    return found, list(dict.fromkeys(notes))


def fit_local(store: Store, days: Sequence[dt.date], progress: Progress) -> tuple[Fitted | None, str]:
    """The baselines of some days of a store, or None and the reason in words.

    Args:
        store: where the days are.
        days: the local days; those that the store does not hold, or has no forecasts of, are left out.
        progress: told after each day; the days are read twice.
    """
    absent = f"the rows '…{LOCAL}' are absent"
    if not days:
        return None, ""
    held = [day for day in days if day in store.days and all(has_cams(store, day, lead) for lead in LEADS)]
    if len(held) < MIN_DAYS:
        return None, f"{absent}: {len(held)} local days in the store, at least {MIN_DAYS} are needed to fit them"
    try:
        return fit_days(store, held, {"days": format_days(held)}, progress), ""
    except CranpmError as error:
        return None, f"{absent}: {error}"


def made_of(fitted: Fitted) -> str:
    """What was fitted, as a digest."""
    fields = (
        fitted.mean, fitted.harmonics, fitted.damping, fitted.cams_mean, fitted.cams_slope, fitted.weights,
        fitted.constant,
    )  # fmt: skip
    return digest(*(np.ascontiguousarray(field).tobytes() for field in fields))


def digest(*parts: bytes) -> str:
    """Short hexadecimal SHA-256 of some bytes."""
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]
