"""How good the network is on days it is not trained on, beside persistence on the same pixels."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice

import torch
from torch import Tensor

from cranpm.data.dataset import Batch, Examples
from cranpm.model.network import CranPM
from cranpm.train.cached_day import split_tiles
from cranpm.train.recipe import Validation
from cranpm.variables import PM_SCALE

AT_ONCE = 12
"""Tiles in one pass: with 512 px some 1.6 GB of a device, less than a training step takes."""


@dataclass
class Scores:
    """Squared errors by lead, summed over valid land pixels, ug m-3 squared."""

    model: dict[int, float] = field(default_factory=dict)
    persistence: dict[int, float] = field(default_factory=dict)
    pixels: dict[int, int] = field(default_factory=dict)

    def add(self, batch: Batch, residual: Tensor) -> None:
        """Count a batch."""
        change = (batch.target - batch.pm[:, 0]).double()
        error = (residual.double() * PM_SCALE - change) * batch.valid
        still = change * batch.valid
        for lead in batch.lead.unique().tolist():
            mine = batch.lead == lead
            self.model[lead] = self.model.get(lead, 0.0) + float(error[mine].square().sum())
            self.persistence[lead] = self.persistence.get(lead, 0.0) + float(still[mine].square().sum())
            self.pixels[lead] = self.pixels.get(lead, 0) + int(batch.valid[mine].sum())

    def __add__(self, other: Scores) -> Scores:
        """The scores of more days."""
        leads = (*self.pixels, *other.pixels)
        return Scores(
            {lead: self.model.get(lead, 0.0) + other.model.get(lead, 0.0) for lead in leads},
            {lead: self.persistence.get(lead, 0.0) + other.persistence.get(lead, 0.0) for lead in leads},
            {lead: self.pixels.get(lead, 0) + other.pixels.get(lead, 0) for lead in leads},
        )

    def over_devices(self, leads: tuple[int, ...], reduce: Callable[[Tensor], Tensor]) -> Scores:
        """The scores of all devices together; `reduce` sums a tensor over them."""
        parts = (self.model, self.persistence, self.pixels)
        rows = torch.tensor([[part.get(lead, 0.0) for lead in leads] for part in parts], dtype=torch.float64)
        model, persistence, pixels = (dict(zip(leads, row, strict=True)) for row in reduce(rows).tolist())
        return Scores(model, persistence, {lead: round(count) for lead, count in pixels.items()})

    def rmse(self) -> dict[int, tuple[float, float]]:
        """RMSE of the model and of persistence by lead, ug m-3."""
        return {
            lead: (math.sqrt(self.model[lead] / count), math.sqrt(self.persistence[lead] / count))
            for lead, count in sorted(self.pixels.items())
            if count
        }

    @property
    def ratio(self) -> float:
        """Mean over the leads of RMSE over persistence's: what the best weights are chosen by."""
        ratios = [model / still for model, still in self.rmse().values()]
        return sum(ratios) / len(ratios)


def validate(
    network: CranPM, examples: Examples, validation: Validation, *, half: bool, rank: int = 0, ranks: int = 1,
    tell: Callable[[int, int], None] | None = None,
) -> Scores:  # fmt: skip
    """Scores over the validation's days and tiles; `half` runs the network in bfloat16.

    Of several devices, each looks at every `ranks`-th day: `Scores.over_devices` adds up. `tell` is called with how
    many of this device's days are done, and how many there are.
    """
    scores, training = Scores(), network.training
    days = list(islice(examples.sweep(every=validation.every, tiles=validation.tiles), rank, None, ranks))
    device = next(network.parameters()).device
    network.eval()
    with torch.inference_mode(), torch.autocast(device.type, torch.bfloat16, enabled=half):
        for done, draws in enumerate(days, start=1):
            batch = examples.batch(draws).to(device)
            state = network.encode_day(*batch.day)
            for part in split_tiles(batch, max(AT_ONCE // len(draws), 1)):
                scores.add(part, network.forward_tiles(state, *part.tiles))
            if tell:
                tell(done, len(days))
    network.train(training)
    return scores
