"""The read side of a store: daily fields in physical units as numpy arrays, by day and window.

Opening reads a few small files; arrays are opened on first use. A `Store` may be shared by threads, forked and
pickled: nothing is held open between reads.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import zarr
from numpy.typing import NDArray

from cranpm.data.days import parse_days, shown_days
from cranpm.data.layout import (
    FORECAST_LEADS,
    FORMAT,
    SCHEMA_VERSION,
    STORE_CHANNELS,
    StationTable,
    check_coarse,
    day_number,
    grid_from,
)
from cranpm.errors import CranpmError
from cranpm.variables import FINE_MISSING, FINE_SCALE

if TYPE_CHECKING:
    from cranpm.region import Region

_ALL = slice(None)


@dataclass(frozen=True)
class Terrain:
    """Elevation by window: a whole region's float32 would be a tenth of the memory that a forecast has."""

    values: Any
    reading: Callable[[str], AbstractContextManager[None]]

    def __getitem__(self, window: tuple[slice, slice]) -> NDArray[np.float32]:
        with self.reading("the terrain"):
            return np.asarray(self.values[window], dtype=np.float32)


class Store:
    """A prepared store; see `Store.open`.

    Attributes:
        path: the store's folder.
        attrs: the root attributes, as written by `cranpm.data.layout.Header`.
        region: name of the pack it was made for.
        pack: name or path of the pack in the commands that messages suggest.
        world: "sample" or "real".
        simulated: whether it holds the sample world.
        coarse, fine: the grids.
        overlap: smallest overlap of tiles, pixels.
        first: first day of the time axis.
        days: the days that are ready, in order.
    """

    def __init__(
        self, path: Path, attrs: dict[str, Any], first: date, ready: NDArray[np.uint8], pack: str | None = None
    ) -> None:
        self.path = path
        self.attrs = attrs
        self.region = str(attrs["region"])
        self.pack = pack or self.region
        self.world = str(attrs["world"])
        self.simulated = self.world != "real"
        self.coarse = grid_from(attrs["coarse"])
        self.fine = grid_from(attrs["fine"])
        self.overlap = int(attrs["overlap"])
        self.first = first
        self.days = tuple(first + timedelta(days=int(i)) for i in np.flatnonzero(ready))
        self._ready = frozenset(self.days)

    @staticmethod
    def open(path: Path | str, pack: str | None = None) -> Store:
        """Open a store for reading.

        Args:
            path: the store's folder.
            pack: `Region.given`, for the commands that messages suggest; without, the name in the store.

        Raises:
            CranpmError: nothing is there, it is a raw folder or another Zarr, its schema is of another version,
                or its channels are not this version's in this version's order.
        """
        path = Path(path)
        attrs = _attributes(path, pack)
        try:
            group: Any = zarr.open_group(path, mode="r", path="coarse", use_consolidated=False)
            channels = tuple(str(name) for name in group["channel"][:])
            start = int(group["time"][0])
            ready = np.asarray(group["ready"][:])
        except (KeyError, OSError, ValueError) as error:
            raise CranpmError(f"{path}: the store is damaged ({error}); prepare it into another folder") from error
        if channels != STORE_CHANNELS:
            raise CranpmError(
                f"{path}: channels in another order or under other names: found {', '.join(channels)}; "
                f"expected {', '.join(STORE_CHANNELS)}; prepare the store again"
            )
        return Store(path, attrs, date(1970, 1, 1) + timedelta(days=start), ready, pack)

    def __reduce__(self) -> tuple[object, tuple[Path, str]]:
        return Store.open, (self.path, self.pack)

    def require(self, region: Region) -> None:
        """Refuse a store that does not lie on a pack's sample window or whole domain.

        Raises:
            CranpmError: names both grids.
        """
        windows = (region.window(False), region.window(True))
        if any((self.coarse, self.fine) == (window.coarse, window.fine) for window in windows):
            return
        fine, expected = self.fine.edges, " or ".join(str(window.fine.edges) for window in windows)
        raise CranpmError(
            f"{self.path}: a store of '{self.region}' whose grids are not those of pack '{region.name}': fine edges "
            f"(W, S, E, N) {fine}, expected {expected}; prepare another one: "
            f"{prepare_line(self.path.with_name('NEW.zarr'), region.given)}"
        )

    def coarse_day(self, day: date) -> NDArray[np.float32]:
        """The coarse fields of a day in physical units, shape (35, H, W), in the order of `STORE_CHANNELS`.

        Raises:
            CranpmError: the day is not ready or damaged, or a channel is NaN or out of its range.
        """
        index = self._index(day)
        with self._reading(f"the coarse fields of {day}"):
            values = np.asarray(self._data[index], dtype=np.float32)
        check_coarse(values, f"{self.path} on {day}")
        return values

    def coarse_days(self, days: Sequence[date]) -> NDArray[np.float32]:
        """The coarse fields of several days, shape (n, 35, H, W); errors as in `coarse_day`."""
        index = [self._index(day) for day in days]
        with self._reading(f"the coarse fields of {shown_days(days)}"):
            values = np.asarray(self._data.oindex[index], dtype=np.float32)
        for day, field in zip(days, values, strict=True):
            check_coarse(field, f"{self.path} on {day}")
        return values

    def forecast(self, day: date, lead: int, channels: Sequence[str] | None = None) -> NDArray[np.float32]:
        """What was issued on `day` for `lead` days ahead, physical units.

        Args:
            day: the day of issue.
            lead: 1, 2 or 3.
            channels: the channels needed, all of which must be there; without, all 35, NaN where no source gave one.

        Returns:
            Values, shape (35, H, W) or (len(channels), H, W).

        Raises:
            CranpmError: the day is not ready, the lead is not held, or nothing was issued for what is needed.
        """
        if lead not in FORECAST_LEADS:
            raise CranpmError(f"{self.path}: no forecasts for lead {lead}, only for {FORECAST_LEADS}")
        index = self._index(day), FORECAST_LEADS.index(lead)
        with self._reading(f"the forecast issued on {day}"):
            values = np.asarray(self._forecast[index], dtype=np.float32)
        absent: NDArray[np.bool_] = np.asarray(np.isnan(values).any(axis=(1, 2)))
        needed = STORE_CHANNELS if channels is None else tuple(channels)
        missing = [name for name in needed if absent[STORE_CHANNELS.index(name)]]
        if missing and (channels is not None or absent.all()):
            raise CranpmError(
                f"{self.path}: no forecast of {', '.join(missing[:5])} issued on {day} for {lead} days ahead; add the "
                f"forecast files and prepare again: {prepare_line(self.path, self.pack, day)}"
            )
        return values if channels is None else values[[STORE_CHANNELS.index(name) for name in needed]]

    def pm(self, day: date, rows: slice = _ALL, columns: slice = _ALL) -> NDArray[np.float32]:
        """Fine PM2.5 of a day in ug m-3, NaN where missing, shape of the window."""
        index = self._index(day)
        with self._reading(f"the PM2.5 map of {day}"):
            self._refuse_lost([index], rows, columns)
            return _decode_pm(self._pm[index, rows, columns])

    def pm_days(self, days: Sequence[date], rows: slice = _ALL, columns: slice = _ALL) -> NDArray[np.float32]:
        """Fine PM2.5 of several days in ug m-3, NaN where missing, shape (n, ...)."""
        index = [self._index(day) for day in days]
        with self._reading(f"the PM2.5 maps of {shown_days(days)}"):
            self._refuse_lost(index, rows, columns)
            return _decode_pm(self._pm.oindex[index, rows, columns])

    def stations(self) -> StationTable:
        """The stations inside the fine domain."""
        with self._reading("the stations"):
            group = self._group("stations")
            id_, name, kind = (tuple(str(value) for value in group[key][:]) for key in ("id", "name", "kind"))
            lat, lon, height = (
                tuple(float(v) for v in group[key][: len(id_)]) for key in ("latitude", "longitude", "elevation")
            )
        return StationTable(id_, name[: len(id_)], kind[: len(id_)], lat, lon, height)

    def station_pm(self, day: date) -> NDArray[np.float32]:
        """Daily means at the stations in ug m-3, NaN where missing, shape (n,)."""
        index = self._index(day)
        with self._reading(f"the station values of {day}"):
            return np.asarray(self._stations[index], dtype=np.float32)

    @cached_property
    def coarse_elevation(self) -> NDArray[np.float32]:
        """Terrain on the coarse grid, metres, shape (H, W)."""
        with self._reading("the terrain"):
            return np.asarray(self._array("coarse", "elevation")[:], dtype=np.float32)

    @cached_property
    def elevation(self) -> Terrain:
        """Terrain on the fine grid, metres, 0 at sea, shape (h, w), read by window: `elevation[rows, columns]`."""
        return Terrain(self._array("fine", "elevation"), self._reading)

    @cached_property
    def land(self) -> NDArray[np.bool_]:
        """Which fine pixels are land, shape (h, w)."""
        with self._reading("the land mask"):
            return np.asarray(self._array("fine", "land")[:], dtype=bool)

    @cached_property
    def files(self) -> dict[str, dict[str, str]]:
        """Hashes of the source files, by product and file name; empty for a store made without files."""
        return dict(self._group("provenance").attrs["files"])

    @cached_property
    def composition(self) -> dict[str, frozenset[date]]:
        """Days by what their composition was prepared from, `raw` or `sharpened`; empty for an older store."""
        told: dict[str, str] = self._group("provenance").attrs.get("composition", {})
        return {kind: frozenset(parse_days(text)) for kind, text in told.items()}

    @cached_property
    def _data(self) -> Any:
        return self._array("coarse", "data")

    @cached_property
    def _forecast(self) -> Any:
        return self._array("forecast", "data")

    @cached_property
    def _pm(self) -> Any:
        return self._array("fine", "pm2p5")

    @cached_property
    def _valid(self) -> NDArray[np.uint32]:
        """How many valid pixels each file of each day's map holds; zeros in a store that was made without."""
        if not (self.path / "fine" / "valid" / "zarr.json").is_file():
            return np.zeros((self._pm.shape[0], 1, 1), np.uint32)
        return np.asarray(self._array("fine", "valid")[:])

    def _refuse_lost(self, index: Sequence[int], rows: slice, columns: slice) -> None:
        """Raise where a file that a window of a map needs is gone, which would read as missing pixels."""
        sides, shape = (self._pm.shards or self._pm.chunks)[1:], self._pm.shape[1:]
        spans = [part.indices(length)[:2] for part, length in zip((rows, columns), shape, strict=True)]
        needed = tuple(slice(a // side, -(-b // side)) for (a, b), side in zip(spans, sides, strict=True))
        for day in index:
            for row, column in (np.argwhere(self._valid[day][needed]) + [part.start for part in needed]).tolist():
                key = self._pm.metadata.encode_chunk_key((day, row, column))
                if not (self.path / "fine" / "pm2p5" / key).is_file():
                    raise FileNotFoundError(f"fine/pm2p5/{key} is gone")

    @cached_property
    def _stations(self) -> Any:
        return self._array("stations", "pm2p5")

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        """Tell what cannot be read, and what to do, where an array or a chunk of it is damaged or gone."""
        try:
            yield
        except (KeyError, OSError, RuntimeError, ValueError) as error:
            raise CranpmError(
                f"{self.path}: {what} cannot be read ({error}): the store is damaged; prepare another one: "
                f"{prepare_line(self.path.with_name('NEW.zarr'), self.pack)}"
            ) from error

    def _group(self, name: str) -> Any:
        """A group of the store; its members are arrays, which zarr cannot know."""
        return zarr.open_group(self.path, mode="r", path=name, use_consolidated=False)

    def _array(self, group: str, name: str) -> Any:
        return zarr.open_array(self.path, mode="r", path=f"{group}/{name}")

    def _index(self, day: date) -> int:
        if day not in self._ready:
            raise CranpmError(
                f"{self.path}: {day} is not prepared (ready: {shown_days(self.days)}); add it: "
                f"{prepare_line(self.path, self.pack, day)}"
            )
        return day_number(day) - day_number(self.first)


def prepare_line(out: Path, pack: str, day: date | None = None, source: Path | str = "DIR") -> str:
    """The command that prepares a store."""
    days = f" --days {day}" if day else ""
    return f"cranpm data prepare {pack} --from {source} --out {out}{days}"


def _attributes(path: Path, pack: str | None) -> dict[str, Any]:
    """Root attributes of a store, or the error that says what lies there instead."""
    if not path.exists():
        raise CranpmError(f"{path}: no such store; make it: {prepare_line(path, pack or 'REGION')}")
    header = path / "zarr.json"
    if not header.is_file():
        line = prepare_line(path.with_name(path.name + ".zarr"), pack or _region_of(path), source=path)
        raise CranpmError(f"{path}: not a prepared store; if it holds the providers' files, prepare it first: {line}")
    try:
        attrs = json.loads(header.read_text(encoding="utf-8")).get("attributes", {})
    except (OSError, ValueError) as error:
        raise CranpmError(f"{path}: the store's zarr.json cannot be read ({error}); prepare another store") from error
    if attrs.get("format") != FORMAT:
        raise CranpmError(f"{path}: a Zarr, but not made by cranpm; {prepare_line(path, pack or 'REGION')} makes one")
    if attrs.get("schema_version") != SCHEMA_VERSION:
        raise CranpmError(
            f"{path}: store of schema {attrs.get('schema_version')}, this version reads {SCHEMA_VERSION}: "
            f"prepare it again, or install the version of cranpm that made it"
        )
    return dict(attrs)


def _region_of(folder: Path) -> str:
    """The region that a folder of simulated files says it is of, or the placeholder."""
    try:
        return str(json.loads((folder / "SIMULATED.json").read_text(encoding="utf-8"))["region"])
    except (OSError, ValueError, KeyError, TypeError):
        return "REGION"


def _decode_pm(counts: object) -> NDArray[np.float32]:
    raw = np.asarray(counts)
    values = raw.astype(np.float32) * np.float32(FINE_SCALE)
    values[raw == FINE_MISSING] = np.nan
    return values
