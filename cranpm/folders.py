"""Where cranpm keeps what it makes on its own, and how a file comes into a folder."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def cache_folder() -> Path:
    """`$CRANPM_CACHE`, or `.cache/cranpm` in the home folder."""
    chosen = os.environ.get("CRANPM_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "cranpm"


def remove_left_behind(path: Path) -> None:
    """Remove what runs that were killed left of a file or folder: hidden parts of it whose process is gone."""
    for part in path.parent.glob(f".{path.stem}.*.part{path.suffix}"):
        process = part.name.removeprefix(f".{path.stem}.").removesuffix(f".part{path.suffix}")
        if process.isdecimal() and not _runs(int(process)):
            shutil.rmtree(part) if part.is_dir() else part.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    """Whether a process of this machine runs; where the system does not tell, it may."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True


def write_whole(path: Path, content: bytes) -> None:
    """Write a file that is there whole or not at all, making its folder; one that is there is replaced."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def swap_folder(new: Path, folder: Path) -> None:
    """Put a finished folder in the place of another, which is removed only when its successor is there."""
    old = folder.with_name(f".{folder.name}.{os.getpid()}.old")
    if folder.exists():
        folder.replace(old)
    try:
        new.replace(folder)
    except OSError:
        if old.exists():
            old.replace(folder)
        raise
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def whole_folder(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of one of that name at the end; after an error nothing is left."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    new = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.new")
    new.mkdir()
    try:
        yield new
        swap_folder(new, folder)
    finally:
        shutil.rmtree(new, ignore_errors=True)
