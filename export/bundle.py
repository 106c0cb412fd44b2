"""Making a bundle: export, assemble, hold against torch, and only then write."""

from __future__ import annotations

import datetime as dt
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError
from cranpm.export.cases import drawn_case, stored_cases
from cranpm.export.contents import Order, Parts, bundle_files
from cranpm.export.onnx import Exported, export_day, export_tile, with_weights
from cranpm.export.parity import check, compare
from cranpm.export.precision import halve
from cranpm.export.quantize import loss, quantize
from cranpm.forecast.bundle import DAY, TILE_GRAPH, Bundle, open_bundle
from cranpm.forecast.container import write_container
from cranpm.forecast.inputs import KnownPast
from cranpm.forecast.onnx_engine import OnnxEngine
from cranpm.forecast.run import ForecastStore
from cranpm.forecast.torch_engine import TorchEngine
from cranpm.model.adapter import Adapter, check_base
from cranpm.model.adapter_tensors import merged
from cranpm.model.checkpoint import Checkpoint
from cranpm.model.network import CranPM


@dataclass(frozen=True)
class Proof:
    """Days of a store on which an export is tried.

    Attributes:
        store: the store.
        days: issue days. The first is held against torch; 8 bits are calibrated on all.
        scored: others, on which the loss of 8 bits in forecast score is measured.
        past: what was fitted on the pack's past, where the network reads it.
    """

    store: ForecastStore
    days: Sequence[dt.date]
    scored: Sequence[dt.date] = ()
    past: KnownPast | None = None


def export_bundle(order: Order, path: Path, *, proof: Proof | None = None, progress: Progress = silent) -> Bundle:
    """Export a network into one file.

    Args:
        order: what.
        path: the file; one that is there is replaced when all is well.
        proof: days on which it is held against torch, besides drawn inputs; 8 bits cannot do without.
        progress: told after each graph.

    Raises:
        CranpmError: beyond the parity gate, or not exportable; then nothing is written.
    """
    if not order.shapes:
        raise CranpmError("no coarse window to export for: name a region with --region")
    if order.precision == "int8" and proof is None:
        raise CranpmError("int8: no day to calibrate on; leave --drawn-only out, or give a store with --data")
    network = adapted(order.checkpoint, order.adapter)
    tested = drawn_last_layer(order.checkpoint, network) if order.checkpoint.random_weights else network
    half = order.precision == "fp16"
    export = halve(_copy(order.checkpoint, network)) if half else network
    parts = Parts(_graphs(export, order.shapes, progress))
    with tempfile.TemporaryDirectory(prefix="cranpm-export-") as folder:
        trial = Path(folder) / "trial.bundle"
        weights = halve(_copy(order.checkpoint, tested)) if half else tested
        write_container(trial, bundle_files(order, parts, weights))
        found = _parity(order, trial, tested, proof)
        check(found, "fp32" if order.precision == "int8" else order.precision)
        parts = replace(parts, parity=found)
        if order.precision == "int8" and proof is not None:
            parts = _quantized(order, parts, trial, tested, proof)
    write_container(path, bundle_files(order, parts, export))
    return open_bundle(path)


def _quantized(order: Order, parts: Parts, trial: Path, network: CranPM, proof: Proof) -> Parts:
    """The tile's graph in 8 bits, calibrated on tiles of some days, with its loss on others."""
    exact = OnnxEngine(open_bundle(trial), device="cpu")
    leads = exact.spec.trained_leads
    feeds = []
    for case in stored_cases(exact.spec, proof.store, proof.days, leads, proof.past):
        whole = exact.feeds(exact.encode_day(case.day, case.lead), case.tiles, slice(None), case.lead)
        feeds.append({name: value if isinstance(value, np.ndarray) else value.numpy() for name, value in whole.items()})
    tile = with_weights(parts.graphs[TILE_GRAPH].model, network)
    made = replace(parts, tile=quantize(tile, feeds).SerializeToString(deterministic=True))
    eight = trial.with_name("int8.bundle")
    write_container(eight, bundle_files(order, made, network))
    engine = OnnxEngine(open_bundle(eight), device="cpu")
    cases = stored_cases(exact.spec, proof.store, proof.days[:1], leads, proof.past)
    apart = compare(exact, engine, cases)
    lost = loss(exact, engine, proof.store, proof.scored, leads, proof.past)
    return replace(made, parity=apart, loss=[asdict(entry) for entry in lost])


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


def _parity(order: Order, trial: Path, network: CranPM, proof: Proof | None) -> list[dict[str, Any]]:
    exported = OnnxEngine(open_bundle(trial), device="cpu")
    reference = TorchEngine(order.checkpoint, device="cpu", network=network)
    spec, leads = exported.spec, exported.spec.trained_leads
    found = compare(
        reference, exported, (drawn_case(spec, order.checkpoint.statistics, shape, leads[0]) for shape in order.shapes)
    )
    if proof is not None:
        cases = stored_cases(spec, proof.store, proof.days[:1], leads, proof.past)
        found += compare(reference, exported, cases)
    return found


def _copy(checkpoint: Checkpoint, network: CranPM) -> CranPM:
    """A network of the same weights."""
    copy = CranPM(checkpoint.config, checkpoint.statistics).eval()
    copy.load_state_dict(network.state_dict())
    return copy
