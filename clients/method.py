"""Ways to federate an adapter: which of its matrices are trained, and which of them leave an agency."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeVar

Method = Literal["fedavg", "fedprox", "ffa-lora", "fedsa-lora"]
METHODS: tuple[Method, ...] = ("fedavg", "fedprox", "ffa-lora", "fedsa-lora")
DOWN, UP = ".lora_A.weight", ".lora_B.weight"
"""How peft ends the names of A (rank, in) and B (out, rank); the update of a layer is alpha / rank times B A."""

T = TypeVar("T")


def is_trained(method: Method, name: str) -> bool:
    """Whether an agency trains a tensor: all of them, but for A in FFA-LoRA (Sun et al. 2024)."""
    return not (method == "ffa-lora" and name.endswith(DOWN))


def is_sent(method: Method, name: str) -> bool:
    """Whether a tensor leaves the agency: only B in FFA-LoRA, only A in FedSA-LoRA (Guo et al. 2025)."""
    kept = {"ffa-lora": DOWN, "fedsa-lora": UP}.get(method)
    return kept is None or not name.endswith(kept)


def sent_part(method: Method, tensors: Mapping[str, T]) -> dict[str, T]:
    """The tensors that leave an agency, in the order of their names."""
    return {name: tensors[name] for name in sorted(tensors) if is_sent(method, name)}
