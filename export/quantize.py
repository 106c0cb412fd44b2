"""Eight bits for the tile's graph: weights and activations of its convolutions and linear layers.

The ranges of the activations come from the pack's own tiles. The first linear layer and the last convolutions stay as
they are: one sees concentrations far from the usual, the others make the residual. So does the day's graph, which runs
once where the tile's runs a hundred times. What it costs is told in forecast score, on days not calibrated on.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cranpm.errors import CranpmError, require
from cranpm.forecast.engine import Engine
from cranpm.forecast.graph import OPSET
from cranpm.forecast.inputs import KnownPast
from cranpm.forecast.run import ForecastStore, assemble_map, forecast

if TYPE_CHECKING:
    import datetime as dt

    import onnx

Feeds = dict[str, Any]
_LAYERS = ("Conv", "Gemm", "MatMul")


def quantize(model: onnx.ModelProto, feeds: Sequence[Feeds]) -> onnx.ModelProto:
    """The graph with 8-bit convolutions and linear layers.

    Args:
        model: a graph with its weights inside.
        feeds: inputs of some tiles, as numpy arrays by name.

    Raises:
        CranpmError: there are none, or ONNX Runtime's tools are not here.
    """
    if not feeds:
        raise CranpmError("int8: no tile to calibrate on; leave --drawn-only out, or give a store with --data")
    onnx = require("onnx", extra="export")
    tools = require("onnxruntime.quantization", extra="export")
    with tempfile.TemporaryDirectory(prefix="cranpm-int8-") as folder:
        plain, folded, made = (Path(folder) / name for name in ("plain.onnx", "folded.onnx", "int8.onnx"))
        onnx.save(model, plain)
        _fold(plain, folded)
        chosen = _layers(onnx.load(folded))
        with _quiet():
            tools.quantize_static(
                folded, made, _Reader(feeds), quant_format=tools.QuantFormat.QDQ,
                op_types_to_quantize=list(_LAYERS), nodes_to_quantize=chosen, per_channel=True,
                activation_type=tools.QuantType.QUInt8, weight_type=tools.QuantType.QInt8,
                calibrate_method=tools.CalibrationMethod.MinMax,
            )  # fmt: skip
        quantized = onnx.load(made)
    return _ours(quantized)


@dataclass(frozen=True)
class Loss:
    """The score of a lead in 32 and in 8 bits: RMSE on land against the truth, ug m-3, over some days."""

    lead: int
    days: int
    rmse: float
    rmse_exact: float


def loss(
    exact: Engine,
    quantized: Engine,
    store: ForecastStore,
    days: Sequence[dt.date],
    leads: Sequence[int],
    past: KnownPast | None,
) -> list[Loss]:
    """What eight bits cost in forecast score, by lead, on days whose truth the store holds."""
    import datetime as dt

    errors: dict[int, list[tuple[float, float, int]]] = {lead: [] for lead in leads}
    for day in days:
        able = [lead for lead in leads if day + dt.timedelta(days=lead) in store.days]
        pairs = zip(
            forecast(exact, store, day, able, past=past), forecast(quantized, store, day, able, past=past), strict=True
        )
        for one, other in pairs:
            truth = store.pm(one.valid_day)
            valid = store.land & np.isfinite(truth)
            maps = [assemble_map(each.strips, store.fine.shape)[0] for each in (one, other)]
            squares = [float(np.sum((values[valid] - truth[valid]).astype(np.float64) ** 2)) for values in maps]
            errors[one.lead].append((squares[0], squares[1], int(valid.sum())))
    return [_loss(lead, found) for lead, found in errors.items() if found]


def _loss(lead: int, found: list[tuple[float, float, int]]) -> Loss:
    exact, quantized, count = (sum(part) for part in zip(*found, strict=True))
    return Loss(lead, len(found), float(np.sqrt(quantized / count)), float(np.sqrt(exact / count)))


@contextmanager
def _quiet() -> Iterator[None]:
    """Without advice to fold first: that was done."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


class _Reader:
    """Hands the feeds to the calibration, one after the other."""

    def __init__(self, feeds: Iterable[Feeds]) -> None:
        self._rest: Iterator[Feeds] = iter(feeds)

    def get_next(self) -> Feeds | None:
        return next(self._rest, None)


def _fold(plain: Path, folded: Path) -> None:
    """Compute what is constant, such as transposed weights, so that layers are seen with their weights."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(folded)
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(plain), options, providers=["CPUExecutionProvider"])


def _layers(model: onnx.ModelProto) -> list[str]:
    """Names of the layers with weights, but the first linear one and the 1x1 convolutions: the folded head."""
    weights = {tensor.name: tensor.dims for tensor in model.graph.initializer}
    layers = [n for n in model.graph.node if n.op_type in _LAYERS and n.input[1] in weights]
    linear = [node.name for node in layers if node.op_type != "Conv"]
    convolutions = [node.name for node in layers if node.op_type == "Conv" and weights[node.input[1]][-1] > 1]
    return linear[1:] + convolutions


def _ours(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without the operator sets that the tools declare and do not use."""
    used = {node.domain for node in model.graph.node} - {"", "ai.onnx"}
    if used:
        raise CranpmError(f"int8: ONNX Runtime's tools wrote operators of {', '.join(used)}; use constraints.txt")
    del model.opset_import[:]
    model.opset_import.add(domain="", version=OPSET)
    model.ClearField("metadata_props")
    model.graph.ClearField("value_info")
    return model
