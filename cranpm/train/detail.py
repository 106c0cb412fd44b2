"""How much of today's fine detail a forecast takes over, so that its finest scales vary as those of the truth do."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from cranpm.data.dataset import Draw, Examples
from cranpm.data.days import ONE_DAY
from cranpm.forecast.detail import coverage, fine_part, todays_detail
from cranpm.model.network import CranPM
from cranpm.variables import PM_SCALE

DRAWS = 200
"""Tiles for each lead; of 60 the most polluted few decided."""
COVERED = 0.8
"""Share of the square around a pixel that must be known for its detail to count."""


def detail_shares(network: CranPM, examples: Examples, seed: int, draws: int = DRAWS) -> dict[int, float]:
    """For each trained lead the share of `cranpm.forecast.detail.give_back`; none for an output that does not scale.

    It is the least with which the variance of the forecast's detail is that of the truth's two-day mean: no more blur,
    over all fine scales together, than one day makes to the next.

    Args:
        network: as it will forecast.
        examples: days it was not trained on: those it knows it forecasts more sharply.
        seed: of the tiles.
        draws: tiles for each lead.
    """
    if network.output.kind != "scale":
        return {}
    rng, training = np.random.default_rng([seed, 0xDE7A]), network.training
    network.eval()
    shares = {}
    with torch.inference_mode():
        for lead in examples.leads:
            only = [float(lead == other) for other in examples.leads]
            sums = np.sum([_sums(network, examples, draw) for draw in examples.draw(rng, draws, 1, only)], axis=0)
            shares[lead] = round(least_share(*sums), 4)
    network.train(training)
    return shares


def least_share(own: float, both: float, todays: float, wanted: float) -> float:
    """The least g of 0 to 1 with which the variance of d + g (e - d) is the one wanted; 1 if none is enough.

    Args:
        own, todays: sums of squares of the forecast's detail d and of today's grown detail e.
        both: sum of their products.
        wanted: sum of squares to be reached.
    """
    slope, bend = both - own, own + todays - 2 * both  # own + 2 g slope + g^2 bend
    if own >= wanted or bend <= 0:
        return 0.0
    return float(min((-slope + np.sqrt(slope**2 - bend * (own - wanted))) / bend, 1.0))


def _sums(network: CranPM, examples: Examples, draw: Draw) -> NDArray[np.floating]:
    """Over a draw's tile: squares and product of both details, squares of that of the truth's two-day mean."""
    batch = examples.batch([draw]).to(next(network.parameters()).device)
    store, (tile,), (lead,) = examples.stores[draw.store], draw.tiles, draw.leads
    today = batch.pm[0, 0].cpu().numpy()
    forecast = today + PM_SCALE * network(*batch.day, *batch.tiles)[0].float().cpu().numpy()
    known = np.isfinite(store.pm(draw.day, *tile.window)) & store.land[tile.window]
    later = [store.pm(draw.day + ahead * ONE_DAY, *tile.window) for ahead in (lead - 1, lead)]
    pair = np.mean(later, axis=0)
    scored = known & np.isfinite(pair)
    scored &= coverage(scored) >= COVERED
    own, todays = fine_part(forecast, known), todays_detail(forecast, today, known)
    wanted = fine_part(np.nan_to_num(pair), np.isfinite(pair) & store.land[tile.window])
    return np.array([part[scored].sum() for part in (own**2, own * todays, todays**2, wanted**2)])
