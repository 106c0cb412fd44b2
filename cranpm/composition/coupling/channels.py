"""The names of what is forecast and what it is forecast from: a variable, or a variable at a level in hPa."""

from __future__ import annotations

LEVELS = (50, 100, 150, 200, 250, 300, 400, 500, 600, 700, 850, 925, 1000)
"""The pressure levels of the paper, hPa."""

GASES = ("co", "no", "no2", "so2", "o3")
PARTICLES = ("pm1", "pm2p5", "pm10")
SURFACE = ("t2m", "u10", "v10", "msl", "tp")
UPPER = ("u", "v", "t", "r", "z")
PLACES = ("elevation", "land", "sin_lat", "cos_lat", "sin_lon", "cos_lon")
"""What is known of a place: metres, share of land, and where on the Earth it lies."""

SPECIES = (
    *(f"tc_{gas}" for gas in GASES),
    *(f"{gas}_{level}" for gas in GASES for level in LEVELS),
    *PARTICLES,
)
"""The 73 composition channels of the paper: total columns, gases on levels, particles at the ground."""

WEATHER = (*SURFACE, *(f"{variable}_{level}" for variable in UPPER for level in LEVELS))
"""The 70 weather channels of the paper."""

LOADED = ("pm2p5", "pm10", "no2_1000", "o3_1000", "co_1000")
"""What the product loader makes forecast composition of."""

EASTWARD_NORTHWARD = ("u10", "v10", "u", "v")
"""Components of vectors: both change their sign where a meridian runs over a pole."""

FOLLOWS_THE_SUN = ("pm1", "pm2p5", "pm10", "no", "no2")
"""Variables whose map turns with daylight, so that a day ago tells more than half a day ago (as Aurora has it)."""


def variable(channel: str) -> str:
    """The variable of a channel: `no2` of `no2_850` and of `tc_no2`."""
    stem, _, level = channel.removeprefix("tc_").rpartition("_")
    return stem if stem and level.isdigit() else channel.removeprefix("tc_")


def is_vector(channel: str) -> bool:
    """Whether a channel is a component of a vector on the globe."""
    return variable(channel) in EASTWARD_NORTHWARD


def follows_the_sun(channel: str) -> bool:
    """Whether a channel's base is that of 24 h before the forecast, where nothing was measured."""
    return variable(channel) in FOLLOWS_THE_SUN
