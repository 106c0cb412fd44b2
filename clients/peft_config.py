"""peft's configuration of an adapter, as plain values: what makes a round's tensors a file that peft opens."""

from __future__ import annotations

from typing import Any

from cranpm.adapt.lora import target_names
from cranpm.adapt.settings import Adaptation


def peft_config(recipe: Adaptation) -> dict[str, Any]:
    """The values of `adapter_config.json` for the base and the settings of a recipe."""
    lora = recipe.settings.lora
    return {
        "peft_type": "LORA",
        "r": lora.rank,
        "lora_alpha": lora.alpha,
        "lora_dropout": lora.dropout,
        "bias": "none",
        "target_modules": sorted(target_names(recipe.base.network(), lora.targets)),
        "inference_mode": True,
        "base_model_name_or_path": None,
        "init_lora_weights": True,
    }
