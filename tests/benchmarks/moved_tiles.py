"""What a network's knowledge of its place costs elsewhere: tiles told that they lie in the Po Valley.

cranpm train europe-small --out runs/small      (europe-sample reads no latitude and longitude: nothing would change)
python tests/benchmarks/moved_tiles.py usa_canada runs/small/checkpoint

Prints RMSE, bias and slope at T+1 over every third of the pack's simulated days, with the tiles' own latitudes and
longitudes and with those of the Po Valley. Everything else a tile holds stays its own.
"""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cranpm.data.days import needed_days, parse_days
from cranpm.data.store import Store
from cranpm.forecast.engine import Engine, EngineSpec
from cranpm.forecast.inputs import DayInputs, TileInputs
from cranpm.forecast.load import load_engine
from cranpm.forecast.run import assemble_map, forecast
from cranpm.region import load_region
from cranpm.sample.cache import sample_store

PO_VALLEY = (45.0, 9.4)  # degrees north, east


@dataclass
class Moved:
    """An engine whose tiles are told another centre."""

    engine: Engine
    place: tuple[float, float]

    @property
    def spec(self) -> EngineSpec:
        return self.engine.spec

    def encode_day(self, day: DayInputs, lead: int) -> object:
        return self.engine.encode_day(day, lead)

    def forecast_tiles(self, state: object, tiles: TileInputs, lead: int) -> NDArray[np.float32]:
        lats, lons = (
            (own - own.mean() + centre).astype(np.float32)
            for own, centre in zip((tiles.lats, tiles.lons), self.place, strict=True)
        )
        return self.engine.forecast_tiles(state, replace(tiles, lats=lats, lons=lons), lead)


def scores(engine: Engine, store: Store, days: Sequence[dt.date]) -> tuple[float, float, float]:
    """RMSE and bias (ug m-3) and slope of forecast on truth at T+1, over all valid land pixels."""
    forecasts, truths = [], []
    for day in days:
        (lead,) = forecast(engine, store, day, [1])
        values, _ = assemble_map(lead.strips, store.fine.shape)
        truth = store.pm(lead.valid_day)
        valid = np.isfinite(truth) & store.land
        forecasts.append(values[valid].astype(float))
        truths.append(truth[valid].astype(float))
    f, o = np.concatenate(forecasts), np.concatenate(truths)
    return float(np.sqrt(np.mean((f - o) ** 2))), float(np.mean(f - o)), float(np.cov(f, o)[0, 1] / o.var())


def main() -> None:
    """Print both rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("region")
    parser.add_argument("model")
    args = parser.parse_args()
    region = load_region(args.region)
    days = [day for text in region.sample.days for day in parse_days(text)]
    store = Store.open(sample_store(region, needed_days(days, (1, 2, 3))))
    engine = load_engine(args.model)
    print(f"simulated {region.name}, T+1, {len(days[::3])} days: RMSE, bias, slope")
    for name, used in (("own place", engine), ("told the Po Valley", Moved(engine, PO_VALLEY))):
        print(f"{name:20s} {'  '.join(f'{value:6.2f}' for value in scores(used, store, days[::3]))}", flush=True)


if __name__ == "__main__":
    main()
