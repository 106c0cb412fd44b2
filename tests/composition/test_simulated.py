"""The sample by way of the reanalysis' grid and hours, as delivered and sharpened."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cranpm.composition.simulated import composition_store
from cranpm.data.days import parse_days
from cranpm.data.layout import STORE_CHANNELS
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.forecast.source import open_store
from cranpm.region import Region
from cranpm.sample.cache import sample_store
from tests.small_europe import small_europe

DAYS = parse_days("2022-01-05..2022-01-06")


@pytest.fixture
def region(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Region:
    return small_europe(monkeypatch, tmp_path / "cache")


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
