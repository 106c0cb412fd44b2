"""The report as one HTML file: styles and figures inside, nothing fetched."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape
from itertools import pairwise
from pathlib import Path

from cranpm.verify.baselines import ROWS
from cranpm.verify.evaluate import YARDSTICKS, Evaluation
from cranpm.verify.metrics import Scores
from cranpm.verify.spectrum import EDGES_KM
from cranpm.verify.verdict import BLANK, number

CSS = """
:root{--ink:#1d2733;--muted:#5b6775;--line:#d9dfe5;--soft:#f4f6f8;--blue:#0072b2;--warn:#fff3d6;--warnline:#e69f00}
*{box-sizing:border-box}
body{font:15px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;color:var(--ink);
margin:0 auto;max-width:1120px;padding:28px 28px 60px;background:#fff}
h1{font-size:26px;line-height:1.25;margin:6px 0 4px}h2{font-size:18px;margin:38px 0 8px;padding-top:14px;
border-top:1px solid var(--line)}h3{font-size:15px;margin:22px 0 6px}p{margin:8px 0;max-width:78ch}
.sub,.note,figcaption{color:var(--muted);font-size:13px}p.sub,p.note{max-width:none}
.banner{background:var(--warn);border:1px solid var(--warnline);
border-left:6px solid var(--warnline);padding:9px 14px;margin:0 0 18px;font-size:14px}
.verdict{background:var(--soft);border-left:6px solid var(--blue);padding:14px 18px;margin:18px 0}
.verdict strong.lead{font-size:18px;display:block;margin-bottom:6px}.verdict ul{margin:0;padding-left:20px}
.verdict li{margin:3px 0}.scroll{overflow-x:auto}table{border-collapse:collapse;font-size:13px;width:100%;
font-variant-numeric:tabular-nums;margin:6px 0}
th,td{padding:5px 5px;text-align:right;border-bottom:1px solid var(--line);
white-space:nowrap}th{color:var(--muted);font-weight:600;vertical-align:bottom}thead th{white-space:normal}
table.narrow{width:auto}table.narrow td,table.narrow th{padding-right:28px}
th:first-child,td:first-child{text-align:left}
thead tr.group th{text-align:center;border-bottom:none;color:var(--ink)}td.sep,th.sep{border-left:2px solid var(--line)}
tr.model td{background:#eaf3f9;font-weight:600}td.best::after{content:" \\25CF";color:var(--blue);font-size:9px}
td:not(.best)::after{content:" \\25CF";color:transparent;font-size:9px}td:first-child::after{content:none!important}
figure{margin:14px 0}img{max-width:100%;height:auto;display:block}figcaption{margin-top:4px;max-width:90ch}
dl{display:grid;grid-template-columns:max-content 1fr;gap:3px 18px;font-size:13px;margin:8px 0}dt{color:var(--muted)}
dd{margin:0;overflow-wrap:anywhere}
@media print{body{max-width:none;padding:0}figure,table,.verdict{break-inside:avoid}h2{break-after:avoid}}
"""


def page(title: str, body: Sequence[str]) -> str:
    """The whole document."""
    meta = '<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    head = f"<head>{meta}<title>{escape(title)}</title><style>{CSS}</style></head>"
    return f'<!doctype html>\n<html lang="en">{head}\n<body>\n' + "\n".join(body) + "\n</body></html>\n"


def banner(text: str) -> str:
    """A warning across the page."""
    return f'<div class="banner" role="note">{text}</div>'


def verdict_box(headline: str, sentences: Sequence[str]) -> str:
    """The verdict, first line large."""
    items = "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)
    return f'<div class="verdict"><strong class="lead">{escape(headline)}</strong><ul>{items}</ul></div>'


def figure(picture: Path | bytes, caption: str, alt: str) -> str:
    """A picture inside the page: a PNG file, or its bytes."""
    data = base64.b64encode(picture if isinstance(picture, bytes) else picture.read_bytes()).decode()
    return (
        f'<figure><img alt="{escape(alt)}" src="data:image/png;base64,{data}">'
        f"<figcaption>{escape(caption)}</figcaption></figure>"
    )


def facts(pairs: Sequence[tuple[str, object]]) -> str:
    """Names and values, empty values left out."""
    rows = "".join(f"<dt>{escape(name)}</dt><dd>{escape(str(value))}</dd>" for name, value in pairs if str(value))
    return f"<dl>{rows}</dl>"


def table(header: Sequence[str], rows: Sequence[Sequence[str]], *, narrow: bool = False) -> str:
    """A plain table; cells are text. A narrow one is as wide as its text."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    kind = ' class="narrow"' if narrow else ""
    return f'<div class="scroll"><table{kind}><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def score_table(found: Evaluation, lead: int) -> str:
    """All rows at one lead, 1 km beside 25 km, the best of each column marked."""
    columns = ("RMSE", "skill %", "MAE", "bias", "R²", "slope", "SSIM")
    parts = [{row: found.scores(lead, row, part) for row in found.rows} for part in ("fine", "blocks")]
    cells = [_cells(part) for part in parts]
    marks = [_best(part) for part in parts]
    body = []
    for row in found.rows:
        line = [f"<td>{ROWS[row]}</td>"]
        for k in range(2):
            for name in columns:
                kinds = (["best"] if marks[k].get(name) == row else []) + (["sep"] if name == "RMSE" else [])
                line.append(f'<td class="{" ".join(kinds)}">{cells[k][row][name]}</td>')
        body.append(f"<tr{' class=model' if row == 'model' else ''}>{''.join(line)}</tr>")
    counts = [next(iter(part.values())).n for part in parts]
    heads = "".join(
        f'<th class="sep" colspan="{len(columns)}">{scale} ({count:,} {what})</th>'
        for scale, what, count in zip(("1 km", "25 km"), ("pixels", "blocks"), counts, strict=True)
    )
    names = "".join(f"<th{' class=sep' if name == 'RMSE' else ''}>{name}</th>" for name in columns) * 2
    head = f'<thead><tr class="group"><th></th>{heads}</tr><tr><th>method</th>{names}</tr></thead>'
    days = len(found.of(lead))
    title = f"<h3>T+{lead}, {days} day{'s' if days > 1 else ''}</h3>"
    return f'{title}<div class="scroll"><table>{head}<tbody>{"".join(body)}</tbody></table></div>'


def spectrum_table(found: Evaluation, lead: int) -> str:
    """Power and power of the error over the truth's, by wavelength, for all rows and the yardsticks at one lead."""
    bands = [f"{low:g}\u2060–\u2060{high:g}" for low, high in pairwise(EDGES_KM)]
    body = []
    for row, name in (ROWS | YARDSTICKS).items():
        one = found.spectrum(lead, row)
        if one.weight > 0:
            cells = [number(value, ".2f") for part in (one.ratio, one.error_ratio) for value in part[1:-1]]
            line = _cut([*cells, number(found.ssim(lead, row), ".3f")], len(bands))
            body.append(f"<tr{' class=model' if row == 'model' else ''}><td>{escape(name)}</td>{line}</tr>")
    model = found.spectrum(lead, "model")
    truth = [number(float(value / model.weight), ".2f") for value in model.truth[1:-1]]
    line = _cut([*truth, *[BLANK] * len(bands), BLANK], len(bands))
    body.append(f"<tr><td>variance of the truth, (µg/m³)²</td>{line}</tr>")
    groups = ("power over the truth's, by km", "power of the error over the truth's, by km")
    heads = "".join(f'<th class="sep" colspan="{len(bands)}">{group}</th>' for group in groups)
    names = _cut([*bands, *bands, "SSIM"], len(bands), "th")
    head = f'<thead><tr class="group"><th></th>{heads}<th class="sep"></th></tr><tr><th>map</th>{names}</tr></thead>'
    return f'<h3>T+{lead}</h3><div class="scroll"><table>{head}<tbody>{"".join(body)}</tbody></table></div>'


def _cut(cells: Sequence[str], every: int, tag: str = "td") -> str:
    """Cells of a row with a line before each group."""
    return "".join(f"<{tag}{'' if k % every else ' class=sep'}>{cell}</{tag}>" for k, cell in enumerate(cells))


def _cells(scores: dict[str, Scores]) -> dict[str, dict[str, str]]:
    reference = scores["persistence"].rmse
    return {
        row: {
            "RMSE": number(one.rmse, ".2f"),
            "skill %": number(_skill(one.rmse, reference), "+.1f") if row != "persistence" else BLANK,
            "MAE": number(one.mae, ".2f"),
            "bias": number(one.bias, "+.2f"),
            "R²": number(one.r2, ".3f"),
            "slope": number(one.slope, ".2f"),
            "SSIM": number(one.ssim, ".3f"),
        }
        for row, one in scores.items()
    }


def _best(scores: dict[str, Scores]) -> dict[str, str]:
    """Which row is best in each column (no mark for the skill, which says the same as the RMSE)."""
    distance = {
        "RMSE": lambda s: s.rmse,
        "MAE": lambda s: s.mae,
        "bias": lambda s: None if s.bias is None else abs(s.bias),
        "R²": lambda s: None if s.r2 is None else -s.r2,
        "slope": lambda s: None if s.slope is None else abs(s.slope - 1),
        "SSIM": lambda s: None if s.ssim is None else -s.ssim,
    }
    best = {}
    for name, value in distance.items():
        known = {row: value(one) for row, one in scores.items() if value(one) is not None}
        if known:
            best[name] = min(known, key=known.__getitem__)
    return best


def _skill(rmse: float | None, reference: float | None) -> float | None:
    return None if rmse is None or not reference else 100 * (1 - rmse / reference)
