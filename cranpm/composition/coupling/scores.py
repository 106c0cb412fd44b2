"""How good forecasts are: weighted RMSE by species and lead, beside persistence and the untrained network's base."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cranpm.composition.coupling.config import STEP_HOURS
from cranpm.composition.coupling.examples import Batch
from cranpm.composition.coupling.network import Coupling, Ground
from cranpm.composition.coupling.rollout import advance

Array = NDArray[np.float64]
PERSISTENCE, BASE, MODEL, CAMS = "persistence", "base", "model", "cams"


@dataclass
class Scores:
    """Mean squared errors of forecasts, each weighted with the cosine of latitude.

    Attributes:
        species: names.
        squared: by forecaster, one array (leads, species) for each start.
        bias: the same of the mean difference from the truth.
    """

    species: tuple[str, ...]
    squared: dict[str, list[Array]] = field(default_factory=dict)
    bias: dict[str, list[Array]] = field(default_factory=dict)

    def add(self, name: str, forecast: Tensor, truth: Tensor, weights: Tensor) -> None:
        """Score forecasts (B, R, C, H, W) of one forecaster."""
        share = weights / weights.sum() / truth.shape[-1]
        off = (forecast - truth).double() * share.double().sqrt()
        mean = ((forecast - truth).double() * share.double()).sum((-2, -1))
        self.squared.setdefault(name, []).extend(off.square().sum((-2, -1)).cpu().numpy())
        self.bias.setdefault(name, []).extend(mean.cpu().numpy())

    @property
    def leads(self) -> tuple[int, ...]:
        """Hours ahead."""
        steps = self.squared[PERSISTENCE][0].shape[0]
        return tuple(STEP_HOURS * (k + 1) for k in range(steps))

    def rmse(self, name: str) -> Array:
        """Over all starts, shape (leads, species), physical units."""
        return np.sqrt(np.mean(self.squared[name], axis=0))

    def ratio(self, name: str, against: str = PERSISTENCE) -> Array:
        """RMSE over that of another forecaster, shape (leads, species)."""
        return self.rmse(name) / self.rmse(against)

    def interval(
        self, name: str, against: str = PERSISTENCE, *, draws: int = 500, seed: int = 0
    ) -> tuple[Array, Array, Array]:
        """The mean ratio over species by lead, and its 95 % interval over starts (bootstrap), shape (leads,) each."""
        mine, other = np.array(self.squared[name]), np.array(self.squared[against])
        rng = np.random.default_rng(seed)

        def mean(chosen: NDArray[np.int64]) -> Array:
            return np.sqrt(mine[chosen].mean(0) / other[chosen].mean(0)).mean(-1)

        found = np.stack([mean(rng.integers(len(mine), size=len(mine))) for _ in range(draws)])
        low, high = np.quantile(found, [0.025, 0.975], axis=0)
        return mean(np.arange(len(mine))), low, high


def score(network: Coupling, batches: Iterable[Batch], ground: Ground, weights: Tensor) -> Scores:
    """Roll forecasts out and score them beside persistence and the base.

    Args:
        network: in evaluation mode.
        batches: forecasts with their truth.
        ground: what is known of the places.
        weights: of the rows, shape (H, 1).
    """
    found = Scores(network.config.species)
    with torch.inference_mode():
        for batch in batches:
            before, now = network.species(batch.before), network.species(batch.now)
            steps = batch.truth.shape[1]
            states = advance(network, before, now, batch.weather.unbind(1), ground, batch.clocks)
            forecast = torch.stack([network.species.inverse(state) for state in states], dim=1)
            found.add(MODEL, forecast, batch.truth, weights)
            found.add(PERSISTENCE, batch.now[:, None].expand_as(batch.truth), batch.truth, weights)
            found.add(BASE, base_forecast(network, batch.before, batch.now, steps), batch.truth, weights)
    return found


def base_forecast(network: Coupling, before: Tensor, now: Tensor, steps: int) -> Tensor:
    """What the untrained network forecasts, shape (B, R, C, H, W): the latest map, or that of the same hour."""
    maps = []
    for _ in range(steps):
        before, now = now, network.base(before, now)
        maps.append(now)
    return torch.stack(maps, dim=1)
