"""What is in an ONNX graph, read from its bytes alone: before a runtime sees it, and without onnx.

Only the few fields that decide whether a graph is harmless are read (numbers as in onnx.proto). Where the format lets a
later field override an earlier one, both are looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from cranpm.errors import CranpmError

OPSET, IR_VERSION = 20, 10  # what ONNX Runtime reads from 1.18 on
# fmt: off
OPERATORS = frozenset([
    "Abs", "Add", "And", "ArgMax", "AveragePool", "Cast", "CastLike", "Ceil", "Clip", "Concat", "Constant",
    "ConstantOfShape", "Conv", "ConvTranspose", "Cos", "DepthToSpace", "DequantizeLinear", "Div", "Equal", "Erf",
    "Exp", "Expand", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Gelu", "Gemm", "Greater",
    "GreaterOrEqual", "Identity", "LayerNormalization", "Less", "LessOrEqual", "Log", "MatMul", "Max", "Min", "Mod",
    "Mul", "Neg", "Not", "Or", "Pad", "Pow", "QuantizeLinear", "Range", "Reciprocal", "ReduceMax", "ReduceMean",
    "ReduceSum", "Relu", "Reshape", "Shape", "Sigmoid", "Sign", "Sin", "Slice", "Softmax", "Softplus", "Split",
    "Sqrt", "Squeeze", "Sub", "Tanh", "Tile", "Transpose", "Unsqueeze", "Where",
])
# fmt: on
"""The arithmetic that our networks are made of. No loops and branches: they would carry graphs of their own."""


@dataclass(frozen=True)
class External:
    """A tensor whose values lie in another file: its name, and what the graph says of the place."""

    name: str
    place: tuple[tuple[str, str], ...]


@dataclass
class Graph:
    """What was found in a graph.

    Attributes:
        opsets: (domain, version) that it asks for.
        operators: (domain, type) of its nodes.
        external: tensors that lie in other files.
        size: nodes.
    """

    opsets: set[tuple[str, int]] = field(default_factory=set)
    operators: set[tuple[str, str]] = field(default_factory=set)
    external: list[External] = field(default_factory=list)
    size: int = 0


def read_graph(content: bytes, name: str) -> Graph:
    """Look into a graph.

    Args:
        content: the bytes of an ONNX file.
        name: what errors call it.

    Raises:
        CranpmError: not ONNX, another opset, an operator that is not one of ours, or a graph inside a node.
    """
    graph = Graph()
    try:
        _model(memoryview(content), graph)
    except _Odd as reason:
        raise CranpmError(f"{name}: {reason}; the graph is not one that cranpm export writes") from reason
    if graph.opsets != {("", OPSET)}:
        raise CranpmError(
            f"{name}: asks for operator sets {sorted(graph.opsets)}, expected is {OPSET}; export it again"
        )
    unknown = sorted(kind for domain, kind in graph.operators if domain not in ("", "ai.onnx") or kind not in OPERATORS)
    if unknown:
        raise CranpmError(f"{name}: operator '{unknown[0]}' is not one that a network here is made of; export it again")
    return graph


class _Odd(Exception):
    """Why bytes are no graph of ours."""


def _model(content: memoryview, graph: Graph) -> None:
    for number, value in _fields(content):
        if number == 1 and value != IR_VERSION:
            raise _Odd(f"IR version {value}, expected is {IR_VERSION}")
        if number == 7:
            _graph(_bytes(value), graph)
        elif number == 8:
            parts = dict(_fields(_bytes(value)))
            graph.opsets.add((_text(parts.get(1, b"")), int(parts.get(2, 0))))
        elif number in (20, 25):
            raise _Odd("functions or training steps inside")


def _graph(content: memoryview, graph: Graph) -> None:
    for number, value in _fields(content):
        if number == 1:
            _node(_bytes(value), graph)
        elif number == 5:
            _tensor(_bytes(value), graph)
        elif number == 15:
            raise _Odd("a sparse tensor")


def _node(content: memoryview, graph: Graph) -> None:
    graph.size += 1
    kinds, domains = set(), set()
    for number, value in _fields(content):
        if number == 4:
            kinds.add(_text(value))
        elif number == 7:
            domains.add(_text(value))
        elif number == 5:
            _attribute(_bytes(value), graph)
    graph.operators |= {(domain, kind) for kind in kinds or {"(none)"} for domain in domains or {""}}


def _attribute(content: memoryview, graph: Graph) -> None:
    for number, value in _fields(content):
        if number in (5, 10):
            _tensor(_bytes(value), graph)
        elif number in (6, 11, 22, 23):
            raise _Odd("a graph or a sparse tensor inside a node")


def _tensor(content: memoryview, graph: Graph) -> None:
    name, place, elsewhere = "", [], False
    for number, value in _fields(content):
        if number == 8:
            name = _text(value)
        elif number == 13:
            parts = [(k, _text(v)) for k, v in _fields(_bytes(value))]
            place.append((dict(parts).get(1, ""), dict(parts).get(2, "")))
            if len(parts) != 2:
                raise _Odd(f"tensor '{name}' says its place in a way of its own")
        elif number == 14:
            elsewhere |= value != 0
    if elsewhere or place:
        graph.external.append(External(name, tuple(place)))


def _fields(content: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Field numbers and values of a protobuf message: whole numbers, or the bytes of what has a length."""
    place, end = 0, len(content)
    while place < end:
        key, place = _varint(content, place)
        number, kind = key >> 3, key & 7
        if key >> 32:  # a parser that keeps 32 bits would read another field
            raise _Odd("not an ONNX file")
        if kind == 0:
            value, place = _varint(content, place)
            yield number, value
            continue
        if kind == 2:
            size, place = _varint(content, place)
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise _Odd("not an ONNX file")
        if number == 0 or size > end - place:
            raise _Odd("not an ONNX file, or cut short")
        yield number, content[place : place + size]
        place += size


def _varint(content: memoryview, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if place >= len(content):
            break
        byte = content[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, place
    raise _Odd("not an ONNX file, or cut short")


def _bytes(value: int | memoryview) -> memoryview:
    if isinstance(value, int):
        raise _Odd("not an ONNX file")
    return value


def _text(value: int | memoryview | bytes) -> str:
    if isinstance(value, int):
        raise _Odd("not an ONNX file")
    return bytes(value).decode("utf-8", errors="replace")
