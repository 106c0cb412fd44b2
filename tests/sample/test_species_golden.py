"""The sample world's particles and gases are frozen, as its days are (`test_world_golden.py`).

New values are written with `python -m tests.sample.test_species_golden`, together with a new SPECIES_VERSION.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cranpm.grid import Grid
from cranpm.region import load_region
from cranpm.sample.species import SPECIES_VERSION, Fields, SpeciesWorld
from tests.sample.test_world_golden import arithmetic, golden_days

GOLDEN = Path(__file__).parent / "golden" / "species.json"
GRID = Grid(52.0, 6.0, 0.75, 6, 8)
REGION = "europe"
_DIGITS = 1e4  # counts to which a field's largest value is rounded before it is hashed


def fingerprint() -> dict[str, Any]:
    """Hashes and means of the golden days and of what was forecast on the first."""
    world, days = SpeciesWorld(load_region(REGION), GRID, realisation=1), golden_days()
    found: dict[str, Any] = {"land": float(world.land.mean()), "highest": float(world.elevation.max())}
    for day in world.days(days):
        found[f"{day.day}"] = {name: _of(getattr(day, name)) for name in ("weather", "analysis", "reanalysis")}
    issued = next(iter(world.forecasts(days[:1])))
    found["forecast"] = {name: _of(getattr(issued, name)) for name in ("weather", "composition")}
    return found


def _of(fields: Fields) -> dict[str, Any]:
    total = hashlib.sha256()
    for name in sorted(fields):
        field = fields[name].astype(float)
        total.update(np.round(field * (_DIGITS / max(np.abs(field).max(), 1e-30))).astype("<i8").tobytes())
    return {"hash": total.hexdigest(), "means": {name: float(f.mean(dtype=float)) for name, f in fields.items()}}


@pytest.mark.slow
def test_species_are_as_they_were_frozen():
    golden, found = json.loads(GOLDEN.read_text()), json.loads(json.dumps(fingerprint()))
    assert golden["version"] == SPECIES_VERSION, "a new version needs new golden values"
    frozen, same = golden["species"], arithmetic() == golden["arithmetic"]
    assert found.keys() == frozen.keys() and found["land"] == frozen["land"]
    for day in (*map(str, golden_days()), "forecast"):
        for view, then in frozen[day].items():
            now = found[day][view]
            assert now["means"] == pytest.approx(then["means"], rel=1e-3, abs=1e-15), f"{view} of {day} has changed"
            if same:
                assert now["hash"] == then["hash"], f"{view} of {day}: bits have changed"


if __name__ == "__main__":
    written = {"version": SPECIES_VERSION, "arithmetic": arithmetic(), "species": fingerprint()}
    GOLDEN.write_text(json.dumps(written, indent=1) + "\n")
