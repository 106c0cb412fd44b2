"""The squared errors of a network with and without each intervention, day by day.

All interventions of a day are scored on the same pixels. A finished day is one line of a file, and a line that is
there is not made again, so that a killed run goes on.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from cranpm.data.days import shown_days
from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError
from cranpm.folders import write_whole
from cranpm.forecast.engine import Engine, EngineSpec, check_leads
from cranpm.forecast.inputs import KnownPast, day_inputs, fill_today
from cranpm.forecast.run import assemble_map, forecast
from cranpm.model.statistics import Statistics
from cranpm.verify.baselines import Fitted, Map
from cranpm.verify.interventions import AlteredEngine, Intervention, Network, choose
from cranpm.verify.past import PastStore

UNTOUCHED, PERSISTENCE = "untouched", "persistence"
"""The rows beside the interventions: the network as it is, and today's map."""
LINES = "interventions.jsonl"
_VERSION = 1
"""Of what the interventions do; raised when one of them changes, so that older lines are left aside."""


class ScoredStore(PastStore, Protocol):
    """A store that says what it is."""

    @property
    def attrs(self) -> dict[str, Any]: ...
    @property
    def simulated(self) -> bool: ...


@dataclass(frozen=True)
class DayErrors:
    """What one issue day gave.

    Attributes:
        day: issue day t.
        pixels: by lead, how many pixels were scored.
        squared: by lead and row, the sum of squared errors over them, ug2 m-6.
    """

    day: dt.date
    pixels: Mapping[int, int]
    squared: Mapping[int, Mapping[str, float]]

    def covers(self, leads: Sequence[int], rows: Sequence[str]) -> bool:
        """Whether every row of some leads is there."""
        return all(set(rows) <= set(self.squared.get(lead, {})) for lead in leads)


@dataclass(frozen=True)
class Measured:
    """All that was measured of one network in one store.

    Attributes:
        spec: the network.
        store: name of the pack, and what the store says of its world.
        simulated: whether the store is of the sample world.
        leads: days ahead.
        days: the days that were scored, in order.
        chosen: the interventions.
        left_out: by label, why others do not apply to the network.
        skipped: day, lead and reason of what could not be scored.
        notes: what else a reader must know.
    """

    spec: EngineSpec
    store: Mapping[str, Any]
    simulated: bool
    leads: tuple[int, ...]
    days: tuple[DayErrors, ...]
    chosen: tuple[Intervention, ...]
    left_out: Mapping[str, str]
    skipped: tuple[tuple[dt.date, int, str], ...]
    notes: tuple[str, ...]

    def of(self, lead: int) -> list[DayErrors]:
        """The days that were scored at a lead."""
        return [day for day in self.days if lead in day.pixels]


def measure(
    engine: Engine,
    statistics: Statistics,
    store: ScoredStore,
    days: Sequence[dt.date],
    leads: Sequence[int],
    path: Path,
    *,
    fitted: Fitted | None,
    notes: Sequence[str] = (),
    batch: int = 8,
    progress: Progress = silent,
) -> Measured:
    """Score a network with and without every intervention that applies to it.

    Args:
        engine: runs the network.
        statistics: what it normalises with.
        store: inputs and truth.
        days: issue days; those without inputs or truth are left out.
        leads: days ahead.
        path: the file of finished days, made where there is none.
        fitted: what was fitted on the place's past, for networks that read it.
        notes: what else a reader must know.
        batch: tiles per call of the engine.
        progress: told after each day.

    Raises:
        CranpmError: nothing could be scored, or a lead was not trained.
    """
    check_leads(engine.spec, leads)
    network = Network(engine.spec.channels, engine.spec.maps, statistics, fitted is not None)
    chosen, left_out = choose(network)
    engines = {UNTOUCHED: engine, **{item.key: AlteredEngine(engine, item, network) for item in chosen}}
    rows = (PERSISTENCE, *engines)
    about = identity(engine.spec, store, fitted if engine.spec.reads_past else None)
    known, found, skipped = read_days(path, about), [], []
    for done, day in enumerate(days, start=1):
        obstacles = {lead: _obstacle(store, day, lead, engine.spec.state_per_lead) for lead in leads}
        skipped += [(day, lead, reason) for lead, reason in obstacles.items() if reason]
        able = [lead for lead, reason in obstacles.items() if not reason]
        if able and not (day in known and known[day].covers(able, rows)):
            known[day] = score_day(engines, store, day, able, fitted, batch=batch)
            _append(path, json.dumps({**about, **_plain(known[day])}))
        if able:
            found.append(known[day])
        progress("altering and scoring days", done, len(days))
    if not found:
        reasons = "; ".join(dict.fromkeys(reason for _, _, reason in skipped))
        raise CranpmError(
            f"none of the {len(days)} days could be scored: {reasons}; the store holds {shown_days(store.days)}: "
            "choose other --days, or prepare those that are missing"
        )
    place = {"region": store.region, "simulated": store.attrs.get("simulated")}
    return Measured(
        engine.spec, place, store.simulated, tuple(leads), tuple(found), tuple(chosen), left_out, tuple(skipped),
        tuple(notes),
    )  # fmt: skip


def score_day(
    engines: Mapping[str, Engine],
    store: PastStore,
    day: dt.date,
    leads: Sequence[int],
    past: KnownPast | None,
    *,
    batch: int = 8,
) -> DayErrors:
    """Squared errors of some engines and of persistence on one issue day, one map in memory at a time."""
    truths = {lead: store.pm(day + dt.timedelta(days=lead)) for lead in leads}
    valid = {lead: store.land & np.isfinite(truth) for lead, truth in truths.items()}

    def squared(values: Map, lead: int) -> float:
        inside = valid[lead]
        return float(np.square(values[inside].astype(float) - truths[lead][inside]).sum())

    today, _ = fill_today(store, day_inputs(store, day), slice(0, store.fine.height), slice(0, store.fine.width))
    sums = {lead: {PERSISTENCE: squared(today, lead)} for lead in leads}
    for row, engine in engines.items():
        for result in forecast(engine, store, day, leads, past=past, batch=batch):
            sums[result.lead][row] = squared(assemble_map(result.strips, store.fine.shape)[0], result.lead)
    return DayErrors(day, {lead: int(inside.sum()) for lead, inside in valid.items()}, sums)


def identity(spec: EngineSpec, store: ScoredStore, fitted: Fitted | None) -> dict[str, object]:
    """What a line must share with a run to be part of it: the weights, the store, what was fitted on its past."""
    place = json.dumps([store.region, store.attrs, repr((store.coarse, store.fine))], sort_keys=True, default=str)
    fields = () if fitted is None else (fitted.mean, fitted.harmonics, fitted.cams_mean, fitted.cams_slope)
    return {
        "version": _VERSION,
        "model": spec.hash or f"random {spec.name}",
        "store": _digest(place.encode()),
        "past": _digest(*(np.ascontiguousarray(field).tobytes() for field in fields)) if fields else "",
    }


def read_days(path: Path, about: Mapping[str, object]) -> dict[dt.date, DayErrors]:
    """The finished days of a file that are of one network and store; a line that is not whole counts as not there."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    found = {}
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except ValueError:
            continue
        if all(values.get(key) == value for key, value in about.items()):
            leads = {int(lead): entry for lead, entry in values["leads"].items()}
            day = dt.date.fromisoformat(values["day"])
            pixels = {lead: entry["pixels"] for lead, entry in leads.items()}
            found[day] = DayErrors(day, pixels, {lead: entry["squared"] for lead, entry in leads.items()})
    return found


def _plain(day: DayErrors) -> dict[str, object]:
    """A day as `read_days` reads it."""
    leads = {str(lead): {"pixels": day.pixels[lead], "squared": day.squared[lead]} for lead in day.pixels}
    return {"day": str(day.day), "leads": leads}


def _append(path: Path, line: str) -> None:
    """Add a whole line, after dropping one that was left half written."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    write_whole(path, (text[: text.rfind("\n") + 1] + line + "\n").encode())


def _digest(*parts: bytes) -> str:
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def _obstacle(store: PastStore, day: dt.date, lead: int, reads_forecasts: bool) -> str:
    """Why a day cannot be scored at a lead; empty where it can."""
    valid_day = day + dt.timedelta(days=lead)
    needed = {"day before": day - dt.timedelta(days=1), "issue day": day, "valid day": valid_day}
    for name, date in needed.items():
        if date not in store.days:
            return f"the {name} is missing in the store"
    if not (np.isfinite(store.pm(valid_day)) & store.land).any():
        return "truth has no valid pixel"
    try:
        if reads_forecasts:
            store.forecast(day, lead, ("pm2p5",))
    except CranpmError:
        return "no forecast was issued"
    return ""
