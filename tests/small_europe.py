"""Europe with a sample window small enough to simulate in a test."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cranpm.grid import Grid, coarse_grid, fine_grid
from cranpm.region import Region, load_region
from cranpm.sample import terrain


def small_europe(monkeypatch: pytest.MonkeyPatch, cache: Path) -> Region:
    """A window of 48 x 60 px, an invented coast, and a cache folder of its own."""

    def shore(grid: Grid) -> np.ndarray:
        return np.broadcast_to(grid.lons < 9.0, grid.shape).copy()

    monkeypatch.setattr(terrain, "is_land", shore)
    monkeypatch.setenv("CRANPM_CACHE", str(cache))
    europe = load_region("europe")
    window = replace(europe.sample, coarse=coarse_grid(47, 7, 12, 16), fine=fine_grid(46, 8.5, 48, 60))
    return replace(europe, sample=window)
