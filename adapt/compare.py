"""Models and baselines on the same days and the same valid land pixels: what a comparison scores, day by day.

All that is kept of a day are sums (`compare_sums`); a finished day is a line of a file, and what is there is not made
again, so that a killed run goes on and a further adapter costs only its own forecasts.
"""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cranpm.adapt.compare_baselines import Baseline, baselines_of, digest
from cranpm.adapt.compare_models import TRUTH, Kind, Model
from cranpm.adapt.compare_sums import DaySums, Lines, RowSums, pooled, row_sums
from cranpm.data.days import ONE_DAY, shown_days
from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError
from cranpm.forecast.engine import check_leads
from cranpm.forecast.inputs import day_inputs, fill_today
from cranpm.forecast.run import assemble_map, forecast
from cranpm.verify.baselines import WHOLE, Fitted, Map
from cranpm.verify.evaluate import baseline_maps, obstacle
from cranpm.verify.intervene import ScoredStore

LINES = "days.jsonl"
SEASONS = {"DJF": (12, 1, 2), "MAM": (3, 4, 5), "JJA": (6, 7, 8), "SON": (9, 10, 11)}
"""Months of the valid day."""


@dataclass(frozen=True)
class Row:
    """A line of the tables: its name, its kind, and what made it (the key of its sums)."""

    name: str
    kind: Kind
    made: str


@dataclass(frozen=True)
class Bounds:
    """Where values are told apart, ug m-3: bounds of the concentration bands, thresholds of high days."""

    edges: tuple[float, ...]
    thresholds: tuple[float, ...]


@dataclass(frozen=True)
class Comparison:
    """All that was scored.

    Attributes:
        region: name of the pack.
        simulated: whether the store is of the sample world.
        base: name of the base.
        rows: models, the base first; then baselines; last the truth, whose histogram the others are held against.
        leads: days ahead.
        bounds: of bands and high days.
        days: the sums of each scored day, in order.
        skipped: day, lead and reason of what could not be scored.
        notes: what else a reader must know.
    """

    region: str
    simulated: bool
    base: str
    rows: tuple[Row, ...]
    leads: tuple[int, ...]
    bounds: Bounds
    days: Mapping[dt.date, DaySums]
    skipped: tuple[tuple[dt.date, int, str], ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def scored_leads(self) -> tuple[int, ...]:
        """The leads at which any day was scored."""
        return tuple(lead for lead in self.leads if any(lead in sums for sums in self.days.values()))

    @property
    def models(self) -> tuple[Row, ...]:
        """The rows of networks, that of the base first."""
        return tuple(row for row in self.rows if row.kind not in ("baseline", "truth"))

    @property
    def baselines(self) -> tuple[Row, ...]:
        """The rows of baselines."""
        return tuple(row for row in self.rows if row.kind == "baseline")

    def total(self, lead: int, row: Row) -> RowSums:
        """The sums of a row over all days of a lead that was scored."""
        return pooled([sums[lead][row.made] for sums in self.days.values() if lead in sums])

    def season(self, lead: int, row: Row, season: str) -> RowSums | None:
        """The sums of a row over the days whose valid day lies in a season; None without any."""
        days = [day for day, sums in self.days.items() if lead in sums]
        inside = [day for day in days if (day + lead * ONE_DAY).month in SEASONS[season]]
        return pooled([self.days[day][lead][row.made] for day in inside]) if inside else None


def compare(
    models: Sequence[Model],
    fits: Mapping[str, Fitted],
    store: ScoredStore,
    days: Sequence[dt.date],
    leads: Sequence[int],
    bounds: Bounds,
    path: Path,
    *,
    notes: Sequence[str] = (),
    batch: int = 8,
    progress: Progress = silent,
) -> Comparison:
    """Score every model and every baseline on every day.

    Args:
        models: the base first.
        fits: fitted baselines by what the names of their rows end with.
        store: inputs, truth and CAMS forecasts.
        days: issue days; those without inputs, truth or (where others have one) CAMS forecast are left out.
        leads: days ahead.
        bounds: of bands and high days.
        path: the file of finished days, made where there is none.
        notes: what else a reader must know.
        batch: tiles per call of an engine.
        progress: told after each day.

    Raises:
        CranpmError: nothing could be scored, or a lead was not trained.
    """
    for model in models:
        check_leads(model.ready().spec, leads)
    baselines, found = baselines_of(fits, store, days, leads)
    about = {"store": _place(store), "edges": [*bounds.edges], "thresholds": [*bounds.thresholds]}
    rows = (
        *(Row(model.name, model.kind, model.made()) for model in models),
        *(Row(baseline.name, "baseline", baseline.made()) for baseline in baselines),
        Row(TRUTH, "truth", TRUTH),
    )
    loop = _Loop(rows, models, baselines, store, bounds, Lines(path, about), batch)
    scored: dict[dt.date, DaySums] = {}
    skipped = []
    for done, day in enumerate(sorted(set(days)), start=1):
        sums, obstacles = loop.score_day(day, leads)
        skipped += [(day, lead, reason) for lead, reason in obstacles.items()]
        if sums:
            scored[day] = sums
        progress("forecasting and scoring days", done, len(days))
    if not scored:
        reasons = "; ".join(dict.fromkeys(reason for _, _, reason in skipped))
        raise CranpmError(
            f"none of the {len(days)} days could be scored: {reasons}; the store holds "
            f"{shown_days(store.days)}: choose other --days, or prepare those that are missing"
        )
    return Comparison(
        store.region, store.simulated, models[0].engine.spec.name, rows, tuple(leads), bounds, scored, tuple(skipped),
        (*notes, *found),
    )  # fmt: skip


class _Loop:
    """What a day is scored with."""

    def __init__(
        self, rows: Sequence[Row], models: Sequence[Model], baselines: Sequence[Baseline], store: ScoredStore,
        bounds: Bounds, lines: Lines, batch: int,
    ) -> None:  # fmt: skip
        self.wanted = [row.made for row in rows]
        self.models = dict(zip(self.wanted, models, strict=False))
        self.baselines = dict(zip(self.wanted[len(models) :], baselines, strict=False))
        self.store, self.bounds, self.lines, self.batch = store, bounds, lines, batch
        self.needs_cams = any(baseline.key in ("cams_corrected", "blend") for baseline in baselines)
        self.reads_forecasts = self.needs_cams or any(model.engine.spec.state_per_lead for model in models)

    def score_day(self, day: dt.date, leads: Sequence[int]) -> tuple[DaySums, dict[int, str]]:
        """The sums of a day, made where they are not known, and by lead why it could not be scored."""
        reasons = {lead: obstacle(self.store, day, lead, self.reads_forecasts) for lead in leads}
        able = [lead for lead, reason in reasons.items() if not reason]
        lacking = {lead: {made for made in self.wanted if made not in self.lines.rows(day, lead)} for lead in able}
        if any(lacking.values()):
            self.lines.add(day, self._sums(day, {lead: made for lead, made in lacking.items() if made}))
        sums = {lead: {made: self.lines.rows(day, lead)[made] for made in self.wanted} for lead in able}
        return sums, {lead: reason for lead, reason in reasons.items() if reason}

    def _sums(self, day: dt.date, lacking: Mapping[int, set[str]]) -> DaySums:
        """The sums of some rows at some leads."""
        truths = {lead: self.store.pm(day + lead * ONE_DAY) for lead in lacking}
        valid = {lead: self.store.land & np.isfinite(truth) for lead, truth in truths.items()}
        found: DaySums = {lead: {} for lead in lacking}

        def score(made: str, values: Map, lead: int) -> None:
            inside = valid[lead]
            found[lead][made] = row_sums(
                values[inside], truths[lead][inside], self.bounds.edges, self.bounds.thresholds
            )

        today, _ = fill_today(self.store, day_inputs(self.store, day), WHOLE, WHOLE)
        for lead, rows in lacking.items():
            if TRUTH in rows:
                score(TRUTH, truths[lead], lead)
            for made, values in self._baseline_maps(day, lead, today, rows).items():
                score(made, values, lead)
        for made, model in self.models.items():
            if leads := [lead for lead, rows in lacking.items() if made in rows]:
                for result in forecast(model.ready(), self.store, day, leads, past=model.past, batch=self.batch):
                    score(made, assemble_map(result.strips, self.store.fine.shape)[0], result.lead)
        return found

    def _baseline_maps(self, day: dt.date, lead: int, today: Map, rows: set[str]) -> dict[str, Map]:
        chosen = {made: baseline for made, baseline in self.baselines.items() if made in rows}
        parts = ("damped", "cams", "cams_corrected") if self.needs_cams else ("damped",)
        maps = {
            fitted: baseline_maps(self.store, day, lead, today, parts, fitted)
            for fitted in dict.fromkeys(baseline.fitted for baseline in chosen.values())
        }
        return {made: maps[baseline.fitted][baseline.key] for made, baseline in chosen.items()}


def _place(store: ScoredStore) -> str:
    text = json.dumps([store.region, store.attrs, repr((store.coarse, store.fine))], sort_keys=True, default=str)
    return digest(text.encode())
