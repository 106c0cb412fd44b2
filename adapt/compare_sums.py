"""What a comparison keeps of a day: sums per lead and row, which add up over days, and the file of finished days."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cranpm.verify.evaluate import band_sums
from cranpm.verify.exceedance import Contingency, Counts, contingency, histogram
from cranpm.verify.metrics import Float, Sums, pixel_sums

VERSION = 1
"""Of what a line holds; raised when that changes, so that older lines are left aside."""


@dataclass(frozen=True, eq=False)
class RowSums:
    """One row's map against the truth, over the valid land pixels of a day; adding pools days.

    Attributes:
        pixels: errors, values and their squares.
        bands: pixels, error and squared error by the band that the truth lies in, shape (3, bands).
        tables: contingency of each threshold.
        histogram: of the row's own values, without the empty bins above the highest (see `histogram`).
    """

    pixels: Sums
    bands: NDArray[np.float64]
    tables: tuple[Contingency, ...]
    histogram: Counts

    def __add__(self, other: RowSums) -> RowSums:
        return RowSums(
            self.pixels + other.pixels,
            self.bands + other.bands,
            tuple(own + more for own, more in zip(self.tables, other.tables, strict=True)),
            _added(self.histogram, other.histogram),
        )


DaySums = dict[int, dict[str, RowSums]]
"""A day's sums by lead and by what made the row (see `Lines`)."""


def row_sums(forecast: Float, truth: Float, edges: Sequence[float], thresholds: Sequence[float]) -> RowSums:
    """Compare the valid pixels of a map with the truth; both flat, ug m-3."""
    return RowSums(
        pixel_sums(forecast, truth),
        band_sums(forecast, truth, edges),
        tuple(contingency(forecast, truth, threshold) for threshold in thresholds),
        np.trim_zeros(histogram(forecast), "b"),
    )


def pooled(parts: Sequence[RowSums]) -> RowSums:
    """The sums of several days together; at least one."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


class Lines:
    """The finished days of a comparison as lines of a file, by what made each row.

    A line counts for a run of the same store, bands and thresholds, whatever other rows the run has: what an adapter
    scored on a day holds for every comparison that it is part of. A line that is not whole counts as not there.

    Args:
        path: the file, made with the first day.
        about: what a line must share with the run: the store, the bounds of the bands, the thresholds.
    """

    def __init__(self, path: Path, about: Mapping[str, object]) -> None:
        self.path = path
        self.about = {"version": VERSION, **about}
        self.days: dict[dt.date, DaySums] = {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            self._take(line)
        if text and not text.endswith("\n"):  # killed while it wrote: what follows begins a line of its own
            self._write("")

    def rows(self, day: dt.date, lead: int) -> dict[str, RowSums]:
        """What is known of a day and lead."""
        return self.days.get(day, {}).get(lead, {})

    def add(self, day: dt.date, sums: DaySums) -> None:
        """Keep what was scored on a day, beside what is there."""
        leads = {str(lead): {made: _plain(part) for made, part in rows.items()} for lead, rows in sums.items()}
        self._write(json.dumps({**self.about, "day": str(day), "leads": leads}))
        self._merge(day, sums)

    def _take(self, line: str) -> None:
        try:
            values = json.loads(line)
        except ValueError:
            return
        if isinstance(values, dict) and all(values.get(key) == value for key, value in self.about.items()):
            leads = {
                int(lead): {made: _sums(part) for made, part in rows.items()} for lead, rows in values["leads"].items()
            }
            self._merge(dt.date.fromisoformat(values["day"]), leads)

    def _merge(self, day: dt.date, sums: DaySums) -> None:
        known = self.days.setdefault(day, {})
        for lead, rows in sums.items():
            known.setdefault(lead, {}).update(rows)

    def _write(self, line: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")


def _added(one: Counts, other: Counts) -> Counts:
    """Two histograms of which either may reach further."""
    size = max(len(one), len(other))
    return np.pad(one, (0, size - len(one))) + np.pad(other, (0, size - len(other)))


def _plain(sums: RowSums) -> dict[str, Any]:
    """Sums as `_sums` reads them."""
    return {
        "pixels": asdict(sums.pixels),
        "bands": sums.bands.tolist(),
        "tables": [list(asdict(table).values()) for table in sums.tables],
        "histogram": sums.histogram.tolist(),
    }


def _sums(values: Mapping[str, Any]) -> RowSums:
    return RowSums(
        Sums(**values["pixels"]),
        np.array(values["bands"]),
        tuple(Contingency(*table) for table in values["tables"]),
        np.array(values["histogram"], np.int64),
    )
