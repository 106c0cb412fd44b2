"""A trained coupling network as a folder: `weights.safetensors` and `coupling.json`; nothing is unpickled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cranpm.composition.coupling.config import CouplingConfig
from cranpm.composition.coupling.scales import Scales
from cranpm.composition.shipped import check_weights, find_folder, read_manifest, write_manifest
from cranpm.folders import whole_folder
from cranpm.grid import Grid
from cranpm.model.checkpoint import WEIGHTS, load_weights, save_weights

if TYPE_CHECKING:
    from cranpm.composition.coupling.network import Coupling

MANIFEST = "coupling.json"
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
        load_weights(network, self.folder / WEIGHTS, self.config.name)
        return network.eval()


def read_coupling(name_or_path: str | Path) -> CouplingCheckpoint:
    """A trained coupling network by the name of one that ships with the package, or by its folder.

    Raises:
        CranpmError: it is no such folder, was written by another version, or was altered.
    """
    folder = find_folder(name_or_path, SHIPPED, MANIFEST, "cranpm composition couple coupling-sample")
    checkpoint = read_manifest(folder, MANIFEST, lambda found: _built(found, folder))
    check_weights(folder, MANIFEST, checkpoint.hash)
    return checkpoint


def _built(found: Mapping[str, Any], folder: Path) -> CouplingCheckpoint:
    return CouplingCheckpoint(
        config=CouplingConfig.from_dict(found["config"]),
        scales=Scales.from_dict(found["scales"]),
        grid=Grid(**found["grid"]),
        simulated=bool(found["simulated"]),
        provenance=dict(found["provenance"]),
        hash=str(found["weights_sha256"]),
        folder=folder,
    )


def write_coupling(folder: Path, about: CouplingCheckpoint, network: Coupling) -> None:
    """Write a network as a folder, replacing one of that name; never leaves half a folder."""
    grid = {name: getattr(about.grid, name) for name in ("north", "west", "step", "height", "width")}
    with whole_folder(folder) as new:
        content = {
            "config": about.config.to_dict(), "scales": about.scales.to_dict(), "grid": grid,
            "simulated": about.simulated, "provenance": dict(about.provenance),
            "weights_sha256": save_weights(network, new),
        }  # fmt: skip
        write_manifest(new, MANIFEST, content)
