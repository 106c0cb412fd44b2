"""The engine that runs a bundle with ONNX Runtime: no torch."""

from __future__ import annotations

import warnings
from collections import ChainMap
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cranpm.errors import CranpmError
from cranpm.forecast.bundle import DAY, TILE, TILE_GRAPH, Bundle
from cranpm.forecast.engine import EngineSpec, engine_spec
from cranpm.forecast.inputs import DayInputs, TileInputs
from cranpm.forecast.onnx_session import Session, give_memory_back, pick_provider, refused, session, short_of_memory
from cranpm.model.adapter import Adapter, check_base, merged_inside
from cranpm.model.adapter_tensors import merged

BATCH = {"cpu": 1, "cuda": 8, "tensorrt": 8, "openvino": 1}
"""Tiles per run; on a CPU more only take more memory."""

LARGE = 64_000_000  # bytes of weights: a day's graph of more is let go once its day is encoded

Held = tuple[Any, ...]


class OnnxEngine:
    """Runs the graphs of a bundle; see `cranpm.forecast.engine.Engine`.

    Sessions are made when they are first needed: one for the tiles, one for each coarse window. An adapter is merged
    into the weights as a session is made.
    """

    def __init__(self, bundle: Bundle, *, device: str = "auto", batch: int | None = None) -> None:
        give_memory_back()
        self._bundle, self._strict = bundle, device != "auto"
        self._device = pick_provider(device)
        self._batch = batch or BATCH[self._device]
        self._adapter: Adapter | None = None
        self._sessions: dict[str, Session] = {}
        self._state: tuple[DayInputs, Held] | None = None
        self.spec = self._described()

    def wear(self, adapter: Adapter | None) -> None:
        """Put an adapter on the base in the place of one that is worn; None takes it off.

        Sessions are made anew from the bundle, so nothing of an adapter stays behind.

        Raises:
            CranpmError: the adapter is of another base, or the bundle's weights cannot take one; then nothing changes.
        """
        if adapter is not None:
            self._check_wearable(adapter)
            check_base(adapter, self._bundle.checkpoint)
        before = self._adapter, self._sessions
        self._adapter, self._sessions, self._state = adapter, {}, None
        try:
            if adapter is not None:
                self._session(TILE_GRAPH)  # does it fit? Better asked now than in the middle of a forecast
        except CranpmError:
            self._adapter, self._sessions = before
            raise
        self.spec = self._described()

    def encode_day(self, day: DayInputs, lead: int) -> Held:
        """What the day leaves for its tiles; the same for every lead."""
        if self._state is None or self._state[0] is not day:
            rows, columns = day.coarse.shape[-2:]
            name = self._bundle.days.get((rows, columns))
            if name is None:
                known = ", ".join(f"{r} x {c}" for r, c in self._bundle.days)
                raise CranpmError(
                    f"no graph for a coarse window of {rows} x {columns}: {self._bundle.path.name} has {known}; "
                    "export it again with --region and the pack of this window"
                )
            feeds = {"coarse": day.coarse[None], "elevation": day.elevation[None]}
            made = self._session(name)
            try:
                self._state = day, tuple(self._run(made, feeds))
            except Exception as error:
                raise refused(error, f"{self._bundle.path.name}: the day cannot be encoded") from error
            if self._sessions[name].size > LARGE:
                del self._sessions[name]  # its memory is better used for tiles; the next day reads it again
        return self._state[1]

    def forecast_tiles(self, state: object, tiles: TileInputs, lead: int) -> NDArray[np.float32]:
        """Residuals in normalised units, shape (B, S, S)."""
        if not isinstance(state, tuple):
            raise TypeError("the day state must come from this engine's encode_day")
        count, done = len(tiles.pm), 0
        parts = []
        while done < count:
            size = min(self._batch, count - done)
            try:
                parts.append(self._tiles(state, tiles, slice(done, done + size), lead))
            except CranpmError:
                raise
            except Exception as error:
                if size == 1 or not short_of_memory(error):
                    raise refused(error, f"{self._bundle.path.name}: a tile cannot be computed") from error
                self._batch = size // 2
                warnings.warn(f"out of memory with {size} tiles at a time: going on with {self._batch}", stacklevel=2)
                continue
            done += size
        return np.concatenate(parts)

    def feeds(self, held: Held, tiles: TileInputs, part: slice, lead: int) -> dict[str, Any]:
        """What the tiles' graph is fed for some tiles of a batch, by name."""
        names = ("pm", "elevation", "lats", "lons", "wind", "queries", "keys")
        fields: dict[str, Any] = {name: getattr(tiles, name)[part] for name in names}
        fields["lead"] = np.full(len(fields["pm"]), lead, np.int64)
        return dict(zip(self._bundle.held, held, strict=True)) | fields

    def _tiles(self, held: Held, tiles: TileInputs, part: slice, lead: int) -> NDArray[np.float32]:
        (residual,) = self._run(self._session(TILE_GRAPH), self.feeds(held, tiles, part, lead))
        return np.asarray(residual.numpy(), dtype=np.float32)

    def _run(self, made: Session, feeds: Mapping[str, Any]) -> list[Any]:
        """Outputs as ONNX Runtime's own values."""
        from onnxruntime import OrtValue

        wanted = {value.name for value in made.run.get_inputs()}  # a network may not look at all it is given
        values = {name: _value(OrtValue, value) for name, value in feeds.items() if name in wanted}
        outputs = [value.name for value in made.run.get_outputs()]
        return list(made.run.run_with_ort_values(outputs, values))

    def _session(self, graph: str) -> Session:
        if graph not in self._sessions:
            weights = self._weights(TILE if graph == TILE_GRAPH else DAY)
            content = self._bundle.read(graph)
            often = graph == TILE_GRAPH
            self._sessions[graph] = session(content, weights, self._device, strict=self._strict, often=often)
        return self._sessions[graph]

    def _weights(self, part: str) -> dict[str, NDArray[Any]]:
        """The weights of a graph, with the adapter in them."""
        weights = self._bundle.weights(part)
        if self._adapter is None:
            return weights
        other = self._bundle.weights(DAY if part == TILE else TILE)
        changed = merged(self._adapter, ChainMap(weights, other))
        mine = {name: values.astype(weights[name].dtype) for name, values in changed.items() if name in weights}
        return weights | mine

    def _check_wearable(self, adapter: Adapter) -> None:
        inside = self._bundle.manifest["adapter"]
        reason = ""
        if inside is not None:
            reason = f"adapter '{inside['name']}' is merged into it"
        elif self._bundle.precision == "int8":
            reason = "its weights are of 8 bits"
        if reason:
            raise CranpmError(
                f"{self._bundle.path.name}: {reason}, so '{adapter.name}' cannot be put on; use a bundle of the base "
                "in fp32 or fp16, or export this adapter with: cranpm export MODEL --adapter"
            )

    def _described(self) -> EngineSpec:
        import onnxruntime

        where = f"{self._device}, ONNX Runtime {onnxruntime.__version__}, {self._bundle.precision}"
        inside = self._bundle.manifest["adapter"]
        adapter = self._adapter if inside is None else merged_inside(inside)
        return replace(engine_spec(self._bundle.checkpoint, where, adapter), bundle=self._bundle.hash)


def _value(kind: Any, value: Any) -> Any:
    if isinstance(value, kind):
        return value
    exact = np.ascontiguousarray(value, dtype=None if value.dtype == np.int64 else np.float32)
    return kind.ortvalue_from_numpy(exact)
