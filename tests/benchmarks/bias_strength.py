"""How strong a trained network's biases are: what was learned of alpha (eq. 2), beta (eq. 4) and the wind order.

python tests/benchmarks/bias_strength.py MODEL --data STORE [--days 2022-01-15,2022-07-15]

For every attention that has a bias, per head: the learned strength beside its initial value; the standard deviation
over the keys of a query of the content (QK^T / sqrt(d)) and of the bias; and the *attention moved*: the share of the
softmax's weight that goes elsewhere without the bias (half the sum of absolute differences, mean over queries). A bias
that moves nothing cannot matter. Then each mechanism is switched off in the trained network, and the RMS change of its
forecast at T+1 is set beside the RMS of what it adds to today's map; that says how much is used, not whether it is
right. A quarter of a minute on one core.
"""

from __future__ import annotations

import argparse
import datetime as dt
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cranpm.data.days import parse_days
from cranpm.data.store import Store
from cranpm.forecast.engine import EngineSpec
from cranpm.forecast.inputs import DayInputs, TileInputs, day_inputs, tile_inputs
from cranpm.forecast.run import tile_plan
from cranpm.forecast.torch_engine import TorchEngine
from cranpm.model.attention import FLOOR, CrossAttention, ElevationBlock, split_heads
from cranpm.model.network import CranPM
from cranpm.model.registry import load
from cranpm.model.swin import SwinBlock, Windows, occupied, partition
from cranpm.variables import PM_SCALE

DAYS = "2022-01-15,2022-04-15,2022-07-15,2022-10-15"
LEAD = 1
Rows = dict[str, list[list[float]]]
"""By attention and head: figures of each day, which are averaged."""


def report(network: CranPM, engine: TorchEngine, store: Store, days: Sequence[dt.date]) -> Iterator[str]:
    """The tables, line by line."""
    inputs = [_inputs(engine.spec, store, day) for day in days]
    yield f"{engine.spec.name} on {'simulated ' if store.simulated else ''}{store.region}, {len(days)} days, T+{LEAD}\n"
    found = measure(network, engine, inputs)
    heads = {
        "elevation": ("alpha (starts at 1)", "share of pairs uphill", "of them at the floor"),
        "bridge": ("beta (starts at 1)", "weight upwind", "the same without the bias"),
        "wind order": ("sd of the table (starts at 0.02)", "windows not calm", "moved by raster order"),
    }
    for kind, (strength, *further) in heads.items():
        rows = {name: values for name, values in found.items() if name.startswith(kind)}
        if not rows:
            continue
        yield f"| attention, head | {strength} | sd of content | sd of bias | attention moved | {' | '.join(further)} |"
        yield "|---|---|---|---|---|---|---|"
        for name, values in rows.items():
            yield f"| {name} | {' | '.join(f'{value:.3f}' for value in np.mean(values, axis=0))} |"
        yield ""
    yield from interventions(network, engine, inputs)


def measure(network: CranPM, engine: TorchEngine, inputs: Sequence[tuple[DayInputs, TileInputs]]) -> Rows:
    """Watch every attention with a bias while the network runs."""
    rows: Rows = {}
    with ExitStack() as stack:
        for branch, part in (("global", network.global_branch), ("local", network.local_branch)):
            block = getattr(part, "elevation", None)
            if isinstance(block, ElevationBlock) and block.elevation is not None:
                stack.enter_context(_watched(block, _elevation_rows(rows, f"elevation, {branch}", block)))
        for number, layer in enumerate(getattr(network.bridge, "layers", ())):
            if isinstance(layer, CrossAttention):
                stack.enter_context(_watched(layer, _bridge_rows(rows, f"bridge, layer {number + 1}", layer)))
        for number, block in enumerate(getattr(network.global_branch, "swin", ())):
            stack.enter_context(_watched(block, _order_rows(rows, f"wind order, block {number + 1}", block)))
        for day, tiles in inputs:
            engine.forecast_tiles(network_state(engine, day), tiles, LEAD)
    return rows


def interventions(
    network: CranPM, engine: TorchEngine, inputs: Sequence[tuple[DayInputs, TileInputs]]
) -> Iterator[str]:
    """Switch each mechanism off and compare the forecasts."""
    usual = _forecasts(engine, inputs)
    yield f"| switched off | RMS change of the forecast, ug m-3 (RMS of what it adds to today: {_rms(usual):.2f}) |"
    yield "|---|---|"
    free = [
        block.elevation.free for block in network.modules() if isinstance(block, ElevationBlock) and block.elevation
    ]
    beta = [layer.beta for layer in network.modules() if isinstance(layer, CrossAttention)]
    slope = [layer.log_slope for layer in network.modules() if isinstance(layer, CrossAttention)]
    slopes = [each for each in slope if each is not None]
    for name, parameters, value in (
        ("elevation bias, eq. 2", free, -100.0),
        ("wind bias, eq. 4", beta, 0.0),
        ("wind bias turned by 180 degrees", beta, None),
        ("distance bias", slopes, -100.0),
    ):
        if parameters:
            kept = [each.detach().clone() for each in parameters]
            with torch.no_grad():
                for each in parameters:
                    each.copy_(-each if value is None else torch.full_like(each, value))
            yield f"| {name} | {_rms(_forecasts(engine, inputs) - usual):.3f} |"
            with torch.no_grad():
                for each, before in zip(parameters, kept, strict=True):
                    each.copy_(before)
    order = getattr(network.global_branch, "wind", None)
    if order is not None:
        network.global_branch.wind = None
        yield f"| wind order: raster order instead | {_rms(_forecasts(engine, inputs) - usual):.5f} |"
        network.global_branch.wind = order
    others = [*inputs[1:], inputs[0]]
    mixed = [(other, tiles) for (other, _), (_, tiles) in zip(others, inputs, strict=True)]
    yield f"| the coarse branch: the state of another of the days | {_rms(_forecasts(engine, mixed) - usual):.3f} |"


def network_state(engine: TorchEngine, day: DayInputs) -> Tensor:
    """The day state, computed again: the engine remembers that of the last day."""
    engine._state = None
    return engine.encode_day(day, LEAD)


class _watched:
    """Calls a function with a module's inputs before each of its passes."""

    def __init__(self, module: nn.Module, look: Callable[..., None]) -> None:
        self._handle = module.register_forward_pre_hook(lambda _, given: look(*given))

    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None:
        self._handle.remove()


def _elevation_rows(rows: Rows, name: str, block: ElevationBlock) -> Callable[..., None]:
    def look(tokens: Tensor, elevation: Tensor, grid: tuple[int, int]) -> None:
        assert block.elevation is not None
        q, k, _ = split_heads(block.qkv(block.norm(tokens)), block.heads, parts=3)
        content, relative, bias = _content(q, k), block.relative(grid), block.elevation(elevation)
        moved = _moved(content + relative + bias, content + relative)
        uphill = (elevation[:, None, :] > elevation[:, :, None]).float().mean()
        for head, alpha in enumerate(block.elevation.alpha.tolist()):
            own = bias[:, head]
            floor = (own <= FLOOR).float().sum() / (own < 0).float().sum().clamp_min(1)
            figures = [
                alpha,
                _spread(content[:, head]),
                _spread(own),
                _mean(moved[:, head]),
                _mean(uphill),
                _mean(floor),
            ]
            rows.setdefault(f"{name}, {head + 1}", []).append(figures)

    return look


def _bridge_rows(rows: Rows, name: str, layer: CrossAttention) -> Callable[..., None]:
    def look(
        tokens: Tensor, keys: Tensor, values: Tensor, gamma: Tensor | None, distance: Tensor | None = None
    ) -> None:
        if gamma is None:
            return
        (q,) = split_heads(layer.query(layer.norm(tokens)), layer.heads, parts=1)
        content = _content(q, keys.expand(len(q), -1, -1, -1))
        bias = layer.beta[:, None, None] * gamma[:, None]
        if layer.log_slope is not None and distance is not None:
            content = content - layer.log_slope.exp()[:, None, None] * distance[:, None]
        with_bias, without = (content + bias).softmax(dim=-1), content.softmax(dim=-1)
        moved = 0.5 * (with_bias - without).abs().sum(dim=-1)
        upwind = (gamma > 0).float()[:, None]
        for head, beta in enumerate(layer.beta.tolist()):
            shares = [_mean((each * upwind).sum(dim=-1)[:, head]) for each in (with_bias, without)]
            figures = [beta, _spread(content[:, head]), _spread(bias[:, head]), _mean(moved[:, head]), *shares]
            rows.setdefault(f"{name}, {head + 1}", []).append(figures)

    return look


def _order_rows(rows: Rows, name: str, block: SwinBlock) -> Callable[..., None]:
    def look(tokens: Tensor, windows: Windows, order: tuple[Tensor, Tensor] | None = None) -> None:
        if order is None:
            return
        grouped = partition(block.qkv(block.norm(tokens)).unflatten(1, windows.grid), windows)
        real = occupied(windows, tokens.device).expand(len(tokens), -1, -1)
        q, k, _ = split_heads(grouped.flatten(0, 1), block.heads, parts=3)
        content = _content(q, k).masked_fill(~real.flatten(0, 1)[:, None, None, :], -1e4)
        raster = block.table.index_select(1, block.slots.flatten()).reshape(block.heads, *block.slots.shape)
        slot = order[1].flatten(0, 1)  # raster place -> slot of its window
        ordered = raster[:, slot[:, :, None], slot[:, None, :]].transpose(0, 1)
        full = real.flatten(0, 1).all(dim=1)  # whole windows: in others empty places have slots too
        whole = full if bool(full.any()) else torch.ones_like(full)
        moved, turned = _moved(content + ordered, content), _moved(content + ordered, content + raster)
        calm = (order[1] == torch.arange(order[1].shape[-1])).all(dim=-1).float().mean()
        for head in range(block.heads):
            figures = [_mean(block.table[head].std()), _spread(content[whole, head]), _spread(ordered[whole, head])]
            figures += [_mean(moved[whole, head]), 1 - _mean(calm), _mean(turned[whole, head])]
            rows.setdefault(f"{name}, {head + 1}", []).append(figures)

    return look


def _content(q: Tensor, k: Tensor) -> Tensor:
    return q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5


def _moved(scores: Tensor, without: Tensor) -> Tensor:
    """Share of the attention's weight that a bias moves, shape (..., queries)."""
    return 0.5 * (scores.softmax(dim=-1) - without.softmax(dim=-1)).abs().sum(dim=-1)


def _spread(scores: Tensor) -> float:
    """Standard deviation over the keys, mean over the queries."""
    return _mean(scores.std(dim=-1))


def _mean(values: Tensor) -> float:
    return float(values.mean())


def _forecasts(engine: TorchEngine, inputs: Sequence[tuple[DayInputs, TileInputs]]) -> np.ndarray:
    """What is added to today's map, ug m-3, of all days and tiles."""
    residuals = [engine.forecast_tiles(network_state(engine, day), tiles, LEAD) for day, tiles in inputs]
    return PM_SCALE * np.stack(residuals)


def _rms(values: np.ndarray) -> float:
    return float(np.sqrt((values.astype(float) ** 2).mean()))


def _inputs(spec: EngineSpec, store: Store, day: dt.date) -> tuple[DayInputs, TileInputs]:
    """A day and all tiles of it that touch land."""
    _, tiles = tile_plan(spec, store)
    coarse = day_inputs(store, day, spec.channels, LEAD)
    return coarse, tile_inputs(store, coarse, tiles, patch=spec.patch, coarse_patch=spec.coarse_patch, maps=spec.maps)


def main() -> None:
    """Print the tables of a model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="a registered name or a checkpoint folder")
    parser.add_argument("--data", type=Path, required=True, metavar="STORE", help="a prepared store")
    parser.add_argument("--days", default=DAYS, help=f"days t to look at (default {DAYS})")
    given = parser.parse_args()
    engine = TorchEngine(load(given.model), device="cpu")
    with torch.inference_mode():
        for line in report(engine._network, engine, Store.open(given.data), parse_days(given.days)):
            print(line, flush=True)


if __name__ == "__main__":
    main()
