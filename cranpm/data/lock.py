"""A file lock between processes that the system releases when its holder dies."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cranpm.errors import CranpmError


@contextmanager
def locked(path: Path, *, wait: bool) -> Iterator[None]:
    """Hold the lock of a folder while the block runs; the lock file `.NAME.lock` lies beside the folder meanwhile.

    Args:
        path: the folder to be written by one process at a time.
        wait: whether to wait for another holder or to give up at once.

    Raises:
        CranpmError: another process holds the lock and `wait` is False.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.parent / f".{path.name}.lock"
    while (handle := _acquire(file)) is None:
        if not wait:
            raise CranpmError(f"{path}: another process is writing it; wait until it has finished, then run again")
        time.sleep(0.2)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows keeps files that are open
            file.unlink()
        os.close(handle)


def _acquire(file: Path) -> int | None:
    """The locked file's handle, or None where another process holds it."""
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        if not _try_lock(handle):
            os.close(handle)
            return None
        if _lies_at(handle, file):
            return handle
        os.close(handle)  # its last holder removed it after it was opened here: try the new one


def _lies_at(handle: int, file: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


if sys.platform == "win32":
    import msvcrt

    def _try_lock(handle: int) -> bool:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def _try_lock(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        return True
