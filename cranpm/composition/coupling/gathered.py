"""What is wanted of a named driver and what its files gave: fields by instant, precipitation by period."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cranpm.composition.coupling.drivers import ON_LEVELS, UNITS, Form
from cranpm.data.products.axes import Axes, regular_grid
from cranpm.data.products.fields import convert, cut, to_grid
from cranpm.data.products.sources import Source
from cranpm.grid import Grid
from cranpm.variables import Variable

Field = NDArray[np.float32]
Onto = Callable[[NDArray], Field]


@dataclass(frozen=True)
class Wanted:
    """Channels at instants on a grid.

    Attributes:
        channels: by name.
        start: when the forecast starts.
        instants: when, in order; precipitation is taken for all the time they span and as long before the first.
        grid: where.
    """

    channels: frozenset[str]
    start: np.datetime64
    instants: NDArray[np.datetime64]
    grid: Grid

    def takes(self, channel: str, begin: np.datetime64, valid: np.datetime64) -> bool:
        """Whether the field of a channel that is valid then, or a sum from begin on, is of use."""
        if channel not in self.channels:
            return False
        if channel == "tp":
            earliest = self.instants[0] - (self.instants[1] - self.instants[0])
            return bool(earliest <= begin < valid <= self.instants[-1])
        return bool(np.isin(valid, self.instants))


@dataclass
class Gathered:
    """What was found.

    Attributes:
        fields: by channel and valid time, on the grid.
        rain: metres of precipitation by the period they fell in, (begin, end).
        held: all channels that the files hold, wanted or not.
        issued: reference times of the forecasts that the files hold.
        simulated: whether a file says that it is.
    """

    fields: dict[str, dict[np.datetime64, Field]] = field(default_factory=dict)
    rain: dict[tuple[np.datetime64, np.datetime64], Field] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    issued: set[np.datetime64] = field(default_factory=set)
    simulated: bool = False

    def has(self, channel: str, begin: np.datetime64, valid: np.datetime64) -> bool:
        """Whether an earlier file gave it."""
        return (begin, valid) in self.rain if channel == "tp" else valid in self.fields.get(channel, {})

    def put(self, channel: str, begin: np.datetime64, valid: np.datetime64, values: Field) -> None:
        """Keep a field."""
        if channel == "tp":
            self.rain[begin, valid] = values
        else:
            self.fields.setdefault(channel, {})[valid] = values


def in_our_unit(values: NDArray, channel: str, unit: str, form: Form, source: Source) -> Field:
    """Values in the unit of `UNITS`; the file's unit if it names one, else the form's.

    Raises:
        CranpmError: a unit that does not lead to ours.
    """
    name = channel.partition("_")[0] if channel.partition("_")[0] in ON_LEVELS else channel
    variable = Variable(name, UNITS[name], -np.inf, np.inf, name)
    return convert(values, unit or form.units.get(name, ""), variable, str(source))


def onto(lats: NDArray, lons: NDArray, grid: Grid, source: Source) -> Onto:
    """What brings fields on a file's regular points, shape (h, w), to a grid: taken over, or bilinear.

    Raises:
        CranpmError: the points are not regular, or do not reach over the grid.
    """
    whole, flipped, periodic = regular_grid(lats, lons, str(source))
    part = cut(Axes(whole, flipped, periodic, np.empty(0, "datetime64[s]"), None, (), "", {}), grid, source)

    def bring(values: NDArray) -> Field:
        north_first = (values[::-1] if flipped else values)[part.rows]
        columns = np.concatenate([north_first[:, run] for run in part.columns], axis=1)
        return np.asarray(to_grid(np.asarray(columns, np.float32), part.grid, grid), np.float32)

    return bring


def amount(
    rain: dict[tuple[np.datetime64, np.datetime64], Field], begin: np.datetime64, end: np.datetime64
) -> Field | None:
    """Metres that fell between two instants: the difference of two sums since one start, or sums end to end.

    Returns:
        Shape (H, W), nothing below zero (packed sums may fall by a rounding); None where the sums do not tell.
    """
    for (since, until), total in rain.items():
        if until == end and since < begin and (since, begin) in rain:
            return np.maximum(total - rain[since, begin], 0)
    pieces, at = [], end
    while at > begin:
        last = min((s for s, until in rain if until == at and s >= begin), default=None)
        if last is None:
            return None
        pieces.append(rain[last, at])
        at = last
    return np.maximum(np.sum(pieces, axis=0, dtype=np.float32), 0)
