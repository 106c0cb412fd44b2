"""Making a bundle: export, assemble, hold against torch, and only then write."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import cranpm
from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError
from cranpm.export.cases import Case, drawn_case
from cranpm.export.onnx import Exported, export_day, export_tile, put_outside, safetensors_file, used_weights
from cranpm.export.parity import check, compare
from cranpm.export.precision import halve
from cranpm.forecast.bundle import DAY, MANIFEST, SCHEMA_VERSION, TILE, TILE_GRAPH, Bundle, open_bundle
from cranpm.forecast.container import Content, write_container
from cranpm.forecast.engine import EngineSpec
from cranpm.forecast.onnx_engine import OnnxEngine
from cranpm.forecast.torch_engine import TorchEngine
from cranpm.model.adapter import MANIFEST as ADAPTER_MANIFEST
from cranpm.model.adapter import Adapter, check_base, merged
from cranpm.model.checkpoint import Checkpoint, to_manifest
from cranpm.model.network import CranPM
from cranpm.region import Region

Cases = Callable[[EngineSpec], Iterable[Case]]


@dataclass(frozen=True)
class Order:
    """What is to be exported.

    Attributes:
        checkpoint: the network.
        regions: packs that travel along; the day's graph is made for their whole and their sample windows.
        precision: fp32 or fp16.
        adapter: merged into the weights.
        windows: further coarse windows, rows and columns.
    """

    checkpoint: Checkpoint
    regions: Sequence[Region] = ()
    precision: str = "fp32"
    adapter: Adapter | None = None
    windows: Sequence[tuple[int, int]] = ()

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Every coarse window, the largest first."""
        packed = [region.window(full).coarse.shape for region in self.regions for full in (True, False)]
        return sorted({*packed, *self.windows}, reverse=True)


def export_bundle(order: Order, path: Path, *, more_cases: Cases | None = None, progress: Progress = silent) -> Bundle:
    """Export a network into one file.

    Args:
        order: what.
        path: the file; one that is there is replaced when all is well.
        more_cases: inputs on which it is held against torch, besides drawn ones: a store's.
        progress: told after each graph.

    Raises:
        CranpmError: beyond the parity gate, or not exportable; then nothing is written.
    """
    if not order.shapes:
        raise CranpmError("no coarse window to export for: name a region with --region")
    network = adapted(order.checkpoint, order.adapter)
    tested = drawn_last_layer(order.checkpoint, network) if order.checkpoint.random_weights else network
    half = order.precision == "fp16"
    export = halve(_copy(order.checkpoint, network)) if half else network
    graphs = _graphs(export, order.shapes, progress)
    with tempfile.TemporaryDirectory(prefix="cranpm-export-") as folder:
        trial = Path(folder) / "trial.bundle"
        weights = halve(_copy(order.checkpoint, tested)) if half else tested
        write_container(trial, _files(order, graphs, weights, []))
        found = _parity(order, trial, tested, more_cases)
    check(found, order.precision)
    write_container(path, _files(order, graphs, export, found))
    return open_bundle(path)


def adapted(checkpoint: Checkpoint, adapter: Adapter | None) -> CranPM:
    """A checkpoint's network, with an adapter merged into it where there is one."""
    network = checkpoint.network()
    if adapter is not None:
        check_base(adapter, checkpoint)
        state = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
        changed = {name: torch.from_numpy(values) for name, values in merged(adapter, state).items()}
        network.load_state_dict(changed, strict=False)
    return network


def drawn_last_layer(checkpoint: Checkpoint, network: CranPM) -> CranPM:
    """A copy whose last layer is drawn: untrained, it is zero, and a residual of zero would prove nothing."""
    copy = _copy(checkpoint, network)
    with torch.no_grad():
        copy.decoder.head.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
    return copy


def _graphs(network: CranPM, shapes: Sequence[tuple[int, int]], progress: Progress) -> dict[str, Exported]:
    made: dict[str, Exported] = {}
    for shape in shapes:
        made[f"{DAY}-{shape[0]}x{shape[1]}.onnx"] = export_day(network, shape)
        progress("exporting graphs", len(made), len(shapes) + 1)
    made[TILE_GRAPH] = export_tile(network)
    progress("exporting graphs", len(made), len(shapes) + 1)
    return made


def _files(
    order: Order, graphs: dict[str, Exported], network: CranPM, parity: list[dict[str, Any]]
) -> dict[str, Content]:
    """Every file of a bundle by name, the manifest first."""
    files: dict[str, Content] = {}
    packs: dict[str, dict[str, str]] = {}
    for region in order.regions:
        if region.path is None:
            raise CranpmError(f"pack '{region.name}' has no file to put into the bundle; load it from one")
        packs[region.name] = {"pack": f"{region.name}.yaml"}
        files[f"{region.name}.yaml"] = region.path
        fitted = region.path.parent / f"{region.name}.baselines.nc"
        if fitted.is_file():
            packs[region.name]["baselines"] = fitted.name
            files[fitted.name] = fitted
    for part, names in ((DAY, [name for name in graphs if name != TILE_GRAPH]), (TILE, [TILE_GRAPH])):
        read = {name for graph in names for name in used_weights(graphs[graph].model, network)}
        tensors = {name: tensor.detach().numpy() for name, tensor in network.state_dict().items() if name in read}
        files[f"{part}.safetensors"] = content = safetensors_file(tensors)
        for name in names:
            model = type(graphs[name].model)()
            model.CopyFrom(graphs[name].model)
            files[name] = put_outside(model, content, f"{part}.safetensors")
    manifest = _manifest(order, graphs, packs, parity)
    manifest["files"] = {name: {"sha256": _sha256(files[name])} for name in sorted(files)}
    text = json.dumps(manifest, indent=1, ensure_ascii=False, allow_nan=False)
    return {MANIFEST: f"{text}\n".encode(), **{name: files[name] for name in sorted(files)}}


def _manifest(
    order: Order, graphs: dict[str, Exported], packs: dict[str, dict[str, str]], parity: list[dict[str, Any]]
) -> dict[str, Any]:
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
        "held": list(graphs[TILE_GRAPH].held),
        "weights": {part: f"{part}.safetensors" for part in (DAY, TILE)},
        "packs": packs,
        "adapter": inside,
        "parity": parity,
        "checkpoint": to_manifest(checkpoint, checkpoint.hash),
    }


def _parity(order: Order, trial: Path, network: CranPM, more_cases: Cases | None) -> list[dict[str, Any]]:
    exported = OnnxEngine(open_bundle(trial), device="cpu")
    reference = TorchEngine(order.checkpoint, device="cpu", network=network)
    lead = exported.spec.trained_leads[0]
    drawn = (drawn_case(exported.spec, order.checkpoint.statistics, shape, lead) for shape in order.shapes)
    found = compare(reference, exported, drawn)
    return found + (compare(reference, exported, more_cases(exported.spec)) if more_cases is not None else [])


def _copy(checkpoint: Checkpoint, network: CranPM) -> CranPM:
    """A network of the same weights."""
    copy = CranPM(checkpoint.config, checkpoint.statistics).eval()
    copy.load_state_dict(network.state_dict())
    return copy


def _sha256(content: Content) -> str:
    return hashlib.sha256(content if isinstance(content, bytes) else content.read_bytes()).hexdigest()
