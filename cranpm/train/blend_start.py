"""Where a network with an output that scales starts: at the best linear blend of today's map and the forecast's."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from cranpm.data.dataset import Examples
from cranpm.model.network import CranPM
from cranpm.variables import PM_SCALE

DRAWS = 1500
"""Tiles for each lead: of 120, one polluted week decided, and training had not undone it after 400 steps."""


def start_from_blend(network: CranPM, examples: Examples, seed: int) -> None:
    """Set the blend of each lead by least squares over random tiles of the training days.

    A network of another output is left alone, and so is a lead that is not trained.
    """
    if network.output.kind != "scale":
        return
    rng = np.random.default_rng([seed, 0xB1E4D])
    for lead in examples.leads:
        shares = [float(lead == other) for other in examples.leads]
        fitted = _blend(network, examples, rng, shares)
        with torch.no_grad():
            network.output.blend[lead - network.output.first_lead] = torch.from_numpy(fitted)


def _blend(network: CranPM, examples: Examples, rng: np.random.Generator, shares: list[float]) -> NDArray[np.floating]:
    """The coefficients of one lead from the normal equations, a day at a time."""
    size = network.output.fields
    square, product = np.zeros((size, size)), np.zeros(size)
    for draw in examples.draw(rng, DRAWS, 1, shares):
        batch = examples.batch([draw])
        bases = network.output.bases(batch.pm)[0][:, batch.valid[0]].double().numpy()
        target = (batch.target[batch.valid] / PM_SCALE).double().numpy()
        square += bases @ bases.T
        product += bases @ target
    return np.linalg.lstsq(square, product, rcond=None)[0]
