"""A comparison as tables (terminal, Markdown), as plain values (JSON) and as a picture."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cranpm.adapt.compare import SEASONS, Comparison, Row
from cranpm.adapt.compare_tables import (
    Grid,
    band_grids,
    band_scores,
    high_grids,
    high_overviews,
    rmse_overview,
    scores_grid,
    season_grids,
)
from cranpm.adapt.compare_verdict import Paired, paired, recommendation, remark
from cranpm.data.days import format_days
from cranpm.folders import write_whole
from cranpm.verify.exceedance import exceedance_of, percentile, percentile_ratio
from cranpm.verify.figures import band_name
from cranpm.verify.intervention_report import BLOCK, DRAWS, FEW_BLOCKS
from cranpm.verify.metrics import scores_of

SCHEMA_VERSION = 1
SIMULATED = "All of this is simulated: it judges the models in the sample world, not in the real one."
HIGH_DAYS = (
    "Frequency bias: how often a threshold is forecast over how often it comes. CSI: hits over all that was forecast "
    "or came. The mean error where the *truth* is high is below zero for every calibrated forecast: judge the high end "
    "by frequency bias, CSI, the ratio of 95th percentiles and RMSE together."
)
INTERVALS = (
    f"In brackets, what holds 95 % of {DRAWS} drawings with replacement (seed 0) of blocks of {BLOCK} calendar days, "
    f"the same blocks for both (none with fewer than {FEW_BLOCKS} blocks); * where it excludes zero."
)


def write_report(found: Comparison, folder: Path) -> list[Path]:
    """Write `compare.json`, `compare.md` and `compare.png` into a folder."""
    from cranpm.adapt.compare_figure import picture

    paths = [folder / f"compare.{ending}" for ending in ("json", "md", "png")]
    write_whole(paths[0], (json.dumps(summary(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    write_whole(paths[1], markdown(found).encode())
    picture(found, paths[2], title(found))
    return paths


def show(found: Comparison, console: Console) -> None:
    """RMSE and high days in three small tables, and the recommendation, on a terminal."""
    for grid in (rmse_overview(found), *high_overviews(found)):
        table = Table(title=grid.title, title_justify="left")
        for k, head in enumerate(grid.heads):
            table.add_column(head, justify="right" if k else "left", overflow="fold", no_wrap=not k)
        for line in grid.lines:
            table.add_row(*line)
        console.print(table)
    for sentence in sentences(found):
        console.print(sentence)


def sentences(found: Comparison) -> list[str]:
    """The recommendation, what a baseline does better, and what a reader must know."""
    notes = [f"{note[0].upper()}{note[1:]}." for note in found.notes]
    return [part for part in (recommendation(found), remark(found), *notes, SIMULATED * found.simulated) if part]


def title(found: Comparison) -> str:
    """What was compared, where and on how many days."""
    world = "SIMULATED · " if found.simulated else ""
    days = list(found.days)
    when = f"{len(days)} days from {days[0]} to {days[-1]}" if len(days) > 1 else f"{days[0]}"
    return f"{world}{found.base} over {found.region}: zero-shot, adapted and baselines, {when}"


def markdown(found: Comparison) -> str:
    """The whole comparison as a page."""
    grids = [scores_grid(found, lead) for lead in found.scored_leads]
    parts = [f"# {title(found)}", *sentences(found), "## Scores", *map(_markdown, grids), INTERVALS]
    parts += ["## High days", *map(_markdown, high_grids(found)), HIGH_DAYS]
    parts += ["## By concentration of the truth", *map(_markdown, band_grids(found))]
    parts += ["## By season of the valid day", *map(_markdown, season_grids(found))]
    skipped = sorted({f"{reason} ({day})" for day, _, reason in found.skipped})
    parts += ["## Days", f"Issue days: {format_days(found.days).replace(',', ', ')}."]
    parts += [f"Left out: {'; '.join(skipped)}."] if skipped else []
    parts.append("All rows: the same days and the same valid land pixels, at 1 km, pooled.")
    return "\n\n".join(parts) + "\n"


def summary(found: Comparison) -> dict[str, Any]:
    """The comparison as plain values."""
    rows = (*found.models, *found.baselines)
    held = {row: paired(found, row) for row in rows}
    return {
        "schema_version": SCHEMA_VERSION,
        "title": title(found),
        "simulated": found.simulated,
        "region": found.region,
        "base": found.base,
        "recommendation": recommendation(found),
        "remark": remark(found) or None,
        "notes": list(found.notes),
        "days": format_days(found.days),
        "edges": list(found.bounds.edges),
        "thresholds": list(found.bounds.thresholds),
        "rows": [
            {
                "name": row.name,
                "kind": row.kind,
                "rmse_ratio": held[row].ratio,
                "rmse_ratio_interval": held[row].interval,
                "leads": {str(lead): _values(found, lead, row, held[row]) for lead in found.scored_leads},
            }
            for row in rows
        ],
        "truth": {
            str(lead): {"percentile_95": percentile(found.total(lead, found.rows[-1]).histogram, 95)}
            for lead in found.scored_leads
        },
        "skipped": [{"day": str(day), "lead": lead, "reason": reason} for day, lead, reason in found.skipped],
    }


def _values(found: Comparison, lead: int, row: Row, held: Paired) -> dict[str, Any]:
    total = found.total(lead, row)
    scores = scores_of(total.pixels)
    tables = zip(found.bounds.thresholds, total.tables, strict=True)
    seasons = {name: found.season(lead, row, name) for name in SEASONS}
    return {
        "days": sum(lead in sums for sums in found.days.values()),
        **{name: getattr(scores, name) for name in ("n", "rmse", "mae", "bias", "slope", "r2")},
        "rmse_minus_zero_shot": held.difference[lead],
        "interval": held.intervals[lead],
        "percentile_95_ratio": percentile_ratio(total.histogram, found.total(lead, found.rows[-1]).histogram),
        "thresholds": {
            f"{threshold:g}": {"base_rate": table.base_rate, **asdict(exceedance_of(table))}
            for threshold, table in tables
        },
        "bands": {
            band_name(found.bounds.edges, k): {"n": int(n), "rmse": root, "bias": bias}
            for k, (n, root, bias) in enumerate(band_scores(total))
        },
        "seasons": {
            name: {key: getattr(scores_of(sums.pixels), key) for key in ("n", "rmse", "bias")}
            for name, sums in seasons.items()
            if sums is not None
        },
    }


def _markdown(grid: Grid) -> str:
    rows = [grid.heads, ("---", *["---:"] * (len(grid.heads) - 1)), *grid.lines]
    return "\n".join([f"**{grid.title}**", "", *(f"| {' | '.join(row)} |" for row in rows)])
