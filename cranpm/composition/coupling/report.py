"""Scores of trained coupling networks on days of the sample world, as tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path

import numpy as np
import torch

from cranpm.composition.coupling.checkpoint import CouplingCheckpoint, read_coupling
from cranpm.composition.coupling.config import STEPS, CouplingConfig
from cranpm.composition.coupling.examples import Batch, instant, make_batch
from cranpm.composition.coupling.network import Ground
from cranpm.composition.coupling.objective import row_weights
from cranpm.composition.coupling.scores import BASE, CAMS, MODEL, PERSISTENCE, Scores, score
from cranpm.composition.coupling.series import (
    Area,
    Course,
    pairs,
    simulated_ground,
    simulated_months,
    simulated_series,
    stacked,
)
from cranpm.data.days import format_days, parse_days
from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError
from cranpm.grid import Grid

_AT_ONCE = 8


def report(
    models: Sequence[str | Path], *, days: str, every: int, realisation: int, perfect: bool, cache: Path,
    tell: Progress = silent,
) -> str:  # fmt: skip
    """Score networks of one grid on the same forecasts, from 00 UTC of each n-th day of every range of days.

    Raises:
        CranpmError: a network is not of the sample world, or lies on another grid than the first.
    """
    found = [read_coupling(folder) for folder in models]
    area = area_of(found)
    starts = tuple(day for part in days.split(",") for day in parse_days(part)[::every])
    config, seed = found[0].config, world_seed(found[0])
    batches, cams = forecasts(config, area, starts, realisation, cache, perfect=perfect, seed=seed, tell=tell)
    known = simulated_ground(area, config.places, cache, seed=seed)
    ground = Ground(torch.from_numpy(known)[None])
    weights = row_weights(torch.from_numpy(area.grid.lats.astype(np.float32)))
    scores = [score(one.network(), batches, ground, weights) for one in found]
    for batch, field in zip(batches, cams, strict=True):
        scores[0].add(CAMS, field, batch.truth, weights)
    weather = "the weather as it was" if perfect else "forecast weather"
    each = f"each {every}. day" if every > 1 else "each day"
    head = (
        f"Simulated. {len(starts)} forecasts from 00 UTC of {each} of {days.replace(',', ', ')}, realisation "
        f"{realisation}, driven by {weather}. RMSE as a share of persistence's.\n"
    )
    head += "".join(f"Note: {one.folder} was trained on that realisation.\n" for one in found if _saw(one, realisation))
    names = [f"{one.config.fusion} s{one.provenance.get('seed', '?')}" for one in found]
    return "\n".join([head, summary(scores, names), "", by_species(scores[0], names[0]), "", drift(scores[0])])


def forecasts(
    config: CouplingConfig, area: Area, starts: Sequence[date], realisation: int, cache: Path, *, perfect: bool,
    seed: int = 0, tell: Progress = silent,
) -> tuple[list[Batch], list[torch.Tensor]]:  # fmt: skip
    """The forecasts that start at 00 UTC of some days, with truth and driver, and what CAMS-like forecasts said."""
    needed = sorted({day + timedelta(days=k) for day in starts for k in range(-1, STEPS // 2 + 1)})
    course = Course(realisation, format_days(needed))
    series = simulated_series(area, course, "analysis", config.species, config.weather, cache, seed=seed, tell=tell)
    at = {instant(series[n].times[i]): (n, i) for n, i in pairs(series, STEPS)}
    chosen = [at[_midnight(day)] for day in starts]
    issued = Course(realisation, format_days(starts))
    months = simulated_months(area, issued, cache, seed=seed, tell=tell, forecasts=True)
    driver = np.concatenate([stacked(month, "weather", config.weather) for month in months])
    said = np.concatenate([stacked(month, "composition", config.species) for month in months])
    batches, cams = [], []
    for first in range(0, len(chosen), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        batch = make_batch(series, chosen[part], STEPS)
        batches.append(batch if perfect else replace(batch, weather=torch.from_numpy(driver[part])))
        cams.append(torch.from_numpy(said[part]))
    return batches, cams


def summary(scores: Sequence[Scores], names: Sequence[str]) -> str:
    """RMSE over persistence's in the mean over species, by lead, with 95 % intervals over the starts."""
    rows = [*((MODEL, s, name) for s, name in zip(scores, names, strict=True))]
    rows += [(BASE, scores[0], "untrained (base)"), (CAMS, scores[0], "CAMS-like forecast")]
    lines = [f"| mean over species | {' | '.join(f'{lead} h' for lead in scores[0].leads)} |"]
    lines.append("|" + "---|" * (1 + len(scores[0].leads)))
    for kind, one, name in rows:
        mean, low, high = one.interval(kind, PERSISTENCE)
        cells = [f"{m:.3f} ({a:.3f}–{b:.3f})" for m, a, b in zip(mean, low, high, strict=True)]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def by_species(scores: Scores, name: str) -> str:
    """RMSE over persistence's, and over that of the CAMS-like forecast, by species and lead."""
    chosen = [k for k, lead in enumerate(scores.leads) if lead % 24 == 0 or lead == 12]
    head = " | ".join(f"{scores.leads[k]} h" for k in chosen)
    lines = [f"| {name} / persistence (/ CAMS-like) | {head} |", "|" + "---|" * (1 + len(chosen))]
    still, cams = scores.ratio(MODEL), scores.ratio(MODEL, CAMS)
    for column, species in enumerate(scores.species):
        cells = [f"{still[k, column]:.3f} ({cams[k, column]:.3f})" for k in chosen]
        lines.append(f"| {species} | {' | '.join(cells)} |")
    return "\n".join(lines)


def drift(scores: Scores) -> str:
    """The domain's mean minus the truth's as a share of the RMSE of persistence: mean over starts (root mean square).

    That of persistence is how far the truth's own mean moves, with the sign turned.
    """
    chosen = [k for k, lead in enumerate(scores.leads) if lead % 24 == 0]
    lines = [f"| domain mean - truth's / RMSE | {' | '.join(f'{scores.leads[k]} h' for k in chosen)} |"]
    lines.append("|" + "---|" * (1 + len(chosen)))
    for column, species in enumerate(scores.species):
        for kind in (MODEL, PERSISTENCE):
            off = np.stack(scores.bias[kind])[:, :, column] / scores.rmse(PERSISTENCE)[:, column]
            cells = [f"{off[:, k].mean():+.2f} ({np.sqrt(np.square(off[:, k]).mean()):.2f})" for k in chosen]
            lines.append(f"| {species}, {kind} | {' | '.join(cells)} |")
    return "\n".join(lines)


def world_seed(checkpoint: CouplingCheckpoint) -> int:
    """The seed of the sample world that a network was trained in."""
    return int(checkpoint.provenance.get("world_seed", 0))


def _saw(checkpoint: CouplingCheckpoint, realisation: int) -> bool:
    days = checkpoint.provenance.get("days", {})
    return any(text.startswith(f"realisation {realisation},") for role in days.values() for text in role)


def area_of(found: Sequence[CouplingCheckpoint]) -> Area:
    """The area of the sample world that networks share.

    Raises:
        CranpmError: one is not of the sample world, or they lie on different grids.
    """
    grid: Grid = found[0].grid
    for one in found:
        if not one.simulated:
            raise CranpmError(f"{one.folder}: not trained on the sample world; its days score only such networks")
        if one.grid != grid or one.config.species != found[0].config.species:
            raise CranpmError(f"{one.folder}: another grid or other species than {found[0].folder}; score it alone")
    region = str(found[0].provenance.get("region", ""))
    return Area(region, grid.north, grid.west, grid.step, grid.height, grid.width)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time())
