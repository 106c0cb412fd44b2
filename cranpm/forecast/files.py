"""NetCDF and Zarr behind one small door: declare fields, put pieces, and the file appears when all is done."""

from __future__ import annotations

import os
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cranpm.errors import CranpmError
from cranpm.folders import remove_left_behind, swap_folder

Put = Callable[[str, tuple[Any, ...], Any], None]
"""put(name, key, values): write a piece of a field."""


@dataclass(frozen=True)
class Field:
    """A variable of a file.

    Attributes:
        name: its name.
        dims: names of its dimensions.
        data: its values, or None where they are put later.
        attributes: CF attributes.
        dtype: needed where data is None.
        chunks: shape of a chunk; None for small fields.
        missing: value that means missing, where there is one.
    """

    name: str
    dims: tuple[str, ...]
    data: NDArray[Any] | None
    attributes: Mapping[str, object] = field(default_factory=dict)
    dtype: str = ""
    chunks: tuple[int, ...] | None = None
    missing: np.generic | None = None


def check_folder(folder: Path) -> None:
    """Refuse a folder that can be neither written to nor made, or is a store; asked before work that takes long.

    Raises:
        CranpmError: names what is in the way.
    """
    if (folder / "zarr.json").exists():
        raise CranpmError(f"{folder}: a Zarr store, and nothing else is written into it; choose another --out")
    there = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK | os.X_OK):
        reason = "may not be written to" if there.is_dir() else "is a file, not a folder"
        raise CranpmError(f"{folder}: cannot be written ({there} {reason}); choose another --out")


@contextmanager
def write_atomically(
    path: Path, sizes: Mapping[str, int], fields: Sequence[Field], attributes: Mapping[str, object]
) -> Iterator[Put]:
    """Open a new file for writing under a temporary name; it takes its own name when the block ends well.

    What a run that was killed left under such a name is removed first.

    Args:
        path: ends in .nc or .zarr.
        sizes: length of each dimension.
        fields: every variable of the file.
        attributes: global attributes.

    Raises:
        CranpmError: the folder cannot be written to.
    """
    part = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    opened = _zarr if path.suffix == ".zarr" else _netcdf
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_left_behind(path)
        with opened(part, sizes, fields, attributes) as put:
            for item in fields:
                if item.data is not None:
                    put(item.name, (), item.data)
            yield put
        if part.is_dir():
            swap_folder(part, path)
        else:
            part.replace(path)
    except OSError as error:
        raise CranpmError(f"{path}: cannot be written ({error}); choose another --out or free some space") from error
    finally:
        _remove(part)


@contextmanager
def _netcdf(
    path: Path, sizes: Mapping[str, int], fields: Sequence[Field], attributes: Mapping[str, object]
) -> Iterator[Put]:
    import netCDF4

    with netCDF4.Dataset(path, "w", format="NETCDF4") as file:
        file.setncatts(dict(attributes))
        for name, size in sizes.items():
            file.createDimension(name, size)
        for item in fields:
            dtype = item.data.dtype if item.data is not None else np.dtype(item.dtype)
            packed: dict[str, Any] = (
                {"zlib": True, "complevel": 4, "shuffle": True, "chunksizes": item.chunks} if item.chunks else {}
            )
            variable = file.createVariable(item.name, dtype, item.dims, fill_value=item.missing, **packed)
            variable.setncatts(dict(item.attributes))

        def put(name: str, key: tuple[Any, ...], values: Any) -> None:
            file.variables[name][key or ...] = values

        yield put


@contextmanager
def _zarr(
    path: Path, sizes: Mapping[str, int], fields: Sequence[Field], attributes: Mapping[str, object]
) -> Iterator[Put]:
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=3, attributes=_plain(attributes))
    for item in fields:
        shape = tuple(sizes[dim] for dim in item.dims)
        group.create_array(
            item.name,
            shape=shape,
            dtype=item.data.dtype if item.data is not None else np.dtype(item.dtype),
            chunks=item.chunks or tuple(max(n, 1) for n in shape),
            dimension_names=item.dims,
            fill_value=None if item.missing is None else item.missing,
            attributes=_plain(item.attributes),
        )

    def put(name: str, key: tuple[Any, ...], values: Any) -> None:
        group[name][key or ...] = values  # type: ignore[index]

    yield put
    with warnings.catch_warnings():  # Zarr 3 warns that consolidated metadata is xarray's convention, not the format's
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(path, zarr_format=3)


def _plain(attributes: Mapping[str, object]) -> dict[str, Any]:
    """Attributes as JSON knows them."""
    return {k: v.tolist() if isinstance(v, (np.ndarray, np.generic)) else v for k, v in attributes.items()}


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(FileNotFoundError, NotADirectoryError):
            path.unlink()
