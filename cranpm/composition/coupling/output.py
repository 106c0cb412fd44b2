"""A coupled forecast as the files that CAMS would deliver: a zip a day with particles, and gases on their levels."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.composition.coupling.channels import PARTICLES, variable
from cranpm.folders import write_whole
from cranpm.grid import Grid
from cranpm.sample.netcdf import CAMS, Quantity, new_forecast

Field = NDArray[np.float32]
_KILOGRAM = np.float32(1e-9)  # of a microgram


def write_forecast(
    folder: Path, grid: Grid, day: date, leads: Sequence[int], species: Mapping[str, Field],
    temperature: Mapping[int, Field], history: str,
) -> Path:  # fmt: skip
    """Write a forecast; `cranpm.data.products.cams.forecast` reads it.

    Args:
        folder: where the file goes; one of that day is replaced.
        grid: of the fields.
        day: of issue, 00 UTC.
        leads: hours ahead, ascending.
        species: by channel, ug m-3 for particles and kg kg-1 for gases, shape (leads, H, W).
        temperature: by level in hPa, K, same shape: with that of the gases' levels, readers can make concentrations.
        history: what the files say of their making.
    """
    members = {}
    particles = {_quantity(name): values * _KILOGRAM for name, values in species.items() if name in PARTICLES}
    if particles:
        members["data_sfc.nc"] = new_forecast(grid, day, leads, particles, history=history)
    for number, (levels, names) in enumerate(_by_levels(species).items()):
        fields = {
            _quantity(gas): np.stack([species[f"{gas}_{level}"] for level in levels], axis=1) for gas in names
        }  # fmt: skip
        if all(level in temperature for level in levels):
            fields[CAMS["t"]] = np.stack([temperature[level] for level in levels], axis=1)
        name = "data_plev.nc" if not number else f"data_plev_{number}.nc"
        members[name] = new_forecast(grid, day, leads, fields, levels=levels, history=history)
    path = folder / f"cams_forecast_{day:%Y%m%d}00.zip"
    write_whole(path, _zip(members))
    return path


def _by_levels(species: Mapping[str, Field]) -> dict[tuple[int, ...], list[str]]:
    """Gases that lie on the same levels (the ground first), together."""
    levels: dict[str, list[int]] = {}
    for name in species:
        if name not in PARTICLES and not name.startswith("tc_"):
            levels.setdefault(variable(name), []).append(int(name.rpartition("_")[2]))
    groups: dict[tuple[int, ...], list[str]] = {}
    for gas, found in levels.items():
        groups.setdefault(tuple(sorted(found, reverse=True)), []).append(gas)
    return groups


def _quantity(name: str) -> Quantity:
    return CAMS.get(name, Quantity(name, "kg m**-3" if name in PARTICLES else "kg kg**-1", name))


def _zip(members: Mapping[str, bytes]) -> bytes:
    """As the stores deliver it; its clock is fixed so that equal content gives equal bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()
