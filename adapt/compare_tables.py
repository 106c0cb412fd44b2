"""The tables of a comparison, in words and figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cranpm.adapt.compare import SEASONS, Comparison, Row
from cranpm.adapt.compare_sums import RowSums, pooled
from cranpm.adapt.compare_verdict import Interval, paired, rmse
from cranpm.verify.exceedance import exceedance_of, percentile_ratio
from cranpm.verify.figures import band_name
from cranpm.verify.metrics import scores_of
from cranpm.verify.verdict import number


@dataclass(frozen=True)
class Grid:
    """A table: a title, the heads of its columns, its lines; the first column is text."""

    title: str
    heads: tuple[str, ...]
    lines: tuple[tuple[str, ...], ...]


def rmse_overview(found: Comparison) -> Grid:
    """RMSE by lead and its change from zero-shot, mean over the leads."""
    lines = []
    for row in (*found.models, *found.baselines):
        held = paired(found, row)
        bounds = None if held.interval is None else (100 * (held.interval[0] - 1), 100 * (held.interval[1] - 1))
        change = "" if row == found.models[0] else _difference(held.percent, bounds, "+.1f")
        lines.append((row.name, *(f"{rmse(found, lead, row):.2f}" for lead in found.scored_leads), change))
    heads = ("", *(f"T+{lead}" for lead in found.scored_leads), "change, %")
    return Grid(f"RMSE, µg/m³, and change from zero-shot, mean over leads{_world(found)}", heads, tuple(lines))


def high_overviews(found: Comparison) -> tuple[Grid, Grid]:
    """How often high days are forecast and how high, and where: pooled over the leads."""
    rows, leads = (*found.models, *found.baselines), found.scored_leads
    totals = {row: pooled([found.total(lead, row) for lead in leads]) for row in (*rows, found.rows[-1])}
    truth = totals[found.rows[-1]]
    reached = [k for k, table in enumerate(truth.tables) if table.base_rate > 0]
    scores = {row: [exceedance_of(totals[row].tables[k]) for k in reached] for row in rows}
    heads = tuple(f"≥ {found.bounds.thresholds[k]:g}" for k in reached)
    ratios = {row: number(percentile_ratio(totals[row].histogram, truth.histogram), ".2f") for row in rows}
    often = [(row.name, *(number(one.frequency_bias, ".2f") for one in scores[row]), ratios[row]) for row in rows]
    where = [(row.name, *(number(one.csi, ".2f") for one in scores[row])) for row in rows]
    return (
        Grid(
            f"Frequency bias at thresholds, µg/m³, all leads{_world(found)}", ("", *heads, "95th ratio"), tuple(often)
        ),
        Grid(f"Critical success index, all leads{_world(found)}", ("", *heads), tuple(where)),
    )


def scores_grid(found: Comparison, lead: int) -> Grid:
    """Scores over all pixels at a lead."""
    truth = found.total(lead, found.rows[-1]).histogram
    lines = []
    for row in (*found.models, *found.baselines):
        total = found.total(lead, row)
        scores, held = scores_of(total.pixels), paired(found, row)
        first = row == found.models[0]
        against = "" if first else _difference(held.difference[lead], held.intervals[lead])
        ratio = percentile_ratio(total.histogram, truth)
        figures = (scores.rmse, scores.mae, scores.bias, scores.slope, ratio)
        forms = (".2f", ".2f", "+.2f", ".2f", ".2f")
        cells = [number(value, form) for value, form in zip(figures, forms, strict=True)]
        lines.append((row.name, cells[0], against, *cells[1:]))
    heads = ("", "RMSE", "minus zero-shot", "MAE", "bias", "slope", "95th percentile ratio")
    return Grid(f"T+{lead}{_world(found)}, µg/m³", heads, tuple(lines))


def high_grids(found: Comparison) -> list[Grid]:
    """Frequency bias and CSI by lead, for each threshold that the truth reaches anywhere."""
    grids = []
    for k, threshold in enumerate(found.bounds.thresholds):
        rates = {lead: found.total(lead, found.rows[-1]).tables[k].base_rate for lead in found.scored_leads}
        if not any(rates.values()):
            continue
        lines = []
        for row in (*found.models, *found.baselines):
            scores = [exceedance_of(found.total(lead, row).tables[k]) for lead in found.scored_leads]
            cells = [number(value, ".2f") for one in scores for value in (one.frequency_bias, one.csi)]
            lines.append((row.name, *cells))
        heads = ("", *(f"T+{lead} {name}" for lead in found.scored_leads for name in ("frequency bias", "CSI")))
        share = ", ".join(f"{100 * rate:.2g} %" for rate in dict.fromkeys(rates.values()))
        grids.append(Grid(f"At least {threshold:g} µg/m³ ({share} of the pixels){_world(found)}", heads, tuple(lines)))
    return grids


def band_grids(found: Comparison) -> list[Grid]:
    """RMSE and bias by band, a table for each lead."""
    grids = []
    for lead in found.scored_leads:
        filled = [k for k, (n, _, _) in enumerate(band_scores(found.total(lead, found.rows[-1]))) if n]

        def cells(row: Row, lead: int = lead, filled: Sequence[int] = tuple(filled)) -> list[str]:
            bands = band_scores(found.total(lead, row))
            return [f"{number(bands[k][1], '.2f')} ({number(bands[k][2], '+.2f')})" for k in filled]

        heads = [band_name(found.bounds.edges, k) for k in filled]
        grids.append(_grid(found, f"T+{lead}: RMSE (bias), µg/m³, by µg/m³ of the truth{_world(found)}", heads, cells))
    return grids


def season_grids(found: Comparison) -> list[Grid]:
    """RMSE and bias by season, a table for each lead."""
    grids = []
    for lead in found.scored_leads:
        there = [name for name in SEASONS if found.season(lead, found.rows[-1], name) is not None]

        def cells(row: Row, lead: int = lead, there: Sequence[str] = tuple(there)) -> list[str]:
            parts = [found.season(lead, row, name) for name in there]
            scores = [scores_of(part.pixels) for part in parts if part is not None]
            return [f"{number(one.rmse, '.2f')} ({number(one.bias, '+.2f')})" for one in scores]

        grids.append(_grid(found, f"T+{lead}: RMSE (bias), µg/m³{_world(found)}", there, cells))
    return grids


def band_scores(total: RowSums) -> list[tuple[float, float | None, float | None]]:
    """Pixels, RMSE and bias of each band."""
    lines = total.bands.T.tolist()
    return [(n, (squared / n) ** 0.5 if n else None, error / n if n else None) for n, error, squared in lines]


def _grid(found: Comparison, name: str, heads: Sequence[str], cells: Callable[[Row], list[str]]) -> Grid:
    return Grid(name, ("", *heads), tuple((row.name, *cells(row)) for row in (*found.models, *found.baselines)))


def _difference(value: float, interval: Interval, form: str = "+.2f") -> str:
    if interval is None:
        return number(value, form)
    star = "*" if interval[0] > 0 or interval[1] < 0 else ""
    return f"{number(value, form)} [{', '.join(number(bound, form) for bound in interval)}]{star}"


def _world(found: Comparison) -> str:
    return ", simulated" if found.simulated else ""
