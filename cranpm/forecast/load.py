"""From the name of a model to an engine that runs it."""

from __future__ import annotations

from cranpm.errors import require
from cranpm.forecast.engine import Engine


def load_engine(model: str, random_weights: bool = False, device: str = "auto") -> Engine:
    """The engine for a registered model or a checkpoint folder.

    Args:
        model: registered name, or path of a checkpoint folder.
        random_weights: accept a configuration without trained weights; its output is marked.
        device: "auto", "cpu" or "cuda".

    Raises:
        CranpmError: no such model, no weights, or no such device.
    """
    from cranpm.model.registry import load

    checkpoint = load(model, random_weights=random_weights)
    require("torch", extra="train")
    from cranpm.forecast.torch_engine import TorchEngine

    return TorchEngine(checkpoint, device=device)
