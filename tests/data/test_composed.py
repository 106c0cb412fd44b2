"""A store whose forecast composition comes from other files."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from cranpm.composition.coupling.output import write_forecast
from cranpm.data.catalogue import scan
from cranpm.data.composed import ComposedStore
from cranpm.data.layout import STORE_CHANNELS
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from tests.data.conftest import HEADER

Write = Callable[[str], Path]
DAY, NEXT = date(2022, 1, 2), date(2022, 1, 3)
PM = STORE_CHANNELS.index("pm2p5")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A forecast of PM2.5 and PM10 issued on `DAY`: twice as many ug m-3 as hours ahead, and that plus ten."""
    leads = range(12, 121, 12)
    pm = np.stack([np.full(HEADER.coarse.shape, 2.0 * lead, np.float32) for lead in leads])
    write_forecast(tmp_path, HEADER.coarse, DAY, leads, {"pm2p5": pm, "pm10": pm + 10}, {}, "a test")
    return tmp_path


def test_only_the_forecast_composition_is_that_of_the_files(write: Write, folder: Path) -> None:
    store = Store.open(write("2022-01-01..2022-01-04"))
    composed = ComposedStore(store, scan(folder).of("cams_forecast"))
    own, other = store.forecast(DAY, 1), composed.forecast(DAY, 1)
    assert other[PM] == pytest.approx(60, rel=1e-3)  # the mean of 24 and 36 hours ahead, doubled
    assert composed.forecast(DAY, 3, ("pm10",))[0] == pytest.approx(166, rel=1e-3)
    changed = [name for name, a, b in zip(STORE_CHANNELS, own, other, strict=True) if not np.array_equal(a, b)]
    assert changed == ["pm2p5", "pm10"]
    assert np.array_equal(composed.coarse_day(DAY), store.coarse_day(DAY)) and composed.days == store.days
    again = pickle.loads(pickle.dumps(composed))
    assert np.array_equal(again.forecast(DAY, 1), other)


def test_only_the_species_asked_for_are_replaced(write: Write, folder: Path) -> None:
    store = Store.open(write("2022-01-01..2022-01-04"))
    files = scan(folder).of("cams_forecast")
    composed = ComposedStore(store, files, ("pm2p5",))
    changed = [n for n, a, b in zip(STORE_CHANNELS, store.forecast(DAY, 2), composed.forecast(DAY, 2), strict=True)
               if not np.array_equal(a, b)]  # fmt: skip
    assert changed == ["pm2p5"]
    with pytest.raises(CranpmError, match=r"o3 missing \(found: pm2p5, pm10\)"):
        ComposedStore(store, files, ("o3",)).forecast(DAY, 2)


def test_a_day_without_a_forecast_says_how_to_make_one(write: Write, folder: Path) -> None:
    composed = ComposedStore(Store.open(write("2022-01-01..2022-01-04")), scan(folder).of("cams_forecast"))
    with pytest.raises(CranpmError, match=r"issued on 2022-01-03 among .* composition forecast --init 2022-01-03"):
        composed.forecast(NEXT, 1, ("pm2p5",))
