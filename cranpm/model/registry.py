"""The networks that have a name: two configurations, and the checkpoint that ships with the package."""

from __future__ import annotations

from pathlib import Path

from cranpm.config import nearest
from cranpm.errors import CranpmError
from cranpm.model.checkpoint import MANIFEST, Checkpoint, read_checkpoint
from cranpm.model.config import CONFIGS
from cranpm.model.statistics import nominal

SHIPPED = Path(__file__).parent / "weights"
BUNDLE = "sample.bundle"
"""The file beside a shipped checkpoint that runs it without torch, on the sample windows of the packs."""


def names() -> list[str]:
    """Every registered name: configurations first, then what ships with the package."""
    return [*CONFIGS, *sorted(folder.parent.name for folder in SHIPPED.glob(f"*/{MANIFEST}"))]


def find_bundle(name_or_path: str | Path) -> Path:
    """The bundle that ships with a registered network, or the path itself.

    Args:
        name_or_path: a registered name, or the path of a bundle; what lies at the path comes first.
    """
    shipped = SHIPPED / str(name_or_path) / BUNDLE
    return shipped if not Path(name_or_path).exists() and shipped.is_file() else Path(name_or_path)


def load(name_or_path: str | Path, *, random_weights: bool = False) -> Checkpoint:
    """A registered network, or a checkpoint folder.

    Args:
        name_or_path: a registered name, or the path of a checkpoint folder.
        random_weights: accept a configuration that has no trained weights; whatever comes of it is marked.

    Raises:
        CranpmError: neither a name nor a checkpoint folder; weights that are not there; weights that are
            there although random ones were asked for.
    """
    name = str(name_or_path)
    if name in CONFIGS:
        if not random_weights:
            raise CranpmError(
                f"'{name}' has no trained weights: add --random-weights to run it untrained, or name a checkpoint"
            )
        return Checkpoint(name=name, config=CONFIGS[name], statistics=nominal(), provenance={"weights": "random"})
    if random_weights:
        raise CranpmError(f"'{name}' is trained: leave --random-weights out, or name one of {', '.join(CONFIGS)}")
    if name in names():
        return read_checkpoint(SHIPPED / name, name=name)
    if not Path(name).exists():
        known = nearest(name, names())
        raise CranpmError(f"no model '{name}' ({known}); a checkpoint of your own is given by its folder's path")
    return read_checkpoint(name)
