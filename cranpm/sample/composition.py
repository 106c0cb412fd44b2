"""The other species of the CAMS-like model, in proportions that follow PM2.5, emissions and weather."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cranpm.sample.geography import Ground

Field = NDArray[np.float32]


def species(pm2p5: Field, weather: dict[str, Field], ground: Ground, summer: float) -> dict[str, Field]:
    """pm2p5, pm10, no2, o3 and co in ug m-3, each of shape (8, H, W).

    Args:
        pm2p5: of the CAMS-like model, shape (8, H, W).
        weather: the day's u10, v10 and t2m, same shape.
        ground: where towns and the sea are.
        summer: 0 in mid-winter, 1 in mid-summer.
    """
    speed = np.hypot(weather["u10"], weather["v10"])
    salt = np.where(ground.coarse_land, 0.15, 0.6) * speed**1.3
    towns = ground.coarse_emission / (ground.coarse_emission + 1.0)
    no2 = (2 + 28 * towns) * (1.25 - 0.5 * summer) * 3 / (1.2 + speed) * np.sqrt(np.maximum(pm2p5, 0.5) / 12)
    warm = np.clip(weather["t2m"] - 283, -15, 25)
    o3 = np.maximum(52 + 22 * summer + 1.1 * warm - 0.8 * no2, 4)
    fields = {
        "pm2p5": pm2p5, "pm10": 1.25 * pm2p5 + 1.5 + salt, "no2": no2, "o3": o3, "co": 120 + 5.5 * pm2p5 + 2.0 * no2,
    }  # fmt: skip
    return {name: np.ascontiguousarray(field, dtype=np.float32) for name, field in fields.items()}
