"""What a coarser grid and fewer hours cost a composition forecast at 1 km: the coupling's own files beside two others.

python -m tests.benchmarks.coupling_worth STORE FORECASTS --days 2022-01-10..2022-01-13 --out DIR

STORE is the sample store of europe, FORECASTS a folder of `cranpm composition forecast` for these days. Writes into
DIR/model and DIR/truth what the CAMS-like model forecast on the coupling's grid and hours, and what came, and prints
RMSE and mean error of PM2.5, bilinear to 1 km, against the store's maps. DIR/model then also goes into
`cranpm region eval europe --composition forecast --composition-from`. Everything is simulated.
"""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cranpm.composition.coupling.checkpoint import read_coupling
from cranpm.composition.coupling.output import write_forecast
from cranpm.data.catalogue import scan
from cranpm.data.composed import ComposedStore
from cranpm.data.days import parse_days
from cranpm.data.products.description import SIMULATED
from cranpm.data.store import Store
from cranpm.grid import Grid, bilinear
from cranpm.region import load_region
from cranpm.sample.species import FORECAST_DAYS, SpeciesWorld

LEADS = (1, 2, 3)
HOURS = range(12, 24 * FORECAST_DAYS + 1, 12)


def write(grid: Grid, days: Sequence[dt.date], out: Path) -> None:
    """The CAMS-like model's forecasts of PM2.5 and what came, as files of the coupling's hours."""
    world = SpeciesWorld(load_region("europe"), grid)
    needed = sorted({day + dt.timedelta(days=k) for day in days for k in range(FORECAST_DAYS + 1)})
    came = {one.day: one.analysis["pm2p5"] for one in world.days(needed)}
    for issued in world.forecasts(days):
        following = [came[issued.day + dt.timedelta(days=k)] for k in range(FORECAST_DAYS + 1)]
        truth = np.concatenate(following)[1 : len(HOURS) + 1]
        for name, pm in (("model", issued.composition["pm2p5"]), ("truth", truth)):
            write_forecast(out / name, grid, issued.day, HOURS, {"pm2p5": pm}, {}, SIMULATED)


def errors(store: Store, days: Sequence[dt.date], lead: int) -> np.ndarray:
    """Forecast composition minus the maps, ug m-3, over the valid land of all days."""
    found = []
    for day in days:
        truth = store.pm(day + dt.timedelta(days=lead))
        coarse = store.forecast(day, lead, ("pm2p5",))[0]
        off = bilinear(coarse, store.coarse, store.fine.lats, store.fine.lons) - truth
        found.append(off[store.land & np.isfinite(truth)])
    return np.concatenate(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("forecasts", type=Path)
    parser.add_argument("--days", required=True)
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    days, store = parse_days(given.days), Store.open(given.store)
    write(read_coupling("sample-coupling").grid, days, given.out)
    folders = {"coupled": given.forecasts, "CAMS-like": given.out / "model", "truth": given.out / "truth"}
    stores = {"the store's own": store}
    for name, folder in folders.items():
        stores[name] = ComposedStore(store, scan(folder).of("cams_forecast"), ("pm2p5",))
    for lead in LEADS:
        for name, one in stores.items():
            off = errors(one, days, lead)
            print(f"T+{lead}, {name}: RMSE {np.sqrt((off**2).mean()):.2f}, mean error {off.mean():+.2f} ug m-3")


if __name__ == "__main__":
    main()
