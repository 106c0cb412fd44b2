"""A network as two ONNX graphs: the day's, once for all its tiles, and the tile's.

    day:   coarse, elevation                                       -> what the bridge holds (keys and values)
    tile:  what the bridge holds, pm, elevation, ..., keys, lead   -> the residual of eq. 1

The weights stay outside, under the checkpoint's own names, in a safetensors file whose bytes the graphs point to. So
one set of weights serves the graphs of several coarse windows, and an adapter can be merged as a session is made.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cranpm.errors import CranpmError, require
from cranpm.export.decoder import FoldedDecoder
from cranpm.forecast.graph import IR_VERSION, OPSET
from cranpm.forecast.tensors import tensor_places
from cranpm.model.network import CranPM

if TYPE_CHECKING:
    import onnx

FIELDS = ("pm", "elevation", "lats", "lons", "wind", "queries", "keys", "lead")
MOST_TILES = 64


@dataclass(frozen=True)
class Exported:
    """A graph and the weights that it reads.

    Attributes:
        model: the graph, its weights inside, under their names in the checkpoint.
        held: names of what the day leaves for its tiles.
    """

    model: onnx.ModelProto
    held: tuple[str, ...]


def export_day(network: CranPM, shape: tuple[int, int]) -> Exported:
    """The graph of a day, for a coarse window of some rows and columns.

    Raises:
        CranpmError: the network's tiles do not ask the day anything.
    """
    coarse = torch.zeros(1, len(network.config.channels), *shape)
    names = held_names(network)
    model = _export(_Day(network), (coarse, torch.zeros(1, *shape)), ["coarse", "elevation"], list(names), None)
    return Exported(model, names)


def export_tile(network: CranPM) -> Exported:
    """The graph of a batch of tiles; batch and number of coarse tokens are free."""
    config, names = network.config, held_names(network)
    tokens = config.coarse_grid[0] * config.coarse_grid[1]
    held = _held(network, tokens)
    queries, side = config.grid[0] * config.grid[1], config.tile
    shapes = ((len(config.maps), side, side), (side, side), (side,), (side,), (queries, 2), (queries, 2), (tokens, 2))
    fields = [torch.ones(2, *shape) for shape in shapes]
    tiles, nodes = torch.export.Dim("tiles", min=1, max=MOST_TILES), torch.export.Dim("coarse_tokens", min=2)
    free = [
        {axis: nodes for axis, (n, m) in enumerate(zip(one.shape, more.shape, strict=True)) if n != m}
        for one, more in zip(held, _held(network, tokens + 1), strict=True)
    ]
    dims = (free, *({0: tiles} for _ in range(6)), {0: tiles, 1: nodes}, {0: tiles})
    given = (held, *fields, torch.full((2,), config.leads[0]))
    model = _export(_Tile(network), given, [*names, *FIELDS], ["residual"], dims)
    return Exported(model, names)


def held_names(network: CranPM) -> tuple[str, ...]:
    """Names of what the day leaves for its tiles: keys_0, values_0, ... of the paper's bridge.

    Raises:
        CranpmError: there is nothing.
    """
    count = len(_held(network, 4))
    if not count:
        raise CranpmError(f"'{network.config.name}' has fusion 'off': no day reaches its tiles, nothing to export")
    if network.config.fusion == "cross":
        return tuple(f"{kind}_{layer}" for layer in range(count // 2) for kind in ("keys", "values"))
    return tuple(f"held_{place}" for place in range(count))


def weights_of(network: CranPM, models: Iterable[onnx.ModelProto]) -> dict[str, NDArray[Any]]:
    """The tensors of a network that some graphs read, by their names in the checkpoint."""
    named = {tensor.name for model in models for tensor in model.graph.initializer}
    return {name: tensor.detach().numpy() for name, tensor in network.state_dict().items() if name in named}


def with_weights(model: onnx.ModelProto, network: CranPM) -> onnx.ModelProto:
    """A copy of a graph with the weights of a network inside."""
    helper = require("onnx.numpy_helper", extra="export")
    copy = type(model)()
    copy.CopyFrom(model)
    state = network.state_dict()
    for tensor in copy.graph.initializer:
        if tensor.name in state:
            tensor.CopyFrom(helper.from_array(state[tensor.name].detach().numpy(), tensor.name))
    return copy


def put_outside(model: onnx.ModelProto, weights: bytes, location: str) -> bytes:
    """The graph as a file without the tensors of a safetensors file: it says where in it they are.

    Args:
        model: as exported; it is changed.
        weights: the safetensors file.
        location: its name, in the same folder.
    """
    onnx = require("onnx", extra="export")
    places = tensor_places(io.BytesIO(weights), 0, len(weights), location)
    for tensor in model.graph.initializer:
        if tensor.name in places:
            place = places[tensor.name]
            tensor.ClearField("raw_data")
            tensor.ClearField("external_data")
            tensor.data_location = onnx.TensorProto.EXTERNAL
            said = {"location": location, "offset": place.start, "length": place.length}
            tensor.external_data.extend(onnx.StringStringEntryProto(key=k, value=str(v)) for k, v in said.items())
    return cast(bytes, model.SerializeToString(deterministic=True))


class _Day(nn.Module):
    def __init__(self, network: CranPM) -> None:
        super().__init__()
        self.network = network

    def forward(self, coarse: Tensor, elevation: Tensor) -> list[Tensor]:
        held = self.network.bridge.keys_values(self.network.encode_day(coarse, elevation))
        return [tensor for part in held for tensor in part]


class _Tile(nn.Module):
    def __init__(self, network: CranPM) -> None:
        super().__init__()
        self.network = deepcopy(network)
        self.network.decoder = FoldedDecoder(network.decoder)  # type: ignore[assignment]
        self.parts = [len(part) for part in _shared(network, 4)]

    def forward(
        self, held: list[Tensor], pm: Tensor, elevation: Tensor, lats: Tensor, lons: Tensor, wind: Tensor,
        queries: Tensor, keys: Tensor, lead: Tensor,
    ) -> Tensor:  # fmt: skip
        rest = iter(held)
        grouped = [tuple(next(rest) for _ in range(count)) for count in self.parts]
        return self.network.forward_held(grouped, pm, elevation, lats, lons, wind, queries, keys, lead).float()


def _held(network: CranPM, tokens: int) -> list[Tensor]:
    """What a day of some coarse tokens leaves for its tiles, of the right shapes and types."""
    return [tensor for part in _shared(network, tokens) for tensor in part]


def _shared(network: CranPM, tokens: int) -> list[tuple[Tensor, ...]]:
    kind = network.state_dict().get("bridge.project.weight", torch.zeros(0)).dtype
    with torch.no_grad():
        return network.bridge.keys_values(torch.zeros(1, tokens, network.config.global_dim, dtype=kind))


def _export(
    module: nn.Module,
    given: tuple[Any, ...],
    inputs: Sequence[str],
    outputs: Sequence[str],
    dims: tuple[Any, ...] | None,
) -> onnx.ModelProto:
    require("onnxscript", extra="export")
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            module.eval(), given, input_names=list(inputs), output_names=list(outputs), opset_version=OPSET,
            dynamo=True, optimize=False, dynamic_shapes=dims, verbose=False,
        )  # fmt: skip
    if program is None:
        raise CranpmError("the exporter gave nothing back; is onnxscript installed? pip install 'cranpm[export]'")
    model: onnx.ModelProto = program.model_proto
    _clean(model, "network.")
    if model.ir_version != IR_VERSION or [(o.domain, o.version) for o in model.opset_import] != [("", OPSET)]:
        raise CranpmError(
            f"the exporter wrote IR {model.ir_version}, opsets {list(model.opset_import)}: use constraints.txt"
        )
    return model


def _clean(model: onnx.ModelProto, prefix: str) -> None:
    """Weights under the checkpoint's names, none that is not read, and no trace of where it was made."""
    graph = model.graph
    read = {name for node in graph.node for name in node.input}
    kept = [tensor for tensor in graph.initializer if tensor.name in read]
    del graph.initializer[:]
    graph.initializer.extend(kept)
    names = {tensor.name: tensor.name.removeprefix(prefix) for tensor in kept}
    for tensor in graph.initializer:
        tensor.name = names[tensor.name]
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    for field in ("value_info", "metadata_props", "doc_string"):
        graph.ClearField(field)
    for value in (*graph.input, *graph.output):
        value.ClearField("metadata_props")
    for field in ("metadata_props", "doc_string"):
        model.ClearField(field)


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's talk about extensions that are not installed."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def safetensors_file(weights: Mapping[str, NDArray[Any]]) -> bytes:
    """Tensors as the bytes of a safetensors file."""
    save = require("safetensors.numpy", extra="export").save
    return cast(bytes, save(dict(weights)))
