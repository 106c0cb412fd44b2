"""A checkpoint is a folder: `weights.safetensors` and `checkpoint.json`, which says all that the weights mean.

Nothing is ever unpickled. The hash of a checkpoint is the SHA-256 of its weights file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cranpm.errors import CranpmError, require
from cranpm.folders import whole_folder
from cranpm.model.config import ModelConfig
from cranpm.model.statistics import Statistics
from cranpm.variables import CHANNELS, FORECAST_CHANNELS, FUTURE_MAPS, LOCAL_CHANNELS

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

    from cranpm.model.network import CranPM

SCHEMA_VERSION = 1
WEIGHTS, MANIFEST = "weights.safetensors", "checkpoint.json"
LICENCE = "Apache-2.0"
RANDOM_SEED = 0


@dataclass(frozen=True)
class Checkpoint:
    """What is known about a network before it is built.

    Attributes:
        name: registered name, or the folder's.
        config: its shape.
        statistics: what it normalises with, by channel name.
        trained_leads: leads in days it was trained for; none for random weights.
        region: the pack it was trained on; empty for random weights.
        simulated: whether it was trained on the sample world.
        provenance: how it was made: command, seed, versions, days, figures.
        licence: of the weights.
        detail: by lead, the share of today's detail that its forecasts take over (`cranpm.forecast.detail`).
        hash: SHA-256 of the weights file, hexadecimal; empty for random weights.
        folder: where the weights lie; None for random weights.
    """

    name: str
    config: ModelConfig
    statistics: Statistics
    trained_leads: tuple[int, ...] = ()
    region: str = ""
    simulated: bool = False
    provenance: Mapping[str, Any] = field(default_factory=dict)
    licence: str = LICENCE
    detail: Mapping[int, float] = field(default_factory=dict)
    hash: str = ""
    folder: Path | None = None

    @property
    def random_weights(self) -> bool:
        """Whether the weights are drawn, not trained."""
        return self.folder is None

    def network(self) -> CranPM:
        """The network with its weights, in evaluation mode.

        Raises:
            CranpmError: the weights changed since the checkpoint was opened, or do not fit its configuration.
        """
        torch = require("torch", extra="train")
        from cranpm.model.network import CranPM

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(RANDOM_SEED)
            network = CranPM(self.config, self.statistics)
        if self.folder is not None:
            load_weights(network, self.folder / WEIGHTS, self.config.name, expected_hash=self.hash)
        return network.eval()


def read_checkpoint(folder: str | Path, *, name: str | None = None) -> Checkpoint:
    """Open a checkpoint folder, without torch.

    Raises:
        CranpmError: it is not a checkpoint folder, was written by another version, was altered, or its
            channels are not ours.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    try:
        checkpoint = from_manifest(manifest, name=name or folder.resolve().name, folder=folder)
    except CranpmError as error:
        raise CranpmError(f"{folder / MANIFEST}: {error}") from error
    found = file_hash(folder / WEIGHTS)
    if found != checkpoint.hash:
        raise CranpmError(
            f"{folder / WEIGHTS}: SHA-256 {found[:12]}…, but {MANIFEST} expects {checkpoint.hash[:12]}…: "
            "the weights are damaged or belong to another checkpoint; copy both files again"
        )
    return checkpoint


def from_manifest(manifest: Mapping[str, Any], *, name: str, folder: Path | None) -> Checkpoint:
    """The checkpoint that a manifest describes; weights are not looked at.

    Args:
        manifest: what `checkpoint.json` holds.
        name: registered name, or the folder's.
        folder: where the weights lie; None for random weights.

    Raises:
        CranpmError: a key is missing, a value is not of its kind, or channels are not ours.
    """
    try:
        checkpoint = Checkpoint(
            name=name,
            config=ModelConfig.from_dict(manifest["config"]),
            statistics=Statistics.from_dict(manifest["statistics"]),
            trained_leads=tuple(int(lead) for lead in manifest["trained_leads"]),
            region=str(manifest["region"]),
            simulated=bool(manifest["simulated"]),
            provenance=dict(manifest["provenance"]),
            licence=str(manifest["licence"]),
            detail={int(lead): float(share) for lead, share in manifest.get("detail", {}).items()},
            hash=str(manifest["weights_sha256"]),
            folder=folder,
        )
        _check_names(checkpoint)
    except KeyError as error:
        raise CranpmError(f"key {error} missing; copy the checkpoint again") from error
    except (AttributeError, TypeError, ValueError) as error:
        raise CranpmError(str(error)) from error
    return checkpoint


def to_manifest(checkpoint: Checkpoint, digest: str) -> dict[str, Any]:
    """What `checkpoint.json` says, in plain values; `digest` is the SHA-256 of the weights."""
    return {
        "schema_version": SCHEMA_VERSION,
        "region": checkpoint.region,
        "simulated": checkpoint.simulated,
        "trained_leads": list(checkpoint.trained_leads),
        "licence": checkpoint.licence,
        **({"detail": {str(lead): share for lead, share in checkpoint.detail.items()}} if checkpoint.detail else {}),
        "weights_sha256": digest,
        "provenance": dict(checkpoint.provenance),
        "config": checkpoint.config.to_dict(),
        "statistics": checkpoint.statistics.to_dict(),
    }


def write_checkpoint(folder: str | Path, checkpoint: Checkpoint, network: CranPM) -> str:
    """Write a network as a checkpoint folder, replacing one of that name; never leaves half a folder.

    Args:
        folder: where to.
        checkpoint: what to say about it; `hash` and `folder` are ignored.
        network: the weights, saved as float32.

    Returns:
        The hash of the checkpoint.
    """
    with whole_folder(Path(folder)) as new:
        digest = save_weights(network, new)
        text = json.dumps(to_manifest(checkpoint, digest), indent=1, ensure_ascii=False)
        (new / MANIFEST).write_text(text + "\n", encoding="utf-8")
    return digest


def save_weights(network: Module, folder: Path) -> str:
    """Write the weights of a network as float32 into a folder, as `WEIGHTS`; their SHA-256."""
    save_file = require("safetensors.torch", extra="train").save_file
    path = folder / WEIGHTS
    save_file({key: value.detach().float().cpu().contiguous() for key, value in network.state_dict().items()}, path)
    path.chmod(0o644)  # safetensors leaves it readable for its owner alone
    return file_hash(path)


def load_weights(network: Module, path: Path, name: str, *, expected_hash: str | None = None) -> None:
    """Put the tensors of a safetensors file into a network whose configuration has that name.

    Raises:
        CranpmError: the file is not what it was, or a tensor is missing, unknown or of another shape.
    """
    if expected_hash is not None and file_hash(path) != expected_hash:
        raise CranpmError(f"{path}: changed on disk after it was opened; open the checkpoint again")
    load_file = require("safetensors.torch", extra="train").load_file
    safetensor_error = require("safetensors", extra="train").SafetensorError
    try:
        found: dict[str, Tensor] = load_file(path)
    except safetensor_error as error:
        raise CranpmError(f"{path}: not a safetensors file ({error}); weights are never unpickled") from error
    expected = network.state_dict()
    missing, unknown = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    if missing or unknown:
        raise CranpmError(
            f"{path}: the configuration '{name}' expects {_first(missing)}, "
            f"the file has {_first(unknown)} that is not expected ({len(missing)} missing, {len(unknown)} unknown)"
        )
    for key, tensor in expected.items():
        if found[key].shape != tensor.shape:
            raise CranpmError(
                f"{path}: tensor '{key}' has shape {tuple(found[key].shape)}, "
                f"the configuration '{name}' expects {tuple(tensor.shape)}"
            )
    network.load_state_dict(found)


def file_hash(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _manifest(folder: Path) -> dict[str, Any]:
    if folder.is_file():
        raise CranpmError(
            f"{folder}: a file, but a checkpoint is a folder with {WEIGHTS} and {MANIFEST}; "
            "pickled weights (.pt, .ckpt, .pth) are never read"
        )
    if missing := [name for name in (MANIFEST, WEIGHTS) if not (folder / name).is_file()]:
        raise CranpmError(f"{folder}: not a checkpoint folder: {' and '.join(missing)} missing")
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except ValueError as error:
        raise CranpmError(f"{folder / MANIFEST}: not valid JSON ({error}); copy the checkpoint again") from error
    version = manifest.get("schema_version") if isinstance(manifest, dict) else None
    if version != SCHEMA_VERSION:
        raise CranpmError(
            f"{folder / MANIFEST}: schema_version {version}, this cranpm reads {SCHEMA_VERSION}; "
            "use the cranpm that wrote it, or train again"
        )
    return manifest


def _check_names(checkpoint: Checkpoint) -> None:
    """Channel names of the checkpoint against ours, then its statistics against its own channels."""
    config = checkpoint.config
    for part, found, known in (
        ("coarse", config.channels, (*CHANNELS, *FORECAST_CHANNELS)),
        ("local", config.local_channels, (*LOCAL_CHANNELS, *FUTURE_MAPS)),
    ):
        if unknown := [name for name in found if name not in known]:
            absent = [name for name in known if name not in found]
            instead = f" where this cranpm has '{absent[0]}'" if absent else ""
            raise CranpmError(f"the network reads a {part} channel '{unknown[0]}'{instead}; no store provides it")
    checkpoint.statistics.coarse_scales(config.channels)
    checkpoint.statistics.local_scales(config.local_channels)
    if any(not 0 <= share <= 1 for share in checkpoint.detail.values()):
        raise CranpmError(f"detail {dict(checkpoint.detail)}: shares of 0 to 1 are expected")
    if unknown_leads := [lead for lead in checkpoint.trained_leads if lead not in config.leads]:
        raise CranpmError(f"trained lead {unknown_leads[0]} has no embedding (leads {list(config.leads)})")


def _first(names: list[str]) -> str:
    return f"a tensor '{names[0]}'" if names else "no tensor"
