"""What shape a coupling network has: frozen, without torch, read from and written to a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from math import prod
from typing import Literal

from cranpm.composition.coupling.channels import PLACES, SPECIES, WEATHER, follows_the_sun
from cranpm.config import nearest
from cranpm.errors import CranpmError

STEP_HOURS = 12
STEPS = 10
"""Of a forecast: five days."""


@dataclass(frozen=True)
class CouplingConfig:
    """A coupling network.

    Attributes:
        name: name of the configuration.
        species: the composition channels, in order: C of the paper.
        weather: the weather channels, in order: D of the paper.
        day_before: species whose base is that of 24 h before the forecast; the others' is the latest.
        logarithmic: species that are seen through eq. 12, not only scaled.
        places: what is known of a place, appended to the composition.
        emissions: channels of emission inventories, appended to the composition; none is needed.
        globe: whether the columns close around the Earth and the first and last row are its poles.
        fusion: "bilinear" is eq. 4; "concat" puts composition and weather side by side; "none" sees no weather.
        hidden: width H of the space where composition and weather are multiplied.
        bias: whether the projections of eq. 4 have biases, as in Kim et al.; the paper's have none.
        widths: channels of the levels, the first is G of the paper.
        strides: by what each level is coarser than the one before.
        depth, kernel: blocks of the middle, and the side of their convolutions.
        time_width: width of the embedded time.
        groups: of the normalisation.
    """

    name: str
    species: tuple[str, ...]
    weather: tuple[str, ...]
    day_before: tuple[str, ...]
    logarithmic: tuple[str, ...]
    places: tuple[str, ...] = PLACES
    emissions: tuple[str, ...] = ()
    globe: bool = True
    fusion: Literal["bilinear", "concat", "none"] = "bilinear"
    hidden: int = 256
    bias: bool = False
    widths: tuple[int, ...] = (96, 192, 384, 768, 1024)
    strides: tuple[int, ...] = (2, 2, 3, 3)
    depth: int = 10
    kernel: int = 11
    time_width: int = 256
    groups: int = 8

    def __post_init__(self) -> None:
        _refuse_unless(bool(self.species), "no species to forecast")
        _refuse_unless(self.fusion in FUSIONS, f"fusion '{self.fusion}' ({nearest(self.fusion, list(FUSIONS))})")
        for kind in ("species", "weather", "places", "emissions"):
            names = getattr(self, kind)
            _refuse_unless(len(set(names)) == len(names), f"{kind}: a channel is named twice in {', '.join(names)}")
        for kind in ("day_before", "logarithmic"):
            for name in getattr(self, kind):
                _refuse_unless(name in self.species, f"{kind}: '{name}' ({nearest(name, list(self.species))})")
        _refuse_unless(
            len(self.strides) == len(self.widths) - 1,
            f"{len(self.strides)} strides do not join {len(self.widths)} levels",
        )
        for width in self.widths:
            _refuse_unless(width % self.groups == 0, f"width {width} does not divide into {self.groups} groups")
        _refuse_unless(self.kernel % 2 == 1, f"a kernel of {self.kernel} has no middle; take an odd one")

    @property
    def stride(self) -> int:
        """Grid points along the side of a point of the middle: rolls by so many columns roll the output."""
        return prod(self.strides)

    def padding(self, shape: tuple[int, int]) -> tuple[int, int, int, int]:
        """Columns left and right, rows above and below that make a grid of (rows, columns) divisible.

        Raises:
            CranpmError: the columns of a globe do not divide: they could not close around it.
        """
        rows, columns = (-size % self.stride for size in shape)
        if self.globe and (columns or shape[1] % 2):
            raise CranpmError(
                f"configuration '{self.name}': {shape[1]} columns around the globe do not divide by {self.stride} "
                f"(strides {' x '.join(map(str, self.strides))}) and 2; choose other strides"
            )
        return columns // 2, columns - columns // 2, rows // 2, rows - rows // 2

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @staticmethod
    def from_dict(values: Mapping[str, object]) -> CouplingConfig:
        """The configuration that `to_dict` wrote.

        Raises:
            CranpmError: an unknown or a missing key.
        """
        known = [field.name for field in fields(CouplingConfig)]
        for key in values:
            _refuse_unless(key in known, f"unknown key '{key}' ({nearest(key, known)})")
        if missing := [key for key in known if key not in values]:
            raise CranpmError(f"coupling configuration: keys missing: {', '.join(missing)}")
        return CouplingConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})  # type: ignore[arg-type]


FUSIONS = ("bilinear", "concat", "none")


def _refuse_unless(holds: bool, reason: str) -> None:
    if not holds:
        raise CranpmError(f"coupling configuration: {reason}")


PAPER = CouplingConfig(
    name="paper",
    species=SPECIES,
    weather=WEATHER,
    day_before=tuple(filter(follows_the_sun, SPECIES)),
    logarithmic=SPECIES,
)
"""The paper's network, as far as the paper tells: 73 species, 70 weather channels, made for 451 x 900 points."""

SMALL = CouplingConfig(
    name="small",
    species=("pm2p5", "pm10", *(f"{gas}_{level}" for gas in ("co", "no2") for level in (1000, 850, 500))),
    weather=(
        *("u10", "v10", "t2m", "sp", "tp"),
        *("u_850", "v_850", "t_850", "q_850", "u_500", "v_500", "z_500"),
    ),
    day_before=("no2_1000", "no2_850", "no2_500"),
    logarithmic=("pm2p5", "pm10", *(f"{gas}_{level}" for gas in ("co", "no2") for level in (1000, 850, 500))),
    globe=False,
    hidden=64,
    bias=True,
    widths=(32, 48, 96),
    strides=(2, 2),
    depth=2,
    kernel=7,
    time_width=32,
)
"""The same network for two CPU cores and a region: every mechanism is there."""

CONFIGS = {config.name: config for config in (PAPER, SMALL)}


def coupling_config(name: str) -> CouplingConfig:
    """A configuration by name.

    Raises:
        CranpmError: there is no such configuration.
    """
    if name not in CONFIGS:
        raise CranpmError(f"no coupling configuration '{name}' ({nearest(name, list(CONFIGS))})")
    return CONFIGS[name]


def with_species(config: CouplingConfig, species: tuple[str, ...]) -> CouplingConfig:
    """The same network for other species, by name; the ones it does not know follow the sun or not as Aurora's."""
    known = set(config.species)
    return replace(
        config,
        species=species,
        day_before=tuple(s for s in species if (s in config.day_before if s in known else follows_the_sun(s))),
        logarithmic=tuple(s for s in species if s not in known or s in config.logarithmic),
    )
