"""What a network is made of: parameters and arithmetic of each part, counted without allocating it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cranpm.model.config import ModelConfig
from cranpm.model.statistics import nominal

if TYPE_CHECKING:
    from torch import Tensor

PARTS = (  # label, module prefixes, how often it runs
    ("global: embedding", ("global_branch.embed",), "day"),
    ("global: elevation-aware block", ("global_branch.elevation",), "day"),
    ("global: wind-ordered Swin blocks", ("global_branch.swin", "global_branch.norm"), "day"),
    ("bridge: projection, keys, values", ("bridge.project", "bridge.key_value"), "day"),
    ("local: embedding and lead", ("local_branch.embed", "local_branch.lead"), "tile"),
    ("local: elevation-aware block", ("local_branch.elevation",), "tile"),
    ("local: Swin blocks", ("local_branch.swin",), "tile"),
    ("bridge: cross-attention", ("bridge.layers", "bridge.norm"), "tile"),
    ("decoder and output", ("decoder", "output"), "tile"),
)


@dataclass(frozen=True)
class Part:
    """A part of a network.

    Attributes:
        name: what it is.
        parameters: how many it has.
        gflop: floating-point operations of one run, 1e9 (a multiplication and an addition are two).
        per: "day" if one run serves all tiles of a day, "tile" if it runs for every tile and lead.
    """

    name: str
    parameters: int
    gflop: float
    per: str


def parts(config: ModelConfig) -> list[Part]:
    """The parts of a configuration in the order they run; together they hold every parameter."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    from cranpm.model.network import CranPM

    with torch.device("meta"), torch.no_grad(), sdpa_kernel(SDPBackend.MATH):
        network = CranPM(config, nominal()).eval()
        with FlopCounterMode(display=False) as counter:
            network(*empty_inputs(config))
    counts = {key.removeprefix("CranPM."): sum(ops.values()) for key, ops in counter.get_flop_counts().items()}
    sizes = {key: parameter.numel() for key, parameter in network.named_parameters()}
    return [
        Part(name, _total(sizes, prefixes), sum(_flop(counts, prefix) for prefix in prefixes) / 1e9, per)
        for name, prefixes, per in PARTS
    ]


def _flop(counts: dict[str, int], prefix: str) -> int:
    """Operations of a module; of a list of modules, which does not run itself, those of its members."""
    if prefix in counts:
        return counts[prefix]
    depth = prefix.count(".") + 1
    return sum(n for key, n in counts.items() if key.startswith(f"{prefix}.") and key.count(".") == depth)


def _total(sizes: dict[str, int], prefixes: tuple[str, ...]) -> int:
    return sum(size for key, size in sizes.items() if key.startswith(tuple(f"{p}." for p in prefixes)))


def empty_inputs(config: ModelConfig) -> tuple[Tensor, ...]:
    """Arguments of `CranPM.forward` for one day and one tile, without memory behind them."""
    import torch

    (height, width), side, maps = config.coarse_shape, config.tile, len(config.maps)
    queries = config.grid[0] * config.grid[1]
    keys = config.coarse_grid[0] * config.coarse_grid[1]
    shapes = (
        (1, len(config.channels), height, width), (1, height, width), (1, maps, side, side), (1, side, side),
        (1, side), (1, side), (1, queries, 2), (1, queries, 2), (1, keys, 2),
    )  # fmt: skip
    return (*(torch.zeros(shape, device="meta") for shape in shapes), torch.ones(1, dtype=torch.long, device="meta"))
