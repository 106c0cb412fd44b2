"""The figures of a report, drawn to be read without colour vision and in print."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray

from cranpm.forecast.maps import INK, MUTED, STYLE, Bands, band_bar, band_scale, draw_map, head_line, shrink
from cranpm.grid import Grid
from cranpm.verify.baselines import ROWS, Map
from cranpm.verify.evaluate import TWO_DAY_MEAN, YARDSTICKS, Evaluation, PeriodMeans
from cranpm.verify.metrics import Scores
from cranpm.verify.spectrum import DETAIL, EDGES_KM
from cranpm.verify.verdict import number, skill

# Okabe and Ito's colours; every series has a marker of its own as well.
COLOURS = {
    "model": "#0072B2",
    "persistence": "#333333",
    "damped": "#E69F00",
    "climatology": "#8a8f96",
    "cams": "#CC79A7",
    "cams_corrected": "#009E73",
    "blend": "#D55E00",
}
MARKERS = {
    "model": "o",
    "persistence": "s",
    "damped": "^",
    "climatology": "D",
    "cams": "v",
    "cams_corrected": "P",
    "blend": "X",
}
_MANY_DAYS = 62  # from here on markers shrink and months are labelled
_BREAK = 7  # days: a longer gap breaks a line


def draw_skill(path: Path, found: Evaluation) -> None:
    """Reduction of the RMSE against persistence, per lead and method, with intervals from resampled days."""
    rows = [row for row in found.rows if row != "persistence"]
    leads = [lead for lead in found.leads if found.of(lead)]
    with _figure(path, 7.6, 0.42 * len(rows) + 1.15) as figure:
        axes = figure.subplots(1, len(leads), sharey=True, sharex=True, squeeze=False)[0]
        for ax, lead in zip(axes, leads, strict=True):
            ax.axvline(0, color=INK, linewidth=0.8)
            for place, row in enumerate(reversed(rows)):
                gain = skill(found.of(lead), row)
                if gain.low is not None:
                    ax.plot([gain.low, gain.high], [place, place], color=COLOURS[row], linewidth=2, alpha=0.55)
                ax.plot(gain.percent, place, MARKERS[row], color=COLOURS[row], markersize=6)
                text = number(gain.percent, "+.1f")
                ax.annotate(text, (gain.percent, place), (0, 6), textcoords="offset points",
                            ha="center", fontsize=7, color=INK,
                            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})  # fmt: skip
            ax.set_title(f"T+{lead}", loc="left", fontsize=9, fontweight="bold")
            ax.set_yticks(range(len(rows)), [ROWS[row] for row in reversed(rows)])
            ax.set_ylim(-0.5, len(rows) - 0.3)
            ax.grid(axis="x", color="#e3e7eb", linewidth=0.6)
            ax.set_axisbelow(True)
            ax.tick_params(axis="y", length=0)
        figure.supxlabel("RMSE reduction against persistence, % (right of the line is better; bars: 95 %)", fontsize=8)


def draw_daily(path: Path, found: Evaluation) -> None:
    """RMSE of each issue day, one panel per lead; a line breaks where more than a week is left out."""
    leads = [lead for lead in found.leads if found.of(lead)]
    with _figure(path, 7.6, 1.65 * len(leads) + 0.5) as figure:
        axes = figure.subplots(len(leads), 1, sharex=True, squeeze=False)[:, 0]
        places = {found.days[k]: k + gap for gap, run in enumerate(_runs(found.days)) for k in run}
        for ax, lead in zip(axes, leads, strict=True):
            days = [result.day for result in found.of(lead)]
            for row in found.rows[::-1]:
                for run in _runs(days):
                    x = [places[days[k]] for k in run]
                    y = np.array(found.daily_rmse(lead, row))[run]
                    main = row in ("model", "persistence")
                    size = (3.2 if main else 2.2) * (0.5 if len(days) > _MANY_DAYS else 1)
                    ax.plot(x, y, MARKERS[row] + "-", color=COLOURS[row], markersize=size,
                            linewidth=size / 2, label=ROWS[row] if run[0] == 0 else None)  # fmt: skip
            ax.set_title(f"T+{lead}", loc="left", fontsize=9, fontweight="bold")
            ax.set_ylim(bottom=0)
            ax.grid(axis="y", color="#e3e7eb", linewidth=0.6)
        ticks = _day_ticks(found.days)
        axes[-1].set_xticks([places[day] for day in ticks], list(ticks.values()), ha="left")
        if len(found.days) <= _MANY_DAYS:
            axes[-1].set_xticks(list(places.values()), minor=True)
        figure.supylabel("RMSE of the day, µg/m³", fontsize=8)
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles[::-1], labels[::-1], loc="outside upper center", ncols=4, frameon=False, fontsize=7)


def _day_ticks(days: Sequence[dt.date]) -> dict[dt.date, str]:
    """Where the day axis is labelled, and how: where runs of days begin, or where months do when days are many."""
    if len(days) <= _MANY_DAYS:
        return {days[run[0]]: f"{days[run[0]]:%d %b %Y}" for run in _runs(days)}
    firsts = {(day.year, day.month): day for day in reversed(days)}
    return {day: day.strftime("%b\n%Y" if k == 0 or day.month == 1 else "%b")
            for k, day in enumerate(sorted(firsts.values()))}  # fmt: skip


def draw_period(path: Path, period: PeriodMeans, panels: Sequence[tuple[str, Map, Scores]], days: int) -> None:
    """Period-mean scatter of forecast on truth, one panel for the model and one for persistence."""
    seen = np.isfinite(period.truth)
    top = float(np.percentile(np.concatenate([part[seen] for part in (period.truth, period.model)]), 99.9)) * 1.05
    with _figure(path, 7.6, 4.0) as figure:
        axes = figure.subplots(1, len(panels), sharex=True, sharey=True)
        for ax, (name, values, scores) in zip(axes, panels, strict=True):
            image = ax.hexbin(period.truth[seen], values[seen], gridsize=70, bins="log", cmap="Blues", mincnt=1,
                              extent=(0, top, 0, top), linewidths=0)  # fmt: skip
            ax.plot([0, top], [0, top], color=INK, linewidth=0.8)
            if scores.slope is not None and scores.bias is not None:
                middle = float(period.truth[seen].mean())
                x = np.array([0, top])
                ax.plot(x, middle + scores.bias + scores.slope * (x - middle), "--", color="#D55E00", linewidth=1.4)
            ax.set_title(name, loc="left", fontsize=9, fontweight="bold")
            ax.text(0.04, 0.96, _fit_text(scores), transform=ax.transAxes, va="top", fontsize=8, linespacing=1.5)
            ax.set(xlim=(0, top), ylim=(0, top), aspect="equal", xlabel="truth, µg/m³")
        axes[0].set_ylabel(f"T+{period.lead} forecast, µg/m³")
        bar = figure.colorbar(image, ax=list(axes), fraction=0.03, pad=0.02)
        bar.set_label("pixels", fontsize=8)
        bar.outline.set_visible(False)
        figure.supxlabel(f"Means over {days} days; black: 1:1, dashed: least squares", fontsize=7.5, color=MUTED)


def draw_day(
    path: Path, grid: Grid, land: NDArray[np.bool_], maps: dict[str, Map], bands: Bands, *, title: str
) -> None:
    """Truth, forecast, and the errors of forecast and persistence on one day.

    Args:
        path: the PNG.
        grid, land: the fine grid and its land mask.
        maps: "truth", "model", "persistence", ug m-3, shape (h, w); errors are drawn where truth is valid.
        bands: the colour scale's index.
        title: of the picture.
    """
    truth = maps["truth"]
    valid = land & np.isfinite(truth)
    errors = {name: np.where(valid, maps[name] - truth, np.nan) for name in ("model", "persistence")}
    drawn = np.concatenate([maps[name][valid] for name in ("truth", "model")])
    colours, norm, edges = band_scale(bands, *(float(value) for value in np.percentile(drawn, [0.2, 99.8])))
    worst = float(np.percentile(np.abs(np.stack([error[valid] for error in errors.values()])), 99))
    tall = grid.height / grid.width / np.cos(np.radians((grid.north + grid.south) / 2))
    with _figure(path, 11.0, 2.45 * tall + 1.3, dpi=130) as figure:
        axes = figure.subplots(1, 4, sharey=True)
        for ax, name, values in zip(axes, ("Truth", "Forecast"), (truth, maps["model"]), strict=False):
            image = draw_map(ax, grid, land, shrink(grid, np.where(land, values, np.nan)), colours, norm)
            ax.set_title(name, loc="left", fontsize=9)
        band_bar(figure, image, axes[:2], bands, edges)
        for ax, (name, values) in zip(axes[2:], errors.items(), strict=True):
            rmse = float(np.sqrt(np.nanmean(values.astype(float) ** 2)))
            image = draw_map(ax, grid, land, shrink(grid, values), colormaps["PuOr_r"], Normalize(-worst, worst))
            word = "the forecast" if name == "model" else "persistence"
            ax.set_title(f"Error of {word}, RMSE {rmse:.2f}", loc="left", fontsize=9)
        bar = figure.colorbar(image, ax=list(axes[2:]), orientation="horizontal", fraction=0.05, pad=0.06, aspect=46,
                              extend="both")  # fmt: skip
        bar.outline.set_visible(False)
        bar.ax.tick_params(labelsize=7, length=2)
        bar.set_label("forecast minus truth, µg/m³: orange too high, purple too low", fontsize=8)
        head_line(figure, title)


def draw_bands(path: Path, found: Evaluation, lead: int) -> None:
    """Mean error by the concentration of the truth."""
    rows = [row for row in found.rows if row != "climatology"]
    sums = {row: found.bands(lead, row) for row in rows}
    kept = [k for k in range(len(found.edges) + 1) if sums["model"][0, k] > 0]
    with _figure(path, 7.6, 2.7) as figure:
        ax = figure.subplots()
        ax.axhline(0, color=INK, linewidth=0.8)
        for row in rows[::-1]:
            bias = [sums[row][1, k] / sums[row][0, k] for k in kept]
            main = row in ("model", "persistence")
            ax.plot(range(len(kept)), bias, MARKERS[row] + "-", color=COLOURS[row], linewidth=1.8 if main else 0.9,
                    markersize=5 if main else 3.5, label=ROWS[row])  # fmt: skip
        ax.set_xticks(range(len(kept)), [band_name(found.edges, k) for k in kept])
        ax.set_xlabel("truth, µg/m³")
        ax.set_ylabel(f"mean error at T+{lead}, µg/m³")
        ax.grid(axis="y", color="#e3e7eb", linewidth=0.6)
        handles, labels = ax.get_legend_handles_labels()
        ax.legend(handles[::-1], labels[::-1], frameon=False, fontsize=7, ncols=2)


def draw_spectrum(path: Path, found: Evaluation) -> None:
    """Variance by wavelength above, its ratio to the truth's below, one column per lead; long waves to the left."""
    leads = [lead for lead in found.leads if found.of(lead)]
    rows = [row for row in ("blend", "cams_corrected", "persistence", "model") if row in found.rows]
    middle = np.sqrt(np.array(EDGES_KM[1:]) * EDGES_KM[:-1])
    with _figure(path, 7.6, 4.9) as figure:
        axes = figure.subplots(2, len(leads), sharex=True, sharey="row", squeeze=False, height_ratios=(1.15, 1))
        for (above, below), lead in zip(axes.T, leads, strict=True):
            pooled = {row: found.spectrum(lead, row) for row in (*rows, TWO_DAY_MEAN)}
            model, mean = pooled["model"], pooled[TWO_DAY_MEAN]
            above.plot(middle, model.truth[1:-1] / model.weight, "-", color=INK, linewidth=3.2, alpha=0.35,
                       solid_capstyle="round", label="truth")  # fmt: skip
            below.axhline(1, color=INK, linewidth=3.2, alpha=0.35)
            if mean.weight > 0:
                ratio = np.array(mean.ratio[1:-1], float)
                above.plot(middle, mean.power[1:-1] / mean.weight, "--", color=INK, label=YARDSTICKS[TWO_DAY_MEAN])
                below.plot(middle, ratio, "--", color=INK)
                held = np.pad(ratio[DETAIL.start - 1 : DETAIL.stop - 1], 1, mode="edge")
                ends = EDGES_KM[DETAIL.stop - 1], EDGES_KM[DETAIL.start - 1]
                where = [ends[1], *middle[DETAIL.start - 1 : DETAIL.stop - 1], ends[0]]
                below.fill_between(where, held, 1e-9, color="#e4ebf0", linewidth=0)
            for row in rows:
                style = {"color": COLOURS[row], "linewidth": 1.8 if row == "model" else 0.9,
                         "markersize": 4.5 if row == "model" else 3}  # fmt: skip
                above.plot(middle, pooled[row].power[1:-1] / pooled[row].weight, MARKERS[row] + "-",
                           label=ROWS[row], **style)  # fmt: skip
                below.plot(middle, np.array(pooled[row].ratio[1:-1], float), MARKERS[row] + "-", **style)
            above.set_title(f"T+{lead}", loc="left", fontsize=9, fontweight="bold")
            for ax in (above, below):
                ax.set(xscale="log", yscale="log", xlim=(EDGES_KM[-1], EDGES_KM[0]))
                ax.set_xticks(EDGES_KM, [f"{edge:g}" for edge in EDGES_KM])
                ax.minorticks_off()
                ax.grid(color="#e3e7eb", linewidth=0.6)
                ax.set_axisbelow(True)
        values = np.concatenate([np.asarray(line.get_ydata(), float) for ax in axes[1] for line in ax.lines])
        low, high = max(0.7 * np.nanmin(values), 1e-3), max(1.4 * np.nanmax(values), 2)
        ticks = [tick for tick in (0.001, 0.01, 0.1, 0.2, 0.5, 1, 2, 5, 10, 100) if low < tick < high]
        axes[1, 0].set_ylim(low, high)
        axes[1, 0].set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes[0, 0].set_ylabel("variance per band, (µg/m³)²", fontsize=8)
        axes[1, 0].set_ylabel("over that of the truth", fontsize=8)
        figure.supxlabel("wavelength, km (shaded: more blurred than the mean of two days of truth)", fontsize=8)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        order = [0, len(labels) - 1, *range(len(labels) - 2, 0, -1)]
        figure.legend([handles[k] for k in order], [labels[k] for k in order], loc="outside upper center", ncols=3,
                      frameon=False, fontsize=7)  # fmt: skip


def band_name(edges: Sequence[float], k: int) -> str:
    """A band in words: below the first edge, between two, from the last on."""
    if k == 0:
        return f"below {edges[0]:g}"
    return f"{edges[k - 1]:g} to {edges[k]:g}" if k < len(edges) else f"{edges[-1]:g} and more"


@contextmanager
def _figure(path: Path, width: float, height: float, dpi: int = 160) -> Iterator[Figure]:
    """A figure in the house style, written under a temporary name first."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
        figure.get_layout_engine().set(w_pad=0.06, h_pad=0.06)  # type: ignore[union-attr,call-arg]
        yield figure
        part = path.with_name(f".{path.name}.part")
        figure.savefig(part, format="png")
    part.replace(path)


def _fit_text(scores: Scores) -> str:
    slope, r2, bias = number(scores.slope, ".2f"), number(scores.r2, ".3f"), number(scores.bias, "+.2f")
    return f"slope {slope}\nR² {r2}\nbias {bias}"


def _runs(days: Sequence[dt.date]) -> list[list[int]]:
    """Indices of days that follow each other, at most a week apart."""
    runs: list[list[int]] = []
    for k, day in enumerate(days):
        if runs and (day - days[k - 1]).days <= _BREAK:
            runs[-1].append(k)
        else:
            runs.append([k])
    return runs
