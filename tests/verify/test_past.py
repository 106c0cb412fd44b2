"""The past is the same whether it is simulated or read from a store."""

import datetime as dt

import numpy as np

from cranpm.data.store import Store
from cranpm.sample.direct import write_store
from cranpm.verify.fitting import past_of_world
from cranpm.verify.past import past_of_store
from tests.sample.test_direct import TinyWorld


def test_simulated_past_is_the_one_that_its_store_holds(tmp_path):
    """The CAMS forecasts too: means of the instants that the files have, not of all that are simulated."""
    world, days = TinyWorld(), [dt.date(2022, 1, 1) + dt.timedelta(days=k) for k in range(3)]
    store = Store.open(write_store(world, days, tmp_path / "s.zarr"))
    for made, held in zip(past_of_world(world, days), past_of_store(store, days), strict=True):
        assert made.day == held.day
        for name in ("pm", "cams", "analysis"):
            np.testing.assert_allclose(getattr(made, name), getattr(held, name), rtol=1e-6)
