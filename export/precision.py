"""Half precision where it is harmless: matrices, convolutions and norms; all physics stays in 32 bits.

Positions, winds, heights, biases and the output (where a residual is a small difference of large concentrations) are
computed as in torch. What enters the two embeddings is normalised first.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from cranpm.model.network import CranPM, Embedding

_HALF = (nn.Linear, nn.Conv2d, nn.ConvTranspose2d, nn.LayerNorm, nn.Embedding)


def halve(network: CranPM) -> CranPM:
    """Let a network compute in half precision; it is changed and handed back."""
    for module in network.modules():
        if isinstance(module, _HALF):
            module.half()
        if isinstance(module, Embedding):
            module.register_forward_pre_hook(_half_inputs)
            module.register_forward_hook(_half_output)
    network.output.register_forward_pre_hook(_float_inputs)
    return network


def _half_inputs(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.half() if isinstance(value, Tensor) else value for value in given)


def _half_output(_: nn.Module, __: tuple[Any, ...], result: Tensor) -> Tensor:
    return result.half()


def _float_inputs(_: nn.Module, given: tuple[Any, ...]) -> tuple[Any, ...]:
    return tuple(value.float() if isinstance(value, Tensor) and value.dtype == torch.half else value for value in given)
