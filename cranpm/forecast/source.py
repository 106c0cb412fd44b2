"""Which store a command reads, and which days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from cranpm.data.composition import require_composition
from cranpm.data.days import format_days, needed_days, parse_days
from cranpm.data.progress import Progress
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.region import Region


def open_store(
    region: Region, data: Path | None, days: Sequence[dt.date], leads: Sequence[int], progress: Progress,
    *, composition: Literal["raw", "sharpened"] | None = None,
) -> Store:  # fmt: skip
    """The store given, or without one the pack's sample with the days that are needed, simulated where missing.

    Args:
        region: the pack.
        data: a prepared store, or None for the sample world.
        days: issue days.
        leads: leads whose valid days are needed too; empty for a forecast that is not scored.
        progress: told about simulating.
        composition: what the store's coarse composition must have been prepared from; None for whatever it was.

    Raises:
        CranpmError: not a store, or a store of another window or composition; a composition asked for without a store.
    """
    if data is None and composition is not None:
        line = f"cranpm composition sample {region.given} --kind {composition} --days {format_days(days)}"
        raise CranpmError(
            f"--composition {composition}: give a store of it with --data; {line} makes one and prints it"
        )
    if data is None:
        from cranpm.sample.cache import sample_store

        return Store.open(sample_store(region, needed_days(days, leads), progress=progress))
    store = Store.open(data, region.given)
    store.require(region)
    if composition is not None:
        require_composition(store, composition, needed_days(days, ()))
    return store


def issue_days(region: Region, store_days: Sequence[dt.date] | None, chosen: Sequence[str]) -> tuple[dt.date, ...]:
    """The days asked for, else the pack's evaluation days, else (in a store) every day with a day before it.

    Args:
        region: the pack.
        store_days: the days of the store that was given, or None for the sample world.
        chosen: the values of `--days`.

    Raises:
        CranpmError: a value that is not understood.
    """
    if chosen:
        return parse_days(",".join(chosen))
    if store_days is None:
        return parse_days(",".join(region.sample.days))
    held = set(store_days)
    return tuple(day for day in store_days if day - dt.timedelta(days=1) in held and day + dt.timedelta(days=1) in held)
