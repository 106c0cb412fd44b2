"""The full Europe map on one device: the network alone, with the blending, and from host memory to host memory.

python -m tests.benchmarks.map_on_device --device cuda --dtype bf16 --batch 1,4,16 --tiles 126,160 --channels-last \
    --compile max-autotune-no-cudagraphs --cuda-graphs
python -m tests.benchmarks.map_on_device --config small --size 320 448 --batch 4

Three times, each a median, for every number of tiles and batch:
  model   the day is encoded once and its keys and values projected once; all tiles run; inputs lie on the device
  blend   the same, and every tile's forecast is added to the map with its raised-cosine weight
  end     the same, from the day's fields in (pinned) host memory to the finished map there
Not in any of them: reading the store and writing files. With fewer tiles than the plan's they are spread evenly over
it: which ones does not change the time. A last batch that is not full runs full, and what is too much is thrown away.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from cranpm.model.network import CranPM
from cranpm.tiles import Tile, TilePlan, _weights, assemble, blend, plan_tiles
from cranpm.variables import PM_SCALE
from tests.benchmarks.measure import (
    Row,
    Run,
    arguments,
    captured,
    counted,
    held_mib,
    machine,
    peak_mib,
    precision,
    refuse,
    save,
    seconds,
    set_up,
    show,
)
from tests.benchmarks.networks import TileForward, day_of, encode, for_inference, random_network, tile_forward, tiles_of


@dataclass(frozen=True)
class Fields:
    """A day's inputs, on the host or on the device.

    Attributes:
        maps: PM2.5 of t and t-1, ug m-3, and elevation, metres, shape (3, H, W).
        wind: 10 m wind at the fine tokens of every tile, m/s, shape (N, Q, 2).
        day: the arguments of `encode_day`.
    """

    maps: Tensor
    wind: Tensor
    day: list[Tensor]

    @property
    def tensors(self) -> list[Tensor]:
        """All of them."""
        return [self.maps, self.wind, *self.day]


class DeviceMap:
    """One map's work on memory that never moves, so that it can be recorded once as a CUDA graph.

    Args:
        network: prepared for inference, on its device.
        forward: `tile_forward` of it, compiled or not.
        plan, tiles: what to run, in row-major order.
        batch: tiles in one call.
    """

    def __init__(
        self, network: CranPM, forward: TileForward, plan: TilePlan, tiles: Sequence[Tile], batch: int
    ) -> None:
        self.network, self.forward, self.batch, self.tiles = network, forward, batch, tiles
        device = next(network.parameters()).device
        self.slots = -(-len(tiles) // batch) * batch
        padded = [*tiles, *[tiles[-1]] * (self.slots - len(tiles))]
        self.windows = [tile.window for tile in padded]
        self.host = _host_fields(network, plan, len(padded), pinned=device.type == "cuda")
        self.fields = Fields(*(_like(part, device) for part in (self.host.maps, self.host.wind)), [])
        self.fields.day.extend(_like(part, device) for part in self.host.day)
        _, _, lats, lons, _, queries, keys, lead = tiles_of(network, device, 1)
        side = network.config.tile
        self.pm = torch.empty(self.slots, 2, side, side, device=device)
        self.elevation = torch.empty(self.slots, side, side, device=device)
        still = (lats, lons, queries, keys, lead)
        self.lats, self.lons, self.queries, self.keys, self.lead = (
            tensor.expand(self.slots, *tensor.shape[1:]).contiguous() for tensor in still
        )
        self.shares, covered = blend_shares(plan, tiles)
        self.shares, covered = self.shares.to(device), covered.to(device)
        self.blank = torch.where(covered, 0.0, torch.nan)
        self.map = torch.empty_like(self.blank)
        self.host_map = torch.empty(self.map.shape, pin_memory=device.type == "cuda")
        self.upload()
        self.cut()

    def upload(self) -> None:
        """The day's fields from the host to the device, without waiting."""
        for there, here in zip(self.fields.tensors, self.host.tensors, strict=True):
            there.copy_(here, non_blocking=True)

    def cut(self) -> None:
        """The tiles out of the maps."""
        for k, (rows, columns) in enumerate(self.windows):
            self.pm[k].copy_(self.fields.maps[:2, rows, columns])
            self.elevation[k].copy_(self.fields.maps[2, rows, columns])

    def model(self) -> None:
        """The network alone: the day and every tile."""
        held = encode(self.network, self.fields.day)
        for start in range(0, self.slots, self.batch):
            self._residual(held, start)

    def blended(self) -> None:
        """The network, and its tiles blended into the map."""
        held = encode(self.network, self.fields.day)
        self.map.copy_(self.blank)
        for start in range(0, self.slots, self.batch):
            residual = self._residual(held, start)
            tiles = self.tiles[start : start + self.batch]
            forecast = torch.add(self.pm[start : start + len(tiles), 0], residual[: len(tiles)], alpha=PM_SCALE)
            add_tiles(self.map, tiles, forecast, self.shares[start : start + len(tiles)])

    def cut_and_blend(self) -> None:
        """All that the device does between upload and download."""
        self.cut()
        self.blended()

    def download(self) -> None:
        """The map to the host's memory."""
        self.host_map.copy_(self.map, non_blocking=True)

    def _residual(self, held: list[tuple[Tensor, ...]], start: int) -> Tensor:
        fields = (
            self.pm, self.elevation, self.lats, self.lons, self.fields.wind, self.queries, self.keys, self.lead,
        )  # fmt: skip
        torch.compiler.cudagraph_mark_step_begin()  # the last call's result is not needed any more
        return self.forward(held, *(tensor[start : start + self.batch] for tensor in fields)).float()


def blend_shares(plan: TilePlan, tiles: Sequence[Tile]) -> tuple[Tensor, Tensor]:
    """What every tile counts at each of its pixels, shape (N, S, S), and which pixels of the map have a tile.

    The shares are those of `cranpm.tiles.blend`, scaled to sum to 1 wherever there is a tile.
    """
    rows, columns = _weights(plan.rows, plan.height, plan.size), _weights(plan.columns, plan.width, plan.size)
    shares = np.stack([rows[tile.index[0]][:, None] * columns[tile.index[1]] for tile in tiles]).astype(np.float32)
    total = np.zeros((plan.height, plan.width), np.float32)
    for tile, share in zip(tiles, shares, strict=True):
        total[tile.window] += share
    for tile, share in zip(tiles, shares, strict=True):
        share /= total[tile.window]
    return torch.from_numpy(shares), torch.from_numpy(total > 0)


def add_tiles(onto: Tensor, tiles: Sequence[Tile], values: Tensor, shares: Tensor) -> None:
    """Add tiles (B, S, S) to a map (H, W) with their shares; nothing here waits for the device."""
    for tile, value, share in zip(tiles, values, shares, strict=True):
        onto[tile.window].addcmul_(value, share)


def spread(plan: TilePlan, count: int) -> list[Tile]:
    """So many tiles, evenly spread over the plan, in row-major order; all of them where it has no more."""
    tiles = plan.tiles()
    return [tiles[k] for k in np.linspace(0, len(tiles) - 1, min(count, len(tiles))).round().astype(int)]


def blend_error(device: torch.device) -> float:
    """Largest difference from `cranpm.tiles.blend` on a small plan with tiles left out, for values of about 1."""
    plan = plan_tiles(100, 170, size=32, overlap=8)
    tiles = [tile for k, tile in enumerate(plan.tiles()) if k % 7]
    values = np.random.default_rng(0).standard_normal((len(tiles), 32, 32)).astype(np.float32)
    wanted = assemble(plan, blend(plan, zip(tiles, values, strict=True)))
    shares, covered = blend_shares(plan, tiles)
    found = torch.where(covered, 0.0, torch.nan).to(device)
    add_tiles(found, tiles, torch.from_numpy(values).to(device), shares.to(device))
    np.testing.assert_array_equal(np.isnan(wanted), ~covered.numpy())
    return float(np.nanmax(np.abs(found.cpu().numpy() - wanted)))


def measure(
    network: CranPM, plan: TilePlan, chosen: Sequence[Tile], batch: int, wanted: Tensor, settings: argparse.Namespace
) -> Row:
    """One row: the three times for some tiles and a batch, and how far the map lies from the one that is wanted."""
    device = next(network.parameters()).device
    ready = for_inference(network, settings.dtype, channels_last=settings.channels_last)
    forward = tile_forward(ready)
    if settings.compile:
        torch.compiler.reset()  # or earlier batches would count as versions of this one, until it gives up
        forward = torch.compile(forward, mode=settings.compile, dynamic=False, fullgraph=True)
    job = DeviceMap(ready, forward, plan, chosen, batch)
    runs = {"model": _prepared(job.model, settings, device), "blended": _prepared(job.blended, settings, device)}
    between = _prepared(job.cut_and_blend, settings, device)
    runs["end"] = lambda: (job.upload(), between(), job.download())
    taken = {name: 1e3 * seconds(run, device, repeats=settings.repeats) for name, run in runs.items()}
    job.map.fill_(torch.nan)
    runs["blended"]()
    off = _distance(job.map, wanted, job.fields.maps[0])
    above = peak_mib(_prepared(job.blended, settings, device, graphs=False), device)
    return {
        "tiles": len(chosen),
        "of plan": len(plan.tiles()),
        "batch": batch,
        "tiles run": job.slots,
        "model ms": taken["model"],
        "+ blend ms": taken["blended"],
        "end ms": taken["end"],
        "ms/tile": taken["blended"] / len(chosen),
        "beyond held MiB": above,
        "in all MiB": held_mib(device),
        "off fp32": off,
    }


def _prepared(plain: Run, settings: argparse.Namespace, device: torch.device, *, graphs: bool = True) -> Run:
    def run() -> None:
        with torch.inference_mode(), precision(settings.dtype, device, cache=False):
            plain()

    return captured(run, device) if settings.cuda_graphs and graphs else run


def _eager_map(network: CranPM, plan: TilePlan, tiles: Sequence[Tile], batch: int) -> Tensor:
    with torch.inference_mode():
        job = DeviceMap(network, tile_forward(network), plan, tiles, batch)
        job.blended()
        return job.map


def _distance(found: Tensor, wanted: Tensor, today: Tensor) -> float:
    """Root mean square difference over the spread of the forecast change; refuses a map with a pixel missing."""
    covered = torch.isfinite(wanted)
    refuse(not bool((torch.isfinite(found) == covered).all()), "the map has gaps that its tiles do not explain")
    apart = (found - wanted)[covered].double().square().mean().sqrt()
    return float(apart / (wanted - today)[covered].double().std())


def _host_fields(network: CranPM, plan: TilePlan, tiles: int, *, pinned: bool) -> Fields:
    generator = torch.Generator().manual_seed(0)
    maps = (
        torch.rand(3, plan.height, plan.width, generator=generator) * torch.tensor([50.0, 50.0, 2000.0])[:, None, None]
    )
    queries = network.config.grid[0] * network.config.grid[1]
    wind = 4 * torch.randn(tiles, queries, 2, generator=generator)
    host = Fields(maps, wind, day_of(network, torch.device("cpu")))
    return Fields(maps.pin_memory(), wind.pin_memory(), [part.pin_memory() for part in host.day]) if pinned else host


def _like(tensor: Tensor, device: torch.device) -> Tensor:
    return torch.empty(tensor.shape, dtype=tensor.dtype, device=device)


def main() -> None:
    """Print the table; a combination that fails is named, and the others go on."""
    parser = arguments(__doc__, repeats=7)
    parser.add_argument("--size", type=int, nargs=2, default=[4192, 6992], help="of the fine domain, pixels")
    parser.add_argument("--overlap", type=int, help="of neighbouring tiles, pixels; [default: an eighth of a tile]")
    parser.add_argument("--tiles", type=counted, default=[160], help="of the plan, e.g. 126,130,160")
    parser.add_argument("--limit-tiles", type=int, help="run only the first so many of them: a part of the map")
    parser.add_argument("--batch", type=counted, default=[8], help="tiles in one call, e.g. 1,2,4,8,16")
    parser.add_argument("--channels-last", action="store_true", help="of the decoder")
    parser.add_argument("--cuda-graphs", action="store_true", help="the whole map as one recorded graph")
    settings = parser.parse_args()
    refuse(settings.cuda_graphs and settings.device != "cuda", "--cuda-graphs needs --device cuda")
    refuse(
        settings.cuda_graphs and settings.compile == "reduce-overhead",
        "--cuda-graphs and --compile reduce-overhead both record graphs: choose one, or max-autotune-no-cudagraphs",
    )
    device = set_up(settings)
    apart = blend_error(device)
    refuse(apart > 1e-5, f"blending on {device} differs from cranpm.tiles by {apart:.1e}: expected at most 1e-5")
    network = random_network(settings.config, device).requires_grad_(False)
    side = network.config.tile
    plan = plan_tiles(*settings.size, size=side, overlap=settings.overlap or side // 8)
    print(machine(device), f"map of {plan.height} x {plan.width} px, tiles of {side} px", sep="\n", flush=True)
    rows, failed = [], []
    for tiles in settings.tiles:
        chosen = spread(plan, tiles)[: settings.limit_tiles]
        wanted = _eager_map(network, plan, chosen, min(settings.batch))
        for batch in settings.batch:
            try:
                rows.append(measure(network, plan, chosen, batch, wanted, settings))
                print(f"{len(chosen)} tiles, batch {batch}: {rows[-1]['+ blend ms']:.0f} ms", flush=True)
            except Exception as error:
                failed.append({"tiles": tiles, "batch": batch, "error": f"{type(error).__name__}: {error}"})
                print("FAILED", failed[-1], flush=True)
            save(settings.json, settings, device, blend_error=apart, maps=rows, failed=failed)
    if rows:
        show(rows)


if __name__ == "__main__":
    main()
