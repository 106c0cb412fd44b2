"""Where cranpm keeps what it makes on its own, and how a file comes into a folder."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """`$CRANPM_CACHE`, or `.cache/cranpm` in the home folder."""
    chosen = os.environ.get("CRANPM_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "cranpm"


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, making its folder; one that is there is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
