"""A trained network of DeepCAMS as a folder: `weights.safetensors` and `sharpener.json`; nothing is unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from cranpm.composition.deepcams.config import spatial_config, temporal_config
from cranpm.composition.deepcams.degrade import Degradation
from cranpm.composition.deepcams.objective import Network
from cranpm.composition.deepcams.spatial import SpatialNetwork
from cranpm.composition.deepcams.temporal import TemporalNetwork
from cranpm.composition.shipped import check_weights, find_folder, read_manifest, write_manifest
from cranpm.errors import CranpmError
from cranpm.folders import whole_folder
from cranpm.model.checkpoint import WEIGHTS, load_weights, save_weights

MANIFEST = "sharpener.json"
SHIPPED = Path(__file__).parent / "weights"
Task = Literal["time", "space"]


@dataclass(frozen=True)
class Sharpener:
    """What is known about a trained network.

    Attributes:
        task: "time" or "space".
        model: name of its configuration.
        scale: ug m-3 that become 1.
        mean: mean of what it was trained on, ug m-3; other species are brought to it.
        degradation: that it was trained to undo.
        simulated: whether it was trained on the sample world.
        provenance: how it was made.
        hash: SHA-256 of the weights, hexadecimal.
        folder: where the weights lie.
    """

    task: Task
    model: str
    scale: float
    mean: float
    degradation: Degradation
    simulated: bool
    provenance: Mapping[str, Any] = field(default_factory=dict)
    hash: str = ""
    folder: Path | None = None

    def network(self) -> Network:
        """The network with its weights, in evaluation mode.

        Raises:
            CranpmError: the weights do not fit the configuration.
        """
        network = build(self.task, self.model)
        assert self.folder is not None
        load_weights(network, self.folder / WEIGHTS, f"{self.model} ({self.task})")
        return network.eval()


def build(task: Task, model: str) -> Network:
    """A network with its first weights."""
    return SpatialNetwork(spatial_config(model)) if task == "space" else TemporalNetwork(temporal_config(model))


def read_sharpener(name_or_path: str | Path, task: Task) -> Sharpener:
    """A trained network by the name of one that ships with the package, or by its folder.

    Raises:
        CranpmError: there is none, it was altered, or it was trained for the other task.
    """
    folder = find_folder(name_or_path, SHIPPED, MANIFEST, f"cranpm composition train sample-{task}")
    sharpener = read_manifest(folder, MANIFEST, lambda found: Sharpener(**found, folder=folder))
    if sharpener.task != task:
        raise CranpmError(f"{folder}: sharpens {sharpener.task}, but is given to sharpen {task}; swap the folders")
    check_weights(folder, MANIFEST, sharpener.hash)
    return sharpener


def write_sharpener(folder: Path, about: Sharpener, network: Network) -> None:
    """Write a network as a folder, replacing one of that name; never leaves half a folder."""
    content = {key: value for key, value in asdict(about).items() if key != "folder"}
    with whole_folder(folder) as new:
        write_manifest(new, MANIFEST, content | {"hash": save_weights(network, new)})
