"""What several seeds of a training score on the same days, beside the baselines: the table behind `docs/model.md`.

python tests/benchmarks/score_seeds.py runs/seed-*/checkpoint --region europe --data STORE --days 2022 --every 4

Prints RMSE at 1 km by lead of each model, their mean and spread, every baseline, and how far the mean lies below the
best single baseline and below the linear blend. A finished day of a model is a
line of --keep: a seed more costs that seed.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.data.days import parse_days
from cranpm.data.store import Store
from cranpm.forecast.engine import Engine, EngineSpec
from cranpm.forecast.inputs import DayInputs, TileInputs
from cranpm.forecast.load import load_engine
from cranpm.forecast.run import assemble_map, forecast
from cranpm.region import load_region
from cranpm.variables import CHANNELS
from cranpm.verify.baselines import ROWS, Fitted
from cranpm.verify.evaluate import day_maps
from cranpm.verify.fitting import find_fitted

LEADS = (1, 2, 3)
SINGLE = ("persistence", "damped", "climatology", "cams", "cams_corrected")
Sums = dict[str, dict[str, float]]
"""By lead, squared errors over the valid land pixels of a day by row, and their number under "pixels"."""


BASELINES = "baselines"


def model_sums(engine: Engine, store: Store, day: dt.date, fitted: Fitted) -> Sums:
    """Squared errors of a model on one day."""
    found: Sums = {}
    for result in forecast(engine, store, day, LEADS, past=fitted):
        made, _ = assemble_map(result.strips, store.fine.shape)
        truth, valid = _truth(store, result.valid_day)
        found[str(result.lead)] = {"model": float(np.sum((made - truth)[valid] ** 2.0))}
    return found


def baseline_sums(store: Store, day: dt.date, fitted: Fitted) -> Sums:
    """Squared errors of every baseline on one day, and the number of pixels."""
    found: Sums = {}
    for lead, maps, _ in day_maps(Still(), store, day, LEADS, tuple(ROWS), fitted):
        truth, valid = _truth(store, day + dt.timedelta(days=lead))
        found[str(lead)] = {row: float(np.sum((maps[row] - truth)[valid] ** 2.0)) for row in maps if row != "model"}
        found[str(lead)]["pixels"] = float(valid.sum())
    return found


class Still:
    """An engine that adds nothing: `day_maps` wants one, and the baselines need none."""

    spec = EngineSpec("still", "", 128, 8, 4, (56, 84), CHANNELS, LEADS)

    def encode_day(self, day: DayInputs, lead: int) -> object:
        return None

    def forecast_tiles(self, state: object, tiles: TileInputs, lead: int) -> NDArray[np.float32]:
        return np.zeros(tiles.filled.shape, np.float32)


def _truth(store: Store, day: dt.date) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    truth = store.pm(day)
    return truth, store.land & np.isfinite(truth)


def table(sums: Sequence[Sums], models: Sequence[str]) -> str:
    """RMSE by lead in Markdown."""
    total = {lead: {row: sum(day[str(lead)][row] for day in sums) for row in sums[0][str(lead)]} for lead in LEADS}
    rmse = {lead: {row: (value / total[lead]["pixels"]) ** 0.5 for row, value in total[lead].items()} for lead in LEADS}
    mean = {lead: float(np.mean([rmse[lead][name] for name in models])) for lead in LEADS}
    spread = {lead: float(np.std([rmse[lead][name] for name in models], ddof=len(models) > 1)) for lead in LEADS}
    best = {lead: min(rmse[lead][row] for row in SINGLE) for lead in LEADS}
    lines = ["| RMSE, ug m-3 (simulated) | T+1 | T+2 | T+3 |", "|---|---|---|---|"]

    def add(name: str, cells: Sequence[str]) -> None:
        lines.append(f"| {name} | {' | '.join(cells)} |")

    for name in models:
        add(name, [f"{rmse[lead][name]:.2f}" for lead in LEADS])
    add(f"**mean of {len(models)}**, deviation", [f"**{mean[lead]:.2f}** ± {spread[lead]:.2f}" for lead in LEADS])
    for row in (*SINGLE, "blend"):
        add(ROWS[row], [f"{rmse[lead][row]:.2f}" for lead in LEADS])
    add("mean against the best single baseline", [f"{100 * (mean[lead] / best[lead] - 1):+.1f} %" for lead in LEADS])
    blend = {lead: 100 * (mean[lead] / rmse[lead]["blend"] - 1) for lead in LEADS}
    add("mean against the linear blend", [f"{blend[lead]:+.1f} %" for lead in LEADS])
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", help="checkpoint folders or registered names")
    parser.add_argument("--region", default="europe")
    parser.add_argument("--data", type=Path, required=True, help="a simulated store of the scoring year")
    parser.add_argument("--days", default="2022")
    parser.add_argument("--every", type=int, default=1, help="score every n-th of the days")
    parser.add_argument("--keep", type=Path, default=Path("score_seeds.jsonl"), help="lines of the finished days")
    args = parser.parse_args()
    store, engines = Store.open(args.data), {name: load_engine(name) for name in args.models}
    fitted, note = find_fitted(load_region(args.region), store)
    if fitted is None:
        raise SystemExit(note)
    what = {name: [e.spec.hash, sorted(e.spec.detail.items())] for name, e in engines.items()} | {BASELINES: []}
    where = [args.data.name, store.attrs.get("simulated"), fitted.about]
    keys = {name: json.dumps([own, where], default=str) for name, own in what.items()}
    known = [json.loads(line) for line in args.keep.read_text().splitlines()] if args.keep.exists() else []
    done = {(entry["day"], entry["what"]): entry["sums"] for entry in known}
    days = parse_days(args.days)[:: args.every]
    for day in days:
        for name, key in keys.items():
            if (str(day), key) not in done:
                model = name != BASELINES
                made = model_sums(engines[name], store, day, fitted) if model else baseline_sums(store, day, fitted)
                done[str(day), key] = made
                with args.keep.open("a") as file:
                    file.write(json.dumps({"day": str(day), "what": key, "sums": made}) + "\n")
    sums = []
    for day in days:
        joined = done[str(day), keys[BASELINES]]
        models = {name: done[str(day), keys[name]] for name in engines}
        sums.append(
            {lead: row | {name: made[lead]["model"] for name, made in models.items()} for lead, row in joined.items()}
        )
    print(f"{len(days)} days from {days[0]} to {days[-1]}, every {args.every}\n")
    print(table(sums, args.models))


if __name__ == "__main__":
    main()
