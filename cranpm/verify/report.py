"""From scores to what is sent on: report.html, report.json and the figures beside them."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np

from cranpm.data.days import format_days
from cranpm.data.progress import Progress, silent
from cranpm.data.store import Store
from cranpm.folders import write_whole
from cranpm.forecast.engine import Engine, EngineSpec
from cranpm.forecast.maps import Bands
from cranpm.region import Region, list_regions, load_region
from cranpm.verify import appendix, figures, page
from cranpm.verify.baselines import ROWS, Fitted
from cranpm.verify.evaluate import Evaluation, day_maps
from cranpm.verify.metrics import Scores, map_sums, scores_of
from cranpm.verify.summary import Case, band_errors, summary
from cranpm.verify.verdict import HIGH, headline, number, verdict

NO_EVIDENCE = (
    "Over a long period every method that keeps today's map has the right mean map, so this figure is no evidence "
    "of skill: persistence, which forecasts nothing, stands beside the model here for that reason. Judge by the "
    "daily scores."
)


@dataclass(frozen=True)
class Report:
    """What was written: the page, and the verdict it opens with."""

    path: Path
    verdict: tuple[str, ...]


def band_edges(region: Region) -> tuple[float, ...]:
    """Bounds of the concentration bands: the pack's thresholds, its index, and the 40 ug m-3 of the paper."""
    return tuple(sorted({*map(float, region.thresholds), *map(float, region.index.bands), HIGH}))


def write_report(
    out: Path,
    region: Region,
    engine: Engine,
    store: Store,
    found: Evaluation,
    fitted: Fitted | None,
    progress: Progress = silent,
) -> Report:
    """Draw the figures and write the report into a folder.

    Args:
        out: the folder, made where there is none.
        region: the pack.
        engine, store, fitted: what the scores were made with; three days are forecast again for their maps.
        found: the scores.
        progress: told after each figure.
    """
    out.mkdir(parents=True, exist_ok=True)
    sentences = verdict(found, simulated=store.simulated, random_weights=engine.spec.random_weights)
    case = Case(region, engine, store, fitted, found, _period_scores(found, store), sentences)
    drawn = _draw(out, case, progress)
    document = json.dumps(summary(case), indent=1, ensure_ascii=False, allow_nan=False)
    write_whole(out / "report.json", f"{document}\n".encode())
    write_whole(out / "report.html", html(case, drawn).encode())
    return Report(out / "report.html", (headline(found) + ".", *sentences))


def html(case: Case, drawn: dict[str, Path]) -> str:
    """The report as a page."""
    region, store, found, leads, spec = case.region, case.store, case.found, case.leads, case.engine.spec
    title = f"{spec.label} over {region.title}: 1 km PM2.5 forecasts, scored"
    window = "W {} · S {} · E {} · N {}".format(*(f"{edge:g}°" for edge in store.fine.edges))
    days = format_days(found.days).replace(",", ", ")
    body = [
        *_banners(case),
        f"<h1>How good is {escape(spec.label)} over {region.title}?</h1>",
        f'<p class="sub">Daily mean PM2.5 at 1 km, {len(found.days)} issue days ({days}), '
        f"leads {', '.join(f'T+{lead}' for lead in leads)} · model {escape(_origin(spec, region))} · {window}</p>",
        page.verdict_box(headline(found), case.sentences),
        page.figure(drawn["skill"], _SKILL_CAPTION, "RMSE reduction against persistence by lead and method"),
        "<h2>Scores</h2>",
        "<p>Concentrations in µg/m³, pooled over all valid land pixels and days, the same pixels for every method. "
        "Skill is the reduction of the RMSE against persistence. ● marks the best of a column.</p>",
        *(page.score_table(found, lead) for lead in leads),
        *(f'<p class="note">{note[0].upper()}{note[1:]}.</p>' for note in found.notes),
        "<h2>By concentration</h2>",
        page.figure(
            drawn["bands"], "Mean error where the truth lies in each band.", "Mean error by concentration band"
        ),
        _band_table(found, leads[0]),
        *_detail(case, drawn),
        "<h2>Day by day</h2>",
        page.figure(
            drawn["daily"], "RMSE of each issue day. A line breaks where more than a week is left out.", "Daily RMSE"
        ),
        "<h2>Best, median and worst day</h2>",
        f"<p>By the model's RMSE at T+{leads[0]}. Coast from the store's land mask; grey: no valid truth.</p>",
        *(page.figure(drawn[name], "", f"Maps of the {name} day") for name in ("best", "median", "worst")),
        "<h2>Mean over the period</h2>",
        page.figure(drawn["period"], _period_caption(found, case.period), "Period-mean scatter"),
        f"<p>{NO_EVIDENCE}</p>",
        *appendix.published(region),
        *appendix.definitions(case),
        "<h2>Provenance and licence</h2>",
        page.facts(appendix.provenance(case)),
    ]
    return page.page(("SIMULATED · " if store.simulated else "") + title, body)


def _origin(spec: EngineSpec, region: Region) -> str:
    """Where the model was trained, and whether it was adapted since, in words."""
    if not spec.region:
        return "untrained"
    origin = f"trained on {'simulated ' if spec.simulated else ''}{_title(spec.region)}"
    if spec.adapter:
        return f"{origin}, adapted to {spec.adapter.trained_on}"
    if isinstance(adapted := spec.provenance.get("adapted"), dict):
        return f"{origin}, adapted to {adapted.get('region')}"
    return origin if spec.region == region.name else f"{origin}, unchanged"


_SKILL_CAPTION = (
    "Reduction of the RMSE against persistence at 1 km. Bars: 95 % of 2000 resamplings of the days; days that follow "
    "each other are alike, so the true uncertainty is somewhat larger."
)


_DETAIL = (
    "How much of the truth's variance a map holds at each wavelength: below 1 it is blurred, above 1 it shows detail "
    "that is not there, and what it shows is in the right place only where the error is well below 1. The measure is "
    "the truth itself, averaged over the valid day and the day before: a map with less power than that at 2 to 16 km "
    "blurs more than a day of weather does."
)


def _detail(case: Case, drawn: dict[str, Path]) -> list[str]:
    """The spectra: figure, reading aid, tables; nothing for a map that is too small."""
    if "spectrum" not in drawn:
        return []
    found, leads = case.found, case.leads
    without = [f"T+{lead}: {count}" for lead in leads if (count := sum(not r.likeness for r in found.of(lead)))]
    note = f"Days whose day before is not in the store, left out of the truth's rows: {', '.join(without)}."
    return [
        "<h2>Detail by wavelength</h2>",
        f"<p>{_DETAIL}</p>",
        page.figure(drawn["spectrum"], "Spectra of the maps and of the truth.", "Variance by wavelength, and ratios"),
        *(page.spectrum_table(found, lead) for lead in leads),
        *([f'<p class="note">{note}</p>'] if without else []),
    ]


def _banners(case: Case) -> list[str]:
    out = []
    if case.store.simulated:
        identity = case.store.attrs.get("simulated")
        which = ""
        if isinstance(identity, dict):
            which = f" (seed {identity.get('seed')}, realisation {identity.get('realisation')})"
        out.append(
            page.banner(
                "<strong>SIMULATED.</strong> Weather, concentrations and CAMS forecasts on this page come from the "
                f"sample world{which}, a simulator. They are not measurements and say nothing about the air of a real "
                "place."
            )
        )
    if case.engine.spec.random_weights:
        out.append(page.banner("<strong>UNTRAINED.</strong> The network has random weights; this is not a forecast."))
    return out


def _draw(out: Path, case: Case, progress: Progress) -> dict[str, Path]:
    """All figures, by name."""
    names = ("skill", "bands", "daily", "period", "best", "median", "worst")
    drawn = {name: out / f"{name}.png" for name in names}
    found, store, index = case.found, case.store, case.region.index
    lead = found.period.lead
    panels = [(ROWS[row], getattr(found.period, row), scores) for row, scores in case.period.items()]
    figures.draw_skill(drawn["skill"], found)
    figures.draw_bands(drawn["bands"], found, lead)
    figures.draw_daily(drawn["daily"], found)
    if all(found.spectrum(lead, "model").weight > 0 for lead in case.leads):
        drawn["spectrum"] = out / "spectrum.png"
        figures.draw_spectrum(drawn["spectrum"], found)
    figures.draw_period(drawn["period"], found.period, panels, len(found.of(lead)))
    bands = Bands(index.name, index.bands, index.labels, index.hourly)
    mark = "SIMULATED · " if store.simulated else ""
    for done, (name, day) in enumerate(_three_days(found).items(), start=1):
        (_, maps, _), *_ = day_maps(case.engine, store, day, (lead,), ("model", "persistence"), case.fitted)
        valid_day = day + dt.timedelta(days=lead)
        title = f"{mark}{name.capitalize()} day: issued {day}, T+{lead}, valid {valid_day}"
        figures.draw_day(drawn[name], store.fine, store.land, maps | {"truth": store.pm(valid_day)}, bands, title=title)
        progress("drawing maps", done, 3)
    return drawn


def _three_days(found: Evaluation) -> dict[str, dt.date]:
    """Issue days with the lowest, the median and the highest RMSE of the model at the first lead."""
    results = found.of(found.period.lead)
    order = np.argsort(found.daily_rmse(found.period.lead, "model"), kind="stable")
    places = {"best": order[0], "median": order[len(order) // 2], "worst": order[-1]}
    return {name: results[int(place)].day for name, place in places.items()}


def _period_scores(found: Evaluation, store: Store) -> dict[str, Scores]:
    period = found.period
    seen = np.isfinite(period.truth)
    maps = {"model": period.model, "persistence": period.persistence}
    sums = {
        row: map_sums(values, period.truth, seen, store.fine.lats, data_range=found.data_range[0])
        for row, values in maps.items()
    }
    return {row: scores_of(value.fine) for row, value in sums.items()}


def _band_table(found: Evaluation, lead: int) -> str:
    bands = band_errors(found, lead)
    header = [
        "truth, µg/m³",
        "pixels",
        *(f"bias of {ROWS[row]}" for row in found.rows),
        "RMSE of model",
        "RMSE of persistence",
    ]
    rows = []
    for k, model in enumerate(bands["model"]):
        if model["n"]:
            errors = [number(bands[row][k]["bias"], "+.1f") for row in found.rows]  # type: ignore[arg-type]
            rmse = [number(bands[row][k]["rmse"], ".1f") for row in ("model", "persistence")]  # type: ignore[arg-type]
            rows.append([str(model["band"]), f"{model['n']:,}", *errors, *rmse])
    return f"<h3>T+{lead}</h3>" + page.table(header, rows)


def _period_caption(found: Evaluation, period: dict[str, Scores]) -> str:
    parts = [
        f"{ROWS[row].capitalize()}: slope {number(scores.slope, '.2f')}, R² {number(scores.r2, '.3f')}, "
        f"bias {number(scores.bias, '+.2f')} µg/m³"
        for row, scores in period.items()
    ]
    return (
        f"Mean of {len(found.of(found.period.lead))} days at T+{found.period.lead}, pixel by pixel. {'. '.join(parts)}."
    )


def _title(name: str) -> str:
    """Title of a region that ships with the package, or the name itself."""
    return load_region(name).title if name in list_regions() else name
