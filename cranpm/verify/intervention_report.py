"""What interventions do to the error of a network: changes of the RMSE with intervals, as table, picture and file."""

from __future__ import annotations

import datetime as dt
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cranpm.data.days import format_days
from cranpm.folders import write_whole
from cranpm.verify.intervene import PERSISTENCE, UNTOUCHED, DayErrors, Measured

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLOCK = 7
"""Days from the first to the last of those that are drawn together: neighbours are alike."""
DRAWS = 4000
FEW_BLOCKS = 5
"""With fewer blocks there is no interval."""
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Change:
    """RMSE with an intervention beside that without, on the same days and pixels.

    Attributes:
        rmse: with the intervention, ug m-3.
        change: minus the RMSE without, ug m-3.
        percent: the same relative to the RMSE without.
        interval, percent_interval: what holds 95 % of the drawings; None with fewer than five blocks of days.
    """

    rmse: float
    change: float
    percent: float
    interval: tuple[float, float] | None
    percent_interval: tuple[float, float] | None

    @property
    def settled(self) -> bool:
        """Whether there is an interval, and zero lies outside."""
        return self.interval is not None and (self.interval[0] > 0 or self.interval[1] < 0)


def change(days: Sequence[DayErrors], lead: int, key: str, *, draws: int = DRAWS) -> Change:
    """What an intervention changes at a lead, blocks of days drawn again with replacement (seed 0).

    Args:
        days: the days scored at that lead, in order.
        lead: days ahead.
        key: of the intervention.
        draws: how often.
    """
    errors = np.array([[day.squared[lead][name] for day in days] for name in (key, UNTOUCHED)])
    pixels = np.array([day.pixels[lead] for day in days], dtype=float)
    starts = block_starts([day.day for day in days])
    errors, pixels = np.add.reduceat(errors, starts, axis=1), np.add.reduceat(pixels, starts)
    found = _gap(errors.sum(axis=1), pixels.sum())
    intervals: list[tuple[float, float] | None] = [None, None]
    if len(starts) >= FEW_BLOCKS:
        times = np.random.default_rng(0).multinomial(len(starts), np.full(len(starts), 1 / len(starts)), size=draws)
        drawn = _gap(np.stack([(times * row).sum(axis=1) for row in errors]), (times * pixels).sum(axis=1))
        bounds = np.quantile(drawn, [0.025, 0.975], axis=1)
        intervals = [(float(low), float(high)) for low, high in bounds.T]
    rmse = float(np.sqrt(errors[0].sum() / pixels.sum()))
    return Change(rmse, float(found[0]), float(found[1]), *intervals)


def block_starts(days: Sequence[dt.date]) -> list[int]:
    """Where blocks begin: a day that is a week or more after the first day of its block begins the next."""
    starts: list[int] = []
    for place, day in enumerate(days):
        if not starts or (day - days[starts[-1]]).days >= BLOCK:
            starts.append(place)
    return starts


def write_report(found: Measured, folder: Path) -> tuple[Path, Path]:
    """Write the table as `interventions.json` and the picture as `interventions.png` into a folder."""
    table, drawn = folder / "interventions.json", folder / "interventions.png"
    write_whole(table, (json.dumps(summary(found), indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode())
    picture(found, drawn)
    return table, drawn


def summary(found: Measured) -> dict[str, object]:
    """The table as plain values."""
    leads = scored_leads(found)
    return {
        "schema_version": SCHEMA_VERSION,
        "simulated": found.simulated,
        "model": {"name": found.spec.name, "hash": found.spec.hash, "random_weights": found.spec.random_weights},
        "store": dict(found.store),
        "days": [str(day.day) for day in found.days],
        "blocks": {str(lead): len(block_starts([day.day for day in found.of(lead)])) for lead in leads},
        "units": "ug m-3",
        "interval": _METHOD,
        "rmse": {name: {str(lead): rmse(found, lead, name) for lead in leads} for name in (UNTOUCHED, PERSISTENCE)},
        "interventions": [
            {
                "key": item.key,
                "label": item.label,
                "what": item.what,
                "leads": {str(lead): vars(change(found.of(lead), lead, item.key)) for lead in leads},
            }
            for item in found.chosen
        ],
        "left_out": dict(found.left_out),
        "skipped": [{"day": str(day), "lead": lead, "reason": reason} for day, lead, reason in found.skipped],
        "notes": list(found.notes),
    }


def markdown(found: Measured) -> str:
    """The table in Markdown, what each row alters, and how the intervals are made; "*" where zero lies outside."""
    leads = scored_leads(found)
    lines = [
        _headline(found, leads),
        "",
        f"| intervention | {' | '.join(f'T+{lead}' for lead in leads)} |",
        "|---|" + "---|" * len(leads),
    ]
    for item in found.chosen:
        cells = [_cell(change(found.of(lead), lead, item.key)) for lead in leads]
        lines.append(f"| {item.label} | {' | '.join(cells)} |")
    lines += ["", f"Change of the RMSE, µg/m³ and %. {_METHOD}; * where it excludes zero.", ""]
    lines += [f"- {item.label}: {item.what}." for item in found.chosen]
    if found.left_out:
        reasons = "; ".join(f"{label} ({reason})" for label, reason in found.left_out.items())
        lines += ["", f"Not for this network: {reasons}."]
    lines += [f"\n{note[0].upper()}{note[1:]}." for note in found.notes]
    return "\n".join(lines) + "\n"


def picture(found: Measured, path: Path) -> None:
    """Changes with their intervals, a panel for each lead."""
    import matplotlib
    from matplotlib.figure import Figure

    from cranpm.forecast.maps import INK, STYLE, head_line

    leads = scored_leads(found)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(2.6 * len(leads) + 2.2, 0.4 * len(found.chosen) + 1.6), dpi=160, layout="constrained")
        panels = figure.subplots(1, len(leads), sharey=True, sharex=True, squeeze=False)[0]
        for panel, lead in zip(panels, leads, strict=True):
            panel.axvline(0, color=INK, linewidth=0.8)
            for place, item in enumerate(found.chosen):
                _draw_change(panel, place, change(found.of(lead), lead, item.key))
            panel.set_title(f"T+{lead}: RMSE {rmse(found, lead, UNTOUCHED):.2f} µg/m³", loc="left", fontsize=9)
            panel.grid(axis="x", color="#e3e7eb", linewidth=0.6)
            panel.set_axisbelow(True)
            panel.tick_params(axis="y", length=0)
        panels[0].set_yticks(range(len(found.chosen)), [item.label for item in found.chosen])
        panels[0].set_ylim(len(found.chosen) - 0.4, -0.7)
        panels[0].margins(x=0.12)
        figure.supxlabel(
            "change of the RMSE with the intervention, µg/m³ (bars: 95 %; full: zero lies outside)", fontsize=8
        )
        head_line(figure, _title(found))
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png")
    write_whole(path, buffer.getvalue())


def scored_leads(found: Measured) -> list[int]:
    """The leads at which any day was scored."""
    return [lead for lead in found.leads if found.of(lead)]


def rmse(found: Measured, lead: int, row: str) -> float:
    """RMSE of a row over all its days, ug m-3."""
    days = found.of(lead)
    return float(np.sqrt(sum(day.squared[lead][row] for day in days) / sum(day.pixels[lead] for day in days)))


_METHOD = (
    f"In brackets, what holds 95 % of {DRAWS} drawings with replacement (seed 0) of blocks of {BLOCK} calendar days, "
    f"the same blocks with and without the intervention (nothing with fewer than {FEW_BLOCKS} blocks)"
)


def _gap(errors: NDArray, pixels: NDArray) -> NDArray:
    """Difference of two RMSEs, absolute and in percent, shape (2, ...); errors (2, ...) with and without."""
    touched, untouched = np.sqrt(errors / pixels)
    return np.stack([touched - untouched, 100 * (touched - untouched) / untouched])


def _headline(found: Measured, leads: Sequence[int]) -> str:
    parts = [
        f"T+{lead} {rmse(found, lead, UNTOUCHED):.2f} (persistence {rmse(found, lead, PERSISTENCE):.2f})"
        for lead in leads
    ]
    trained = " (random weights)" if found.spec.random_weights else ""
    days = format_days(day.day for day in found.days)
    when = days if len(days) < 40 else f"{len(found.days)} days from {found.days[0].day} to {found.days[-1].day}"
    world = ", simulated" if found.simulated else ""
    place = f"`{found.spec.name}`{trained} untouched, {found.store['region']}, {when}"
    return f"{place}: RMSE {', '.join(parts)} µg/m³{world}."


def _cell(found: Change) -> str:
    if found.change == 0 and found.interval in (None, (0.0, 0.0)):
        return "0 (no error changes)"
    bounds = "" if found.interval is None else " [{:+.3f}, {:+.3f}]".format(*found.interval)
    return f"{found.change:+.3f}{bounds}{'*' if found.settled else ''}, {found.percent:+.1f} %"


def _draw_change(panel: Axes, place: int, found: Change) -> None:
    """One interval, full where zero lies outside, and its figure."""
    from cranpm.forecast.maps import INK, MUTED

    higher = "#D55E00" if found.change > 0 else "#0072B2"
    colour = higher if found.settled else MUTED
    if found.interval is not None:
        panel.plot(found.interval, [place, place], color=colour, linewidth=2, alpha=0.6)
    panel.plot(
        found.change, place, "o", color=colour, markersize=5, markerfacecolor=colour if found.settled else "white"
    )
    text, at = f"{found.change:+.2f}", (found.change, place)
    panel.annotate(text, at, (0, 6), textcoords="offset points", ha="center", fontsize=7, color=INK,
                   bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6})  # fmt: skip


def _title(found: Measured) -> str:
    marks = [word for word, so in (("SIMULATED", found.simulated), ("UNTRAINED", found.spec.random_weights)) if so]
    return " · ".join(
        [*marks, f"{found.spec.name} over {found.store['region']}: inputs altered, {len(found.days)} days"]
    )
