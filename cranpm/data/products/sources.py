"""Files as they lie on disk: recognised by their first bytes, looked into when zipped, opened safely.

Nothing here knows what the values mean; it only answers "what kind of file is this" and "open it".
"""

from __future__ import annotations

import atexit
import mmap
import shutil
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

import netCDF4

from cranpm.errors import CranpmError

IN_MEMORY = 256 * 2**20  # bytes; larger zip members are unpacked into a private temporary folder
LARGEST_MEMBER = 64 * 2**30  # bytes; beyond any product of a month
LARGEST_RATIO = 1000  # NetCDF inside a zip is compressed already; deflate itself ends near 1030


@dataclass(frozen=True, order=True)
class Source:
    """A file, or one member of a zip file."""

    path: Path
    member: str = ""

    def __str__(self) -> str:
        return f"{self.path.name}/{self.member}" if self.member else self.path.name


def sources(path: Path) -> tuple[Source, ...]:
    """The file itself, or what a zip file holds.

    Raises:
        CranpmError: not readable, or the zip is damaged, encrypted, reaches outside itself or is absurdly large.
    """
    if kind(Source(path)) != "zip":
        return (Source(path),)
    try:
        with zipfile.ZipFile(path) as archive:
            infos = [info for info in archive.infolist() if not info.is_dir()]
    except (zipfile.BadZipFile, OSError) as error:
        raise CranpmError(f"{path.name}: damaged zip ({error}); download it again") from error
    for info in infos:
        _check_member(path, info)
    return tuple(Source(path, info.filename) for info in infos if not info.filename.startswith("__MACOSX"))


def kind(source: Source) -> str:
    """What the first bytes say: "netcdf", "zip", "grib", "tiff", "hgt", "parquet", "gzip", "text" or "unknown"."""
    head = read_head(source)
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    if not source.member and source.path.stat().st_size in (2 * 1201**2, 2 * 3601**2):
        return "hgt"
    if head and b"\0" not in head:
        return "text"
    return "unknown"


def read_head(source: Source, count: int = 512) -> bytes:
    """The first bytes of a file or member."""
    try:
        if source.member:
            with zipfile.ZipFile(source.path) as archive, archive.open(source.member) as stream:
                return stream.read(count)
        with source.path.open("rb") as stream:
            return stream.read(count)
    except (OSError, zipfile.BadZipFile, RuntimeError) as error:
        raise CranpmError(f"{source}: cannot be read ({error}); check the file and its permissions") from error


@contextmanager
def open_netcdf(source: Source) -> Iterator[netCDF4.Dataset]:
    """A NetCDF file or zip member, opened for reading.

    Raises:
        CranpmError: not NetCDF, or truncated or damaged (also found while it is being read).
    """
    if (found := kind(source)) != "netcdf":
        shown = read_head(source, 24).decode("ascii", "replace").strip() if found == "text" else f"a {found} file"
        raise CranpmError(f"{source}: not NetCDF but {shown!r}; if the download answered with an error page, repeat it")
    try:
        with _opened(source) as data:
            yield data
    except (OSError, RuntimeError, zipfile.BadZipFile, EOFError) as error:
        raise CranpmError(f"{source}: truncated or damaged NetCDF ({error}); download it again") from error


def local_path(source: Source) -> Path:
    """A path for libraries that need one: the file itself, or the member unpacked into a private folder."""
    return _unpacked(source, source.path.stat().st_mtime_ns) if source.member else source.path


@contextmanager
def _opened(source: Source) -> Iterator[netCDF4.Dataset]:
    if source.member:
        with zipfile.ZipFile(source.path) as archive:
            size = archive.getinfo(source.member).file_size
            content = archive.read(source.member) if size <= IN_MEMORY else None
        data = netCDF4.Dataset("member", memory=content) if content else netCDF4.Dataset(local_path(source))
        with data:
            yield data
    elif read_head(source, 3) == b"CDF":
        # On a plain path the library fills what a truncated classic file lacks with zeros; from memory it refuses.
        with (
            source.path.open("rb") as stream,
            mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as mapped,
            netCDF4.Dataset("classic", memory=mapped) as data,
        ):
            yield data
    else:
        with netCDF4.Dataset(source.path) as data:
            yield data


_MAGIC = (
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x89HDF\r\n\x1a\n", "netcdf"),
    (b"CDF\x01", "netcdf"),
    (b"CDF\x02", "netcdf"),
    (b"CDF\x05", "netcdf"),
    (b"GRIB", "grib"),
    (b"II*\0", "tiff"),
    (b"MM\0*", "tiff"),
    (b"II+\0", "tiff"),
    (b"PAR1", "parquet"),
    (b"\x1f\x8b", "gzip"),
)


def _check_member(path: Path, info: zipfile.ZipInfo) -> None:
    name = PurePosixPath(info.filename.replace("\\", "/"))
    if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
        raise CranpmError(f"{path.name}: its member '{info.filename}' points outside the zip; do not trust this file")
    if info.flag_bits & 1:
        raise CranpmError(f"{path.name}: '{info.filename}' is encrypted; unpack it yourself and give the folder")
    if info.file_size > LARGEST_MEMBER or info.file_size > LARGEST_RATIO * max(info.compress_size, 1024):
        raise CranpmError(
            f"{path.name}: '{info.filename}' claims {info.file_size / 2**30:.1f} GiB unpacked from "
            f"{info.compress_size / 2**20:.1f} MiB; this is no provider's product, do not trust this file"
        )


@lru_cache(maxsize=1)
def _private_folder() -> Path:
    folder = Path(tempfile.mkdtemp(prefix="cranpm-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@lru_cache(maxsize=64)
def _unpacked(source: Source, mtime: int) -> Path:
    """The member as a file of its own; the name inside the zip decides nothing but its ending."""
    target = _private_folder() / f"{abs(hash((source, mtime))):x}{PurePosixPath(source.member).suffix}"
    with zipfile.ZipFile(source.path) as archive, archive.open(source.member) as stream, target.open("wb") as out:
        shutil.copyfileobj(stream, out, 2**20)
    return target
