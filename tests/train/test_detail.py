"""The detail that a forecast takes over from today's map: how much, and from where."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from cranpm.data.dataset import Examples, HeldStore
from cranpm.errors import CranpmError
from cranpm.model.config import FORECAST, plus
from cranpm.model.network import CranPM, Output, detail, smooth, todays_detail
from cranpm.model.statistics import nominal
from cranpm.train.detail import give_back_detail, least_share
from cranpm.variables import PM_SCALE
from tests.train.toy import CONFIG, ToyStore

PLUS = plus(CONFIG, "plus-toy")


def checkerboard(amplitude: float, level: float = 1.0, side: int = 32) -> torch.Tensor:
    signs = 1 - 2 * (torch.arange(side)[:, None] + torch.arange(side)).remainder(2)
    return (level + amplitude * signs)[None].float()


def inner(field: torch.Tensor) -> torch.Tensor:
    """Where the square around a pixel lies inside the field."""
    return field[:, 8:-8, 8:-8]


def test_detail_is_what_a_square_of_pixels_evens_out():
    rising = torch.arange(64.0).expand(1, 64, 64)
    assert inner(detail(rising)).abs().max() < 1e-3  # a plane has none
    board = checkerboard(0.2)
    assert torch.allclose(inner(smooth(board)), torch.tensor(1.0), atol=2e-3)
    assert torch.allclose(smooth(board) + detail(board), board)


def test_todays_detail_grows_with_the_level_at_most_threefold():
    today = checkerboard(0.2)
    for level, growth in ((0.5, 0.5), (2.0, 2.0), (9.0, 3.0), (-1.0, 0.0)):
        found = todays_detail(torch.full_like(today, level), today)
        assert torch.allclose(inner(found), inner(growth * detail(today)), atol=2e-3)


@pytest.mark.parametrize(("d", "e", "wanted"), [(0.3, 1.0, 0.64), (0.0, 2.0, 1.0), (0.5, -1.0, 0.49)])
def test_the_least_share_reaches_the_variance_wanted(d, e, wanted):
    share = least_share(d * d, d * e, e * e, wanted)
    assert share > 0 and (d + share * (e - d)) ** 2 == pytest.approx(wanted)
    assert all((d + g * (e - d)) ** 2 < wanted for g in np.linspace(0, share, 9)[:-1])


def test_a_forecast_with_detail_enough_is_left_alone():
    assert least_share(1.0, 0.5, 2.0, 0.8) == 0.0
    assert least_share(0.5, 0.5, 0.5, 0.8) == 0.0  # today's detail is its own: none to be had


def test_only_evaluation_gives_detail_back():
    output = Output(PLUS)
    output.detail.fill_(1.0)
    pm = checkerboard(4.0, level=20.0)[:, None].repeat(1, 4, 1, 1)
    pm[:, 2:] = 30.0
    with torch.no_grad():
        output.blend[0] = torch.tensor([0.0, 0.0, 1.0, 0.0])  # the corrected forecast alone, which is flat
    fields, lead = torch.zeros(1, 4, 32, 32), torch.tensor([1])
    made = [pm[:, 0] + PM_SCALE * output.train(mode)(fields, pm, lead) for mode in (True, False)]
    assert torch.allclose(made[0], torch.full_like(made[0], 30.0), atol=1e-4)
    assert torch.allclose(inner(made[1]), inner(30.0 + 1.5 * detail(pm[:, 0])), atol=0.05)


def test_training_days_say_how_much_detail_is_given_back():
    """The truth's detail does not change from day to day: a flat forecast gets as much as there is."""
    store = ToyStore()
    board = checkerboard(5.0, 20.0, max(store.fine.shape))[0].numpy()[: store.fine.height, : store.fine.width]
    store.maps[:] = np.where(store.land, board, np.nan)
    examples = Examples([HeldStore(store, store.days, FORECAST)], PLUS, (1, 2))  # type: ignore[arg-type]
    network = CranPM(PLUS, nominal())
    with torch.no_grad():
        network.output.blend[:] = torch.tensor([1.0, 0.0, 0.0, 0.0])  # 20 ug m-3 everywhere
    give_back_detail(network, examples, 0)
    assert network.output.detail[:2].tolist() == pytest.approx([1.0, 1.0], abs=0.1)  # the edge of a tile counts a little less
    assert network.output.detail[2:].eq(0).all()  # leads that are not trained
    before = network.output.detail.clone()
    give_back_detail(network, examples, 0)
    assert torch.equal(network.output.detail, before)
    without = CranPM(replace(PLUS, detail=False), nominal())
    give_back_detail(without, examples, 0)
    assert "output.detail" not in without.state_dict()


def test_detail_belongs_to_an_output_that_scales():
    with pytest.raises(CranpmError, match="'scale' only"):
        replace(CONFIG, detail=True)
