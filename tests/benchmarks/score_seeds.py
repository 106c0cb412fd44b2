"""What several seeds of a training score on the same days, beside the baselines: the table behind `docs/model.md`.

python tests/benchmarks/score_seeds.py runs/seed-*/checkpoint --region europe --data STORE --days 2022 --every 4

Prints RMSE at 1 km by lead of each model, their mean and spread, every baseline, and how far the mean lies below the
best single baseline and below the linear blend. A finished day is a line of --keep, and is not forecast again.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from cranpm.data.days import parse_days
from cranpm.data.store import Store
from cranpm.forecast.engine import Engine
from cranpm.forecast.load import load_engine
from cranpm.forecast.run import assemble_map, forecast
from cranpm.region import load_region
from cranpm.verify.baselines import ROWS, Fitted
from cranpm.verify.evaluate import day_maps
from cranpm.verify.fitting import find_fitted

LEADS = (1, 2, 3)
SINGLE = ("persistence", "damped", "climatology", "cams", "cams_corrected")
Sums = dict[str, dict[str, float]]
"""By lead, squared errors by row over the valid land pixels of a day, and their number under "pixels"."""


def day_sums(engines: Mapping[str, Engine], store: Store, day: dt.date, fitted: Fitted | None) -> Sums:
    """Score every engine and every baseline on one day."""
    first, *others = engines
    found: Sums = {}
    truths = {}
    for lead, maps, _ in day_maps(engines[first], store, day, LEADS, tuple(ROWS), fitted):
        truth = store.pm(day + dt.timedelta(days=lead))
        valid = store.land & np.isfinite(truth)
        truths[lead] = truth, valid
        errors = {first if row == "model" else row: values - truth for row, values in maps.items()}
        found[str(lead)] = {row: float(np.sum(error[valid] ** 2.0)) for row, error in errors.items()}
        found[str(lead)]["pixels"] = float(valid.sum())
    for name in others:
        for result in forecast(engines[name], store, day, LEADS, past=fitted):
            made, _ = assemble_map(result.strips, store.fine.shape)
            truth, valid = truths[result.lead]
            found[str(result.lead)][name] = float(np.sum((made - truth)[valid] ** 2.0))
    return found


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
    what = [[e.spec.hash, sorted(e.spec.detail.items())] for e in engines.values()]
    what = json.loads(json.dumps([*what, args.data.name, store.attrs.get("simulated"), fitted.about], default=str))
    known = [json.loads(line) for line in args.keep.read_text().splitlines()] if args.keep.exists() else []
    done = {entry["day"]: entry["sums"] for entry in known if entry["what"] == what}
    days = parse_days(args.days)[:: args.every]
    for day in days:
        if str(day) not in done:
            done[str(day)] = day_sums(engines, store, day, fitted)
            with args.keep.open("a") as file:
                file.write(json.dumps({"day": str(day), "what": what, "sums": done[str(day)]}) + "\n")
    print(f"{len(days)} days from {days[0]} to {days[-1]}, every {args.every}\n")
    print(table([done[str(day)] for day in days], args.models))


if __name__ == "__main__":
    main()
