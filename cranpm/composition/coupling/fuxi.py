"""Weather as FuXi's published code writes it: NetCDF, one array, and a dimension `level` of named channels.

Outputs (006.nc, 012.nc, ..) have the time they start from and a step in hours, named `step` or `dtime`. They begin 6 or
12 h after the start: the state at the start is in the input file, the same without steps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import xarray as xr

from cranpm.composition.coupling.drivers import ON_LEVELS, Form
from cranpm.composition.coupling.gathered import Gathered, Onto, Wanted, in_our_unit, onto
from cranpm.data.products.description import SIMULATED
from cranpm.data.products.sources import Source
from cranpm.errors import CranpmError

_HOUR = np.timedelta64(3600, "s")
_STEPS = ("step", "dtime")


def read_channels(paths: Iterable[Path], form: Form, wanted: Wanted) -> Gathered:
    """The wanted fields of outputs and inputs; outputs come first, and of an input what its run starts from.

    Raises:
        CranpmError: a damaged file, times that are none, a grid that is not regular or does not reach far enough.
    """
    found, inputs = Gathered(), []
    for path in paths:
        with _opened(path) as data:
            array = _array(data)
            if array is None:
                continue
            step = next((dim for dim in _STEPS if dim in array.dims), None)
            if step is None:
                inputs.append(path)
            else:
                _take_output(array, step, Source(path), form, wanted, found)
    for path in inputs:
        with _opened(path) as data:
            array = _array(data)
            assert array is not None
            _take_input(array, Source(path), form, wanted, found)
    return found


def _opened(path: Path) -> xr.Dataset:
    try:
        return xr.open_dataset(path, engine="netcdf4", decode_timedelta=False)
    except (OSError, ValueError) as error:
        raise CranpmError(f"{path.name}: cannot be read ({error}); copy it again") from error


def _array(data: xr.Dataset) -> xr.DataArray | None:
    """The array with named channels on latitudes and longitudes, one member; None if there is none."""
    for array in data.data_vars.values():
        if {"time", "level", "lat", "lon"} <= set(array.dims) and array["level"].dtype.kind in "OUST":
            array.attrs["simulated"] = SIMULATED in str(data.attrs.get("history", ""))
            return array.isel(member=0) if "member" in array.dims else array
    return None


def _take_output(
    array: xr.DataArray, step: str, source: Source, form: Form, wanted: Wanted, found: Gathered
) -> None:  # fmt: skip
    for row, issued in enumerate(_times(array, source)):
        found.issued.add(issued)
        if issued == wanted.start:
            for column, hours in enumerate(array[step].values):
                one = array.isel({"time": row, step: column})
                _take(one, issued + int(hours) * _HOUR, source, form, wanted, found)


def _take_input(array: xr.DataArray, source: Source, form: Form, wanted: Wanted, found: Gathered) -> None:
    """The state at the start, and precipitation up to 6 h after it (outputs from HRES begin at 12 h)."""
    times = _times(array, source)
    if wanted.start in times:
        for row, valid in enumerate(times):
            channels = None if valid == wanted.start else frozenset({"tp"})
            _take(array.isel(time=row), valid, source, form, wanted, found, only=channels)


def _take(
    array: xr.DataArray, valid: np.datetime64, source: Source, form: Form, wanted: Wanted, found: Gathered,
    *, only: frozenset[str] | None = None,
) -> None:  # fmt: skip
    """Keep the wanted channels of one instant."""
    assert form.rain_hours is not None
    begin = valid - form.rain_hours * _HOUR
    bring: Onto | None = None
    found.simulated |= array.attrs["simulated"]
    for k, text in enumerate(array["level"].values):
        channel = _channel(str(text), form)
        if channel is None or (only is not None and channel not in only):
            continue
        found.held.add(channel)
        if not wanted.takes(channel, begin, valid) or found.has(channel, begin, valid):
            continue
        if bring is None:
            bring = onto(array["lat"].values, array["lon"].values, wanted.grid, source)
        values = array.isel(level=k).transpose("lat", "lon").values
        found.put(channel, begin, valid, bring(in_our_unit(values, channel, "", form, source)))


def _channel(text: str, form: Form) -> str | None:
    """Our name of a channel: `z_500` of z500 or Z500, `t2m` of T2M."""
    name = text.lower()
    if name in form.names and form.names[name] not in ON_LEVELS:
        return form.names[name]
    told = re.fullmatch(r"([a-z]+)(\d+)", name)
    ours = form.names.get(told[1]) if told else None
    return f"{ours}_{int(told[2])}" if told and ours in ON_LEVELS else None


def _times(array: xr.DataArray, source: Source) -> np.ndarray:
    times = array["time"].values
    if times.dtype.kind != "M":
        raise CranpmError(f"{source}: its times are plain numbers ({times[:2]}); expected dates: write them with units")
    return times.astype("datetime64[s]")
