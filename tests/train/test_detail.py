"""How much of today's detail a trained network takes over."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cranpm.data.dataset import Examples, HeldStore
from cranpm.model.config import FORECAST, plus
from cranpm.model.network import CranPM
from cranpm.model.statistics import nominal
from cranpm.train.detail import detail_shares, least_share
from tests.train.toy import CONFIG, ToyStore, held

PLUS = plus(CONFIG, "plus-toy")


@pytest.mark.parametrize(("d", "e", "wanted"), [(0.3, 1.0, 0.64), (0.0, 2.0, 1.0), (0.5, -1.0, 0.49)])
def test_the_least_share_reaches_the_variance_wanted(d, e, wanted):
    share = least_share(d * d, d * e, e * e, wanted)
    assert share > 0 and (d + share * (e - d)) ** 2 == pytest.approx(wanted)
    assert all((d + g * (e - d)) ** 2 < wanted for g in np.linspace(0, share, 9)[:-1])


def test_a_forecast_with_detail_enough_is_left_alone_and_none_gets_more_than_there_is():
    assert least_share(1.0, 0.5, 2.0, 0.8) == 0.0
    assert least_share(0.5, 0.5, 0.5, 0.8) == 0.0  # today's detail is its own: none to be had
    assert least_share(0.1, 0.1, 0.3, 5.0) == 1.0


@pytest.mark.parametrize("gaps", [False, True])
def test_days_say_how_much_detail_is_given_back(gaps):
    """The truth's detail does not change from day to day: a flat forecast gets as much as there is."""
    store = ToyStore()
    rows, columns = np.indices(store.fine.shape)
    store.maps[:] = np.where(store.land, 20.0 + 5.0 * (1 - 2 * ((rows + columns) % 2)), np.nan)
    if gaps:
        store.maps[:, 10:14, 20:60] = np.nan
    examples = Examples([HeldStore(store, store.days, FORECAST)], PLUS, (1, 2))  # type: ignore[arg-type]
    examples.stores[0].pasts = {}
    network = CranPM(PLUS, nominal()).train()
    with torch.no_grad():
        network.output.blend[:] = torch.tensor([1.0, 0.0, 0.0, 0.0])  # 20 ug m-3 everywhere
    shares = detail_shares(network, examples, 0)
    assert list(shares) == [1, 2] and [*shares.values()] == pytest.approx([1.0, 1.0], abs=0.02)
    assert network.training  # as it was
    assert detail_shares(network, examples, 0) == shares


def test_a_network_that_does_not_scale_keeps_its_detail():
    assert detail_shares(CranPM(CONFIG, nominal()), Examples([held()], CONFIG, (1, 2)), 0) == {}
