"""From the name of a model, or from a bundle, to an engine that runs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cranpm.errors import CranpmError, MissingExtra, require

if TYPE_CHECKING:
    from cranpm.data.store import Store
    from cranpm.forecast.bundle import Bundle
    from cranpm.forecast.onnx_engine import OnnxEngine
    from cranpm.forecast.torch_engine import TorchEngine
    from cranpm.model.adapter import Adapter
    from cranpm.region import Region

DEFAULT_MODEL = "europe-sample"


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
    from cranpm.model.registry import find_bundle, load

    checkpoint = load(model, random_weights=random_weights)
    try:
        require("torch", extra="train")
    except MissingExtra as error:
        if find_bundle(model) == Path(model):
            raise
        raise MissingExtra(f"{error}; or run it without torch: --bundle {model}") from error
    from cranpm.forecast.torch_engine import TorchEngine

    engine = TorchEngine(checkpoint, device=device)
    engine.wear(adapter)
    return engine


@dataclass(frozen=True)
class Choice:
    """What a command line says about what is to run: a model, or a bundle in its place.

    Attributes:
        model: a registered name or a checkpoint folder; None where nothing was said.
        bundle: an opened bundle; None for a model.
        random_weights: accept a model without training.
        device: where it is to run.
    """

    model: str | None
    bundle: Bundle | None
    random_weights: bool = False
    device: str = "auto"

    def region(self, name_or_path: str) -> Region:
        """The pack of a name or a path; a name that no shipped pack has may be that of the bundle's own.

        Raises:
            CranpmError: there is none.
        """
        from cranpm.region import list_regions, load_region

        if self.bundle is not None and name_or_path not in list_regions():
            own = self.bundle.manifest["packs"].get(name_or_path)
            if own is not None:
                return load_region(_unpacked(self.bundle, own))
        return load_region(name_or_path)

    def ground(self, store: Store) -> str:
        """How the store's terrain and land mask differ from those that travel with the bundle; empty where they do not.

        Raises:
            CranpmError: the bundle changed since it was opened.
        """
        if self.bundle is None:
            return ""
        from cranpm.forecast.static import difference, static_of

        static = static_of(self.bundle, store.region)
        return "" if static is None else difference(static, store)

    def engine(self, adapter: Adapter | None) -> TorchEngine | OnnxEngine:
        """What runs it, wearing an adapter or none.

        Raises:
            CranpmError: see `load_engine`; or the bundle cannot wear the adapter.
        """
        if self.bundle is None:
            return load_engine(self.model or DEFAULT_MODEL, self.random_weights, self.device, adapter)
        from cranpm.forecast.onnx_engine import OnnxEngine

        engine = OnnxEngine(self.bundle, device=self.device)
        engine.wear(adapter)
        return engine


def choose(
    model: str | None, bundle: Path | None, key: Path | None = None, random_weights: bool = False, device: str = "auto"
) -> Choice:
    """What `--model`, `--bundle`, `--require-key`, `--random-weights` and `--device` ask for together.

    Raises:
        CranpmError: they contradict each other, or the bundle is refused.
    """
    if bundle is None:
        if key is not None:
            raise CranpmError(f"--require-key {key}: models are not signed, bundles are; name one with --bundle")
        return Choice(model, None, random_weights, device)
    if model is not None or random_weights:
        other = f"--model {model}" if model is not None else "--random-weights"
        raise CranpmError(f"--bundle {bundle} and {other}: the bundle is the model; leave one of them out")
    from cranpm.forecast.bundle import open_bundle

    return Choice(None, open_bundle(bundle, key=key), False, device)


def _unpacked(bundle: Bundle, own: dict[str, str]) -> Path:
    """A bundle's pack as a file, its fitted baselines beside it."""
    from cranpm.folders import cache_folder, write_whole

    folder = cache_folder() / "packs" / bundle.hash[:16]
    for name in (own[part] for part in ("pack", "baselines") if part in own):
        write_whole(folder / name, bundle.read(name))
    return folder / own["pack"]
