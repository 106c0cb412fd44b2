"""Mean and spread of every input channel, by name: what the network normalises with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cranpm.errors import CranpmError
from cranpm.variables import (
    CHANNELS,
    COARSE,
    FORECAST_CHANNELS,
    FUTURE_MAPS,
    LEVELS,
    LOCAL_CHANNELS,
    PM_OFFSET,
    PM_SCALE,
)

Scale = tuple[float, float]  # what is subtracted, then what is divided by, in the channel's unit


@dataclass(frozen=True)
class Statistics:
    """(mean, standard deviation) per channel name, in the channel's physical unit.

    Attributes:
        coarse: for each coarse channel, e.g. `u_850_t-1`.
        local: for each channel of a fine tile, e.g. `elevation`.
    """

    coarse: Mapping[str, Scale]
    local: Mapping[str, Scale]

    def coarse_scales(self, channels: Sequence[str]) -> tuple[list[float], list[float]]:
        """Means and deviations in the order of the channels asked for.

        Raises:
            CranpmError: a channel has no statistics, or one of them is not positive and finite.
        """
        return _ordered(self.coarse, channels, "coarse")

    def local_scales(self, channels: Sequence[str]) -> tuple[list[float], list[float]]:
        """The same for the channels of a tile."""
        return _ordered(self.local, channels, "local")

    def to_dict(self) -> dict[str, dict[str, list[float]]]:
        """Plain values for JSON."""
        return {
            part: {name: [float(mean), float(std)] for name, (mean, std) in scales.items()}
            for part, scales in (("coarse", self.coarse), ("local", self.local))
        }

    @staticmethod
    def from_dict(values: Mapping[str, Mapping[str, Sequence[float]]]) -> Statistics:
        """What `to_dict` wrote."""
        try:
            parts = {
                part: {name: (float(mean), float(std)) for name, (mean, std) in values[part].items()}
                for part in ("coarse", "local")
            }
        except (KeyError, TypeError, ValueError) as error:
            raise CranpmError(f"statistics: 'coarse' and 'local' must hold [mean, std] by name: {error!r}") from error
        return Statistics(parts["coarse"], parts["local"])


LOCAL_SCALES: dict[str, Scale] = {
    "pm2p5_t": (PM_OFFSET, PM_SCALE),
    "pm2p5_t-1": (PM_OFFSET, PM_SCALE),
    "elevation": (0.0, 1000.0),
    "latitude": (50.0, 20.0),
    "longitude": (10.0, 35.0),
}
"""Constants of the fine channels: (x - 15) / 20 for PM2.5 (Table S4); km; Europe's centre and half-width."""


def _analysis(name: str) -> str:
    """Whose scale a channel of the valid day takes: that of the same variable of day t."""
    if name in FUTURE_MAPS:
        return "pm2p5_t"
    return f"{name.removesuffix('_f')}_t" if name in FORECAST_CHANNELS else name


def nominal() -> Statistics:
    """Round numbers of a mid-latitude climate, for a network that was never trained."""
    coarse = {channel: _NOMINAL[channel.rsplit("_", 1)[0]] for channel in CHANNELS}
    return Statistics(coarse, {name: LOCAL_SCALES[name] for name in LOCAL_CHANNELS})


def _ordered(scales: Mapping[str, Scale], channels: Sequence[str], part: str) -> tuple[list[float], list[float]]:
    channels = [name if name in scales else _analysis(name) for name in channels]
    if missing := [name for name in channels if name not in scales]:
        extra = [name for name in scales if name not in channels]
        raise CranpmError(
            f"statistics: the network expects the {part} channel '{missing[0]}', found "
            f"{repr(extra[0]) if extra else 'no other'} instead ({len(missing)} missing, {len(extra)} unknown)"
        )
    for name in channels:
        mean, std = scales[name]
        if not (math.isfinite(mean) and math.isfinite(std) and std > 0):
            raise CranpmError(f"statistics of '{name}': mean {mean}, deviation {std}: not usable")
    return [scales[name][0] for name in channels], [scales[name][1] for name in channels]


_LEVEL_TABLE: dict[str, tuple[Scale, ...]] = {  # on LEVELS, from 500 to 1000 hPa
    "u": ((11.0, 11.0), (6.0, 8.0), (3.0, 8.0), (2.0, 7.5), (0.8, 5.0)),
    "v": ((0.0, 11.0), (0.0, 7.5), (0.0, 6.5), (0.0, 6.5), (0.0, 4.5)),
    "t": ((257.0, 9.0), (273.0, 8.5), (281.0, 9.0), (285.0, 9.5), (288.0, 9.5)),
    "z": ((55_000.0, 2_000.0), (29_500.0, 1_200.0), (14_400.0, 700.0), (7_600.0, 600.0), (1_000.0, 600.0)),
    "q": ((0.001, 0.001), (0.003, 0.002), (0.005, 0.003), (0.006, 0.0035), (0.0075, 0.004)),
}
_NOMINAL: dict[str, Scale] = {
    "u10": (0.7, 3.5),
    "v10": (0.0, 3.5),
    "t2m": (285.0, 10.0),
    "sp": (97_500.0, 5_000.0),
    "tp": (0.002, 0.005),
    **{f"{name}_{level}": row[i] for name, row in _LEVEL_TABLE.items() for i, level in enumerate(LEVELS)},
    "pm2p5": (10.0, 10.0),
    "pm10": (16.0, 14.0),
    "no2": (8.0, 9.0),
    "o3": (70.0, 25.0),
    "co": (200.0, 90.0),
}
assert set(_NOMINAL) == set(COARSE)
