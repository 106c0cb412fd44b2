"""The sample world is frozen: its days do not change under those who were trained and judged on them.

New values are written with `python -m tests.sample.test_world_golden`, together with a new WORLD_VERSION.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cranpm.region import load_region
from cranpm.sample.pollution import BLOCK
from cranpm.sample.world import WORLD_VERSION, SimulatedDay, World

GOLDEN = Path(__file__).parent / "golden" / "world.json"
REGIONS = ("europe", "india", "usa_canada")
# Counts per unit to which coarse fields are rounded before they are hashed.
ROUNDING = {"u10": 10, "v10": 10, "t2m": 10, "sp": 0.1, "tp": 1e4, "u": 10, "v": 10, "t": 10, "z": 0.1, "q": 1e5}


def golden_days() -> list[dt.date]:
    """Two days that cost little: the first of a block in winter, and one of a block in autumn."""
    first = [(dt.date(2018, month, 20).toordinal() // BLOCK) * BLOCK for month in (1, 10)]
    return [dt.date.fromordinal(first[0]), dt.date.fromordinal(first[1] + 1)]


def fingerprint(region: str) -> dict[str, Any]:
    """Hashes and a few values of a region's golden days."""
    world = World(load_region(region), realisation=1)
    ground = {
        "highest": float(world.elevation.max()),
        "land": float(world.land.mean()),
        "stations": len(world.stations),
    }
    return ground | {day.day.isoformat(): _of_day(day) for day in world.days(golden_days())}


def _of_day(day: SimulatedDay) -> dict[str, Any]:
    counts = np.where(np.isnan(day.ghap), 65535, np.round(np.nan_to_num(day.ghap) * 10)).astype("<u2")
    coarse = hashlib.sha256()
    for source, forecast in ((day.weather, day.forecast_weather), (day.composition, day.forecast_composition)):
        for name in sorted(source):
            for field in (source[name], forecast[name]):
                coarse.update(np.round(field.astype(float) * ROUNDING.get(name, 10)).astype("<i8").tobytes())
    values = {f"mean {name}": float(field.mean(dtype=float)) for name, field in (day.weather | day.composition).items()}
    values |= {
        f"forecast {name}": float(field[2].mean(dtype=float)) for name, field in day.forecast_composition.items()
    }
    values |= {f"truth {row},{row}": float(day.truth[row, row]) for row in range(20, 448, 60)}
    values |= {"missing": float(np.isnan(day.ghap).mean()), "ghap": float(np.nanmean(day.ghap, dtype=float))}
    return {"ghap": hashlib.sha256(counts.tobytes()).hexdigest(), "coarse": coarse.hexdigest(), "values": values}


def arithmetic() -> str:
    """Names the arithmetic that decides the last bits: NumPy's version and the CPU features that it uses."""
    features = getattr(np._core._multiarray_umath, "__cpu_features__", {})
    used = ",".join(sorted(name for name, there in features.items() if there))
    return f"numpy {np.__version__}, {hashlib.sha256(used.encode()).hexdigest()[:12]}"


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text())


@pytest.mark.parametrize("region", REGIONS)
def test_days_are_as_they_were_frozen(region: str, golden: dict[str, Any]) -> None:
    assert golden["version"] == WORLD_VERSION, "a new version needs new golden values"
    frozen, found = golden["regions"][region], fingerprint(region)
    assert found["stations"] == frozen["stations"] and found["land"] == frozen["land"]
    assert found["highest"] == pytest.approx(frozen["highest"], rel=1e-5)
    for day in golden_days():
        now, then = found[day.isoformat()], frozen[day.isoformat()]
        assert now["values"] == pytest.approx(then["values"], rel=1e-3, abs=1e-4), f"{region} {day} has changed"
        if arithmetic() == golden["arithmetic"]:
            assert now["ghap"] == then["ghap"] and now["coarse"] == then["coarse"], f"{region} {day}: bits have changed"


if __name__ == "__main__":
    written = {"version": WORLD_VERSION, "arithmetic": arithmetic(), "regions": {r: fingerprint(r) for r in REGIONS}}
    GOLDEN.write_text(json.dumps(written, indent=1) + "\n")
