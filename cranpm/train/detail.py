"""How much of today's fine detail a forecast takes over, so that its finest scales vary as those of the truth do."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cranpm.data.dataset import Draw, Examples
from cranpm.data.days import ONE_DAY
from cranpm.model.network import CranPM, Output, detail, todays_detail
from cranpm.variables import PM_SCALE

DRAWS = 60
"""Days for each lead."""
COVERED = 0.8
"""Share of the square around a pixel that must be known for its detail to count."""


def give_back_detail(network: CranPM, examples: Examples, seed: int) -> None:
    """Set the shares of a network that gives detail back; another is left alone.

    The share of a lead is the least with which the forecast's detail on training days has the variance that the detail
    of the truth keeps when it is averaged over two days: no more blur than a day makes to the next.
    """
    if not network.output.gives_detail:
        return
    network.eval()
    rng = np.random.default_rng([seed, 0xDE7A])
    with torch.inference_mode():
        for lead in examples.leads:
            place = lead - network.output.first_lead
            network.output.detail[place] = 0.0
            shares = [float(lead == other) for other in examples.leads]
            sums = sum(_sums(network, examples, draw) for draw in examples.draw(rng, DRAWS, 1, shares))
            assert isinstance(sums, Tensor)
            network.output.detail[place] = least_share(*sums.tolist())


def least_share(own: float, both: float, todays: float, wanted: float) -> float:
    """The least g >= 0 with which the variance of d + g (e - d) is the one wanted, or comes nearest to it.

    Args:
        own, todays: sums of squares of the forecast's detail d and of today's grown detail e.
        both: sum of their products.
        wanted: sum of squares to be reached.
    """
    slope, bend = both - own, own + todays - 2 * both  # own + 2 g slope + g^2 bend
    if own >= wanted or bend <= 0:
        return 0.0
    root = slope**2 - bend * (own - wanted)
    return float((-slope + np.sqrt(root)) / bend)


def _sums(network: CranPM, examples: Examples, draw: Draw) -> Tensor:
    """Sums over a draw's tile: squares and product of the two details, and squares of the truth's two-day mean."""
    batch = examples.batch([draw])
    today = batch.pm[:, 0] / PM_SCALE
    forecast = network(*batch.day, *batch.tiles).float() + today
    own, todays = detail(forecast), todays_detail(forecast, today)
    pair, known = _two_day_mean(examples, draw, batch.target, batch.valid)
    wanted, counts = _known_detail(pair / PM_SCALE, known)
    return torch.stack([(part * counts).sum() for part in (own**2, own * todays, todays**2, wanted**2)])


def _two_day_mean(examples: Examples, draw: Draw, target: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
    """Mean of the truth of the valid day and the day before it, and where both are known, (1, S, S)."""
    store, (tile,), (lead,) = examples.stores[draw.store], draw.tiles, draw.leads
    before = torch.from_numpy(np.ascontiguousarray(store.pm(draw.day + (lead - 1) * ONE_DAY, *tile.window)))[None]
    known = valid & before.isfinite()
    return torch.where(known, (target + before.nan_to_num()) / 2, torch.zeros_like(target)), known


def _known_detail(field: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
    """Detail of a field with gaps, and where enough around a pixel is known for it to count."""
    side = Output.FINE

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(values[:, None], side, stride=1, padding=side // 2, count_include_pad=False)[:, 0]

    share = mean(known.float())
    found = field - mean(field * known) / share.clamp_min(1e-6)
    return found, known & (share >= COVERED)
