"""Where a federation stands, in tables for the terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cranpm.clients.book import CHOICES, Book, Line
from cranpm.clients.choice import KINDS, NAMES
from cranpm.clients.message import LAST_SCALARS
from cranpm.errors import CranpmError


def show(folder: Path, console: Console) -> None:
    """Rounds, agencies with scores and bytes, who was rejected and why, and what agencies chose.

    Raises:
        CranpmError: no round was kept there.
    """
    lines = Book(folder).lines
    if not lines:
        raise CranpmError(f"{folder}: no round yet; start the rounds with `cranpm federate run {folder}`")
    console.print(rounds_table(lines))
    console.print(agencies_table(lines))
    for sentence in rejected(lines):
        console.print(sentence, highlight=False, markup=False)
    if told := choices(folder):
        console.print(choices_table(told))


def rounds_table(lines: list[Line]) -> Table:
    """A row for each round."""
    simulated = " (simulated)" if any(line.simulated for line in lines) else ""
    table = Table(
        "round", "counted", "RMSE", "public", "A, B apart", "kB", "s", "adapter", box=SIMPLE_HEAD,
        title=f"Rounds{simulated}", title_justify="left", caption_justify="left",
        caption="RMSE: mean of the agencies on their selection days, ug m-3; public: RMSE over persistence's on the "
        "public days; A, B apart: what averaging them apart costs",
    )  # fmt: skip
    for line in lines:
        counted = [answer for answer in line.answers if answer.accepted]
        scores = [answer.scalars["rmse"] for answer in counted]
        table.add_row(
            str(line.round),
            f"{len(counted)} of {len(line.answers)}" if line.round else "",
            f"{sum(scores) / len(scores):.3f}" if scores else "",
            "" if line.public is None else f"{line.public:.3f}",
            "" if line.aggregation_error is None else f"{100 * line.aggregation_error:.1f} %",
            f"{sum(a.bytes_down + a.bytes_up for a in line.answers) / 1e3:.0f}" if line.round else "",
            f"{line.seconds:.0f}" if line.round else "",
            line.adapter[:8] if line.accepted else f"{line.adapter[:8]} (kept)",
        )
    return table


def agencies_table(lines: list[Line]) -> Table:
    """A row for each agency: its latest answer."""
    table = Table(
        "agency", "counted", "RMSE", "ratio", "loss", "norm", "clipped to", "kB", box=SIMPLE_HEAD,
        title="Agencies, at their latest answer", title_justify="left", caption_justify="left",
        caption="ratio: RMSE over persistence's; clipped to: share of the update that counted; kB: both ways, in all",
    )  # fmt: skip
    for name in sorted({answer.agency for line in lines for answer in line.answers}):
        mine = [answer for line in lines for answer in line.answers if answer.agency == name]
        good = [answer for answer in mine if answer.accepted]
        size = f"{sum(a.bytes_down + a.bytes_up for a in mine) / 1e3:.0f}"
        if not good:
            table.add_row(name, f"0 of {len(mine)}", "", "", "", "", "", size)
            continue
        last = good[-1]
        table.add_row(
            name, f"{len(good)} of {len(mine)}", f"{last.scalars['rmse']:.3f}",
            f"{last.scalars['rmse'] / last.scalars['persistence']:.2f}" if last.scalars["persistence"] else "",
            f"{last.scalars['loss']:.3g}", f"{last.norm:.3g}" if last.norm is not None else "",
            f"{100 * last.clipped:.0f} %", size,
        )  # fmt: skip
    return table


def rejected(lines: list[Line]) -> list[str]:
    """Who was rejected and why, and aggregates that did not count, a sentence each."""
    out = []
    for line in lines:
        out += [f"round {line.round}: {a.agency} rejected: {a.reason}" for a in line.answers if not a.accepted]
        if not line.accepted:
            out.append(f"round {line.round}: the adapter stays as it was: {line.reason}")
    return out


def choices(folder: Path) -> dict[str, Any]:
    """What the agencies told after the last round, by name; nothing before."""
    path = folder / CHOICES
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def choices_table(told: dict[str, Any]) -> Table:
    """The four scores of each agency, with its choice."""
    table = Table(
        "agency", *(kind.replace("_", "-") for kind in KINDS), "keeps", box=SIMPLE_HEAD,
        title="RMSE on scoring days, ug m-3", title_justify="left",
    )  # fmt: skip
    for name, values in sorted(told.items()):
        if set(values) == set(LAST_SCALARS):
            table.add_row(name, *(f"{values[kind]:.3f}" for kind in KINDS), NAMES[KINDS[int(values["chosen"])]])
        else:
            table.add_row(name, *[""] * len(KINDS), escape(values.get("problem", "keeps its scores to itself")))
    return table
