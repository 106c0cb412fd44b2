"""What a coupling network normalises with, by the names of its channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cranpm.composition.coupling.config import CouplingConfig
from cranpm.errors import CranpmError

_PLACE = {"elevation": (0.0, 1000.0)}  # metres to km; the rest is of order one


@dataclass(frozen=True)
class Scales:
    """Statistics of the days a network is trained on.

    Attributes:
        species: eq. 11 by composition and emission channel, in their units.
        weather: mean and standard deviation by weather channel.
        change: by species, how far its base is from what comes, as the network sees both: the unit of the last layer.
            With a unit of 1, the first steps of the optimiser would change more than the air does. Without, it is 1.
    """

    species: Mapping[str, float]
    weather: Mapping[str, tuple[float, float]]
    change: Mapping[str, float] = field(default_factory=dict)

    def of_species(self, config: CouplingConfig) -> tuple[list[float], list[bool]]:
        """Scale of each species, and whether eq. 12 follows."""
        return self._scales(config.species), [name in config.logarithmic for name in config.species]

    def of_changes(self, config: CouplingConfig) -> list[float]:
        """The unit of what the last layer gives for each species."""
        return [self.change.get(name, 1.0) for name in config.species]

    def of_emissions(self, config: CouplingConfig) -> tuple[list[float], list[bool]]:
        """The same of emission channels, which are as skewed."""
        return self._scales(config.emissions), [True] * len(config.emissions)

    def of_weather(self, config: CouplingConfig) -> tuple[list[float], list[float]]:
        """Means and standard deviations of the weather channels."""
        if missing := [name for name in config.weather if name not in self.weather]:
            raise CranpmError(f"no statistics of {', '.join(missing)}; they belong to another configuration")
        pairs = [self.weather[name] for name in config.weather]
        return [mean for mean, _ in pairs], [std or 1.0 for _, std in pairs]

    def of_places(self, config: CouplingConfig) -> tuple[list[float], list[float]]:
        """Fixed offsets and units of what is known of a place."""
        pairs = [_PLACE.get(name, (0.0, 1.0)) for name in config.places]
        return [mean for mean, _ in pairs], [unit for _, unit in pairs]

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        weather = {name: list(pair) for name, pair in self.weather.items()}
        return {"species": dict(self.species), "weather": weather, "change": dict(self.change)}

    @staticmethod
    def from_dict(values: Mapping[str, Mapping]) -> Scales:
        """What `to_dict` wrote."""
        weather = {str(name): (float(mean), float(std)) for name, (mean, std) in values["weather"].items()}
        species, change = (
            {str(name): float(scale) for name, scale in values[kind].items()} for kind in ("species", "change")
        )
        return Scales(species, weather, change)

    @staticmethod
    def unit(config: CouplingConfig) -> Scales:
        """Scales that change nothing, for random weights and tests."""
        names = (*config.species, *config.emissions)
        return Scales(dict.fromkeys(names, 1.0), dict.fromkeys(config.weather, (0.0, 1.0)))

    def _scales(self, names: Sequence[str]) -> list[float]:
        if missing := [name for name in names if name not in self.species]:
            raise CranpmError(f"no scale of {', '.join(missing)} (eq. 11); it belongs to another configuration")
        return [self.species[name] or 1.0 for name in names]
