"""What a training pass holds in memory, counted without allocating it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from cranpm.model.config import ModelConfig
from cranpm.model.network import CranPM
from cranpm.model.parts import empty_inputs
from cranpm.model.statistics import nominal


@dataclass(frozen=True)
class Footprint:
    """Bytes of one training process.

    Attributes:
        state: weights, gradients and AdamW's two moments, all float32, and the average of the weights if there is one.
        day: what autograd keeps of one encoded day until it goes backwards.
        tile: what it keeps of one tile.
    """

    state: int
    day: int
    tile: int

    def peak(self, days: int, at_once: int) -> int:
        """All of it, with so many days in a group and so many tiles of each in a pass."""
        return self.state + days * (self.day + at_once * self.tile)


def footprint(config: ModelConfig, dtype: torch.dtype, *, average: bool) -> Footprint:
    """Counted with every activation in `dtype`: mixed precision, which keeps norms in float32, lies in between.

    Fused attention kernels keep less, allocators and communication buffers take more.
    """
    with torch.device("meta"):
        network = CranPM(config, nominal()).to(dtype)
    inputs = [values.to(dtype) if values.is_floating_point() else values for values in empty_inputs(config)]
    with _Kept() as day:
        state = network.encode_day(*inputs[:2])
    with _Kept() as tile:
        network.forward_tiles(state.detach().requires_grad_(), *inputs[2:])
    parameters = {p.untyped_storage()._cdata: p.nbytes for p in network.parameters()}
    numbers = sum(p.numel() for p in network.parameters())
    return Footprint(
        state=numbers * 4 * (5 if average else 4),
        day=sum(size for key, size in day.sizes.items() if key not in parameters),
        tile=sum(size for key, size in tile.sizes.items() if key not in parameters),
    )


class _Kept:
    """Sizes of the storages that autograd saves while it is entered, each once."""

    def __enter__(self) -> _Kept:
        self.sizes: dict[int, int] = {}
        self.alive: list[Tensor] = []  # a storage that is freed could lend its identity to another
        self.hooks = saved_tensors_hooks(self._pack, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self.hooks.__exit__(*error)

    def _pack(self, tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        self.sizes[storage._cdata] = storage.nbytes()
        self.alive.append(tensor)
        return tensor
