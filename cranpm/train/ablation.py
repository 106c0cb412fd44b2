"""The ablations of Table 3 on the sample world: what is left out or exchanged, and the runs that measure it.

Every run has the same budget, examples and validation days; a variant and the full network share seeds, so that they
are compared in pairs. A finished run is one line of a file, and a line that is there is not run again.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Trainer

from cranpm.data.dataset import Examples, HeldStore, hold, statistics_of
from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError
from cranpm.folders import write_whole
from cranpm.model.checkpoint import Checkpoint
from cranpm.model.config import FORECAST, PLACE, PLUS_SMALL, SMALL, ModelConfig
from cranpm.model.network import CranPM
from cranpm.model.statistics import Statistics
from cranpm.region import Region
from cranpm.train.days import Days
from cranpm.train.interruption import Interruption
from cranpm.train.keeper import Event, Keeper
from cranpm.train.module import Training
from cranpm.train.objective import Weights
from cranpm.train.optimiser import bfloat16_pays
from cranpm.train.pasts import give_pasts, make_pasts, simulated_pasts
from cranpm.train.place import Place
from cranpm.train.recipe import Recipe, Validation, read_recipe, recipe_hash
from cranpm.train.session import make_trainer
from cranpm.train.stores import end_with_parent, make_stores, store_path
from cranpm.variables import CHANNELS, CORRECTED_MAP, FORECAST_CHANNELS, FORECAST_MAP, LOCAL_CHANNELS, PM_SCALE

FULL, PLUS = "full", "plus"


@dataclass(frozen=True)
class Variant:
    """One row of a table.

    Attributes:
        key: what the paper calls it, e.g. "R2".
        table: "a" fusion, "b" build-up, "c" removal, "d" what `plus` adds, "e" fewer years to train on; "" for a
            network that others are compared with.
        label: what is different from the network it is compared with.
        config: switches of the configuration that differ from the full network's.
        objective: weights of eq. 6 that differ.
        share: of the full network's tiles per step.
        years: how many of the recipe's training entries are used, from the first on; 0 for all.
        against: key of the network it is compared with.
    """

    key: str
    table: str
    label: str
    config: Mapping[str, Any] = field(default_factory=dict)
    objective: Mapping[str, float] = field(default_factory=dict)
    share: float = 1.0
    years: int = 0
    against: str = FULL

    @property
    def looks_ahead(self) -> bool:
        """Whether the stores' forecasts, and what was fitted on the past, are needed."""
        return any(name in FORECAST_CHANNELS for name in self.config.get("channels", ()))


TODAY_ONLY: Mapping[str, Any] = {"channels": CHANNELS[:35], "local_channels": ("pm2p5_t", *LOCAL_CHANNELS[2:])}
ADDED: Mapping[str, Any] = {  # what `plus` changes
    key: value for key, value in vars(PLUS_SMALL).items() if key != "name" and value != getattr(SMALL, key)
}
FORECAST_COMPOSITION = (*CHANNELS, *(f"{name}_f" for name in ("pm2p5", "pm10", "no2", "o3", "co")))
PLAIN: Mapping[str, float] = {"frequency": 0.0, "station": 0.0}


def _plus(key: str, label: str, change: Mapping[str, Any]) -> Variant:
    """`plus` with something taken away or exchanged."""
    return Variant(key, "d", label, {**ADDED, **change}, against=PLUS)


VARIANTS: tuple[Variant, ...] = (
    Variant(FULL, "", "all of the paper's mechanisms"),
    Variant("R1", "c", "no coarse branch", {"fusion": "off"}),
    Variant("R2", "c", "no elevation bias", {"elevation_bias": False}),
    Variant("R3", "c", "no wind order, no wind bias", {"wind_order": False, "wind_bias": False}),
    Variant("R4", "c", "transposed convolutions for PixelShuffle", {"upsampling": "transposed"}),
    Variant("R5", "c", "the level instead of the change", {"output": "level"}),
    Variant("R6", "c", "no focal frequency loss", objective={"frequency": 0.0}),
    Variant("R7", "c", "no station loss", objective={"station": 0.0}),
    Variant("R8", "c", "no day t-1", TODAY_ONLY),
    Variant("i", "a", "no attention: the coarse tokens pooled", {"fusion": "none"}),
    Variant("ii", "a", "sum", {"fusion": "sum"}),
    Variant("iii", "a", "FiLM", {"fusion": "film"}),
    Variant("iv", "a", "concatenation and self-attention", {"fusion": "concat"}),
    Variant("v", "a", "coarse queries fine", {"fusion": "reverse"}),
    Variant("vi", "a", "bidirectional", {"fusion": "both"}),
    Variant("A", "b", "squared error alone, a quarter of the batch, no day t-1", TODAY_ONLY, PLAIN, 0.25),
    Variant("B", "b", "A with the whole batch", TODAY_ONLY, PLAIN),
    Variant("C", "b", "B with the focal frequency loss", TODAY_ONLY, {"station": 0.0}),
    Variant("Y1", "e", "one year of training days", years=1),
    Variant("Y2", "e", "two years of training days", years=2),
    Variant("Y4", "e", "four years of training days", years=4),
    Variant(PLUS, "", "the paper's mechanisms and what we add", ADDED),
    _plus("P1", "no forecast weather, only forecast composition", {"channels": FORECAST_COMPOSITION}),
    _plus("P2", "the change from today instead of scaled bases", {"output": "change"}),
    _plus("P3", "no usual map", {"local_channels": ("pm2p5_t", "pm2p5_t-1", CORRECTED_MAP, "elevation")}),
    _plus("P4", "the forecast as issued, nothing of the past",
          {"local_channels": ("pm2p5_t", "pm2p5_t-1", FORECAST_MAP, "elevation")}),
    _plus("P5", "no distance bias", {"distance_bias": False}),
    _plus("P6", "latitude and longitude", {"local_channels": (*PLUS_SMALL.maps, *PLACE)}),
    _plus("P7", "zeros beyond a tile's edge", {"padding": "zeros"}),
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One finished run: squared errors per validation day, summed over the same pixels for every variant.

    Attributes:
        variant, seed: what was run.
        recipe: hash of the recipe.
        steps: optimiser steps.
        cpu_seconds: of the training.
        days: the validation days.
        squared: by lead, the sum of squared errors of each day, ug2 m-6.
        still: the same of persistence.
        pixels: by lead, how many pixels each day has.
    """

    variant: str
    seed: int
    recipe: str
    steps: int
    cpu_seconds: float
    days: tuple[str, ...]
    squared: dict[int, list[float]]
    still: dict[int, list[float]]
    pixels: dict[int, list[int]]

    def rmse(self, lead: int) -> float:
        """Over all days, ug m-3."""
        return float(np.sqrt(np.sum(self.squared[lead]) / np.sum(self.pixels[lead])))

    def line(self) -> str:
        """The run as a line of JSON."""
        return json.dumps({**vars(self), "rmse": {lead: round(self.rmse(lead), 4) for lead in self.squared}})

    @staticmethod
    def read(line: str) -> Result:
        """What `line` wrote."""
        values = json.loads(line)
        values.pop("rmse")
        for name in ("squared", "still", "pixels"):
            values[name] = {int(lead): row for lead, row in values[name].items()}
        return Result(**{**values, "days": tuple(values["days"])})


def find_variants(keys: Sequence[str]) -> tuple[Variant, ...]:
    """The variants of some keys or tables ("c") with what they are compared with, in order; all without.

    Raises:
        CranpmError: there is no such variant.
    """
    known = {variant.key: variant for variant in VARIANTS}
    tables = {variant.table for variant in VARIANTS}
    for key in keys:
        if key not in known and key not in tables:
            raise CranpmError(f"no ablation '{key}'; there are {', '.join(known)}, and the tables a, b, c, d, e")
    wanted = {v.key for v in VARIANTS if not keys or v.key in keys or v.table in keys}
    wanted |= {known[key].against for key in wanted if known[key].table}
    return tuple(v for v in VARIANTS if v.key in wanted)


def read_results(path: Path, recipe: str) -> list[Result]:
    """The finished runs of a recipe; a line that a killed process left half written is dropped.

    Args:
        path: the file of lines.
        recipe: hash of the recipe; runs of others are left out.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    return [result for result in map(Result.read, lines) if result.recipe == recipe]


def ablate(
    recipe_file: Path, variants: Sequence[Variant], seeds: int, path: Path, cache: Path, *, processes: int
) -> Iterator[tuple[int, int, Result | None]]:
    """Run what is not yet in the file, several runs at a time on one core each.

    Yields:
        Runs that are done, runs in all, and the run that just ended.

    Raises:
        CranpmError: the recipe is not of simulated days.
    """
    recipe, region = read_recipe(recipe_file)
    if recipe.simulated is None:
        raise CranpmError(f"{recipe_file}: ablations are run on simulated days")
    digest = recipe_hash(recipe_file)
    done = {(result.variant, result.seed) for result in read_results(path, digest)}
    wanted = [(variant, seed) for seed in range(seeds) for variant in variants]
    missing = [(variant, seed) for variant, seed in wanted if (variant.key, seed) not in done]
    count = len(wanted) - len(missing)
    yield count, len(wanted), None
    os.environ["OMP_NUM_THREADS"] = "1"  # inherited by the processes
    context = multiprocessing.get_context("spawn")
    ahead = any(variant.looks_ahead for variant, _ in missing)
    with ProcessPoolExecutor(processes, context, _load, (recipe, region, cache, ahead)) as pool:
        jobs = [pool.submit(_run, recipe, region, digest, variant, seed) for variant, seed in missing]
        try:
            for job in as_completed(jobs):
                result = job.result()
                _append(path, result.line())
                count += 1
                yield count, len(wanted), result
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def prepare(recipe_file: Path, variants: Sequence[Variant], cache: Path, tell: Progress) -> None:
    """Make the simulated days that are missing, and fit their past where a variant reads it."""
    recipe, region = read_recipe(recipe_file)
    assert recipe.simulated is not None
    for ready, total in make_stores(recipe, region, (*recipe.simulated.train, *recipe.simulated.validate), cache):
        tell("simulated days", ready, total)
    if any(variant.looks_ahead for variant in variants):
        make_pasts(simulated_pasts(recipe, region, cache), tell)


def _append(path: Path, line: str) -> None:
    """Add a whole line, after dropping one that was left half written."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    write_whole(path, (whole + line + "\n").encode())


_HELD: list[HeldStore] = []


def _load(recipe: Recipe, region: Region, cache: Path, ahead: bool) -> None:
    """Read the stores once per process, which ends with the one that started it."""
    end_with_parent()
    torch.set_num_threads(1)
    assert recipe.simulated is not None
    pasts = (*recipe.simulated.train, *recipe.simulated.validate)
    issued = FORECAST if ahead else ()
    _HELD[:] = [hold(store_path(recipe, region, past, cache), past.dates, issued) for past in pasts]
    if ahead:
        give_pasts(_HELD, simulated_pasts(recipe, region, cache))


@dataclass(frozen=True)
class _Altered(Recipe):
    """A recipe whose network a variant altered."""

    altered: ModelConfig | None = None

    @property
    def config(self) -> ModelConfig:
        """The altered configuration."""
        assert self.altered is not None
        return self.altered


class _Ready(Days):
    """Days that are in memory already."""

    def prepare_data(self) -> None:
        """Nothing to do."""

    def setup(self, stage: str) -> None:
        """Examples of the variant's channels."""
        assert self.recipe.simulated is not None
        used, held_out = len(self.recipe.simulated.train), len(self.recipe.simulated.validate)
        config, leads, hotspots = self.recipe.config, self.recipe.leads, self.region.hotspots
        self.train = Examples(_HELD[:used], config, leads, hotspots)
        self.held_out = Examples(_HELD[-held_out:], config, leads, hotspots)
        self.statistics = _statistics(len(_HELD) - held_out)


_STATISTICS: list[Statistics] = []


def _statistics(count: int) -> Statistics:
    """Of the training stores, counted once per process."""
    if not _STATISTICS:
        _STATISTICS.append(statistics_of(_HELD[:count]))
    return _STATISTICS[0]


def _run(recipe: Recipe, region: Region, digest: str, variant: Variant, seed: int) -> Result:
    """Train and score one variant, in a process of its own."""
    assert recipe.simulated is not None
    batch = replace(recipe.batch, days=max(round(recipe.batch.days * variant.share), 1))
    train = recipe.simulated.train[: variant.years or None]
    altered = _Altered(
        **{
            **vars(recipe),
            "batch": batch,
            "simulated": replace(recipe.simulated, train=train),
            "objective": Weights(**{**vars(recipe.objective), **variant.objective}),
            "altered": replace(recipe.config, **variant.config),
        }
    )
    half = bfloat16_pays(torch.device("cpu"))
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        days = _Ready(altered, region, seed=seed, data=None, cache=folder, folder=folder, workers=0, tell=silent)
        module = Training(altered, seed=seed, key="")
        keeper = _Nothing(folder, _about, _tell_nobody, half=half, interruption=Interruption())
        began = time.process_time()
        make_trainer(Place("cpu"), folder, keeper, half=half).fit(module, days)
        spent = time.process_time() - began
    scored = _score(module.validated, days.held_out, recipe.validation, half=half)
    length = recipe.schedule.length
    return Result(variant.key, seed, digest, length, round(spent, 1), *scored)


class _Nothing(Keeper):
    """Keeps nothing of a run but its averaged weights: the run is short, and is scored when it has ended."""

    def _validate(self, trainer: Trainer, module: Training, step: int) -> None:
        pass

    def _save(self, trainer: Trainer) -> None:
        pass


def _about(days: Days) -> Checkpoint:
    return Checkpoint("ablation", days.recipe.config, days.statistics)


def _tell_nobody(event: Event) -> None:
    pass


def _score(
    network: CranPM, examples: Examples, validation: Validation, *, half: bool
) -> tuple[tuple[str, ...], dict[int, list[float]], dict[int, list[float]], dict[int, list[int]]]:
    """Squared errors of network and persistence, and pixels, of every validation day, by lead."""
    leads = examples.leads
    squared: dict[int, list[float]] = {lead: [] for lead in leads}
    still: dict[int, list[float]] = {lead: [] for lead in leads}
    pixels: dict[int, list[int]] = {lead: [] for lead in leads}
    days = []
    network.eval()
    with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=half):
        for draws in examples.sweep(every=validation.every, tiles=validation.tiles):
            batch = examples.batch(draws)
            change = batch.target - batch.pm[:, 0]
            forecast = network.forward_tiles(network.encode_day(*batch.day), *batch.tiles).float() * PM_SCALE
            days.append(str(draws[0].day))
            for lead in leads:
                mine = (batch.lead == lead)[:, None, None] & batch.valid
                squared[lead].append(round(float(((forecast - change) * mine).square().sum()), 1))
                still[lead].append(round(float((change * mine).square().sum()), 1))
                pixels[lead].append(int(mine.sum()))
    return tuple(days), squared, still, pixels
