"""A trained network of DeepCAMS as a folder: `weights.safetensors` and `sharpener.json`; nothing is unpickled."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from cranpm.composition.deepcams.config import spatial_config, temporal_config
from cranpm.composition.deepcams.degrade import Degradation
from cranpm.composition.deepcams.objective import Network
from cranpm.composition.deepcams.spatial import SpatialNetwork
from cranpm.composition.deepcams.temporal import TemporalNetwork
from cranpm.config import nearest
from cranpm.errors import CranpmError, require
from cranpm.folders import swap_folder
from cranpm.model.checkpoint import WEIGHTS, file_hash

MANIFEST, SCHEMA_VERSION = "sharpener.json", 1
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
        load_file = require("safetensors.torch", extra="train").load_file
        found, expected = load_file(self.folder / WEIGHTS), network.state_dict()
        shapes = [{key: tuple(value.shape) for key, value in state.items()} for state in (found, expected)]
        if shapes[0] != shapes[1]:
            raise CranpmError(
                f"{self.folder / WEIGHTS}: not the tensors of configuration '{self.model}' ({self.task}); "
                "use the cranpm that wrote them, or train again"
            )
        network.load_state_dict(found)
        return network.eval()


def build(task: Task, model: str) -> Network:
    """A network with its first weights."""
    return SpatialNetwork(spatial_config(model)) if task == "space" else TemporalNetwork(temporal_config(model))


def read_sharpener(name_or_path: str | Path, task: Task) -> Sharpener:
    """A trained network by the name of one that ships with the package, or by its folder.

    Raises:
        CranpmError: there is none, it was altered, or it was trained for the other task.
    """
    folder, shipped = Path(name_or_path), SHIPPED / str(name_or_path)
    if not folder.exists() and (shipped / MANIFEST).is_file():
        folder = shipped
    if missing := [name for name in (MANIFEST, WEIGHTS) if not (folder / name).is_file()]:
        known = nearest(str(name_or_path), sorted(path.parent.name for path in SHIPPED.glob(f"*/{MANIFEST}")))
        raise CranpmError(
            f"{name_or_path}: no folder of a trained network ({' and '.join(missing)} missing; {known}); "
            f"make one with: cranpm composition train sample-{task}"
        )
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if found.pop("schema_version") != SCHEMA_VERSION:
            raise ValueError("schema_version")
        sharpener = Sharpener(**found, folder=folder)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CranpmError(f"{folder / MANIFEST}: cannot be read ({error}); copy the folder again") from error
    if sharpener.task != task:
        raise CranpmError(f"{folder}: sharpens {sharpener.task}, but is given to sharpen {task}; swap the folders")
    if file_hash(folder / WEIGHTS) != sharpener.hash:
        raise CranpmError(f"{folder / WEIGHTS}: not the weights that {MANIFEST} describes; copy the folder again")
    return sharpener


def write_sharpener(folder: Path, about: Sharpener, network: Network) -> None:
    """Write a network as a folder, replacing one of that name; never leaves half a folder."""
    save_file = require("safetensors.torch", extra="train").save_file
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.new")
    new.mkdir()
    try:
        save_file({key: value.detach().float().cpu().contiguous() for key, value in network.state_dict().items()},
                  new / WEIGHTS)  # fmt: skip
        (new / WEIGHTS).chmod(0o644)
        content = {key: value for key, value in asdict(about).items() if key != "folder"}
        content |= {"schema_version": SCHEMA_VERSION, "hash": file_hash(new / WEIGHTS)}
        (new / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        swap_folder(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
