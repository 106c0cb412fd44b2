"""The picture of a comparison: RMSE, bias by concentration and frequency bias, a column for each lead."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cranpm.adapt.compare import Comparison, Row
from cranpm.adapt.compare_baselines import LOCAL
from cranpm.adapt.compare_verdict import EVENTS, Paired, paired, rmse
from cranpm.folders import write_whole
from cranpm.forecast.maps import INK, MUTED, STYLE, head_line
from cranpm.verify.exceedance import exceedance_of
from cranpm.verify.figures import band_name

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's colours for models; baselines are grey, those of the local days brown.
COLOURS = ("#1d2733", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREYS = ("#7d868f", "#8f98a1", "#a2aab2", "#b5bcc3")
BROWNS = ("#8c6d3f", "#a08052", "#b39468", "#c5a97f")
GREY_MARKERS = ("x", "+", "1", "2")
LIMITS = (0.1, 10.0)
"""Frequency biases beyond are drawn at the rim."""
GOAL = (0.8, 1.25)
"""Frequency biases that are shaded: within a quarter of 1 either way."""


@dataclass(frozen=True)
class Look:
    """How a row is drawn."""

    colour: str
    marker: str
    line: str
    width: float


def picture(found: Comparison, path: Path, title: str) -> None:
    """Draw it; bars are RMSE, with the interval of the difference from the zero-shot model at their ends."""
    rows, leads = (*found.models, *found.baselines), found.scored_leads
    looks = _looks(found)
    held = {row: paired(found, row) for row in rows}
    tall = 0.24 * len(rows) + 0.7
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(3.1 * len(leads) + 2.2, tall + 5.6), dpi=150, layout="constrained")
        axes = figure.subplots(3, len(leads), squeeze=False, sharey="row", height_ratios=(tall, 2.3, 2.1))
        for (bars, bias, often), lead in zip(axes.T, leads, strict=True):
            _draw_rmse(bars, found, lead, rows, looks, held)
            _draw_bias(bias, found, lead, rows, looks)
            _draw_frequency(often, found, lead, rows, looks)
            bars.set_title(f"T+{lead}", loc="left", fontsize=9, fontweight="bold")
        axes[0, 0].set_yticks(range(len(rows)), [row.name for row in rows])
        axes[0, 0].set_ylim(len(rows) - 0.4, -0.6)
        axes[1, 0].set_ylabel("mean error, µg/m³")
        axes[2, 0].set_ylabel("frequency bias")
        handles, labels = axes[2, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=3, frameon=False, fontsize=7)
        head_line(figure, title)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    write_whole(path, buffer.getvalue())


def _looks(found: Comparison) -> dict[Row, Look]:
    models = {
        row: Look(COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)], "-", 1.5) for k, row in enumerate(found.models)
    }
    names = list(dict.fromkeys(row.name.removesuffix(LOCAL) for row in found.baselines))
    for row in found.baselines:
        k = names.index(row.name.removesuffix(LOCAL))
        local = row.name.endswith(LOCAL)
        models[row] = Look((BROWNS if local else GREYS)[k], GREY_MARKERS[k], "--" if local else ":", 0.9)
    return models


def _draw_rmse(
    ax: Axes, found: Comparison, lead: int, rows: Sequence[Row], looks: dict[Row, Look], held: dict[Row, Paired]
) -> None:
    zero_shot = rmse(found, lead, rows[0])
    for place, row in enumerate(rows):
        value, interval = rmse(found, lead, row), held[row].intervals[lead]
        ax.barh(place, value, color=looks[row].colour, height=0.62, alpha=0.85 if row in found.models else 0.6)
        end = value
        if interval is not None and place:
            bounds = [zero_shot + bound for bound in interval]
            ax.plot(bounds, [place, place], color=INK, linewidth=1.2)
            ax.plot(bounds, [place, place], "|", color=INK, markersize=5)
            end = max(value, bounds[1])
        ax.annotate(f"{value:.2f}", (end, place), (3, 0), textcoords="offset points", va="center", fontsize=7)
    ax.axvline(zero_shot, color=INK, linewidth=0.7, linestyle=":")
    ax.margins(x=0.14)
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("RMSE, µg/m³ (lines: 95 % of the\ndifference from zero-shot, paired)", fontsize=7.5, color=MUTED)


def _draw_bias(ax: Axes, found: Comparison, lead: int, rows: Sequence[Row], looks: dict[Row, Look]) -> None:
    pixels = found.total(lead, rows[0]).bands[0]
    filled = np.flatnonzero(pixels >= EVENTS * pixels.sum())
    ax.axhline(0, color=INK, linewidth=0.8)
    for row in reversed(rows):
        n, error, _ = found.total(lead, row).bands[:, filled]
        look = looks[row]
        ax.plot(range(len(filled)), error / n, look.marker + look.line, color=look.colour, linewidth=look.width,
                markersize=4)  # fmt: skip
    names = [band_name(found.bounds.edges, int(k)).replace(" to ", "–").replace(" and more", "+") for k in filled]
    ax.set_xticks(range(len(filled)), names, fontsize=7, rotation=30, ha="right", rotation_mode="anchor")
    ax.set_xlabel("truth, µg/m³", fontsize=7.5, color=MUTED)
    ax.grid(axis="y", color="#e3e7eb", linewidth=0.6)


def _draw_frequency(ax: Axes, found: Comparison, lead: int, rows: Sequence[Row], looks: dict[Row, Look]) -> None:
    """Frequency bias of each threshold that the truth reaches often enough."""
    total = found.total(lead, rows[0])
    often = [k for k, table in enumerate(total.tables) if table.base_rate >= EVENTS]
    ax.axhspan(*GOAL, color="#e4ebf0", linewidth=0)
    ax.axhline(1, color=INK, linewidth=0.8)
    spread = np.linspace(-0.3, 0.3, len(rows)) if len(rows) > 1 else [0.0]
    for row, shift in zip(rows, spread, strict=True):
        scores = [exceedance_of(found.total(lead, row).tables[k]).frequency_bias for k in often]
        values, look = np.clip(np.array(scores, float), *LIMITS), looks[row]
        places = np.arange(len(often)) + shift
        ax.plot(places, values, look.marker, color=look.colour, markersize=5, label=row.name)
    if not often:
        ax.text(0.5, 0.2, "no threshold is reached", transform=ax.transAxes, ha="center", fontsize=7, color=MUTED)
    ax.set_xticks(range(len(often)), [f"≥ {found.bounds.thresholds[k]:g}" for k in often])
    ax.set_xlim(-0.5, max(len(often), 1) - 0.5)
    ax.set(yscale="log", ylim=(0.9 * LIMITS[0], 1.1 * LIMITS[1]))
    ticks = (0.1, 0.2, 0.5, 1, 2, 5, 10)
    ax.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    ax.minorticks_off()
    ax.set_xlabel("threshold, µg/m³ (shaded: 0.8 to 1.25)", fontsize=7.5, color=MUTED)
