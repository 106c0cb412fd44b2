"""ONNX Runtime sessions: which provider runs, and graphs whose weights are handed over at creation."""

from __future__ import annotations

import ctypes
import os
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cranpm.errors import CranpmError

if TYPE_CHECKING:
    from onnxruntime import InferenceSession

PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
}
_OPTIONS: dict[str, dict[str, str]] = {  # the arena takes what is asked for, no power of two; cuDNN no workspace
    "CUDAExecutionProvider": {
        "arena_extend_strategy": "kSameAsRequested",
        "cudnn_conv_algo_search": "HEURISTIC",
        "cudnn_conv_use_max_workspace": "0",
    },
}
_FOLDED = ("optimization.constant_folding_max_output_size_in_bytes", str(2**26))
"""What depends on the weights alone is computed once, up to this size: a tile's relative bias has 32 MiB."""

_UNPACKED = ("session.disable_prepacking", "1")
"""What runs once need not be packed before it runs: packing doubles a day's weights."""

_MMAP_THRESHOLD = -3  # M_MMAP_THRESHOLD of malloc.h

_SHORT_OF_MEMORY = ("failed to allocate memory", "out of memory", "bad_alloc", "bad allocation", "available memory")


def pick_provider(device: str) -> str:
    """The device to run on: the one asked for, or with "auto" the GPU where there is one.

    Raises:
        CranpmError: the device is not known, or this ONNX Runtime has no provider for it.
    """
    import onnxruntime

    here = onnxruntime.get_available_providers()
    if device == "auto":
        return "cuda" if PROVIDERS["cuda"] in here else "cpu"
    if device not in PROVIDERS:
        raise CranpmError(f"device '{device}' unknown: choose auto, {', '.join(PROVIDERS)}")
    if PROVIDERS[device] not in here:
        found = ", ".join(name for name, provider in PROVIDERS.items() if provider in here)
        raise CranpmError(
            f"device '{device}': ONNX Runtime {onnxruntime.__version__} has no {PROVIDERS[device]} here "
            f"(found: {found}); install the ONNX Runtime that has it, or choose --device auto"
        )
    return device


@dataclass(frozen=True)
class Session:
    """A graph that is ready to run.

    Attributes:
        run: ONNX Runtime's own session. It keeps the weights that it has not packed for itself; the others go.
        size: bytes of its weights.
    """

    run: InferenceSession
    size: int


def session(
    graph: bytes, weights: Mapping[str, NDArray[Any]], device: str, *, strict: bool, often: bool = True
) -> Session:
    """A session for a graph with its weights.

    Args:
        graph: the bytes of an ONNX file whose weights are said to lie elsewhere.
        weights: these weights by name; those that the graph does not name are left out by the caller.
        device: as `pick_provider` gives it.
        strict: refuse where the provider does not start; else the CPU takes over, and says so.
        often: keep memory from run to run, and pack weights; else it goes back to the system, which a day that runs
            once should.

    Raises:
        CranpmError: the provider is installed but does not start here, or cannot load the graph.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; a provider that does not start is told below
    options.enable_cpu_mem_arena = options.enable_mem_pattern = often
    options.add_session_config_entry(*(_FOLDED if often else _UNPACKED))
    if threads := os.environ.get("OMP_NUM_THREADS", ""):
        options.intra_op_num_threads = int(threads) if threads.isdecimal() else 0
    values = {name: onnxruntime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(a)) for name, a in weights.items()}
    if values:
        options.add_external_initializers(list(values), list(values.values()))
    asked = PROVIDERS[device]
    providers = list(dict.fromkeys([asked, "CPUExecutionProvider"]))
    chosen = [(name, _OPTIONS.get(name, {})) for name in providers]
    try:
        skipped = [] if often else ["ConstantFolding"]  # it would keep a second copy of the weights, turned
        made = onnxruntime.InferenceSession(graph, options, providers=chosen, disabled_optimizers=skipped)
    except Exception as error:
        raise refused(error, f"device '{device}': the network cannot be loaded") from error
    if made.get_providers()[0] != asked:
        what = f"device '{device}': {asked} is installed but does not start here (driver, CUDA or cuDNN missing?)"
        if strict:
            raise CranpmError(f"{what}; choose --device cpu or auto")
        warnings.warn(f"{what}: the CPU takes over", stacklevel=2)
    return Session(made, sum(value.nbytes for value in weights.values()))


def give_memory_back() -> None:
    """Let large blocks go back to the system as they are freed: glibc keeps those below 32 MiB once one was freed."""
    if sys.platform == "linux":
        mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # other C libraries have none
        if mallopt is not None:
            mallopt(_MMAP_THRESHOLD, 2**20)


def refused(error: Exception, what: str) -> CranpmError:
    """What ONNX Runtime refused, and why, in one line."""
    reason = next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if short_of_memory(error):
        return CranpmError(f"{what}: out of memory; `cranpm bundle budget BUNDLE --ram 8GB` tells what it takes")
    return CranpmError(f"{what}: ONNX Runtime says: {reason[:300]}; try --device cpu, or export the bundle again")


def short_of_memory(error: Exception) -> bool:
    """Whether a runtime's error says that memory ran out."""
    return isinstance(error, MemoryError) or any(words in str(error).lower() for words in _SHORT_OF_MEMORY)
