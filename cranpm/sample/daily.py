"""Which instants of a simulated day the files hold, and the daily channels that follow from them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cranpm.variables import COMPOSITION, LEVELS, SURFACE, UPPER

if TYPE_CHECKING:
    from cranpm.sample.world import SimulatedDay

HOURS = tuple(range(0, 24, 3))
"""UTC hours of a simulated day's instants."""

SURFACE_STEP = 3  # hours between the instants of ERA5 surface variables in the files
LEVEL_STEP = 6  # ... of ERA5 pressure levels
CAMS_STEP = 3  # ... of the CAMS analysis
FORECAST_STEP = 12  # ... of weather forecasts
CAMS_FORECAST_STEP = 6  # ... of CAMS forecasts


def daily_channels(
    day: SimulatedDay, *, surface_step: int = SURFACE_STEP, level_step: int = LEVEL_STEP
) -> NDArray[np.float32]:
    """The 35 coarse channels of a simulated day, as the files give them back up to their packing.

    Args:
        day: the simulated day.
        surface_step, level_step: hours between the instants that the files hold.

    Returns:
        Shape (35, height, width), units of `variables.COARSE`.
    """
    return _channels(day.weather, day.composition, (surface_step, level_step, CAMS_STEP), axis=0)


def forecast_channels(day: SimulatedDay) -> NDArray[np.float32]:
    """The 35 coarse channels forecast on a simulated day, shape (leads, 35, height, width)."""
    steps = (FORECAST_STEP, FORECAST_STEP, CAMS_FORECAST_STEP)
    return np.swapaxes(_channels(day.forecast_weather, day.forecast_composition, steps, axis=1), 0, 1)


def every(step: int) -> slice:
    """The instants of a simulated day that are `step` hours apart."""
    return slice(None, None, step // (HOURS[1] - HOURS[0]))


def _channels(
    weather: dict[str, NDArray], composition: dict[str, NDArray], steps: tuple[int, int, int], *, axis: int
) -> NDArray[np.float32]:
    """Daily channels first; `axis` is the one of the instants."""
    surface, level, cams = steps
    lead = (slice(None),) * axis
    found = []
    for v in SURFACE:
        values = weather[v.name]
        found.append(
            values.sum(axis) if v.daily == "sum" else values[(*lead, every(surface))].mean(axis, dtype=np.float64)
        )
    for v in UPPER:
        mean = weather[v.name][(*lead, every(level))].mean(axis, dtype=np.float64)
        found += [mean[(*lead, i)] for i in range(len(LEVELS))]
    found += [composition[v.name][(*lead, every(cams))].mean(axis, dtype=np.float64) for v in COMPOSITION]
    return np.stack(found).astype(np.float32)
