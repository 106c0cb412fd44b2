"""Train one adapter for some steps on local days, without Lightning: what an agency does in a round."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cranpm.adapt.lora import PREFIX, attach
from cranpm.adapt.settings import Adaptation
from cranpm.clients.message import Tensors
from cranpm.errors import CranpmError
from cranpm.model.network import CranPM
from cranpm.train.cached_day import run_group
from cranpm.train.loader import Steps
from cranpm.train.objective import counts, loss, sums
from cranpm.train.optimiser import learning_rate, make_optimiser

if TYPE_CHECKING:
    from cranpm.data.dataset import Batch, Examples

HEAD = ".default."
"""peft names its adapter inside the network; in files it does not."""


@dataclass(frozen=True)
class Stretch:
    """Some steps of a schedule: `steps` of them from step `first` on (from 0), of `length` in all."""

    first: int
    steps: int
    length: int


def with_adapter(recipe: Adaptation, seed: int) -> CranPM:
    """The base's network with updates attached: A drawn by the seed, B zero, all else frozen.

    Raises:
        CranpmError: parts would be trained whole: they would leave the agency as weights; or a strength is set.
    """
    if recipe.settings.parts:
        raise CranpmError(
            f"parts: {', '.join(recipe.settings.parts)}: a federation exchanges low-rank updates only; set parts: []"
        )
    if recipe.settings.strength != 1.0:
        raise CranpmError(
            f"strength {recipe.settings.strength:g}: what agencies exchange are whole updates; set strength: 1.0"
        )
    network = recipe.base.network()
    attach(network, recipe.settings.lora, (), seed)
    return network


def read_tensors(network: CranPM) -> dict[str, NDArray[np.float32]]:
    """The adapter in a network, under peft's names for files, copied."""
    return {name: p.detach().float().cpu().numpy().copy() for name, p in sorted(_updates(network).items())}


def put_tensors(network: CranPM, tensors: Tensors) -> None:
    """Write an adapter into a network; names that are not given stay.

    Raises:
        CranpmError: a name or a shape is not the network's.
    """
    held = _updates(network)
    with torch.no_grad():
        for name, values in tensors.items():
            if name not in held or held[name].shape != values.shape:
                found = tuple(held[name].shape) if name in held else "no such tensor"
                raise CranpmError(f"tensor '{name}' {values.shape}: the network has {found}; rank or base differ")
            held[name].copy_(torch.from_numpy(np.array(values)))


def train(
    network: CranPM, examples: Examples, recipe: Adaptation, stretch: Stretch, seed: int, *,
    trained: Callable[[str], bool] = lambda name: True, proximal: float = 0.0, half: bool = False,
) -> float:  # fmt: skip
    """Make steps; the optimiser begins anew, so a stretch depends on the tensors, the seed and the step alone.

    Args:
        network: as `with_adapter` makes it; changed in place.
        examples: local days.
        recipe: batch, objective, learning rate, decay and clipping; its running average is not kept.
        stretch: which steps.
        seed: of the examples and of the dropout.
        trained: which tensors move, by name.
        proximal: weight mu of FedProx: mu / 2 times the squared distance from where the stretch began is added.
        half: whether the network runs in bfloat16.

    Returns:
        Mean loss of the steps.

    Raises:
        CranpmError: the loss or the gradient is not finite.
    """
    for name, parameter in _updates(network).items():
        parameter.requires_grad_(trained(name))
    moved = [p for p in network.parameters() if p.requires_grad]
    began = [p.detach().clone() for p in moved] if proximal else []
    warm_up = min(recipe.schedule.warm_up, max(stretch.length // 10, 1))
    schedule = replace(recipe.schedule, length=stretch.length, warm_up=warm_up)
    optimiser = make_optimiser(network, schedule)
    steps = Steps(examples, recipe.batch, seed, steps=stretch.first + stretch.steps)
    total = 0.0
    network.train()
    for step in range(stretch.first, stretch.first + stretch.steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(schedule, step)
        torch.manual_seed(seed * 1_000_003 + step)  # of the dropout
        network.zero_grad(set_to_none=True)
        value = _backward(network, steps[step], recipe, half)
        for parameter, start in zip(moved, began, strict=False):
            assert parameter.grad is not None
            parameter.grad.add_(parameter.detach() - start, alpha=proximal)
        norm = torch.nn.utils.clip_grad_norm_(moved, schedule.clip)
        if not (np.isfinite(value) and bool(norm.isfinite())):
            raise CranpmError(
                f"step {step + 1}: loss {value:g}, gradient {float(norm):g}: lower schedule.learning_rate"
            )
        optimiser.step()
        total += value
    network.eval()
    return total / max(stretch.steps, 1)


def _backward(network: CranPM, groups: list[Batch], recipe: Adaptation, half: bool) -> float:
    """The gradient of a step and its loss."""
    device = next(network.parameters()).device
    weights = torch.tensor([recipe.objective.pixel, recipe.objective.frequency, recipe.objective.station])
    counted = torch.stack([counts(group) for group in groups]).sum(0)
    scale = (weights / counted.clamp_min(1)).to(device)
    total = torch.zeros_like(scale)
    at_once = recipe.batch.at_once or recipe.batch.tiles_per_day
    for group in groups:
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            closing, found = run_group(
                network, group.to(device), partial(sums, weights=recipe.objective), scale, at_once=at_once
            )
        closing.backward()
        total += found
    return float(loss(total.cpu(), counted, recipe.objective))


def _updates(network: CranPM) -> dict[str, Tensor]:
    """The tensors of the adapter by their names in files."""
    return {
        f"{PREFIX}{name.replace(HEAD, '.')}": parameter
        for name, parameter in network.named_parameters()
        if ".lora_" in name
    }
