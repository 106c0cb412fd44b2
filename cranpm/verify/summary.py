"""The report as JSON."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass

import numpy as np

import cranpm
from cranpm.data.store import Store
from cranpm.forecast.engine import Engine, EngineSpec
from cranpm.region import Region
from cranpm.verify.baselines import MEMBERS, Fitted
from cranpm.verify.evaluate import TWO_DAY_MEAN, YARDSTICKS, Evaluation
from cranpm.verify.figures import band_name
from cranpm.verify.metrics import Scores
from cranpm.verify.spectrum import DETAIL, EDGES_KM, no_more_blur
from cranpm.verify.verdict import best_reference, headline, skill

SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Case:
    """What a report is about.

    Attributes:
        region: the pack.
        engine: the model.
        store: inputs and truth.
        fitted: the fitted baselines, where there are any.
        found: the scores.
        period: scores of the period means at the first lead, of the model and of persistence.
        sentences: the verdict.
    """

    region: Region
    engine: Engine
    store: Store
    fitted: Fitted | None
    found: Evaluation
    period: dict[str, Scores]
    sentences: list[str]

    @property
    def leads(self) -> list[int]:
        """The leads that could be scored."""
        return [lead for lead in self.found.leads if self.found.of(lead)]


def summary(case: Case) -> dict[str, object]:
    """The report as JSON: concentrations in ug m-3, pooled over valid land pixels and days."""
    found, scored = case.found, case.leads
    return {
        "schema_version": SCHEMA_VERSION,
        "region": case.region.name,
        "world": "sample" if case.store.simulated else "real",
        "model": case.engine.spec.name,
        "adapter": case.engine.spec.adapter and case.engine.spec.adapter.name,
        "days": [day.isoformat() for day in found.days],
        "tiles": found.tiles,
        "leads": {str(lead): _rows(found, lead, "fine") for lead in scored},
        "leads_25km": {str(lead): _rows(found, lead, "blocks") for lead in scored},
        "verdict": [headline(found) + ".", *case.sentences],
        "skill": {str(lead): {row: asdict(skill(found.of(lead), row)) for row in found.rows} for lead in scored},
        "best_reference": {str(lead): _best_reference(found, lead) for lead in scored},
        "blend": {} if case.fitted is None else _blend(case.fitted),
        "bands": {"edges": list(found.edges), **{str(lead): band_errors(found, lead) for lead in scored}},
        "period_mean": {"lead": found.period.lead, **{row: asdict(scores) for row, scores in case.period.items()}},
        "daily_rmse": {str(lead): _daily(found, lead) for lead in scored},
        "clipped_pixels": {str(lead): sum(result.clipped for result in found.of(lead)) for lead in scored},
        "seam_ratio": {str(lead): seam_of(found, lead) for lead in scored},
        "ssim": {
            "data_range": found.data_range[0],
            "data_range_is": found.data_range[1],
            "window": "Gaussian, sigma 1.5",
            "yardsticks": {str(lead): {name: found.ssim(lead, name) for name in YARDSTICKS} for lead in scored},
        },
        "spectrum": _spectrum(found, scored),
        "skipped": [{"day": day.isoformat(), "lead": lead, "reason": why} for day, lead, why in found.skipped],
        "notes": list(found.notes),
        "published": dict(case.region.published),
        "provenance": _provenance(case),
    }


def _rows(found: Evaluation, lead: int, part: str) -> dict[str, dict[str, float | int | None]]:
    rows = {}
    for row in found.rows:
        plain, weighted = asdict(found.scores(lead, row, part)), asdict(found.scores(lead, row, f"{part}_w"))
        rows[row] = plain | {f"{name}_w": value for name, value in weighted.items() if name != "n"}
    return rows


def _best_reference(found: Evaluation, lead: int) -> dict[str, str | float | None]:
    """The row to beat, and the model's skill over it."""
    row = best_reference(found, lead)
    return {"row": row, **asdict(skill(found.of(lead), reference=row))}


def _blend(fitted: Fitted) -> dict[str, dict[str, float]]:
    """The weight of each member of the blend and its constant, ug m-3, by lead."""
    names, rows = (*MEMBERS, "constant"), zip(fitted.leads, fitted.weights, fitted.constant, strict=True)
    return {str(lead): dict(zip(names, (*weights.tolist(), float(c)), strict=True)) for lead, weights, c in rows}


def band_errors(found: Evaluation, lead: int) -> dict[str, list[dict[str, float | int | str | None]]]:
    """Bias and RMSE of each row by band of the truth, ug m-3; None where a band has no pixel."""
    out = {}
    for row in found.rows:
        out[row] = [
            {
                "band": band_name(found.edges, k),
                "n": int(n),
                "bias": float(error / n) if n else None,
                "rmse": float(np.sqrt(squared / n)) if n else None,
            }
            for k, (n, error, squared) in enumerate(found.bands(lead, row).T)
        ]
    return out


def _spectrum(found: Evaluation, leads: list[int]) -> dict[str, object]:
    """Power by wavelength, (ug m-3)^2 summed over each band, and its ratio to the truth's; see `spectrum`."""
    return {
        "edges_km": list(EDGES_KM),
        "bands_km": [band_name(EDGES_KM, k) for k in range(len(EDGES_KM) + 1)],
        "detail_km": [EDGES_KM[DETAIL.start - 1], EDGES_KM[DETAIL.stop - 1]],
        "windows": len(found.windows),
        "window_pixels": list(found.windows[0].shape) if found.windows else None,
        "leads": {str(lead): spectrum_of(found, lead) for lead in leads},
    }


def spectrum_of(found: Evaluation, lead: int) -> dict[str, object]:
    """The spectra of a lead: of the truth, the rows and the yardsticks, and whether the model blurs."""
    pooled = {row: found.spectrum(lead, row) for row in (*found.rows, *YARDSTICKS)}
    weight, truth = pooled["model"].weight, pooled["model"].truth
    return {
        "truth": (truth / weight).tolist() if weight > 0 else None,
        "rows": {
            row: {
                "power": (one.power / one.weight).tolist(),
                "ratio": one.ratio,
                "error_ratio": one.error_ratio,
                "detail": one.detail,
            }
            for row, one in pooled.items()
            if one.weight > 0
        },
        "no_more_blur": no_more_blur(pooled["model"], pooled[TWO_DAY_MEAN]),
        "days_without_yardsticks": sum(not result.likeness for result in found.of(lead)),
    }


def _daily(found: Evaluation, lead: int) -> dict[str, dict[str, float]]:
    days = [result.day.isoformat() for result in found.of(lead)]
    return {row: dict(zip(days, found.daily_rmse(lead, row), strict=True)) for row in found.rows}


def seam_of(found: Evaluation, lead: int) -> float | None:
    """Mean over the days of the jump at edges of tiles beside that elsewhere; None where no day has one."""
    known = [result.seam for result in found.of(lead) if result.seam is not None]
    return float(np.mean(known)) if known else None


def _adapter(spec: EngineSpec) -> dict[str, object] | None:
    """The adapter that was worn."""
    adapter = spec.adapter
    if adapter is None:
        return None
    return {
        "name": adapter.name,
        "hash": adapter.hash,
        "region": adapter.region,
        "days": dict(adapter.days),
        "simulated": adapter.simulated,
        "licence": adapter.licence,
    }


def _provenance(case: Case) -> dict[str, object]:
    spec, store, fitted = case.engine.spec, case.store, case.fitted
    return {
        "created": dt.datetime.now(dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "cranpm_version": cranpm.__version__,
        "model_hash": spec.hash,
        "model_licence": spec.licence,
        "model_region": spec.region,
        "model_trained_on_simulated": spec.simulated,
        "model_provenance": json.loads(json.dumps(dict(spec.provenance), default=str)),
        "adapter": _adapter(spec),
        "random_weights": spec.random_weights,
        "device": spec.device,
        "simulated": store.attrs.get("simulated"),
        "sources": store.attrs.get("sources"),
        "licences": store.attrs.get("licences"),
        "fine_edges_wsen": list(store.fine.edges),
        "overlap": store.overlap,
        "baselines": None if fitted is None else fitted.about,
        "seconds": round(case.found.seconds, 1),
        "region_licence": case.region.licence,
        "region_attribution": case.region.attribution,
    }
