"""What runs the network: the one protocol behind which torch or ONNX Runtime does the work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from cranpm.errors import CranpmError
from cranpm.forecast.inputs import DayInputs, TileInputs
from cranpm.variables import FORECAST_CHANNELS, LOCAL_CHANNELS, PAST_MAPS

if TYPE_CHECKING:
    from cranpm.model.adapter import Adapter
    from cranpm.model.checkpoint import Checkpoint


@dataclass(frozen=True)
class EngineSpec:
    """What a caller needs to know of a network to feed it.

    Attributes:
        name: registered name or folder name of the checkpoint.
        hash: SHA-256 of the weights, hexadecimal; empty for random weights.
        tile: side of a tile, fine pixels.
        patch: side of a fine token, fine pixels.
        coarse_patch: side of a coarse token, coarse nodes.
        coarse_shape: rows and columns of the coarse window it was trained on.
        channels: names of the coarse channels, in the network's order.
        maps: names of the maps of PM2.5 in a tile, in the network's order.
        trained_leads: leads in days that it was trained for; all others are refused.
        region: the pack it was trained on.
        simulated: whether it was trained on the sample world.
        random_weights: whether it is untrained.
        device: where it runs, in words.
        licence: of the weights.
        detail: by lead, the share of today's detail that a forecast takes over (`cranpm.forecast.detail`).
        provenance: how the weights were made.
        adapter: what it wears; None without one.
        bundle: SHA-256 of the bundle's manifest, hexadecimal; empty where no bundle runs.
    """

    name: str
    hash: str
    tile: int
    patch: int
    coarse_patch: int
    coarse_shape: tuple[int, int]
    channels: tuple[str, ...]
    trained_leads: tuple[int, ...]
    maps: tuple[str, ...] = LOCAL_CHANNELS[:2]
    region: str = ""
    simulated: bool = False
    random_weights: bool = False
    device: str = "cpu"
    licence: str = ""
    detail: Mapping[int, float] = field(default_factory=dict)
    provenance: Mapping[str, object] = field(default_factory=dict)
    adapter: Adapter | None = None
    bundle: str = ""

    @property
    def label(self) -> str:
        """What runs, in words: the network's name, and the adapter's where it wears one."""
        return f"{self.name} with adapter {self.adapter.name}" if self.adapter else self.name

    @property
    def state_per_lead(self) -> bool:
        """Whether the coarse inputs, and so the day state, are those of one lead."""
        return any(name in FORECAST_CHANNELS for name in self.channels)

    @property
    def reads_past(self) -> bool:
        """Whether maps of a tile are made of what was fitted on the pack's past."""
        return any(name in PAST_MAPS for name in self.maps)


class Engine(Protocol):
    """Runs one network. The day state is the engine's own affair: callers pass it on untouched."""

    @property
    def spec(self) -> EngineSpec:
        """What the network expects."""
        ...

    def encode_day(self, day: DayInputs, lead: int) -> object:
        """The day state for one lead; the same object for every lead where the network allows it."""
        ...

    def forecast_tiles(self, state: object, tiles: TileInputs, lead: int) -> NDArray[np.float32]:
        """Residuals in normalised units, shape (B, S, S); a forecast is PM(t) + 20 x residual, in ug m-3."""
        ...


def check_leads(spec: EngineSpec, leads: Sequence[int]) -> None:
    """Refuse leads the network was not trained for.

    Raises:
        CranpmError: no lead is asked for, or one that was not trained.
    """
    trained = ", ".join(str(lead) for lead in spec.trained_leads) or "none"
    if not leads:
        raise CranpmError(f"no lead asked for: '{spec.label}' was trained for {trained} (days)")
    for lead in leads:
        if lead not in spec.trained_leads:
            raise CranpmError(
                f"lead {lead}: '{spec.label}' was trained for leads {trained} (days) only; leave {lead} out of --leads"
            )


def engine_spec(checkpoint: Checkpoint, device: str, adapter: Adapter | None = None) -> EngineSpec:
    """What a caller needs to know of a checkpoint that runs on a device, with an adapter on it or without.

    Args:
        checkpoint: the base.
        device: where it runs, in words.
        adapter: what it wears.
    """
    config = checkpoint.config
    spec = EngineSpec(
        name=checkpoint.name,
        hash=checkpoint.hash,
        tile=config.tile,
        patch=config.patch,
        coarse_patch=config.coarse_patch,
        coarse_shape=config.coarse_shape,
        channels=config.channels,
        maps=config.maps,
        trained_leads=config.leads if checkpoint.random_weights else checkpoint.trained_leads,
        region=checkpoint.region,
        simulated=checkpoint.simulated,
        random_weights=checkpoint.random_weights,
        device=device,
        licence=checkpoint.licence,
        detail=checkpoint.detail,
        provenance=checkpoint.provenance,
    )
    if adapter is None:
        return spec
    return replace(
        spec,
        trained_leads=adapter.leads,
        detail={**checkpoint.detail, **adapter.detail},
        adapter=adapter,
    )
