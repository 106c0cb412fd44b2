"""The back of the report: published figures, definitions, provenance."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from html import escape

import cranpm
from cranpm.forecast.engine import EngineSpec
from cranpm.region import Region
from cranpm.verify import page
from cranpm.verify.baselines import Fitted
from cranpm.verify.evaluate import Evaluation
from cranpm.verify.summary import Case, seam_of
from cranpm.verify.verdict import number

NAMES = {"rmse": "RMSE", "mae": "MAE", "bias": "bias", "r2": "R²", "slope": "slope", "pixels": "pixels"}


def published(region: Region) -> list[str]:
    """What was published for the region, clearly apart from what was measured here."""
    if not region.published:
        return []
    rows = []
    for key, value in region.published.items():
        name, _, rest = key.partition("_")
        if name in NAMES and not isinstance(value, str):
            where = f"T+{rest}" if rest.isdigit() else rest or "mean of the year"
            rows.append([NAMES[name], where, f"{value:,.0f}" if name == "pixels" else number(value, "g")])
    said = f"{region.published.get('source', 'source not stated')} ({region.published.get('kind', 'kind not stated')})"
    return [
        "<h2>Published figures, for orientation</h2>",
        f"<p>From {escape(said)}. Another network, other data, other days and the whole domain: they are not "
        "comparable with the tables above, and are given to show what was claimed.</p>",
        page.table(["score", "for", "value"], rows, narrow=True),
    ]


def definitions(case: Case) -> list[str]:
    """What the scores and the methods are."""
    found, fitted = case.found, case.fitted
    low_high = f"{found.data_range[0]:.1f} µg/m³ ({found.data_range[1]})"
    pairs = [
        ("Valid pixel", "land with a truth value on the valid day; sea and retrieval gaps never count"),
        ("Truth", "the store's daily 1 km PM2.5 (GHAP) of the valid day, itself a retrieval with errors of its own"),
        ("RMSE, MAE, bias", "of forecast minus truth; one pool of all pixels and days, not a mean of daily scores"),
        ("R², slope", "squared correlation; least-squares slope of forecast on truth"),
        ("SSIM", f"Gaussian windows of sigma 1.5 pixels (11 by 11), data range {low_high}; invalid pixels take "
         "the day's mean truth in both maps; mean over windows centred on valid pixels"),
        ("Power, by km", f"variance of the map in a band of wavelengths, {_windows(found)}; weights fall to 0 "
         "towards sea, gaps and the map's edge, the same for every map"),
        ("Error, by km", "the same of forecast minus truth; no link between the two maps gives power over the "
         "truth's plus 1"),
        ("25 km", "means of 25 by 25 pixels from the north-west corner, kept where at least half is valid"),
        ("cos-lat weighted", "in report.json with the suffix _w"),
        ("Persistence", "the map of day t, its gaps filled from the day before, else from the coarse analysis: "
         "the model's own start"),
    ]  # fmt: skip
    if fitted is not None:
        years = ", ".join(str(year) for year in fitted.about.get("years", []))  # type: ignore[attr-defined]
        years = years or str(fitted.about.get("days", "days not stated")).replace(",", ", ")
        pairs += [
            ("Climatology", f"mean map with an annual cycle, fitted on {years}"),
            ("Damped persistence", f"climatology plus a damped departure of day t from it, fitted on {years}"),
        ]
    if "cams" in found.rows:
        pairs.append(
            ("CAMS forecast", "issued on day t for the valid day, bilinear to 1 km; never an analysis of the valid day")
        )
    if fitted is not None and "cams_corrected" in found.rows:
        pairs += [
            ("CAMS forecast, corrected", f"one straight line per place and lead, fitted on {years}"),
            ("Linear blend", f"{_blends(fitted, found.leads)}; least squares over all land pixels of {years}"),
        ]
    return ["<h2>Definitions</h2>", page.facts(pairs)]


def _windows(found: Evaluation) -> str:
    """Where spectra were taken, in words."""
    if not found.windows:
        return "not taken of so small a map"
    height, width = found.windows[0].shape
    number_of = len(found.windows)
    return f"over {number_of} window{'s' if number_of > 1 else ''} of {height} by {width} pixels"


def _blends(fitted: Fitted, leads: Sequence[int]) -> str:
    """The blend of each lead as a sum."""
    names = ("·persistence", "·climatology", "·corrected CAMS forecast", " µg/m³")
    sums = []
    for lead in leads:
        k = fitted.leads.index(lead)
        parts = zip((*fitted.weights[k], fitted.constant[k]), names, strict=True)
        terms = [number(float(value), "+.2f") + name for value, name in parts]
        sums.append(f"T+{lead}: {' '.join(terms).lstrip('+')}")
    return "; ".join(sums)


def _adapter(spec: EngineSpec) -> list[tuple[str, object]]:
    """What an adapter is, and where and on which days it was trained; nothing where none is worn."""
    adapter = spec.adapter
    if adapter is None:
        return []
    parts = [f"{part}: {days.replace(',', ', ')}" for part, days in adapter.days.items()]
    return [
        ("Adapter", f"{adapter.name}, tensors SHA-256 {adapter.hash[:16]}…"),
        ("Adapted on", f"{adapter.trained_on} ({'; '.join(parts)})"),
        ("Adapter licence", adapter.licence),
    ]


def provenance(case: Case) -> list[tuple[str, object]]:
    """Where everything comes from and on what terms, as names and values."""
    region, store, found, fitted, spec = case.region, case.store, case.found, case.fitted, case.engine.spec
    skipped = f"{len({(day, lead) for day, lead, _ in found.skipped})} of {len(found.results) + len(found.skipped)}"
    reasons = "; ".join(dict.fromkeys(reason for _, _, reason in found.skipped))
    clipped = ", ".join(f"T+{lead}: {sum(r.clipped for r in found.of(lead)):,}" for lead in case.leads)
    seams = ", ".join(f"T+{lead}: {number(seam_of(found, lead), '.2f')}" for lead in case.leads)
    licences = store.attrs.get("licences")
    terms = "; ".join(
        f"{name}: {entry.get('attribution', '')} ({entry.get('licence', '')})"
        for name, entry in (licences.items() if isinstance(licences, dict) else ())
    )
    return [
        ("Model", f"{spec.name}, weights SHA-256 {spec.hash[:16]}…" if spec.hash else f"{spec.name}, random weights"),
        ("Model licence", spec.licence),
        *_adapter(spec),
        ("World", "sample (simulated)" if store.simulated else "real"),
        ("Data", terms),
        ("Baselines", "" if fitted is None else f"fitted on {fitted.about.get('fitted_days')} days"),
        ("Region pack", f"{region.name}: {region.attribution} ({region.licence})"),
        ("Tiles per map", f"{found.tiles}, overlap at least {store.overlap} px"),
        ("Seams", f"steps at tile edges relative to elsewhere, {seams} (1: edges do not show)"),
        ("Raised to 0", f"land pixels that came out negative, {clipped}"),
        ("Left out", f"{skipped} forecasts{': ' + reasons if reasons else ''}"),
        ("Time", f"{found.seconds:.0f} s for forecasting and scoring on {spec.device}"),
        ("Written", f"{dt.datetime.now(dt.UTC):%Y-%m-%d %H:%M} UTC by cranpm {cranpm.__version__}"),
    ]
