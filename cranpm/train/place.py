"""Where a run takes place: on how many devices of how many nodes, as asked for or as the launcher says."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from cranpm.errors import CranpmError
from cranpm.forecast.torch_engine import pick_device


@dataclass(frozen=True)
class Place:
    """The devices of a run.

    Attributes:
        device: "cpu" or "cuda" (ROCm's devices are called so too).
        devices: on each node; each has a process of its own.
        nodes: how many.
        launcher: "torchrun", "slurm", or "" where this process starts the others itself.
    """

    device: str
    devices: int = 1
    nodes: int = 1
    launcher: str = ""

    @property
    def ranks(self) -> int:
        """Devices in all."""
        return self.devices * self.nodes


def find_place(device: str, devices: int | None, environment: Mapping[str, str]) -> Place:
    """The devices asked for; under torchrun or srun, those of the launcher.

    Args:
        device: auto, cpu or cuda.
        devices: on this node; None for one, or as the launcher says.
        environment: where torchrun and SLURM leave their numbers.

    Raises:
        CranpmError: the device is not here, or another number was asked for than the launcher started.
    """
    kind = pick_device(device).type
    launched = _launched(environment)
    if launched is None:
        place = Place(kind, devices or 1)
    else:
        launcher, per_node, nodes = launched
        if devices not in (None, per_node):
            raise CranpmError(f"--devices {devices}, but {launcher} started {per_node} processes a node: leave it out")
        place = Place(kind, per_node, nodes, launcher)
    if kind == "cuda" and place.devices > torch.cuda.device_count():
        raise CranpmError(f"{place.devices} GPUs asked for on a node, {torch.cuda.device_count()} are here")
    return place


def _launched(environment: Mapping[str, str]) -> tuple[str, int, int] | None:
    """Launcher, processes a node, and nodes; None for a process that nobody launched."""
    if "TORCHELASTIC_RUN_ID" in environment:
        per_node = int(environment["LOCAL_WORLD_SIZE"])
        return "torchrun", per_node, int(environment["WORLD_SIZE"]) // per_node
    tasks = int(environment.get("SLURM_NTASKS", "1"))
    if tasks > 1 and "SLURM_PROCID" in environment and "SLURM_STEP_ID" in environment:
        nodes = int(environment.get("SLURM_STEP_NUM_NODES", environment.get("SLURM_NNODES", "1")))
        return "slurm", tasks // nodes, nodes
    return None
