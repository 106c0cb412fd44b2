"""The scoring loop: an engine, a store and days make scores. One day in memory at a time."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cranpm.data.days import shown_days
from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError
from cranpm.forecast.engine import Engine, check_leads
from cranpm.forecast.inputs import day_inputs, fill_today
from cranpm.forecast.run import assemble_map, forecast, tile_plan
from cranpm.grid import bilinear
from cranpm.tiles import TilePlan
from cranpm.verify.baselines import MEMBERS, ROWS, Fitted, Map
from cranpm.verify.metrics import NOTHING, MapSums, Scores, Sums, map_sums, scores_of, ssim_sums
from cranpm.verify.past import PastStore
from cranpm.verify.seams import seam_ratio
from cranpm.verify.spectrum import Spectrum, Window, land_windows, spectra

SCALES = ("fine", "blocks")
NEEDS_FIT = ("damped", "climatology", "cams_corrected", "blend")
NEEDS_CAMS = ("cams", "cams_corrected", "blend")
TWO_DAY_MEAN, DAY_BEFORE = "two_day_mean", "day_before"
YARDSTICKS = {TWO_DAY_MEAN: "truth, mean of two days", DAY_BEFORE: "truth of the day before"}
"""Maps made of the truth of the valid day and of the day before it, which no forecast can know: how much detail a day
takes away. Rows are held against the first: a model that is smoother blurs more than one day of weather does."""


@dataclass(frozen=True)
class DayLead:
    """The scores of one issue day and lead.

    Attributes:
        day: issue day t.
        lead: days ahead.
        sums: by row of the report.
        bands: by row, sums per concentration band of the truth: pixels, error, squared error; shape (3, bands).
        clipped: land pixels of the model's map that were raised to 0.
        seam: see `seams.seam_ratio`.
        spectra: by row and, where the store holds the truth of the day before the valid day, of the `YARDSTICKS`.
        likeness: sums of the SSIM of the `YARDSTICKS`.
    """

    day: dt.date
    lead: int
    sums: dict[str, MapSums]
    bands: dict[str, NDArray[np.float64]]
    clipped: int
    seam: float | None
    spectra: dict[str, Spectrum] = field(default_factory=dict)
    likeness: dict[str, Sums] = field(default_factory=dict)


@dataclass(frozen=True)
class PeriodMeans:
    """Means over the scored days of the first lead that has any, ug m-3, NaN where nothing was valid, shape (h, w)."""

    lead: int
    truth: Map
    model: Map
    persistence: Map


@dataclass(frozen=True)
class Evaluation:
    """All that scoring found; see `scores`.

    Attributes:
        days: issue days of which at least one lead was scored.
        leads: days ahead.
        rows: rows of the report that could be made.
        edges: bounds of the concentration bands, ug m-3.
        data_range: of the SSIM, ug m-3, and in words where it comes from.
        results: one entry per day and lead.
        skipped: day, lead and reason of what could not be scored.
        period: period means.
        tiles: tiles per map.
        notes: what a reader must know of rows that are absent.
        seconds: wall time of forecasting and scoring.
        windows: parts of the map whose spectrum was taken.
    """

    days: tuple[dt.date, ...]
    leads: tuple[int, ...]
    rows: tuple[str, ...]
    edges: tuple[float, ...]
    data_range: tuple[float, str]
    results: tuple[DayLead, ...]
    skipped: tuple[tuple[dt.date, int, str], ...]
    period: PeriodMeans
    tiles: int
    notes: tuple[str, ...]
    seconds: float
    windows: tuple[Window, ...] = ()

    def of(self, lead: int) -> list[DayLead]:
        """The results of a lead, by day."""
        return [result for result in self.results if result.lead == lead]

    def scores(self, lead: int, row: str, part: str = "fine") -> Scores:
        """Pooled scores; part is fine, fine_w, blocks or blocks_w."""
        total = sum((result.sums[row] for result in self.of(lead)), NOTHING)
        return scores_of(getattr(total, part))

    def bands(self, lead: int, row: str) -> NDArray[np.float64]:
        """Pixels, error and squared error per concentration band, pooled over days, shape (3, bands)."""
        return np.sum([result.bands[row] for result in self.of(lead)], axis=0)

    def daily_rmse(self, lead: int, row: str) -> list[float]:
        """RMSE of each day, ug m-3."""
        return [scores_of(result.sums[row].fine).rmse or 0.0 for result in self.of(lead)]

    def spectrum(self, lead: int, row: str) -> Spectrum:
        """The spectrum of a row or of one of the `YARDSTICKS`, over the days that have yardsticks where any has."""
        days = [result for result in self.of(lead) if result.likeness] or self.of(lead)
        return sum((result.spectra[row] for result in days if row in result.spectra), Spectrum())

    def ssim(self, lead: int, name: str) -> float | None:
        """The SSIM of a row or of one of the `YARDSTICKS`."""
        if name not in YARDSTICKS:
            return self.scores(lead, name).ssim
        return scores_of(sum((result.likeness.get(name, Sums()) for result in self.of(lead)), Sums())).ssim


def evaluate(
    engine: Engine,
    store: PastStore,
    days: Sequence[dt.date],
    leads: Sequence[int] = (1, 2, 3),
    *,
    fitted: Fitted | None,
    edges: Sequence[float] = (15.0, 40.0),
    notes: Sequence[str] = (),
    batch: int = 8,
    progress: Progress = silent,
) -> Evaluation:
    """Forecast every day, score every row on the same pixels.

    Args:
        engine: the model.
        store: inputs, truth and CAMS forecasts.
        days: issue days; those without inputs, truth or (where others have one) CAMS forecast are left out.
        leads: days ahead.
        fitted: the pack's fitted baselines, or None: four rows fall away.
        edges: bounds of the concentration bands, ug m-3.
        notes: what else a reader must know.
        batch: tiles per call of the engine.
        progress: told after each day.

    Raises:
        CranpmError: nothing could be scored, or a lead was not trained.
    """
    check_leads(engine.spec, leads)
    started = time.monotonic()
    plan, tiles = tile_plan(engine.spec, store)
    rows, found = possible_rows(store, days, leads, fitted)
    means = _Means(store.fine.shape, _first_lead(store, days, leads))
    data_range = _data_range(store, days, leads, fitted)
    windows = land_windows(store.fine, store.land)
    loop = _Loop(engine, store, plan, rows, fitted, tuple(edges), data_range, batch, means, windows)
    for done, day in enumerate(days, start=1):
        loop.score_day(day, leads)
        progress("forecasting and scoring days", done, len(days))
    if not loop.results:
        reasons = "; ".join(dict.fromkeys(reason for _, _, reason in loop.skipped))
        raise CranpmError(
            f"none of the {len(days)} days could be scored: {reasons}; the store holds "
            f"{shown_days(store.days)}: choose other --days, or prepare those that are missing"
        )
    return Evaluation(
        days=tuple(dict.fromkeys(result.day for result in loop.results)),
        leads=tuple(leads),
        rows=rows,
        edges=tuple(edges),
        data_range=data_range,
        results=tuple(loop.results),
        skipped=tuple(loop.skipped),
        period=means.finish(),
        tiles=len(tiles),
        notes=(*notes, *found),
        seconds=time.monotonic() - started,
        windows=windows,
    )


def day_maps(
    engine: Engine,
    store: PastStore,
    day: dt.date,
    leads: Sequence[int],
    rows: Sequence[str],
    fitted: Fitted | None,
    *,
    batch: int = 8,
) -> Iterator[tuple[int, dict[str, Map], int]]:
    """Every row's map of one issue day, lead by lead, ug m-3, and how many pixels of the model's were clipped."""
    inputs = day_inputs(store, day)
    today, _ = fill_today(store, inputs, slice(0, store.fine.height), slice(0, store.fine.width))
    for result in forecast(engine, store, day, leads, past=fitted, batch=batch):
        model, clipped = assemble_map(result.strips, store.fine.shape)
        maps = {"model": model, **baseline_maps(store, day, result.lead, today, rows, fitted)}
        yield result.lead, {row: maps[row] for row in ROWS if row in maps}, clipped


def baseline_maps(
    store: PastStore, day: dt.date, lead: int, today: Map, rows: Sequence[str], fitted: Fitted | None
) -> dict[str, Map]:
    """The maps of the rows that are no model, ug m-3; `today` is the filled map of day t."""
    maps = {"persistence": today}
    if fitted is not None and "damped" in rows:
        maps["damped"] = fitted.damped(today, day, lead)
        maps["climatology"] = fitted.climatology(day + dt.timedelta(days=lead))
    if "cams" in rows:
        cams = store.forecast(day, lead, ("pm2p5",))[0]
        maps["cams"] = np.maximum(bilinear(cams, store.coarse, store.fine.lats, store.fine.lons), 0)
        if fitted is not None and "cams_corrected" in rows:
            maps["cams_corrected"] = fitted.cams_corrected(cams, lead)
            maps["blend"] = fitted.blend([maps[row] for row in MEMBERS], lead)
    return maps


class _Means:
    """Sums of the first lead's maps over the days."""

    def __init__(self, shape: tuple[int, int], lead: int) -> None:
        self.lead, self.count = lead, np.zeros(shape, np.int32)
        self.sums = {name: np.zeros(shape, np.float64) for name in ("truth", "model", "persistence")}

    def add(self, maps: dict[str, Map], truth: Map, valid: NDArray[np.bool_]) -> None:
        self.count += valid
        for name, total in self.sums.items():
            total += np.where(valid, truth if name == "truth" else maps[name], 0)

    def finish(self) -> PeriodMeans:
        means = {
            name: np.where(self.count > 0, total / np.maximum(self.count, 1), np.nan).astype(np.float32)
            for name, total in self.sums.items()
        }
        return PeriodMeans(self.lead, **means)


class _Loop:
    """What accumulates over the days."""

    def __init__(
        self, engine: Engine, store: PastStore, plan: TilePlan, rows: tuple[str, ...], fitted: Fitted | None,
        edges: tuple[float, ...], data_range: tuple[float, str], batch: int, means: _Means,
        windows: tuple[Window, ...],
    ) -> None:  # fmt: skip
        self.engine, self.store, self.plan, self.rows, self.fitted = engine, store, plan, rows, fitted
        self.edges, self.data_range, self.batch, self.means = edges, data_range, batch, means
        self.windows = windows
        self.results: list[DayLead] = []
        self.skipped: list[tuple[dt.date, int, str]] = []

    def score_day(self, day: dt.date, leads: Sequence[int]) -> None:
        """Forecast and score the leads of one issue day that can be scored."""
        able = []
        for lead in leads:
            reason = obstacle(self.store, day, lead, "cams" in self.rows)
            if reason:
                self.skipped.append((day, lead, reason))
            else:
                able.append(lead)
        if not able:
            return
        maps_of_leads = day_maps(self.engine, self.store, day, able, self.rows, self.fitted, batch=self.batch)
        for lead, maps, clipped in maps_of_leads:
            truth = self.store.pm(day + dt.timedelta(days=lead))
            valid = self.store.land & np.isfinite(truth)
            self.results.append(self._compare(day, lead, maps, truth, valid, clipped))
            if lead == self.means.lead:
                self.means.add(maps, truth, valid)

    def _compare(
        self, day: dt.date, lead: int, maps: dict[str, Map], truth: Map, valid: NDArray[np.bool_], clipped: int
    ) -> DayLead:
        lats = self.store.fine.lats
        change = np.where(valid, maps["model"] - maps["persistence"], 0)
        known = self._yardsticks(day + dt.timedelta(days=lead), truth, valid)
        both = valid & np.isfinite(known[DAY_BEFORE]) if known else valid
        return DayLead(
            day=day,
            lead=lead,
            sums={row: map_sums(maps[row], truth, valid, lats, data_range=self.data_range[0]) for row in maps},
            bands={row: band_sums(maps[row][valid], truth[valid], self.edges) for row in maps},
            clipped=clipped,
            seam=seam_ratio(change, valid, self.plan),
            spectra=spectra(maps | known, truth, both, self.windows),
            likeness={row: ssim_sums(known[row], truth, both, data_range=self.data_range[0]) for row in known},
        )

    def _yardsticks(self, valid_day: dt.date, truth: Map, valid: NDArray[np.bool_]) -> dict[str, Map]:
        """The maps of `YARDSTICKS`; none where the store holds no truth of the day before on the valid pixels."""
        day = valid_day - dt.timedelta(days=1)
        if day not in self.store.days:
            return {}
        before = self.store.pm(day)
        if not np.isfinite(before[valid]).any():
            return {}
        return {TWO_DAY_MEAN: (truth + before) / 2, DAY_BEFORE: before}


def band_sums(forecast: Map, truth: Map, edges: Sequence[float]) -> NDArray[np.float64]:
    """Pixels, error and squared error by the band that the truth lies in, shape (3, len(edges) + 1)."""
    band = np.digitize(truth, edges)
    error = forecast.astype(float) - truth
    parts = (None, error, error**2)
    return np.stack([np.bincount(band, weights=part, minlength=len(edges) + 1).astype(float) for part in parts])


def possible_rows(
    store: PastStore, days: Sequence[dt.date], leads: Sequence[int], fitted: Fitted | None
) -> tuple[tuple[str, ...], list[str]]:
    """The rows that can be made, and why others cannot."""
    rows, notes = list(ROWS), []
    if fitted is not None and any(lead not in fitted.leads for lead in leads):
        notes.append(f"the fitted baselines hold leads {fitted.leads} only: the rows that need them are absent")
        rows = [row for row in rows if row not in NEEDS_FIT]
    if fitted is None:
        rows = [row for row in rows if row not in NEEDS_FIT]
    ready = [day for day in days if day in store.days]
    if not any(has_cams(store, day, leads[0]) for day in ready):
        notes.append("the store holds no CAMS forecast issued on these days: the CAMS rows are absent")
        rows = [row for row in rows if row not in NEEDS_CAMS]
    return tuple(rows), notes


def _first_lead(store: PastStore, days: Sequence[dt.date], leads: Sequence[int]) -> int:
    """The first lead whose valid day the store holds on any of the days."""
    held = set(store.days)
    return next((lead for lead in leads if any(day + dt.timedelta(days=lead) in held for day in days)), leads[0])


def obstacle(store: PastStore, day: dt.date, lead: int, needs_cams: bool) -> str:
    """Why a day cannot be scored at a lead; empty where it can."""
    before, valid_day = day - dt.timedelta(days=1), day + dt.timedelta(days=lead)
    for needed, what in ((day, "inputs of the issue day"), (before, "inputs of the day before"), (valid_day, "truth")):
        if needed not in store.days:
            return f"{what} missing in the store"
    if not (np.isfinite(store.pm(valid_day)) & store.land).any():
        return "truth has no valid pixel"
    if needs_cams and not has_cams(store, day, lead):
        return "no CAMS forecast was issued"
    return ""


def has_cams(store: PastStore, day: dt.date, lead: int) -> bool:
    """Whether a CAMS forecast was issued on a day."""
    try:
        store.forecast(day, lead, ("pm2p5",))
    except CranpmError:
        return False
    return True


def _data_range(
    store: PastStore, days: Sequence[dt.date], leads: Sequence[int], fitted: Fitted | None
) -> tuple[float, str]:
    """The SSIM's data range: that of the pack's past, else that of the scored truth."""
    if fitted is not None:
        return fitted.data_range, "0.5 to 99.5 percentile of the pack's training years"
    valid_days = sorted({day + dt.timedelta(days=lead) for day in days for lead in leads} & set(store.days))
    values = [store.pm(day)[store.land][::17] for day in valid_days]
    pool = np.concatenate([part[np.isfinite(part)] for part in values]) if values else np.zeros(0)
    if not pool.size:
        return 1.0, "no truth"
    low, high = np.percentile(pool, [0.5, 99.5])
    return float(max(high - low, 0.1)), "0.5 to 99.5 percentile of the truth on the scored days"
