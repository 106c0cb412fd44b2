"""Low-rank updates on the network, by peft: where they are attached, what is frozen, how they are written."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from cranpm.adapt.settings import Lora, Part, Target
from cranpm.model.network import CranPM

if TYPE_CHECKING:
    from peft import PeftModel

BRANCHES = ("global_branch", "local_branch", "bridge")
MODULES: dict[Part, tuple[str, ...]] = {
    "decoder": ("decoder",),
    "embeddings": ("global_branch.embed.linear", "local_branch.embed.linear", "local_branch.lead"),
}
"""The modules of each part that may be trained whole."""
PREFIX = "base_model.model."
"""What peft puts before the name of a module."""


def target_names(network: CranPM, targets: Sequence[Target]) -> list[str]:
    """The linear layers that get an update: of attention (with the bridge's projections), of the MLPs, or both."""
    return [
        name
        for name, module in network.named_modules()
        if isinstance(module, nn.Linear)
        and name.split(".")[0] in BRANCHES
        and "embed" not in name.split(".")
        and ("mlp" if "mlp" in name.split(".") else "attention") in targets
    ]


def whole_names(network: CranPM, parts: Sequence[Part]) -> list[str]:
    """The modules that are trained whole; a network without coarse branch has one embedding less."""
    known = dict(network.named_modules())
    return [name for part in parts for name in MODULES[part] if name in known]


def attach(network: CranPM, lora: Lora, parts: Sequence[Part], seed: int) -> PeftModel:
    """Put updates into the network, in place, and freeze all else; before training it forecasts what it did.

    Args:
        network: the base.
        lora: the updates.
        parts: what is trained whole besides.
        seed: of the matrices A; the matrices B are 0.

    Returns:
        peft's view of the same network.
    """
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,  # type: ignore[arg-type]  # peft declares int and computes with any number
        lora_dropout=lora.dropout,
        target_modules=target_names(network, lora.targets),
        modules_to_save=whole_names(network, parts) or None,
        bias="none",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return get_peft_model(network, config)


def trainable_by_part(network: nn.Module) -> dict[str, int]:
    """Numbers that are trained, by the part of the network they stand in, largest first; parts without any too."""
    counts: dict[str, int] = {}
    for name, parameter in network.named_parameters():
        part = name.split(".")[0]
        counts[part] = counts.get(part, 0) + (parameter.numel() if parameter.requires_grad else 0)
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def adapter_tensors(wrapped: PeftModel, network: nn.Module | None = None) -> dict[str, Tensor]:
    """What an adapter holds, under peft's names: float32, on the CPU, copied.

    Args:
        wrapped: peft's view.
        network: a copy of the network with other numbers, e.g. averaged ones, to take instead.
    """
    from peft import get_peft_model_state_dict

    other = None if network is None else {f"{PREFIX}{name}": value for name, value in network.state_dict().items()}
    state = get_peft_model_state_dict(wrapped, state_dict=other, save_embedding_layers=False)
    return {name: tensor.detach().float().cpu().clone().contiguous() for name, tensor in state.items()}


def write_peft_files(
    folder: Path, wrapped: PeftModel, network: nn.Module | None = None, base: nn.Module | None = None,
    strength: float = 1.0,
) -> None:  # fmt: skip
    """Write peft's two files as peft does, without its model card and without this machine's paths.

    The matrices A and B are stored in half precision: 0.05 % of an update that is itself small, for half the bytes.

    Args:
        folder: where to.
        wrapped, network: as `adapter_tensors`.
        base: the network that was adapted; needed for parts that are trained whole, if the strength is not 1.
        strength: how much of the change from the base is written.
    """
    from safetensors.torch import save_file

    tensors, before = adapter_tensors(wrapped, network), {} if base is None else base.state_dict()
    for name, tensor in tensors.items():
        if ".lora_" in name:
            tensors[name] = tensor.half()
        elif strength != 1.0:
            tensors[name] = torch.lerp(before[name.removeprefix(PREFIX)], tensor, strength)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    (folder / "adapter_model.safetensors").chmod(0o644)  # safetensors leaves it readable for its owner alone
    config = wrapped.peft_config[wrapped.active_adapter]
    values = {**config.to_dict(), "inference_mode": True, "base_model_name_or_path": None}
    values["lora_alpha"] *= strength  # the update is alpha / rank B A
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in values.items()}
    (folder / "adapter_config.json").write_text(json.dumps(plain, indent=2, sort_keys=True) + "\n", encoding="utf-8")
