"""What the networks learn from: three hours with those between them, and maps with their degradation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cranpm.composition.deepcams.degrade import FACTOR, Degradation, degrade
from cranpm.composition.deepcams.truth import Maps, Series
from cranpm.data.products.axes import Times
from cranpm.errors import CranpmError

HOURS = 3
"""Hours between the maps of the reanalysis, and how many times finer time becomes."""


@dataclass(frozen=True)
class Batch:
    """Examples of either network, normalised.

    Attributes:
        given: what the network sees: maps at 0 and 1, shape (n, 2, h, w), or a coarse map, shape (n, 1, h, w).
        target: what it should give, shape (n, 1, h, w) or (n, 1, 3 h, 3 w).
        t: time of the target between the maps, shape (n,); empty for the spatial network.
    """

    given: Tensor
    target: Tensor
    t: Tensor

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return Batch(self.given.to(device), self.target.to(device), self.t.to(device))


class Pairs:
    """Examples drawn from series of maps.

    Args:
        series: for time, maps of consecutive hours at 0.75 degrees; for space, maps at 0.25 degrees.
        space: whether they are for the spatial network.
        scale: ug m-3 that become 1.
        how: the degradation of the spatial network's maps.

    Raises:
        CranpmError: no series is long enough.
    """

    def __init__(self, series: Sequence[Series], *, space: bool, scale: float, how: Degradation = "area") -> None:
        self.series, self.space, self.scale, self.how = list(series), space, scale, how
        reach = 0 if space else HOURS
        self.starts = [(k, i) for k, one in enumerate(self.series) for i in range(len(one.times) - reach)]
        if not self.starts:
            raise CranpmError("no example: four hours that follow each other are needed; give more files")

    @property
    def mean(self) -> float:
        """Mean of all maps, ug m-3."""
        return float(np.mean([one.maps.mean(dtype=np.float64) for one in self.series]))

    def draw(
        self, rng: np.random.Generator, count: int, patch: int, reverse: float = 0.0, *, flip: bool = True
    ) -> Batch:
        """A batch of random places and times.

        Args:
            rng: decides all of it.
            count: examples.
            patch: side of the coarse patches, pixels; the whole map where it is 0.
            reverse: how often time runs backwards.
            flip: whether maps are mirrored at random.
        """
        chosen = [self.starts[i] for i in rng.integers(len(self.starts), size=count)]
        windows = [self._window(rng, k, patch) for k, _ in chosen]
        flips = rng.integers(4 if flip else 1, size=count)
        if self.space:
            fine = np.stack([self._at(k, i, w, f) for (k, i), w, f in zip(chosen, windows, flips, strict=True)])
            return self._space_batch(fine[:, None])
        inner, backward = rng.integers(1, HOURS, size=count), rng.random(count) < reverse
        rows = []
        for (k, i), window, flip, step, turned in zip(chosen, windows, flips, inner, backward, strict=True):
            places = (i + HOURS, i, i + HOURS - step) if turned else (i, i + HOURS, i + step)
            rows.append(np.stack([self._at(k, place, window, flip) for place in places]))
        return self._time_batch(np.stack(rows), inner / HOURS)

    def scored(self, every: int = 1) -> Iterator[tuple[Times, Batch]]:
        """Whole maps that a network is scored on, as the reanalysis would have them.

        For time, each interval that starts at 00, 03, ... UTC with both hours inside; for space, each n-th map.
        """
        for one in self.series:
            hour = one.times.astype("datetime64[h]").astype(int) % 24
            for i in range(len(one.times) - (0 if self.space else HOURS)):
                if self.space and i % every == 0:
                    yield one.times[i : i + 1], self._space_batch(one.maps[i][None, None])
                elif not self.space and hour[i] % (HOURS * every) == 0:
                    ends = one.maps[[i, i + HOURS]]
                    rows = np.stack([np.stack([*ends, one.maps[i + step]]) for step in range(1, HOURS)])
                    yield one.times[i + 1 : i + HOURS], self._time_batch(rows, np.arange(1, HOURS) / HOURS)

    def _window(self, rng: np.random.Generator, k: int, patch: int) -> tuple[slice, slice]:
        """Rows and columns of a patch, whole coarse pixels."""
        factor = FACTOR if self.space else 1
        lengths = [length // factor for length in self.series[k].maps.shape[1:]]
        sides = [min(patch or length, length) for length in lengths]
        first = [int(rng.integers(length - side + 1)) for length, side in zip(lengths, sides, strict=True)]
        rows, columns = (slice(f * factor, (f + side) * factor) for f, side in zip(first, sides, strict=True))
        return rows, columns

    def _at(self, k: int, i: int, window: tuple[slice, slice], flip: int) -> Maps:
        map = self.series[k].maps[i][window]
        map = map[::-1] if flip & 1 else map
        return map[:, ::-1] if flip & 2 else map

    def _time_batch(self, maps: Maps, t: NDArray[np.float64]) -> Batch:
        """Of maps (n, 3, h, w): at 0, at 1, at t."""
        values = torch.from_numpy(np.ascontiguousarray(maps, np.float32) / np.float32(self.scale))
        return Batch(values[:, :2], values[:, 2:], torch.from_numpy(t.astype(np.float32)))

    def _space_batch(self, fine: Maps) -> Batch:
        values = torch.from_numpy(np.ascontiguousarray(fine, np.float32) / np.float32(self.scale))
        return Batch(degrade(values, self.how), values, torch.empty(0))
