"""Merging an adapter into its base: one ordinary checkpoint, written only if it forecasts what peft forecasts."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

import cranpm
from cranpm.errors import CranpmError
from cranpm.model.adapter import Adapter, check_base
from cranpm.model.adapter_tensors import merged
from cranpm.model.checkpoint import Checkpoint, write_checkpoint

if TYPE_CHECKING:
    from cranpm.model.network import CranPM

TOLERANCE = 1e-5
"""Largest `Parity.relative` that rounding the merged weights to float32 may cause; paper-96m takes a fifth of it."""
TINY_SPREAD = 1e-3  # of a residual, normalised units: 0.02 ug m-3; below it a difference is measured by 1


@dataclass(frozen=True)
class Parity:
    """How far the merged network is from the base with peft's adapter on it.

    Attributes:
        difference: largest difference of two residuals, normalised units.
        spread: standard deviation of the residuals, normalised units.
    """

    difference: float
    spread: float

    @property
    def relative(self) -> float:
        """The difference in standard deviations of the residual; in normalised units where that is tiny."""
        return self.difference / (self.spread if self.spread >= TINY_SPREAD else 1.0)


@dataclass(frozen=True)
class Merged:
    """What was written: its hash, and how it agrees with peft."""

    hash: str
    parity: Parity


def merge(adapter: Adapter, base: Checkpoint, out: Path, *, command: str = "") -> Merged:
    """Write the base with the adapter in it as a checkpoint of its own.

    Args:
        adapter, base: what is merged.
        out: the checkpoint's folder.
        command: for its provenance.

    Raises:
        CranpmError: the adapter is of another base, or the merged network is not the one that peft runs; then nothing
            is written.
    """
    check_base(adapter, base)
    network = merged_network(adapter, base)
    parity = measure_parity(adapter, base, network)
    if not parity.relative <= TOLERANCE:
        raise CranpmError(
            f"adapter '{adapter.name}' merged into '{base.name}' forecasts otherwise than peft runs it: residuals "
            f"differ by {parity.relative:.1e} of their standard deviation, {TOLERANCE:.0e} is allowed; nothing was "
            f"written: use it with --adapter, and report this with the versions of torch and peft"
        )
    return Merged(write_checkpoint(out, _about(adapter, base, parity, command), network), parity)


def merged_network(adapter: Adapter, base: Checkpoint) -> CranPM:
    """The base's network with the adapter in its weights, float32, in evaluation mode."""
    network = base.network()
    tensors = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    changed = {name: torch.from_numpy(values) for name, values in merged(adapter, tensors).items()}
    network.load_state_dict(network.state_dict() | changed)
    return network


def measure_parity(adapter: Adapter, base: Checkpoint, network: CranPM, *, seed: int = 0) -> Parity:
    """Hold a merged network against the base with peft's own adapter beside its weights, on drawn inputs for each lead.

    Both run in float64, so that what is left is the rounding of the merged weights to float32 and nothing of the
    order of sums: on a deep network that alone makes several times the tolerance.

    Args:
        adapter, base: what was merged.
        network: what came of it; left as it is.
        seed: of the inputs.
    """
    from peft import PeftModel

    day, tiles = drawn_inputs(base, adapter.leads, seed=seed)
    unmerged = PeftModel.from_pretrained(base.network(), str(adapter.home))
    expected = _residuals(unmerged.get_base_model().double().eval(), day, tiles)  # type: ignore[arg-type]
    del unmerged  # two networks in float64 are enough for a small machine
    found = _residuals(deepcopy(network).double().eval(), day, tiles)
    difference = (found - expected).abs()
    if not torch.isfinite(difference).all():
        return Parity(float("inf"), 0.0)
    return Parity(float(difference.max()), float(expected.std()))


@torch.inference_mode()
def _residuals(network: CranPM, day: list[Tensor], tiles: list[Tensor]) -> Tensor:
    """Residuals of all tiles, one after the other, shape (B, S, S)."""
    state = network.encode_day(*day)
    one_by_one = (network.forward_tiles(state, *(field[k : k + 1] for field in tiles)) for k in range(len(tiles[0])))
    return torch.cat(list(one_by_one))


def drawn_inputs(base: Checkpoint, leads: Sequence[int], *, seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """Arguments of `encode_day` for a day and of `forward_tiles` for a tile of each lead: noise, in float64."""
    config, tiles, draw = base.config, len(leads), torch.Generator().manual_seed(seed)
    mean, std = (torch.tensor(part)[:, None, None] for part in base.statistics.coarse_scales(config.channels))
    side, queries = config.tile, config.grid[0] * config.grid[1]
    keys = config.coarse_grid[0] * config.coarse_grid[1]
    pixels = 0.01 * torch.arange(side).repeat(tiles, 1)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return low + (high - low) * torch.rand(shape, generator=draw)

    day = [
        mean + std * torch.randn((1, len(config.channels), *config.coarse_shape), generator=draw),
        uniform(0, 2500, 1, *config.coarse_shape),
    ]
    fields = [
        uniform(2, 120, tiles, len(config.maps), side, side),
        uniform(0, 2500, tiles, side, side),
        46 - pixels,
        9 + pixels,
        4 * torch.randn((tiles, queries, 2), generator=draw),
        uniform(-60, 60, tiles, queries, 2),
        uniform(-900, 900, tiles, keys, 2),
    ]
    return [values.double() for values in day], [*(values.double() for values in fields), torch.tensor(leads)]


def _about(adapter: Adapter, base: Checkpoint, parity: Parity, command: str) -> Checkpoint:
    """What the merged checkpoint says of itself: all that its two parents said, too."""
    import peft

    versions = {"cranpm": cranpm.__version__, "torch": torch.__version__, "peft": peft.__version__}
    provenance = {
        "command": command or "cranpm adapter merge",
        "base": base.name,
        "base_hash": base.hash,
        "adapter": adapter.name,
        "adapter_hash": adapter.hash,
        "adapted": {"region": adapter.region, "simulated": adapter.simulated, **adapter.days},
        "parity": {"relative": parity.relative, "difference": parity.difference, "spread": parity.spread},
        "python": platform.python_version(),
        "versions": versions,
        "scores": dict(adapter.scores),
        "base_provenance": dict(base.provenance),
        "base_licence": base.licence,
        "adapter_provenance": dict(adapter.provenance),
    }
    return replace(
        base,
        trained_leads=adapter.leads,
        simulated=base.simulated or adapter.simulated,
        licence=adapter.licence,
        detail={**base.detail, **adapter.detail},
        provenance=provenance,
    )
