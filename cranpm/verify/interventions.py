"""Interventions: inputs of a trained network turned, flattened or taken away, and an engine that is fed with them.

What the network makes of a day is compared with and without them, on the same days and pixels. Only what reaches the
network is altered: the store, the truth, and today's map, to which the caller adds the residual, stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from cranpm.forecast.engine import Engine, EngineSpec
from cranpm.forecast.inputs import DayInputs, TileInputs
from cranpm.grid import bilinear
from cranpm.model.statistics import Statistics
from cranpm.variables import COARSE, COMPOSITION, CORRECTED_MAP, FORECAST_CHANNELS, FORECAST_MAP, PAST_MAPS, USUAL_MAP

TODAY_MAP, YESTERDAY_MAP = "pm2p5_t", "pm2p5_t-1"
WIND = tuple(name for name in COARSE if name[0] in "uv")
"""The coarse variables that are components of the wind: at 10 m and on the pressure levels."""
AIR = tuple(variable.name for variable in COMPOSITION)
"""The coarse variables of the composition; all others are meteorology."""


@dataclass(frozen=True)
class Network:
    """What an intervention must know of a network.

    Attributes:
        channels: names of its coarse channels.
        maps: names of the maps of PM2.5 in its tiles.
        statistics: mean and spread of each in training.
        past: whether it is told of the place's past (see `DayInputs.past`).
    """

    channels: tuple[str, ...]
    maps: tuple[str, ...]
    statistics: Statistics
    past: bool = False


AlterDay = Callable[[DayInputs, Network], DayInputs]
AlterTiles = Callable[[TileInputs, DayInputs, Network], TileInputs]


@dataclass(frozen=True)
class Intervention:
    """One way of altering what a network is fed.

    Attributes:
        key: its name in files.
        label: what is done, for tables.
        what: what is altered, in words.
        alter_day: from the day's inputs to altered ones; today's map is not among them.
        alter_tiles: the same for a batch of tiles of that (unaltered) day; the first map stays as it is.
        reads: whether a network reads anything that would be altered.
        unread: in words, what a network does not read where it does not.
    """

    key: str
    label: str
    what: str
    alter_day: AlterDay
    alter_tiles: AlterTiles
    reads: Callable[[Network], bool] = lambda network: True
    unread: str = ""


class AlteredEngine:
    """An engine that alters what it is given, once for each day, and hands it on to another engine."""

    def __init__(self, engine: Engine, intervention: Intervention, network: Network) -> None:
        self.spec: EngineSpec = engine.spec
        self._engine, self._intervention, self._network = engine, intervention, network
        self._held: _Held | None = None

    def encode_day(self, day: DayInputs, lead: int) -> object:
        """The other engine's day state of the altered day; the same object as long as that gives the same."""
        held = self._held
        same = held is not None and held.day is day  # the other engine too knows a day by the object it is
        altered = held.altered if held and same else self._intervention.alter_day(day, self._network)
        state = self._engine.encode_day(altered, lead)
        if held is None or not same or held.state is not state:
            self._held = held = _Held(day, altered, state)
        return held

    def forecast_tiles(self, state: object, tiles: TileInputs, lead: int) -> NDArray[np.float32]:
        """The other engine's residuals for the altered tiles."""
        if not isinstance(state, _Held):
            raise TypeError("the day state must come from this engine's encode_day")
        altered = self._intervention.alter_tiles(tiles, state.day, self._network)
        return self._engine.forecast_tiles(state.state, altered, lead)


@dataclass(frozen=True, eq=False)
class _Held:
    """A day as it was given, as it was altered, and what the other engine made of it."""

    day: DayInputs
    altered: DayInputs
    state: object


def choose(network: Network) -> tuple[list[Intervention], dict[str, str]]:
    """The interventions that apply to a network, and by label why others do not."""
    chosen = [intervention for intervention in INTERVENTIONS if intervention.reads(network)]
    return chosen, {other.label: other.unread for other in INTERVENTIONS if other not in chosen}


def split(channel: str) -> tuple[str, str]:
    """Variable and time of a coarse channel: `u_850_t-1` is `u_850` of `t-1`."""
    variable, _, time = channel.rpartition("_")
    return variable, time


def _turn_wind(day: DayInputs, network: Network) -> DayInputs:
    values = {name: -day.channel(name) for name in day.channels if split(name)[0] in WIND}
    return replace(_exchanged(day, values), wind=-day.wind)


def _turn_tile_wind(tiles: TileInputs, day: DayInputs, network: Network) -> TileInputs:
    return replace(tiles, wind=-tiles.wind)


def _flatten(day: DayInputs, network: Network) -> DayInputs:
    return replace(day, elevation=np.zeros_like(day.elevation))


def _flatten_tiles(tiles: TileInputs, day: DayInputs, network: Network) -> TileInputs:
    return replace(tiles, elevation=np.zeros_like(tiles.elevation))


def _repeat_today(day: DayInputs, network: Network) -> DayInputs:
    names = [name for name in day.channels if split(name)[1] == "t-1"]
    mine = {name: f"{split(name)[0]}_t" for name in names}
    return _exchanged(day, {name: day.channel(today) for name, today in mine.items() if today in day.channels})


def _repeat_today_map(tiles: TileInputs, day: DayInputs, network: Network) -> TileInputs:
    return _exchanged_maps(tiles, network, {YESTERDAY_MAP: tiles.pm[:, 0]})


def _blank_air(day: DayInputs, network: Network) -> DayInputs:
    return _blanked(day, network, [name for name in day.channels if split(name)[0] in AIR])


def _blank_air_maps(tiles: TileInputs, day: DayInputs, network: Network) -> TileInputs:
    """The forecast's map at its mean; the corrected one without its departure from what is usual."""
    mean = network.statistics.local_scales([FORECAST_MAP])[0][0]
    level = np.full_like(tiles.pm[:, 0], mean)
    usual = tiles.pm[:, network.maps.index(USUAL_MAP)] if USUAL_MAP in network.maps else level
    return _exchanged_maps(tiles, network, {FORECAST_MAP: level, CORRECTED_MAP: usual})


def _blank_weather(day: DayInputs, network: Network) -> DayInputs:
    weather = [name for name in day.channels if split(name)[0] not in AIR]
    return replace(_blanked(day, network, weather), wind=np.zeros_like(day.wind))


def _becalm_tiles(tiles: TileInputs, day: DayInputs, network: Network) -> TileInputs:
    return replace(tiles, wind=np.zeros_like(tiles.wind))


def _blank_forecast_weather(day: DayInputs, network: Network) -> DayInputs:
    return _blanked(day, network, _forecast_weather(day.channels))


def _forget_past(tiles: TileInputs, day: DayInputs, network: Network) -> TileInputs:
    """The maps of a place without a past, as `forecast.inputs` makes them."""
    values = {USUAL_MAP: tiles.pm[:, 0]}
    if CORRECTED_MAP in network.maps:
        places = zip(tiles.lats, tiles.lons, strict=True)
        issued = [bilinear(day.channel(FORECAST_MAP), day.grid, lats, lons) for lats, lons in places]
        values[CORRECTED_MAP] = np.maximum(np.stack(issued), 0.0)
    return _exchanged_maps(tiles, network, values)


def _same_day(day: DayInputs, network: Network) -> DayInputs:
    return day


def _same_tiles(tiles: TileInputs, day: DayInputs, network: Network) -> TileInputs:
    return tiles


def _reads_yesterday(network: Network) -> bool:
    return YESTERDAY_MAP in network.maps or any(split(name)[1] == "t-1" for name in network.channels)


def _reads_air(network: Network) -> bool:
    return any(split(name)[0] in AIR for name in network.channels)


def _reads_past(network: Network) -> bool:
    return network.past and any(name in PAST_MAPS for name in network.maps)


def _forecast_weather(channels: Iterable[str]) -> list[str]:
    return [name for name in channels if name in FORECAST_CHANNELS and split(name)[0] not in AIR]


def _blanked(day: DayInputs, network: Network, channels: list[str]) -> DayInputs:
    """Some channels at their training mean everywhere."""
    means, _ = network.statistics.coarse_scales(channels)
    return _exchanged(day, dict(zip(channels, means, strict=True)))


def _exchanged(day: DayInputs, values: dict[str, NDArray] | dict[str, float]) -> DayInputs:
    """A day with other values for some of its channels."""
    coarse = day.coarse.copy()
    for name, value in values.items():
        coarse[day.channels.index(name)] = value
    return replace(day, coarse=coarse)


def _exchanged_maps(tiles: TileInputs, network: Network, values: dict[str, NDArray]) -> TileInputs:
    """Tiles with other values for those of the maps that the network reads."""
    pm = tiles.pm.copy()
    for name, value in values.items():
        if name in network.maps:
            pm[:, network.maps.index(name)] = value
    return replace(tiles, pm=pm)


INTERVENTIONS = (
    Intervention(
        "wind", "wind turned by 180°",
        "every component of the wind, at all levels and times, changes sign, and so does the wind of the bridge's bias",
        _turn_wind, _turn_tile_wind,
    ),
    Intervention(
        "bridge_wind", "only the bridge's wind turned",
        "the bias of the attention to coarse tokens (eq. 4) prefers what lies downwind; the coarse channels, and the "
        "order of tokens that they give, keep their wind",
        _same_day, _turn_tile_wind,
    ),
    Intervention(
        "terrain", "terrain flattened",
        "every elevation is 0 m in both branches: in the channel of a tile and in the elevation bias (eq. 2); surface "
        "pressure still tells of mountains",
        _flatten, _flatten_tiles,
    ),
    Intervention(
        "yesterday", "t−1 removed",
        "day t stands in for the day before, in every coarse channel and in the map",
        _repeat_today, _repeat_today_map, _reads_yesterday, "it reads nothing of day t−1",
    ),
    Intervention(
        "composition", "composition removed",
        "coarse PM2.5, PM10, NO2, O3 and CO of every time are at their training mean, and so is the forecast's map in "
        "a tile (the corrected one is without departure from the usual); today's map at 1 km stays",
        _blank_air, _blank_air_maps, _reads_air, "it reads no composition",
    ),
    Intervention(
        "weather", "meteorology blanked",
        "all other coarse channels of every time are at their training mean, and the bridge's bias knows no wind",
        _blank_weather, _becalm_tiles,
    ),
    Intervention(
        "forecast_weather", "only forecast meteorology blanked",
        "the weather of the valid day is at its training mean, that of t and t−1 as it was",
        _blank_forecast_weather, _same_tiles, lambda network: bool(_forecast_weather(network.channels)),
        "it reads no forecast meteorology",
    ),
    Intervention(
        "past", "the place's past removed",
        "today's map stands in for what is usual, the forecast composition as issued for the corrected one: what a "
        "place without fitted baselines gets",
        _same_day, _forget_past, _reads_past, "it is told nothing of a place's past",
    ),
)  # fmt: skip
"""Every intervention, in the order of the tables."""
