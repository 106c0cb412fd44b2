"""The federation as one static HTML file, made of `rounds.jsonl` alone (and agencies' pictures, if they are here)."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from cranpm.clients.book import Book, Line
from cranpm.clients.choice import KINDS, NAMES, PICTURE
from cranpm.clients.federation import Federation, read_federation
from cranpm.clients.message import LAST_SCALARS
from cranpm.clients.status import choices, rejected
from cranpm.errors import CranpmError
from cranpm.folders import write_whole
from cranpm.verify.page import banner, facts, figure, page, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FILE = "report.html"
SIMULATED = "Simulated: agencies, days and scores are of the sample world, not measurements."


def write_report(folder: Path) -> Path:
    """Write `report.html` beside `rounds.jsonl`.

    Raises:
        CranpmError: no round was kept there.
    """
    lines = Book(folder).lines
    if not lines:
        raise CranpmError(f"{folder}: no round yet; start the rounds with `cranpm federate run {folder}`")
    path = folder / FILE
    write_whole(path, _document(folder, lines, read_federation(folder)).encode())
    return path


def _document(folder: Path, lines: Sequence[Line], plan: Federation) -> str:
    simulated = any(line.simulated for line in lines)
    title = f"Federation: {lines[-1].round} of {plan.rounds} rounds{' (simulated)' if simulated else ''}"
    body = [banner(SIMULATED)] if simulated else []
    body.append(f"<h1>{escape(title)}</h1>")
    body.append(
        facts(
            [
                ("base", plan.base), ("method", plan.method), ("robust", plan.robust),
                ("steps a round", plan.steps), ("steps alone afterwards", plan.personal), ("seed", plan.seed),
                ("adapter, SHA-256", lines[-1].adapter),
            ]
        )
    )  # fmt: skip
    body += ["<h2>Scores by round</h2>", _curves(lines)]
    body += ["<h2>Rounds</h2>", _rounds(lines), "<h2>Rejected</h2>"]
    refused = rejected(list(lines))
    body.append(
        "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in refused) + "</ul>" if refused else "<p>None.</p>"
    )
    body += _chosen(folder)
    for picture in sorted(folder.glob(f"agencies/*/{PICTURE}")):
        body += [f"<h3>{escape(picture.parent.name)}</h3>", figure(picture, "", "before and after")]
    return page(title, body)


def _curves(lines: Sequence[Line]) -> str:
    """Each agency's RMSE over persistence, the public days, and the averaging error, by round."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    drawn = Figure(figsize=(10.5, 3.2), layout="constrained")
    left, right = drawn.subplots(1, 2)
    _draw_scores(left, lines)
    known = [line for line in lines if line.aggregation_error is not None]
    right.plot([line.round for line in known], [100 * (line.aggregation_error or 0) for line in known], "o-", color="k")
    right.set(xlabel="round", ylabel="averaging error, %", title="What averaging A and B apart costs", ylim=(0, None))
    for axes in (left, right):
        axes.xaxis.get_major_locator().set_params(integer=True)
    held = io.BytesIO()
    drawn.savefig(held, format="png", dpi=130)
    return figure(held.getvalue(), "", "Curves by round")


def _draw_scores(axes: Axes, lines: Sequence[Line]) -> None:
    for name in sorted({answer.agency for line in lines for answer in line.answers}):
        points = [
            (line.round - 1, answer.scalars["rmse"] / answer.scalars["persistence"])
            for line in lines
            for answer in line.answers
            if answer.agency == name and answer.accepted and answer.scalars["persistence"]
        ]
        axes.plot([x for x, _ in points], [y for _, y in points], "o-", label=name)
    public = [(line.round, line.public) for line in lines if line.public is not None]
    if public:
        axes.plot([x for x, _ in public], [y for _, y in public], "k--", label="public days")
    axes.set(xlabel="rounds done", ylabel="RMSE over persistence's", title="The federation's adapter")
    refused = [(line.round, line.public) for line in lines if line.public is not None and not line.accepted]
    if refused:
        axes.plot([x for x, _ in refused], [y for _, y in refused], "kx", label="rejected")
    axes.legend(fontsize=7, loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False)


def _rounds(lines: Sequence[Line]) -> str:
    rows = []
    for line in lines:
        for answer in line.answers:
            told = answer.scalars
            rows.append(
                [
                    str(line.round), answer.agency, "yes" if answer.accepted else "no",
                    f"{told['rmse']:.3f}" if "rmse" in told else "", f"{told['loss']:.4g}" if "loss" in told else "",
                    "" if answer.norm is None else f"{answer.norm:.3g}", f"{100 * answer.clipped:.0f} %",
                    f"{(answer.bytes_down + answer.bytes_up) / 1e3:.0f}", f"{told.get('seconds', 0):.0f}",
                ]
            )  # fmt: skip
    heads = ("round", "agency", "counted", "RMSE, ug m-3", "loss", "norm", "clipped to", "kB", "s")
    return table(heads, rows, narrow=True)


def _chosen(folder: Path) -> list[str]:
    told = choices(folder)
    if not told:
        return []
    rows = []
    for name, values in sorted(told.items()):
        if set(values) == set(LAST_SCALARS):
            kept = NAMES[KINDS[int(values["chosen"])]]
            rows.append([name, *(f"{values[kind]:.3f}" for kind in KINDS), kept])
        else:
            rows.append([name, *[""] * len(KINDS), str(values.get("problem", "keeps its scores to itself"))])
    heads = ("agency", *(kind.replace("_", "-") for kind in KINDS), "keeps")
    note = "<p class=note>RMSE on scoring days, mean over leads; chosen by other days, the selection days.</p>"
    return ["<h2>What each agency keeps</h2>", table(heads, rows, narrow=True), note]
