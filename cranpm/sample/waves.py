"""Random travelling waves: smooth Gaussian fields in space and time that can be evaluated at any day.

A field is a sum of plane waves whose complex amplitudes are white daily noise seen through a smooth window
of their own lifetime and turned by their own frequency: stationary, not periodic, and the same whoever asks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cranpm.grid import KM_PER_DEGREE, Grid
from cranpm.sample.noise import generator

_EPOCH = 730_000.0  # the day (proleptic ordinal) at which all waves have phase zero
_REACH = 3.0  # lifetimes after which a day's noise is forgotten
_DAY = 86.4  # m/s to km/day
_BETA, _DEFORMATION = 1.6e-11, 1.0e-12  # 1/(m s), 1/m2


@dataclass(frozen=True)
class Spectrum:
    """What kind of waves.

    Attributes:
        name: names the field; the geometry of its waves depends on nothing else.
        count: how many waves.
        wavelength: typical wavelength, km.
        spread: standard deviation of the log wavelength.
        lifetime: days over which the typical wave keeps its amplitude; longer waves live longer.
        steering: eastward speed of the flow that carries the waves, m/s.
        rossby: whether long waves travel westward relative to that flow.
    """

    name: str
    count: int
    wavelength: float
    spread: float
    lifetime: float
    steering: float = 0.0
    rossby: bool = False


@dataclass
class Waves:
    """The waves of a spectrum on one grid.

    Attributes:
        spectrum: what kind of waves.
        grid: where fields are evaluated.
        latitude: at which degrees of longitude become km (the same for all windows of a region).
        velocity: amplitudes for unit variance of the velocity of a streamfunction, not of the field itself.
    """

    spectrum: Spectrum
    grid: Grid
    latitude: float
    velocity: bool = False
    kx: NDArray[np.float64] = field(init=False)
    ky: NDArray[np.float64] = field(init=False)
    _noise: dict[tuple[str | int, ...], NDArray[np.complex128]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        kind = self.spectrum
        rng = generator("waves", kind.name)
        length = kind.wavelength * np.exp(kind.spread * np.clip(rng.standard_normal(kind.count), -1.6, 2.0))
        number, angle = 2 * np.pi / length, rng.uniform(-np.pi / 2, np.pi / 2, kind.count)
        self.kx, self.ky = number * np.cos(angle), number * np.sin(angle)
        slow = _BETA / ((number / 1000) ** 2 + _DEFORMATION) if kind.rossby else 0.0
        self.omega = self.kx * (kind.steering - slow) * _DAY
        self.lifetime = kind.lifetime * np.sqrt(length / kind.wavelength)
        size = number**-1.3 if self.velocity else np.ones(kind.count)
        variance = (number * size) ** 2 / 4 if self.velocity else size**2 / 2
        self.size = size / np.sqrt(variance.sum())
        x = self.grid.lons * KM_PER_DEGREE * np.cos(np.radians(self.latitude))
        y = self.grid.lats * KM_PER_DEGREE
        east = np.exp(1j * np.outer(self.kx, x))
        self._east = np.concatenate([east.real, east.imag]).astype(np.float32)
        self._north = np.exp(1j * np.outer(y, self.ky))

    def amplitudes(self, times: NDArray[np.float64], *key: str | int) -> NDArray[np.complex128]:
        """Complex amplitudes, shape (times, waves), of the realisation named by a key; times in days."""
        reach = _REACH * self.lifetime.max()
        nodes = np.arange(np.floor(times.min() - reach), np.ceil(times.max() + reach) + 1).astype(int)
        noise = np.stack([self._node(int(node), *key) for node in nodes])
        distance = (times[:, None, None] - nodes[None, :, None]) / self.lifetime
        window = np.exp(-0.5 * distance**2) / np.sqrt(np.sqrt(np.pi) * self.lifetime)
        turned = np.exp(-1j * self.omega * (times[:, None] - _EPOCH))
        return np.einsum("tnm,nm->tm", window, noise) * turned

    def field(self, amplitudes: NDArray[np.complex128]) -> NDArray[np.float32]:
        """The field itself, shape (times, height, width); amplitudes of shape (times, waves)."""
        lines = (amplitudes * self.size)[:, None, :] * self._north
        flat = np.concatenate([lines.real, -lines.imag], axis=2).astype(np.float32)
        height, width = self.grid.shape
        return (flat.reshape(-1, flat.shape[2]) @ self._east).reshape(-1, height, width)

    def _node(self, node: int, *key: str | int) -> NDArray[np.complex128]:
        """White noise of one day; the last few hundred are remembered."""
        name = (self.spectrum.name, *key, node)
        if name not in self._noise:
            if len(self._noise) > 600:
                self._noise.clear()
            pair = generator(*name).standard_normal((2, self.spectrum.count))
            self._noise[name] = (pair[0] + 1j * pair[1]) / np.sqrt(2)
        return self._noise[name]
