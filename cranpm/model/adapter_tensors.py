"""The tensors of an adapter, and putting them on a base: W + alpha / r B A, without torch and without peft."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cranpm.errors import CranpmError, require
from cranpm.model.checkpoint import file_hash
from cranpm.model.manifest_values import is_number, is_whole, json_object

if TYPE_CHECKING:
    from cranpm.model.adapter import Adapter

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
_PREFIX, _DOWN, _UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
_VARIANTS = {"rank_pattern", "alpha_pattern", "lora_bias", "fan_in_fan_out", "layer_replication", "target_parameters"}
_VARIANTS |= {"trainable_token_indices", "alora_invocation_tokens"}
_STARTS = (True, False, "gaussian", "eva", "orthogonal")  # ways to draw A and B that leave the base as it is

Tensors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Lora:
    """The two numbers of peft's configuration that merging needs.

    Attributes:
        rank: inner width r of B @ A.
        alpha: lora_alpha.
    """

    rank: int
    alpha: float

    @property
    def scale(self) -> float:
        """What B @ A is multiplied by."""
        return self.alpha / self.rank


def merged(adapter: Adapter, tensors: Tensors) -> dict[str, NDArray[np.float32]]:
    """The tensors of the base that the adapter changes, as they are with it on: W + alpha / r B A, in float32.

    Args:
        adapter: as `read_adapter` gives it.
        tensors: the base's, by name; those that do not change are not read.

    Raises:
        CranpmError: a tensor does not belong to the base or does not fit it, or the files changed on disk.
    """
    lora, found, path = lora_of(adapter), adapter_tensors(adapter), adapter.home / WEIGHTS
    changed = {}
    for name, values in found.items():
        if name.endswith(_DOWN):
            target = name.removesuffix(_DOWN) + ".weight"
            up = found[target.removesuffix(".weight") + _UP]
            base = _base_tensor(path, name, target, tensors)
            rows, columns = base.shape if base.ndim == 2 else (-1, -1)
            _check_shape(path, name, values, (lora.rank, columns), target)
            _check_shape(path, name.replace(_DOWN, _UP), up, (rows, lora.rank), target)
            changed[target] = np.asarray(base, np.float32) + np.float32(lora.scale) * (up @ values)
        elif not name.endswith(_UP):
            _check_shape(path, name, values, _base_tensor(path, name, name, tensors).shape, name)
            changed[name] = values
    return {name: np.ascontiguousarray(values, dtype=np.float32) for name, values in changed.items()}


def lora_of(adapter: Adapter) -> Lora:
    """Rank and alpha; whatever else peft can do and merging cannot is refused.

    Raises:
        CranpmError: says which.
    """
    path = adapter.home / CONFIG
    config = json_object(path)
    if (kind := config.get("peft_type")) != "LORA":
        raise CranpmError(f"{path}: peft_type {kind!r}, but only LORA can be put on; train with cranpm adapt")
    if (bias := config.get("bias", "none")) != "none":
        raise CranpmError(f"{path}: bias {bias!r}, but only 'none' can be put on; train with cranpm adapt")
    if (start := config.get("init_lora_weights", True)) not in _STARTS:
        raise CranpmError(f"{path}: init_lora_weights {start!r} alters the base; train with cranpm adapt")
    for key, value in config.items():
        if value and (key in _VARIANTS or key.startswith("use_") or key.endswith("_config")):
            raise CranpmError(f"{path}: {key} {value!r}, but only plain LoRA can be put on; train with cranpm adapt")
    rank, alpha = config.get("r"), config.get("lora_alpha")
    if not (is_whole(rank) and rank > 0):
        raise CranpmError(f"{path}: r {rank!r}, a rank of 1 or more is expected; copy the adapter again")
    if not (is_number(alpha) and alpha > 0):
        raise CranpmError(f"{path}: lora_alpha {alpha!r}, a positive number is expected; copy the adapter again")
    return Lora(rank, float(alpha))


def adapter_tensors(adapter: Adapter) -> dict[str, NDArray[np.float32]]:
    """The tensors by module, e.g. `bridge.project.lora_A.weight` (r, in) or, of a part trained whole, `output.blend`.

    Raises:
        CranpmError: the file changed since the adapter was opened, or is no safetensors file.
    """
    path = adapter.home / WEIGHTS
    load_file = require("safetensors.numpy", extra="train").load_file
    safetensor_error = require("safetensors", extra="train").SafetensorError
    if file_hash(path) != adapter.hash:
        raise CranpmError(f"{path}: changed on disk after it was opened; open the adapter again")
    try:
        found: dict[str, NDArray[Any]] = load_file(path)
    except (safetensor_error, KeyError, TypeError) as error:
        raise CranpmError(f"{path}: not a safetensors file ({error}); tensors are never unpickled") from error
    if foreign := [name for name in sorted(found) if not name.startswith(_PREFIX)]:
        raise CranpmError(f"{path}: tensor '{foreign[0]}', names that begin with '{_PREFIX}' are expected")
    for name, values in found.items():
        if values.dtype.kind != "f" or not np.isfinite(values).all():
            raise CranpmError(
                f"{path}: tensor '{name}' is not finite numbers ({values.dtype}); train the adapter again"
            )
    return {name.removeprefix(_PREFIX): found[name].astype(np.float32) for name in sorted(found)}


def check_pairs(path: Path, tensors: Tensors) -> None:
    """Each A with its B and each B with its A; and something at all."""
    for name in tensors:
        partner = name.replace(_DOWN, _UP) if name.endswith(_DOWN) else name.replace(_UP, _DOWN)
        if partner not in tensors:
            raise CranpmError(f"{path}: tensor '{name}' without '{partner}'; copy the adapter again")
        if name.endswith(_DOWN) and (whole := name.removesuffix(_DOWN) + ".weight") in tensors:
            raise CranpmError(f"{path}: tensor '{name}' and the whole '{whole}': which counts? Train the adapter again")
    if not tensors:
        raise CranpmError(f"{path}: no tensor in it; train the adapter again")


def _base_tensor(path: Path, name: str, target: str, tensors: Tensors) -> NDArray[Any]:
    if target not in tensors:
        raise CranpmError(f"{path}: tensor '{name}' would change '{target}', which the base has not; check the base")
    return tensors[target]


def _check_shape(path: Path, name: str, values: NDArray[Any], expected: tuple[int, ...], target: str) -> None:
    if values.shape != tuple(expected):
        where = f"the base's '{target}'" if min(expected, default=0) >= 0 else f"'{target}', which is no matrix,"
        raise CranpmError(f"{path}: tensor '{name}' has shape {values.shape}, {where} expects {tuple(expected)}")
