"""A forecast of several days: 12 h at a time, each from the two before; nothing but those two is kept."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

import torch
from torch import Tensor

from cranpm.composition.coupling.config import STEP_HOURS
from cranpm.composition.coupling.network import Coupling, Ground
from cranpm.errors import CranpmError

STEP = dt.timedelta(hours=STEP_HOURS)


@dataclass(frozen=True)
class Step:
    """One step of a forecast.

    Attributes:
        lead: hours ahead.
        valid: the instant it is valid at, UTC.
        fields: the species in physical units, never negative, shape (B, C, H, W).
    """

    lead: int
    valid: dt.datetime
    fields: Tensor


def roll_out(
    network: Coupling, before: Tensor, now: Tensor, weather: Iterable[Tensor], ground: Ground, start: dt.datetime
) -> Iterator[Step]:
    """Forecast as far as the weather goes.

    Args:
        network: in evaluation mode.
        before, now: the species 12 h before the start and at the start, physical units, shape (B, C, H, W).
        weather: at the start and every 12 h after it, physical units, shape (B, D, H, W) each; read one at a time.
        ground: what is known of the places.
        start: UTC.

    Raises:
        CranpmError: a value of the first two maps or of the weather is missing.
    """
    _refuse_gaps(torch.cat([before, now]), f"the composition up to {start}")
    seen, valid = (network.species(before), network.species(now)), start
    with torch.inference_mode():
        clocks = (clock(start + number * STEP, now.shape[0]).to(now.device) for number in count())
        for number, state in enumerate(advance(network, *seen, _whole(weather, start), ground, clocks), start=1):
            valid = start + number * STEP
            yield Step(number * STEP_HOURS, valid, network.species.inverse(state))


def advance(
    network: Coupling, before: Tensor, now: Tensor, weather: Iterable[Tensor], ground: Ground, clocks: Iterable[Tensor]
) -> Iterator[Tensor]:
    """Step by step as the network sees the species, with gradients where they are wanted.

    Args:
        weather: one more than there are steps.
        clocks: day of the year and hour of the instant each step starts from, shape (B, 2).
    """
    lowest, maps = network.species.lowest(), iter(weather)
    here = next(maps)
    for there, clock_now in zip(maps, clocks, strict=False):
        before, now = now, torch.maximum(network(before, now, here, there, ground, clock_now), lowest)
        here = there
        yield now


def clock(instant: dt.datetime, batch: int = 1) -> Tensor:
    """Day of the year and hour of the day, shape (B, 2)."""
    return torch.tensor([[float(instant.timetuple().tm_yday), instant.hour + instant.minute / 60]]).repeat(batch, 1)


def _whole(weather: Iterable[Tensor], start: dt.datetime) -> Iterator[Tensor]:
    for number, fields in enumerate(weather):
        _refuse_gaps(fields, f"the weather of {start + number * STEP}")
        yield fields


def _refuse_gaps(fields: Tensor, what: str) -> None:
    if not bool(fields.isfinite().all()):
        raise CranpmError(f"{what} has {int((~fields.isfinite()).sum())} missing values; expected none")
