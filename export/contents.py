"""What goes into a bundle: every file by name, from an order and from what was made of its network."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from safetensors.numpy import save

import cranpm
from cranpm.errors import CranpmError
from cranpm.export.onnx import Exported, put_outside, safetensors_file, weights_of
from cranpm.forecast.bundle import DAY, MANIFEST, SCHEMA_VERSION, TILE, TILE_GRAPH
from cranpm.forecast.container import Content
from cranpm.forecast.run import ForecastStore
from cranpm.forecast.static import STATIC, static_tensors
from cranpm.model.adapter import MANIFEST as ADAPTER_MANIFEST
from cranpm.model.adapter import Adapter
from cranpm.model.checkpoint import Checkpoint, to_manifest
from cranpm.model.network import CranPM
from cranpm.region import Region
from cranpm.verify.fitting import baselines_path


@dataclass(frozen=True)
class Order:
    """What is to be exported.

    Attributes:
        checkpoint: the network.
        regions: packs that travel along; the day's graph is made for their whole and their sample windows.
        precision: fp32, fp16 or int8.
        adapter: merged into the weights.
        windows: further coarse windows, rows and columns.
        static: a store of the first of the packs, whose static fields travel along.
    """

    checkpoint: Checkpoint
    regions: Sequence[Region] = ()
    precision: str = "fp32"
    adapter: Adapter | None = None
    windows: Sequence[tuple[int, int]] = ()
    static: ForecastStore | None = None

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Every coarse window, the largest first."""
        packed = [region.window(full).coarse.shape for region in self.regions for full in (True, False)]
        return sorted({*packed, *self.windows}, reverse=True)


@dataclass(frozen=True)
class Parts:
    """What was made of a network, and what was found about it.

    Attributes:
        graphs: by name of their file.
        tile: the tile's graph in 8 bits, weights inside; empty where it has its weights beside it.
        parity, loss: for the manifest.
    """

    graphs: dict[str, Exported]
    tile: bytes = b""
    parity: Sequence[dict[str, Any]] = ()
    loss: Sequence[dict[str, Any]] = ()


def bundle_files(order: Order, parts: Parts, network: CranPM) -> dict[str, Content]:
    """Every file of a bundle by name, the manifest first."""
    files: dict[str, Content] = {}
    packs: dict[str, dict[str, str]] = {}
    for region in order.regions:
        if region.path is None:
            raise CranpmError(f"pack '{region.name}' has no file to put into the bundle; load it from one")
        packs[region.name] = {"pack": f"{region.name}.yaml"}
        files[f"{region.name}.yaml"] = region.path
        fitted = baselines_path(region)
        if fitted.is_file():
            packs[region.name]["baselines"] = fitted.name
            files[fitted.name] = fitted
    if order.static is not None and order.regions:
        name = f"{order.regions[0].name}.{STATIC}.safetensors"
        packs[order.regions[0].name][STATIC] = name
        files[name] = save(static_tensors(order.static))
    graphs = parts.graphs
    for part, names in ((DAY, [name for name in graphs if name != TILE_GRAPH]), (TILE, [TILE_GRAPH])):
        if part == TILE and parts.tile:
            files[TILE_GRAPH] = parts.tile
            continue
        tensors = weights_of(network, (graphs[name].model for name in names))
        files[f"{part}.safetensors"] = content = safetensors_file(tensors)
        for name in names:
            model = type(graphs[name].model)()
            model.CopyFrom(graphs[name].model)
            files[name] = put_outside(model, content, f"{part}.safetensors")
    manifest = _manifest(order, parts, packs)
    manifest["files"] = {name: {"sha256": _sha256(files[name])} for name in sorted(files)}
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
    return {MANIFEST: f"{text}\n".encode(), **{name: files[name] for name in sorted(files)}}


def _manifest(order: Order, parts: Parts, packs: dict[str, dict[str, str]]) -> dict[str, Any]:
    checkpoint, adapter = order.checkpoint, order.adapter
    inside = None
    if adapter is not None:
        inside = {"name": adapter.name, **json.loads((adapter.home / ADAPTER_MANIFEST).read_text(encoding="utf-8"))}
    return {
        "schema_version": SCHEMA_VERSION,
        "name": checkpoint.name,
        "precision": order.precision,
        "random_weights": checkpoint.random_weights,
        "created": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        "cranpm": cranpm.__version__,
        "days": {f"{h}x{w}": f"{DAY}-{h}x{w}.onnx" for h, w in order.shapes},
        "held": list(parts.graphs[TILE_GRAPH].held),
        "weights": {part: f"{part}.safetensors" for part in ((DAY,) if parts.tile else (DAY, TILE))},
        "packs": packs,
        "adapter": inside,
        "parity": list(parts.parity),
        "loss": list(parts.loss),
        "checkpoint": to_manifest(checkpoint, checkpoint.hash),
    }


def _sha256(content: Content) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else content.read_bytes()).hexdigest()
