"""AdamW, its schedule, and where bfloat16 pays."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from cranpm.train.recipe import Schedule


def learning_rate(schedule: Schedule, step: int) -> float:
    """Linear warm-up, then a cosine to the final rate, for a schedule counted in steps."""
    if step < schedule.warm_up:
        return schedule.learning_rate * (step + 1) / schedule.warm_up
    done = (step - schedule.warm_up) / max(schedule.length - schedule.warm_up, 1)
    wave = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return schedule.final_learning_rate + (schedule.learning_rate - schedule.final_learning_rate) * wave


def make_optimiser(network: nn.Module, schedule: Schedule) -> torch.optim.AdamW:
    """AdamW over what is not frozen.

    Only the matrices and kernels decay, not biases, norms, tables, alpha, beta and the blend.
    """
    kept = ("table", "lead", "blend")
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for name, parameter in network.named_parameters():
        if not parameter.requires_grad:
            continue
        matrix = parameter.ndim > 1 and not any(part in kept for part in name.split("."))
        (decayed if matrix else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=schedule.learning_rate, betas=(0.9, 0.98))


def bfloat16_pays(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
