"""What shape a network has: frozen, without torch, read from and written to a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from difflib import get_close_matches

from cranpm.errors import CranpmError
from cranpm.variables import CHANNELS, LOCAL_CHANNELS


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
        local_channels: the channels of a tile, in order.
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
        if missing := [key for key in known if key not in values]:
            raise CranpmError(f"model configuration: keys missing: {', '.join(missing)}")
        return ModelConfig(**{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()})  # type: ignore[arg-type]


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

CONFIGS: dict[str, ModelConfig] = {config.name: config for config in (PAPER_96M, SMALL)}
