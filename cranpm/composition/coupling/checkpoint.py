"""A trained coupling network as a folder: `weights.safetensors` and `coupling.json`; nothing is unpickled."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cranpm.composition.coupling.config import CouplingConfig
from cranpm.composition.coupling.scales import Scales
from cranpm.config import nearest
from cranpm.errors import CranpmError, require
from cranpm.folders import swap_folder
from cranpm.grid import Grid
from cranpm.model.checkpoint import WEIGHTS, file_hash

if TYPE_CHECKING:
    from cranpm.composition.coupling.network import Coupling

MANIFEST, SCHEMA_VERSION = "coupling.json", 1
SHIPPED = Path(__file__).parent / "weights"


@dataclass(frozen=True)
class CouplingCheckpoint:
    """What is known about a trained coupling network.

    Attributes:
        config: its shape.
        scales: what it normalises with.
        grid: the grid it was trained on.
        simulated: whether it was trained on the sample world.
        provenance: how it was made.
        hash: SHA-256 of the weights, hexadecimal.
        folder: where the weights lie.
    """

    config: CouplingConfig
    scales: Scales
    grid: Grid
    simulated: bool
    provenance: Mapping[str, Any] = field(default_factory=dict)
    hash: str = ""
    folder: Path | None = None

    def network(self) -> Coupling:
        """The network with its weights, in evaluation mode.

        Raises:
            CranpmError: the weights do not fit the configuration.
        """
        from cranpm.composition.coupling.network import Coupling

        network = Coupling(self.config, self.scales)
        assert self.folder is not None
        found = require("safetensors.torch", extra="train").load_file(self.folder / WEIGHTS)
        expected = network.state_dict()
        if {k: tuple(v.shape) for k, v in found.items()} != {k: tuple(v.shape) for k, v in expected.items()}:
            raise CranpmError(
                f"{self.folder / WEIGHTS}: not the tensors of configuration '{self.config.name}'; "
                "use the cranpm that wrote them, or train again"
            )
        network.load_state_dict(found)
        return network.eval()


def read_coupling(name_or_path: str | Path) -> CouplingCheckpoint:
    """A trained coupling network by the name of one that ships with the package, or by its folder.

    Raises:
        CranpmError: it is no such folder, was written by another version, or was altered.
    """
    folder, shipped = Path(name_or_path), SHIPPED / str(name_or_path)
    if not folder.exists() and (shipped / MANIFEST).is_file():
        folder = shipped
    if missing := [name for name in (MANIFEST, WEIGHTS) if not (folder / name).is_file()]:
        known = nearest(str(name_or_path), sorted(path.parent.name for path in SHIPPED.glob(f"*/{MANIFEST}")))
        raise CranpmError(
            f"{name_or_path}: no folder of a coupling network ({' and '.join(missing)} missing; {known}); "
            "make one with: cranpm composition couple coupling-sample"
        )
    try:
        found = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        if found["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version {found['schema_version']}, expected {SCHEMA_VERSION}")
        checkpoint = CouplingCheckpoint(
            config=CouplingConfig.from_dict(found["config"]),
            scales=Scales.from_dict(found["scales"]),
            grid=Grid(**found["grid"]),
            simulated=bool(found["simulated"]),
            provenance=dict(found["provenance"]),
            hash=str(found["weights_sha256"]),
            folder=folder,
        )
    except (ValueError, KeyError, TypeError, AttributeError, CranpmError) as error:
        raise CranpmError(f"{folder / MANIFEST}: cannot be read ({error}); copy the folder again") from error
    if file_hash(folder / WEIGHTS) != checkpoint.hash:
        raise CranpmError(f"{folder / WEIGHTS}: not the weights that {MANIFEST} describes; copy the folder again")
    return checkpoint


def write_coupling(folder: Path, about: CouplingCheckpoint, network: Coupling) -> None:
    """Write a network as a folder, replacing one of that name; never leaves half a folder."""
    save_file = require("safetensors.torch", extra="train").save_file
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.new")
    new.mkdir()
    try:
        tensors = {key: value.detach().float().cpu().contiguous() for key, value in network.state_dict().items()}
        save_file(tensors, new / WEIGHTS)
        (new / WEIGHTS).chmod(0o644)
        grid = {name: getattr(about.grid, name) for name in ("north", "west", "step", "height", "width")}
        content = {
            "schema_version": SCHEMA_VERSION, "config": about.config.to_dict(), "scales": about.scales.to_dict(),
            "grid": grid, "simulated": about.simulated, "provenance": dict(about.provenance),
            "weights_sha256": file_hash(new / WEIGHTS),
        }  # fmt: skip
        (new / MANIFEST).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        swap_folder(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
