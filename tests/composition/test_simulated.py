"""The sample by way of the reanalysis' grid and hours, as delivered and sharpened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cranpm.composition.simulated import composition_store
from cranpm.data.days import parse_days
from cranpm.data.layout import STORE_CHANNELS
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.forecast.source import open_store
from cranpm.grid import Grid, coarse_grid, fine_grid
from cranpm.region import Region, load_region
from cranpm.sample import terrain
from cranpm.sample.cache import sample_store

DAYS = parse_days("2022-01-05..2022-01-06")


@pytest.fixture
def region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Region:
    """Europe with a small sample window, an invented coast and a cache of its own."""

    def shore(grid: Grid) -> np.ndarray:
        return np.broadcast_to(grid.lons < 9.0, grid.shape).copy()

    monkeypatch.setattr(terrain, "is_land", shore)
    monkeypatch.setenv("CRANPM_CACHE", str(tmp_path / "cache"))
    europe = load_region("europe")
    window = replace(europe.sample, coarse=coarse_grid(47, 7, 12, 16), fine=fine_grid(46, 8.5, 48, 60))
    return replace(europe, sample=window)


@pytest.mark.slow
def test_only_the_composition_differs_and_sharpened_is_nearer_to_the_world(region):
    made = {kind: Store.open(composition_store(region, DAYS, kind)) for kind in ("raw", "sharpened")}
    world = Store.open(sample_store(region, DAYS))
    for kind, store in made.items():
        assert store.days == DAYS and store.composition == {kind: set(DAYS)} and store.simulated
        assert np.array_equal(store.coarse_day(DAYS[0])[:25], world.coarse_day(DAYS[0])[:25])  # the weather
        assert np.array_equal(store.pm(DAYS[0]), world.pm(DAYS[0]), equal_nan=True)
    channel = STORE_CHANNELS.index("pm2p5")
    raw, sharp, true = (s.coarse_day(DAYS[0])[channel] for s in (made["raw"], made["sharpened"], world))
    assert not np.allclose(raw, sharp)
    assert np.abs(sharp - true).mean() < np.abs(raw - true).mean()
    again = open_store(region, made["raw"].path, DAYS[1:], (), lambda *_: None, composition="raw")
    assert again.path == made["raw"].path
    with pytest.raises(CranpmError, match=r"cranpm composition sample .* --kind raw --days 2022-01-06 makes one"):
        open_store(region, None, DAYS[1:], (), lambda *_: None, composition="raw")
    with pytest.raises(CranpmError, match=r"2022-01-05\.\.2022-01-06 raw; expected sharpened"):
        open_store(region, made["raw"].path, DAYS[1:], (), lambda *_: None, composition="sharpened")
