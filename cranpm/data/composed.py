"""A store whose forecast composition comes from other files, to see what those are worth."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

import numpy as np
from numpy.typing import NDArray

from cranpm.data.layout import FORECAST_LEADS, STORE_CHANNELS
from cranpm.data.products import cams
from cranpm.data.products.description import Description
from cranpm.data.store import Store
from cranpm.errors import CranpmError

Field = NDArray[np.float32]


class ComposedStore(Store):
    """A store; what it holds of forecast composition is replaced by what the files hold.

    Args:
        store: where all else comes from.
        files: CAMS forecasts, or what stands in for them, described.
        channels: species that are replaced, each of which the files must hold; without, all that they hold.
    """

    def __init__(self, store: Store, files: Sequence[Description], channels: Sequence[str] = ()) -> None:
        ready = np.zeros((store.days[-1] - store.first).days + 1 if store.days else 0, np.uint8)
        ready[[(day - store.first).days for day in store.days]] = 1
        super().__init__(store.path, store.attrs, store.first, ready, store.pack)
        self._files, self._channels = tuple(files), tuple(channels)
        self._last: tuple[date, dict[str, Field]] | None = None

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:  # type: ignore[override]
        return ComposedStore, (Store.open(self.path, self.pack), self._files, self._channels)

    def forecast(self, day: date, lead: int, channels: Sequence[str] | None = None) -> Field:
        """As `Store.forecast`.

        Raises:
            CranpmError: also where the files hold no forecast issued on the day, or not all that is needed of it.
        """
        values = super().forecast(day, lead).copy()
        for name, field in self._composition(day).items():
            values[STORE_CHANNELS.index(name)] = field[FORECAST_LEADS.index(lead)]
        if channels is None:
            return values
        chosen = values[[STORE_CHANNELS.index(name) for name in channels]]
        if gaps := [name for name, field in zip(channels, chosen, strict=True) if np.isnan(field).any()]:
            raise CranpmError(f"no forecast of {', '.join(gaps[:5])} issued on {day} for {lead} days ahead")
        return chosen

    def _composition(self, day: date) -> dict[str, Field]:
        """What the files hold of a day's forecast by species, shape (leads, H, W)."""
        if self._last is None or self._last[0] != day:
            files = [file for file in self._files if day in file.days]
            if not files:
                raise CranpmError(
                    f"no composition forecast issued on {day} among the files; make it with: "
                    f"cranpm composition forecast --init {day}"
                )
            found = cams.forecast(files, day, self.coarse, FORECAST_LEADS)
            held = {name: found.sel(channel=name).values for name in cams.CHANNELS}
            given = {name: field for name, field in held.items() if np.isfinite(field).any()}
            if absent := [name for name in self._channels if name not in given]:
                raise CranpmError(f"{files[0].source}: {', '.join(absent)} missing (found: {', '.join(given)})")
            self._last = (
                day,
                {name: field for name, field in given.items() if name in self._channels or not self._channels},
            )
        return self._last[1]
