"""Folders of trained networks of composition: one of the user's own, or one that ships, by its name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from cranpm.config import nearest
from cranpm.errors import CranpmError
from cranpm.model.checkpoint import WEIGHTS, file_hash

T = TypeVar("T")
SCHEMA_VERSION = 1


def find_folder(name_or_path: str | Path, shipped: Path, manifest: str, advice: str) -> Path:
    """The folder of a trained network.

    Args:
        name_or_path: a folder, or the name of one in `shipped`.
        shipped: where those that ship lie.
        manifest: the file that describes a network there.
        advice: the command that makes one.

    Raises:
        CranpmError: it lacks the manifest or the weights, or is not there.
    """
    folder = Path(name_or_path)
    if not folder.exists() and (shipped / str(name_or_path) / manifest).is_file():
        folder = shipped / str(name_or_path)
    if missing := [name for name in (manifest, WEIGHTS) if not (folder / name).is_file()]:
        known = nearest(str(name_or_path), sorted(path.parent.name for path in shipped.glob(f"*/{manifest}")))
        raise CranpmError(
            f"{name_or_path}: no folder of such a network ({' and '.join(missing)} missing; {known}); "
            f"make one with: {advice}"
        )
    return folder


def read_manifest(folder: Path, manifest: str, build: Callable[[dict[str, Any]], T]) -> T:
    """What a folder says of its network.

    Args:
        folder: the folder.
        manifest: the file.
        build: makes it of the file's content without `schema_version`; anything it raises says that it is not right.

    Raises:
        CranpmError: the file is of another version or not right.
    """
    try:
        found = json.loads((folder / manifest).read_text(encoding="utf-8"))
        version = found.pop("schema_version")
        if version != SCHEMA_VERSION:
            raise ValueError(f"schema_version {version}, expected {SCHEMA_VERSION}")
        return build(found)
    except (ValueError, KeyError, TypeError, AttributeError, CranpmError) as error:
        raise CranpmError(f"{folder / manifest}: cannot be read ({error}); copy the folder again") from error


def write_manifest(folder: Path, manifest: str, content: dict[str, Any]) -> None:
    """Write what `read_manifest` reads."""
    text = json.dumps({"schema_version": SCHEMA_VERSION, **content}, indent=1)
    (folder / manifest).write_text(f"{text}\n", encoding="utf-8")


def check_weights(folder: Path, manifest: str, expected: str) -> None:
    """Refuse weights that are not those the manifest describes.

    Raises:
        CranpmError: their SHA-256 is another.
    """
    if file_hash(folder / WEIGHTS) != expected:
        raise CranpmError(f"{folder / WEIGHTS}: not the weights that {manifest} describes; copy the folder again")
