"""What shape a network has: frozen, without torch, read from and written to a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from difflib import get_close_matches
from typing import Literal

from cranpm.errors import CranpmError
from cranpm.variables import (
    CHANNELS,
    CORRECTED_MAP,
    FORECAST_CHANNELS,
    FORECAST_MAP,
    FUTURE_MAPS,
    LOCAL_CHANNELS,
    PAST_MAPS,
    USUAL_MAP,
)


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of a dual-branch network (names as in Table S1 of the CRAN-PM paper).

    Attributes:
        name: name of the configuration.
        tile: side of a fine tile, pixels.
        patch: fine pixels along the side of a local token.
        coarse_shape: coarse nodes (rows, columns) the network was made for; others are padded and masked.
        coarse_patch: coarse nodes along the side of a global token.
        global_dim, global_heads, global_depth, global_window: width, attention heads, Swin blocks (after the
            elevation-aware block) and window side in tokens of the global branch.
        local_dim, local_heads, local_depth, local_window: the same of the local branch.
        bridge_layers, bridge_heads, bridge_head_dim: the cross-resolution attention.
        decoder_widths: channels after each doubling of resolution; there are log2(patch) of them.
        mlp_ratio: hidden width of a feed-forward layer over its width.
        drop_path: probability of dropping the last block of a branch; grows linearly from 0.
        dropout: dropout of the embedded tokens.
        e0_global, e0_local: height difference at which eq. 2 penalises attention by alpha, metres.
        leads: days ahead that have an embedding.
        wind_sectors: directions that the wind is sorted into.
        calm: speed below which the wind has no direction, m/s.
        channels: the coarse channels, in order.
        local_channels: the channels of a tile, in order: maps of PM2.5, that of day t first, then of the place what the
            network is to know.
        fusion: how a tile learns of the day: "cross" is the paper's bridge, the others are its Table 3
            (`cranpm.model.fusion`).
        elevation_bias, wind_order, wind_bias: whether eq. 2, the order of tokens and eq. 4 are there.
        distance_bias: whether attention to coarse tokens falls off with their distance; not in the paper.
        upsampling: "shuffle" (section 3.6) or "transposed" convolutions.
        padding: what the decoder's convolutions see beyond a tile: "zeros", or its edge again ("replicate").
        output: what the last layer gives: the "change" from today (eq. 1), the "level" itself, or "scale": how much of
            each of the bases to take, and a change.
    """

    name: str
    tile: int = 512
    patch: int = 16
    coarse_shape: tuple[int, int] = (168, 280)
    coarse_patch: int = 8
    global_dim: int = 768
    global_heads: int = 12
    global_depth: int = 7
    global_window: int = 7
    local_dim: int = 512
    local_heads: int = 8
    local_depth: int = 5
    local_window: int = 8
    bridge_layers: int = 2
    bridge_heads: int = 8
    bridge_head_dim: int = 64
    decoder_widths: tuple[int, ...] = (256, 128, 64, 32)
    mlp_ratio: float = 4.0
    drop_path: float = 0.1
    dropout: float = 0.1
    e0_global: float = 1000.0
    e0_local: float = 500.0
    leads: tuple[int, ...] = (1, 2, 3, 4)
    wind_sectors: int = 16
    calm: float = 0.1
    channels: tuple[str, ...] = CHANNELS
    local_channels: tuple[str, ...] = LOCAL_CHANNELS
    fusion: str = "cross"
    elevation_bias: bool = True
    wind_order: bool = True
    wind_bias: bool = True
    distance_bias: bool = False
    upsampling: str = "shuffle"
    padding: Literal["zeros", "replicate"] = "zeros"
    output: str = "change"

    def __post_init__(self) -> None:
        _refuse_unless(self.tile % self.patch == 0, f"a tile of {self.tile} px does not divide into {self.patch} px")
        _refuse_unless(
            self.patch == 2 ** len(self.decoder_widths),
            f"{len(self.decoder_widths)} doublings in the decoder do not restore a patch of {self.patch} px",
        )
        for branch, dim, heads in (
            ("global", self.global_dim, self.global_heads),
            ("local", self.local_dim, self.local_heads),
        ):
            _refuse_unless(dim % heads == 0, f"{branch} width {dim} does not divide into {heads} heads")
            _refuse_unless(dim % 4 == 0, f"{branch} width {dim} must be a multiple of 4 (2-D sine embedding)")
        for name in ("u10_t", "v10_t"):
            _refuse_unless(name in self.channels, f"channel '{name}' is needed for the wind order and is not there")
        for name, known in CHOICES.items():
            found = getattr(self, name)
            _refuse_unless(found in known, f"{name} '{found}' unknown; known: {', '.join(known)}")
        place = tuple(name for name in PLACE if name in self.local_channels)
        ordered = self.maps[:1] == ("pm2p5_t",) and self.local_channels == (*self.maps, *place)
        _refuse_unless(
            ordered,
            f"local channels {', '.join(self.local_channels)}: pm2p5_t first, then maps, then {', '.join(PLACE)}",
        )
        for name in FUTURE_MAPS:
            _refuse_unless(
                name not in self.maps or FORECAST_MAP in self.channels,
                f"the map '{name}' needs the coarse channel '{FORECAST_MAP}', which is not there",
            )

    @property
    def maps(self) -> tuple[str, ...]:
        """The channels of a tile that are maps of PM2.5, in order."""
        return tuple(name for name in self.local_channels if name.startswith("pm2p5"))

    @property
    def bases(self) -> tuple[str, ...]:
        """The maps that an output of the kind "scale" scales: today's, and those for the valid day."""
        return tuple(name for name in self.maps if name == "pm2p5_t" or name in FUTURE_MAPS)

    @property
    def state_per_lead(self) -> bool:
        """Whether the day state depends on the lead: where forecasts for the valid day are read."""
        return any(name in FORECAST_CHANNELS for name in self.channels)

    @property
    def reads_past(self) -> bool:
        """Whether maps of a tile are made of what was fitted on the place's past."""
        return any(name in PAST_MAPS for name in self.maps)

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of local tokens in a tile."""
        return self.tile // self.patch, self.tile // self.patch

    @property
    def coarse_grid(self) -> tuple[int, int]:
        """Rows and columns of global tokens for the coarse shape the network was made for."""
        return token_grid(self.coarse_shape, self.coarse_patch)

    def to_dict(self) -> dict[str, object]:
        """Plain values for JSON."""
        return {key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()}

    @staticmethod
    def from_dict(values: Mapping[str, object]) -> ModelConfig:
        """The configuration that `to_dict` wrote.

        Raises:
            CranpmError: an unknown or a missing key, named with the nearest known one.
        """
        known = [field.name for field in fields(ModelConfig)]
        for key in values:
            if key not in known:
                near = get_close_matches(key, known, n=1)
                hint = f" (did you mean '{near[0]}'?)" if near else ""
                raise CranpmError(f"model configuration: unknown key '{key}'{hint}")
        if missing := [key for key in known if key not in values and key not in LATER]:
            raise CranpmError(f"model configuration: keys missing: {', '.join(missing)}")
        return ModelConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})  # type: ignore[arg-type]


PLACE = LOCAL_CHANNELS[2:]
"""What a tile may know of its place: elevation, latitude, longitude."""

LATER = ("fusion", "elevation_bias", "wind_order", "wind_bias", "distance_bias", "upsampling", "padding", "output")
"""Keys that checkpoints of the first version do not have; their defaults are what those checkpoints are."""

CHOICES = {
    "fusion": ("cross", "none", "off", "sum", "film", "concat", "reverse", "both"),
    "upsampling": ("shuffle", "transposed"),
    "padding": ("zeros", "replicate"),
    "output": ("change", "level", "scale"),
}


def token_grid(shape: tuple[int, int], patch: int) -> tuple[int, int]:
    """Rows and columns of tokens that cover (rows, columns) of nodes; the last ones may be partly filled."""
    return -(-shape[0] // patch), -(-shape[1] // patch)


def _refuse_unless(holds: bool, reason: str) -> None:
    if not holds:
        raise CranpmError(f"model configuration: {reason}")


PAPER_96M = ModelConfig(name="paper-96m")
"""The paper's network."""

SMALL = ModelConfig(
    name="small",
    tile=128,
    patch=8,
    coarse_shape=(56, 84),
    coarse_patch=4,
    global_dim=96,
    global_heads=4,
    global_depth=2,
    local_dim=128,
    local_heads=4,
    local_depth=2,
    bridge_heads=4,
    bridge_head_dim=32,
    decoder_widths=(32, 16, 8),
)
"""The same network for two CPU cores: every mechanism is there, 1.7 million parameters."""

FORECAST = (
    *("u10", "v10", "t2m", "sp", "tp"),
    *("u_850", "v_850", "t_850", "q_850", "z_500"),
    *("pm2p5", "pm10", "no2", "o3", "co"),
)
"""What `plus` reads of the forecast for the valid day: the surface, 850 hPa, the height of 500 hPa, the composition."""


def plus(base: ModelConfig, name: str) -> ModelConfig:
    """A network with forecast channels, maps of the past, a distance bias, and an output that scales three maps.

    It does not know where on Earth a tile lies: latitude and longitude outside the trained region mislead it.
    """
    return replace(
        base,
        name=name,
        channels=(*CHANNELS, *(f"{variable}_f" for variable in FORECAST)),
        local_channels=("pm2p5_t", "pm2p5_t-1", CORRECTED_MAP, USUAL_MAP, "elevation"),
        distance_bias=True,
        padding="replicate",
        output="scale",
    )


PLUS_96M = plus(PAPER_96M, "plus-96m")
"""The paper's network that also knows the forecast for the valid day."""

PLUS_SMALL = plus(SMALL, "plus-small")
"""The same for two CPU cores."""

CONFIGS: dict[str, ModelConfig] = {config.name: config for config in (PAPER_96M, SMALL, PLUS_96M, PLUS_SMALL)}
