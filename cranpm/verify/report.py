"""From scores to what is sent on: report.html, report.json and the figures beside them."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import cranpm
from cranpm.data.days import format_days
from cranpm.data.progress import Progress, silent
from cranpm.data.store import Store
from cranpm.forecast.engine import Engine
from cranpm.forecast.maps import Bands
from cranpm.region import Region
from cranpm.verify import figures, page
from cranpm.verify.baselines import ROWS, Fitted
from cranpm.verify.evaluate import Evaluation, day_maps
from cranpm.verify.metrics import Scores, map_sums, scores_of
from cranpm.verify.verdict import HIGH, headline, number, skill, verdict

SCHEMA_VERSION = 1
NO_EVIDENCE = (
    "Over a long period every method that keeps today's map has the right mean map, so this figure is no evidence of "
    "skill: persistence, which forecasts nothing, stands beside the model here for that reason. Judge by the daily scores."
)
NAMES = {"rmse": "RMSE", "mae": "MAE", "bias": "bias", "r2": "R²", "slope": "slope", "pixels": "pixels"}


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
    spec = engine.spec
    sentences = verdict(found, simulated=store.simulated, random_weights=spec.random_weights)
    period = _period_scores(found, store)
    drawn = _draw(out, region, engine, store, found, fitted, period, progress)
    document = summary(region, engine, store, found, period, sentences, fitted)
    _write(out / "report.json", json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    _write(out / "report.html", html(region, engine, store, found, period, sentences, fitted, drawn))
    return Report(out / "report.html", (headline(found) + ".", *sentences))


def summary(
    region: Region,
    engine: Engine,
    store: Store,
    found: Evaluation,
    period: dict[str, Scores],
    sentences: list[str],
    fitted: Fitted | None,
) -> dict[str, object]:
    """The report as JSON: concentrations in ug m-3, pooled over valid land pixels and days."""
    scored = [lead for lead in found.leads if found.of(lead)]
    return {
        "schema_version": SCHEMA_VERSION,
        "region": region.name,
        "world": "sample" if store.simulated else "real",
        "model": engine.spec.name,
        "days": [day.isoformat() for day in found.days],
        "tiles": found.tiles,
        "leads": {str(lead): _rows(found, lead, "fine") for lead in scored},
        "leads_25km": {str(lead): _rows(found, lead, "blocks") for lead in scored},
        "verdict": [headline(found) + ".", *sentences],
        "skill": {str(lead): {row: asdict(skill(found.of(lead), row)) for row in found.rows} for lead in scored},
        "bands": {"edges": list(found.edges), **{str(lead): _bands(found, lead) for lead in scored}},
        "period_mean": {"lead": found.period.lead, **{row: asdict(scores) for row, scores in period.items()}},
        "daily_rmse": {str(lead): _daily(found, lead) for lead in scored},
        "clipped_pixels": {str(lead): sum(result.clipped for result in found.of(lead)) for lead in scored},
        "seam_ratio": {str(lead): _seam(found, lead) for lead in scored},
        "ssim": {
            "data_range": found.data_range[0],
            "data_range_is": found.data_range[1],
            "window": "Gaussian, sigma 1.5",
        },
        "skipped": [{"day": day.isoformat(), "lead": lead, "reason": why} for day, lead, why in found.skipped],
        "notes": list(found.notes),
        "published": dict(region.published),
        "provenance": _provenance(region, engine, store, found, fitted),
    }


def html(
    region: Region,
    engine: Engine,
    store: Store,
    found: Evaluation,
    period: dict[str, Scores],
    sentences: list[str],
    fitted: Fitted | None,
    drawn: dict[str, Path],
) -> str:
    """The report as a page."""
    spec = engine.spec
    title = f"{spec.name} over {region.title}: 1 km PM2.5 forecasts, scored"
    window = "W {} · S {} · E {} · N {}".format(*(f"{edge:g}°" for edge in store.fine.edges))
    origin = f"trained on {'simulated ' if spec.simulated else ''}{spec.region}" if spec.region else "untrained"
    unchanged = ", unchanged" if spec.region and spec.region != region.name else ""
    leads = [lead for lead in found.leads if found.of(lead)]
    body = [
        *_banners(store, engine),
        f"<h1>How good is {spec.name} over {region.title}?</h1>",
        f'<p class="sub">Daily mean PM2.5 at 1 km, {len(found.days)} issue days ({format_days(found.days)}), '
        f"leads {', '.join(f'T+{lead}' for lead in leads)} · model {origin}{unchanged} · {window}</p>",
        page.verdict_box(headline(found), sentences),
        page.figure(drawn["skill"], _SKILL_CAPTION, "RMSE reduction against persistence by lead and method"),
        "<h2>Scores</h2><p>Concentrations in µg/m³, pooled over all valid land pixels and days, the same pixels for every "
        "method. Skill is the reduction of the RMSE against persistence. ● marks the best of a column.</p>",
        *(page.score_table(found, lead) for lead in leads),
        *(f'<p class="note">{note[0].upper()}{note[1:]}.</p>' for note in found.notes),
        "<h2>By concentration</h2>",
        page.figure(
            drawn["bands"], "Mean error where the truth lies in each band.", "Mean error by concentration band"
        ),
        _band_table(found, leads[0]),
        "<h2>Day by day</h2>",
        page.figure(
            drawn["daily"], "RMSE of each issue day. Breaks in the lines are breaks in the days.", "Daily RMSE"
        ),
        "<h2>Best, median and worst day</h2>",
        f"<p>By the model's RMSE at T+{leads[0]}. Coast from the store's land mask; grey: no valid truth.</p>",
        *(page.figure(drawn[name], "", f"Maps of the {name} day") for name in ("best", "median", "worst")),
        "<h2>Mean over the period</h2>",
        page.figure(drawn["period"], _period_caption(found, period), "Period-mean scatter"),
        f"<p>{NO_EVIDENCE}</p>",
        *_published(region),
        *_definitions(found, fitted),
        "<h2>Provenance and licence</h2>",
        page.facts(_provenance_lines(region, engine, store, found, fitted)),
    ]
    return page.page(("SIMULATED · " if store.simulated else "") + title, body)


_SKILL_CAPTION = (
    "Reduction of the RMSE against persistence at 1 km. Bars: 95 % of 2000 resamplings of the days; days that follow each "
    "other are alike, so the true uncertainty is somewhat larger."
)


def _banners(store: Store, engine: Engine) -> list[str]:
    out = []
    if store.simulated:
        identity = store.attrs.get("simulated")
        which = ""
        if isinstance(identity, dict):
            which = f" (seed {identity.get('seed')}, realisation {identity.get('realisation')})"
        out.append(
            page.banner(
                f"<strong>SIMULATED.</strong> Weather, concentrations and CAMS forecasts on this page come from the sample "
                f"world{which}, a simulator. They are not measurements and say nothing about the air of a real place."
            )
        )
    if engine.spec.random_weights:
        out.append(page.banner("<strong>UNTRAINED.</strong> The network has random weights; this is not a forecast."))
    return out


def _draw(
    out: Path,
    region: Region,
    engine: Engine,
    store: Store,
    found: Evaluation,
    fitted: Fitted | None,
    period: dict[str, Scores],
    progress: Progress,
) -> dict[str, Path]:
    """All figures, by name."""
    names = ("skill", "bands", "daily", "period", "best", "median", "worst")
    drawn = {name: out / f"{name}.png" for name in names}
    lead = found.period.lead
    panels = [(ROWS[row], getattr(found.period, row), scores) for row, scores in period.items()]
    figures.draw_skill(drawn["skill"], found)
    figures.draw_bands(drawn["bands"], found, lead)
    figures.draw_daily(drawn["daily"], found)
    figures.draw_period(drawn["period"], found.period, panels, len(found.of(lead)))
    index = region.index
    bands = Bands(index.name, index.bands, index.labels, index.hourly)
    mark = "SIMULATED · " if store.simulated else ""
    for done, (name, day) in enumerate(_three_days(found).items(), start=1):
        (_, maps, _), *_ = day_maps(engine, store, day, (lead,), ("model", "persistence"), fitted)
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


def _rows(found: Evaluation, lead: int, part: str) -> dict[str, dict[str, float | int | None]]:
    rows = {}
    for row in found.rows:
        plain, weighted = asdict(found.scores(lead, row, part)), asdict(found.scores(lead, row, f"{part}_w"))
        rows[row] = plain | {f"{name}_w": value for name, value in weighted.items() if name != "n"}
    return rows


def _bands(found: Evaluation, lead: int) -> dict[str, list[dict[str, float | int | str | None]]]:
    out = {}
    for row in found.rows:
        total = sum(result.bands[row] for result in found.of(lead))
        out[row] = [
            {
                "band": figures.band_name(found.edges, k),
                "n": int(n),
                "bias": float(error / n) if n else None,
                "rmse": float(np.sqrt(squared / n)) if n else None,
            }
            for k, (n, error, squared) in enumerate(total.T)
        ]
    return out


def _daily(found: Evaluation, lead: int) -> dict[str, dict[str, float]]:
    days = [result.day.isoformat() for result in found.of(lead)]
    return {row: dict(zip(days, found.daily_rmse(lead, row), strict=True)) for row in found.rows}


def _seam(found: Evaluation, lead: int) -> float | None:
    known = [result.seam for result in found.of(lead) if result.seam is not None]
    return float(np.mean(known)) if known else None


def _band_table(found: Evaluation, lead: int) -> str:
    bands = _bands(found, lead)
    header = [
        "truth, µg/m³",
        "pixels",
        *(f"{ROWS[row]}: bias" for row in found.rows),
        "model: RMSE",
        "persistence: RMSE",
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
        f"{ROWS[row]}: slope {number(scores.slope, '.2f')}, R² {number(scores.r2, '.3f')}, "
        f"bias {number(scores.bias, '+.2f')} µg/m³"
        for row, scores in period.items()
    ]
    return (
        f"Mean of {len(found.of(found.period.lead))} days at T+{found.period.lead}, pixel by pixel. {'. '.join(parts)}."
    )


def _published(region: Region) -> list[str]:
    if not region.published:
        return []
    rows = []
    for key, value in region.published.items():
        name, _, rest = key.partition("_")
        if name in NAMES and not isinstance(value, str):
            where = f"T+{rest}" if rest.isdigit() else rest or "mean of the year"
            rows.append([NAMES[name], where, f"{value:,}" if name == "pixels" else f"{value:g}"])
    said = f"{region.published.get('source', 'source not stated')} ({region.published.get('kind', 'kind not stated')})"
    return [
        "<h2>Published figures, for orientation</h2>",
        f"<p>From {page.escape(said)}. Another network, other data, other days and the whole domain: they are not comparable "
        "with the tables above, and are given to show what was claimed.</p>",
        page.table(["score", "for", "value"], rows),
    ]


def _definitions(found: Evaluation, fitted: Fitted | None) -> list[str]:
    low_high = f"{found.data_range[0]:.1f} µg/m³ ({found.data_range[1]})"
    pairs = [
        ("Valid pixel", "land with a truth value on the valid day; sea and retrieval gaps never count"),
        ("Truth", "the store's daily 1 km PM2.5 (GHAP) of the valid day, itself a retrieval with errors of its own"),
        ("RMSE, MAE, bias", "of forecast minus truth; one pool of all pixels and days, not a mean of daily scores"),
        ("R², slope", "squared correlation; least-squares slope of forecast on truth"),
        ("SSIM", f"Gaussian windows of sigma 1.5 pixels (11 × 11), data range {low_high}; invalid pixels take the day's "
         "mean truth in both maps; mean over windows centred on valid pixels"),
        ("25 km", "means of 25 × 25 pixels from the north-west corner, kept where at least half is valid"),
        ("cos-lat weighted", "in report.json with the suffix _w"),
        ("Persistence", "the map of day t, its gaps filled from day t−1, else from the coarse analysis: the model's own start"),
    ]  # fmt: skip
    if fitted is not None:
        years = ", ".join(str(year) for year in fitted.about.get("years", []))  # type: ignore[attr-defined]
        pairs += [
            ("Climatology", f"mean map with an annual cycle, fitted on {years}"),
            ("Damped persistence", f"climatology plus a damped departure of day t from it, fitted on {years}"),
        ]
    if "cams" in found.rows:
        pairs.append(
            ("CAMS forecast", "issued on day t for the valid day, bilinear to 1 km; never an analysis of the valid day")
        )
    if fitted is not None and "cams_corrected" in found.rows:
        pairs.append(("CAMS forecast, corrected", f"one straight line per place and lead, fitted on {years}"))
    return ["<h2>Definitions</h2>", page.facts(pairs)]


def _provenance(
    region: Region, engine: Engine, store: Store, found: Evaluation, fitted: Fitted | None
) -> dict[str, object]:
    spec = engine.spec
    return {
        "created": dt.datetime.now(dt.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cranpm_version": cranpm.__version__,
        "model_hash": spec.hash,
        "model_licence": spec.licence,
        "model_region": spec.region,
        "model_trained_on_simulated": spec.simulated,
        "model_provenance": json.loads(json.dumps(dict(spec.provenance), default=str)),
        "random_weights": spec.random_weights,
        "device": spec.device,
        "simulated": store.attrs.get("simulated"),
        "sources": store.attrs.get("sources"),
        "licences": store.attrs.get("licences"),
        "fine_edges_wsen": list(store.fine.edges),
        "overlap": store.overlap,
        "baselines": None if fitted is None else fitted.about,
        "seconds": round(found.seconds, 1),
        "region_licence": region.licence,
        "region_attribution": region.attribution,
    }


def _provenance_lines(
    region: Region, engine: Engine, store: Store, found: Evaluation, fitted: Fitted | None
) -> list[tuple[str, object]]:
    spec = engine.spec
    skipped = f"{len({(day, lead) for day, lead, _ in found.skipped})} of {len(found.results) + len(found.skipped)}"
    reasons = "; ".join(dict.fromkeys(reason for _, _, reason in found.skipped))
    clipped = ", ".join(f"T+{lead}: {sum(r.clipped for r in found.of(lead)):,}" for lead in found.leads)
    seams = ", ".join(f"T+{lead}: {number(_seam(found, lead), '.2f')}" for lead in found.leads)
    licences = store.attrs.get("licences")
    terms = "; ".join(
        f"{name}: {entry.get('attribution', '')} ({entry.get('licence', '')})"
        for name, entry in (licences.items() if isinstance(licences, dict) else ())
    )
    return [
        ("Model", f"{spec.name}, weights SHA-256 {spec.hash[:16]}…" if spec.hash else f"{spec.name}, random weights"),
        ("Model licence", spec.licence),
        ("World", "sample (simulated)" if store.simulated else "real"),
        ("Data", terms),
        ("Baselines", "" if fitted is None else f"fitted on {fitted.about.get('fitted_days')} days"),
        ("Region pack", f"{region.name}: {region.attribution} ({region.licence})"),
        ("Tiles per map", f"{found.tiles}, overlap at least {store.overlap} px"),
        ("Seams", f"steps at tile edges relative to elsewhere, {seams} (1: edges do not show)"),
        ("Raised to 0", f"land pixels that came out negative, {clipped}"),
        ("Left out", f"{skipped} forecasts{': ' + reasons if reasons else ''}"),
        ("Time", f"{found.seconds:.0f} s for forecasting and scoring on {spec.device}"),
        ("Written", f"{dt.datetime.now(dt.timezone.utc):%Y-%m-%d %H:%M} UTC by cranpm {cranpm.__version__}"),
    ]


def _write(path: Path, text: str) -> None:
    part = path.with_name(f".{path.name}.part")
    part.write_text(text, encoding="utf-8")
    part.replace(path)
