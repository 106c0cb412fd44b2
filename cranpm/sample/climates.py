"""The climates that the sample world can play: one frozen set of parameters each."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Climate:
    """Parameters of a climate; pairs are (mid-winter, mid-summer) values.

    Attributes:
        name: as packs write it.
        temperature: mean 2 m temperature at sea level at the reference latitude, K.
        lapse_north: fall of temperature towards the pole, K per degree.
        diurnal: half range of the temperature's daily cycle over land, K.
        wind: mean 10 m wind (east, north), m/s.
        jet: mean westerly at 500 hPa, m/s.
        storms: standard deviation of each component of the low-level wind that weather systems bring, m/s.
        steering: speed at which the flow carries weather systems, m/s.
        lifetime: days over which a weather system keeps its amplitude.
        dryness: threshold that the rain's forcing must pass.
        rain: millimetres in 3 h per unit of forcing above the threshold.
        mixing: daily mean depth of the mixed layer over land, m.
        stagnation: how strongly high pressure lowers the mixed layer.
        hidden: standard deviation of the log mixing depth that no other variable shows.
        emission: scale of all anthropogenic emissions, ug m-2 s-1 per unit of density.
        heating: extra emission, as a fraction of the rest.
        rural: emission of the countryside relative to cities.
        day_noise: standard deviation of the log emission from day to day.
        background: PM2.5 of the free troposphere, ug m-3.
        inflow: PM2.5 of air that enters the coarse domain over land, ug m-3.
        cities: mean number of small towns in a square degree of lowland.
        fires: fires per day in 10^6 km2 at the peak of the season.
        fire_season: centre and half width of the season, days of the year.
        fire_size: median PM2.5 emission of a fire, kg/s.
        relative_humidity: at the surface.
        cams_bias: factor on the emissions of the CAMS-like model.
        cams_noise: standard deviation of the log of its errors that come and go.
    """

    name: str
    temperature: tuple[float, float]
    lapse_north: tuple[float, float]
    diurnal: float
    wind: tuple[tuple[float, float], tuple[float, float]]
    jet: tuple[float, float]
    storms: tuple[float, float]
    steering: float
    lifetime: float
    dryness: tuple[float, float]
    rain: float
    mixing: tuple[float, float]
    stagnation: float
    hidden: float
    emission: float
    heating: tuple[float, float]
    rural: float
    day_noise: float
    background: tuple[float, float]
    inflow: tuple[float, float]
    cities: float
    fires: float
    fire_season: tuple[float, float]
    fire_size: float
    relative_humidity: tuple[float, float]
    cams_bias: float
    cams_noise: float


EUROPE = Climate(
    name="europe",
    temperature=(277, 296),
    lapse_north=(0.9, 0.7),
    diurnal=4.5,
    wind=((0.8, 0.2), (0.5, -0.2)),
    jet=(18, 11),
    storms=(3.9, 3.2),
    steering=5.5,
    lifetime=3.6,
    dryness=(0.75, 0.85),
    rain=2.0,
    mixing=(340, 950),
    stagnation=0.36,
    hidden=0.12,
    emission=0.22,
    heating=(1.8, 0.0),
    rural=0.45,
    day_noise=0.17,
    background=(2.5, 3.8),
    inflow=(10.0, 7.0),
    cities=7,
    fires=0.12,
    fire_season=(225, 45),
    fire_size=1.5,
    relative_humidity=(0.80, 0.66),
    cams_bias=0.72,
    cams_noise=0.44,
)

NORTH_AMERICA = Climate(
    name="north_america",
    temperature=(282, 297),
    lapse_north=(0.8, 0.5),
    diurnal=6.0,
    wind=((1.0, 0.0), (1.8, -1.2)),
    jet=(18, 9),
    storms=(4.0, 2.6),
    steering=6.5,
    lifetime=2.6,
    dryness=(0.7, 2.0),
    rain=2.6,
    mixing=(450, 850),
    stagnation=0.36,
    hidden=0.2,
    emission=0.17,
    heating=(1.2, 0.0),
    rural=0.25,
    day_noise=0.2,
    background=(2.0, 3.0),
    inflow=(6.0, 6.0),
    cities=4,
    fires=1.0,
    fire_season=(245, 45),
    fire_size=4.0,
    relative_humidity=(0.75, 0.5),
    cams_bias=0.6,
    cams_noise=0.32,
)

INDIA = Climate(
    name="india",
    temperature=(289, 304),
    lapse_north=(0.6, 0.1),
    diurnal=6.0,
    wind=((1.2, -0.6), (-0.8, 1.2)),
    jet=(16, -2),
    storms=(2.6, 2.6),
    steering=4.0,
    lifetime=3.4,
    dryness=(2.1, 0.7),
    rain=2.2,
    mixing=(330, 1000),
    stagnation=0.85,
    hidden=0.36,
    emission=0.48,
    heating=(1.8, 0.0),
    rural=0.3,
    day_noise=0.35,
    background=(14.0, 10.0),
    inflow=(110.0, 45.0),
    cities=10,
    fires=5.0,
    fire_season=(310, 18),
    fire_size=1.5,
    relative_humidity=(0.60, 0.80),
    cams_bias=0.6,
    cams_noise=0.3,
)

CLIMATES = {climate.name: climate for climate in (EUROPE, NORTH_AMERICA, INDIA)}


def climate_of(name: str, latitude: float) -> Climate:
    """The climate that a pack names; one it does not know becomes the nearest kind for its latitude."""
    if name in CLIMATES:
        return CLIMATES[name]
    return INDIA if abs(latitude) < 32 else EUROPE


def between(pair: tuple[float, float], summer: float) -> float:
    """The value between mid-winter (summer = 0) and mid-summer (summer = 1)."""
    return pair[0] + (pair[1] - pair[0]) * summer
