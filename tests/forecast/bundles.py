"""A bundle small enough to be made in every test: two graphs of a few operators, not a network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from cranpm.export.onnx import put_outside, safetensors_file
from cranpm.forecast.bundle import MANIFEST, SCHEMA_VERSION
from cranpm.forecast.container import Content, write_container
from cranpm.model.checkpoint import Checkpoint, to_manifest
from cranpm.model.config import SMALL
from cranpm.model.statistics import nominal

SIDE, SHAPE = 32, (16, 20)
CONFIG = replace(
    SMALL, name="few", tile=SIDE, coarse_shape=SHAPE, global_dim=32, local_dim=32, local_window=2, bridge_head_dim=8,
)  # fmt: skip
CHECKPOINT = Checkpoint(
    name="few", config=CONFIG, statistics=nominal(), trained_leads=(1, 2, 3), region="europe", simulated=True,
    hash="ab" * 32, folder=Path("few"), detail={},
)  # fmt: skip
DAY_SCALE, TILE_SCALE = 0.01, 0.5


def graph(name: str, nodes: list, inputs: dict[str, tuple], output: tuple[str, tuple], **weights: float):
    """A graph of some nodes, with weights of one number."""
    kinds = {"lead": TensorProto.INT64}
    made = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info(key, kinds.get(key, TensorProto.FLOAT), dims) for key, dims in inputs.items()],
        [helper.make_tensor_value_info(output[0], TensorProto.FLOAT, output[1])],
        [onnx.numpy_helper.from_array(np.array([value], np.float32), key) for key, value in weights.items()],
    )
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def day_graph() -> onnx.ModelProto:
    """What the day leaves: a scaled mean of its coarse inputs."""
    nodes = [
        helper.make_node("ReduceMean", ["coarse"], ["mean"], keepdims=1),
        helper.make_node("Mul", ["mean", "day.weight"], ["keys_0"]),
    ]
    inputs = {"coarse": (1, 70, *SHAPE), "elevation": (1, *SHAPE)}
    return graph("day", nodes, inputs, ("keys_0", (1, 1, 1, 1)), **{"day.weight": DAY_SCALE})


def tile_graph() -> onnx.ModelProto:
    """The residual: lead times the scaled pattern of the latitudes, and what the day left."""
    nodes = [
        helper.make_node("Cast", ["lead"], ["ahead"], to=TensorProto.FLOAT),
        helper.make_node("Mul", ["ahead", "tile.weight"], ["share"]),
        helper.make_node("Constant", [], ["axes"], value_ints=[1, 2]),
        helper.make_node("Unsqueeze", ["share", "axes"], ["shares"]),
        helper.make_node("Constant", [], ["last"], value_ints=[2]),
        helper.make_node("Unsqueeze", ["lats", "last"], ["rows"]),
        helper.make_node("Sin", ["rows"], ["waves"]),
        helper.make_node("Mul", ["waves", "shares"], ["pattern"]),
        helper.make_node("Constant", [], ["first"], value_ints=[0]),
        helper.make_node("Squeeze", ["keys_0", "first"], ["left"]),
        helper.make_node("Add", ["pattern", "left"], ["sum"]),
        helper.make_node("Mul", ["elevation", "nothing"], ["flat"]),
        helper.make_node("Add", ["sum", "flat"], ["residual"]),
    ]
    inputs: dict[str, tuple] = {"keys_0": (1, 1, 1, 1), "elevation": ("n", SIDE, SIDE), "lats": ("n", SIDE)}
    inputs["lead"] = ("n",)
    output = ("residual", ("n", SIDE, SIDE))
    return graph("tile", nodes, inputs, output, **{"tile.weight": TILE_SCALE, "nothing": 0.0})


def residual(coarse: np.ndarray, lats: np.ndarray, lead: int) -> np.ndarray:
    """What these graphs compute."""
    return lead * TILE_SCALE * np.sin(lats)[:, :, None] + DAY_SCALE * coarse.mean() + np.zeros(lats.shape[-1])


def parts(**models: onnx.ModelProto) -> dict[str, Content]:
    """The files of a bundle but its manifest."""
    files: dict[str, Content] = {}
    for part, name, made in (("day", "day-16x20.onnx", day_graph()), ("tile", "tile.onnx", tile_graph())):
        model = models.get(part, made)
        weights = {t.name: onnx.numpy_helper.to_array(t) for t in made.graph.initializer if "weight" in t.name}
        files[f"{part}.safetensors"] = content = safetensors_file(weights)
        files[name] = put_outside(model, content, f"{part}.safetensors")
    return files


def write_bundle(
    path: Path, files: dict[str, Content] | None = None, change: Callable[[dict[str, Any]], None] | None = None
) -> Path:
    """A bundle whose manifest is right about its files, unless `change` makes it wrong."""
    files = parts() if files is None else files
    manifest = {
        "schema_version": SCHEMA_VERSION, "name": "few", "precision": "fp32", "random_weights": False,
        "created": "2022-01-01T00:00:00+00:00", "cranpm": "0", "days": {"16x20": "day-16x20.onnx"},
        "held": ["keys_0"], "weights": {"day": "day.safetensors", "tile": "tile.safetensors"}, "packs": {},
        "adapter": None, "parity": [], "loss": [], "checkpoint": to_manifest(CHECKPOINT, CHECKPOINT.hash),
        "files": {name: {"sha256": hashlib.sha256(content).hexdigest()} for name, content in files.items()},
    }  # fmt: skip
    if change is not None:
        change(manifest)
    write_container(path, {MANIFEST: json.dumps(manifest).encode(), **files})
    return path
