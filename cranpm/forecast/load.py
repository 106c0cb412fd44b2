"""From the name of a model to an engine that runs it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cranpm.errors import require

if TYPE_CHECKING:
    from cranpm.forecast.torch_engine import TorchEngine
    from cranpm.model.adapter import Adapter


def load_engine(
    model: str, random_weights: bool = False, device: str = "auto", adapter: Adapter | None = None
) -> TorchEngine:
    """The engine for a registered model or a checkpoint folder, with an adapter on it where one is given.

    Several adapters take turns on one engine; its base is read once, and taken off an adapter leaves no trace:

        ours, theirs = read_adapter("adapters/india"), read_adapter("adapters/usa")  # cranpm.model.adapter
        engine = load_engine("europe-sample", adapter=ours)
        ...  # cranpm.forecast.run.forecast(engine, store, day), cranpm.verify.evaluate.evaluate(engine, ...)
        engine.wear(theirs)
        engine.wear(None)  # the base, bit for bit

    An adapter is for one pack: `cranpm.model.adapter.check_region(adapter, region.name)` refuses others, as the
    commands do.

    Args:
        model: registered name, or path of a checkpoint folder.
        random_weights: accept a configuration without trained weights; its output is marked.
        device: "auto", "cpu" or "cuda".
        adapter: as `cranpm.model.adapter.read_adapter` gives it.

    Raises:
        CranpmError: no such model, no weights, no such device, or an adapter of another base.
    """
    from cranpm.model.registry import load

    checkpoint = load(model, random_weights=random_weights)
    require("torch", extra="train")
    from cranpm.forecast.torch_engine import TorchEngine

    engine = TorchEngine(checkpoint, device=device)
    engine.wear(adapter)
    return engine
