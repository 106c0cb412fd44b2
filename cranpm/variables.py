"""One table of the coarse variables: our name, unit, valid range, CF name, and how the network orders them.

The order is the paper's (Table S4): surface meteorology, then u, v, t, z, q on five pressure levels, then
composition; all of day t first, then all of day t-1.
"""

from __future__ import annotations

from dataclasses import dataclass

LEVELS = (500, 700, 850, 925, 1000)  # hPa


@dataclass(frozen=True)
class Variable:
    """A daily coarse variable as the store holds it.

    Attributes:
        name: ours, and the providers' short name where they have one.
        unit: unit of the stored daily value.
        low, high: range outside which a value is taken for a wrong unit or a damaged file.
        standard_name: CF standard name.
        daily: how a day is made of its hours: "mean" or "sum".
    """

    name: str
    unit: str
    low: float
    high: float
    standard_name: str
    daily: str = "mean"


SURFACE = (
    Variable("u10", "m s-1", -80, 80, "eastward_wind"),
    Variable("v10", "m s-1", -80, 80, "northward_wind"),
    Variable("t2m", "K", 180, 340, "air_temperature"),
    Variable("sp", "Pa", 45_000, 110_000, "surface_air_pressure"),
    Variable("tp", "m", -1e-6, 2.0, "precipitation_amount", "sum"),
)
UPPER = (
    Variable("u", "m s-1", -150, 150, "eastward_wind"),
    Variable("v", "m s-1", -150, 150, "northward_wind"),
    Variable("t", "K", 180, 340, "air_temperature"),
    Variable("z", "m2 s-2", -10_000, 70_000, "geopotential"),
    Variable("q", "kg kg-1", -1e-4, 0.05, "specific_humidity"),
)
# Composition at the surface. Gases are kept as mass concentrations too, so that one unit serves all five.
COMPOSITION = (
    Variable("pm2p5", "ug m-3", -0.1, 20_000, "mass_concentration_of_pm2p5_ambient_aerosol_particles_in_air"),
    Variable("pm10", "ug m-3", -0.1, 50_000, "mass_concentration_of_pm10_ambient_aerosol_particles_in_air"),
    Variable("no2", "ug m-3", -0.1, 5_000, "mass_concentration_of_nitrogen_dioxide_in_air"),
    Variable("o3", "ug m-3", -0.1, 2_000, "mass_concentration_of_ozone_in_air"),
    Variable("co", "ug m-3", -0.1, 100_000, "mass_concentration_of_carbon_monoxide_in_air"),
)

COARSE: dict[str, Variable] = {
    **{v.name: v for v in SURFACE},
    **{f"{v.name}_{level}": v for v in UPPER for level in LEVELS},
    **{v.name: v for v in COMPOSITION},
}
"""The 35 coarse variables of one day by store name (`u10`, `u_850`, `pm2p5`), in the network's order."""

DAYS = ("t", "t-1")

CHANNELS: tuple[str, ...] = tuple(f"{name}_{day}" for day in DAYS for name in COARSE)
"""The 70 coarse channels of the network: `u10_t`, ..., `co_t`, `u10_t-1`, ..., `co_t-1`."""

FORECAST_CHANNELS: tuple[str, ...] = tuple(f"{name}_f" for name in COARSE)
"""What was issued on day t for the valid day; a network that reads any of them has a day state for each lead."""

FORECAST_MAP = "pm2p5_f"
"""The forecast composition interpolated to 1 km, as a channel of a fine tile."""

CORRECTED_MAP = "pm2p5_f_corrected"
"""The forecast composition put on the line that the pack's past fits at each place, as a channel of a fine tile."""

USUAL_MAP = "pm2p5_usual"
"""What the pack's past says is usual on the valid day (its climatology), as a channel of a fine tile."""

PAST_MAPS = (CORRECTED_MAP, USUAL_MAP)
"""The channels of a tile that are made of what was fitted on the pack's past."""

FUTURE_MAPS = (FORECAST_MAP, *PAST_MAPS)
"""The channels of a tile that are of the valid day."""

LOCAL_CHANNELS = ("pm2p5_t", "pm2p5_t-1", "elevation", "latitude", "longitude")
"""The 5 channels of a fine tile."""

PM_OFFSET = 15.0  # ug m-3; (x - 15) / 20 normalises fine PM2.5 (paper, Table S4)
PM_SCALE = 20.0  # ug m-3
FINE_SCALE = 0.1  # ug m-3 per count of the store's uint16 PM2.5 (GHAP's own)
FINE_MISSING = 65535
