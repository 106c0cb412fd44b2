"""The ablations of Table 3 on the sample world: what is left out or exchanged, and the runs that measure it.

Every run has the same steps and validation days; a variant and the full network share seeds, so that they are compared
in pairs: the same examples in the same order, but for the variants with a smaller batch or fewer years. A finished run
is one line of a file, and a line that is there is not run again.
"""

from __future__ import annotations

import hashlib
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
from cranpm.model.config import FORECAST, PLACE, PLUS_SMALL, ModelConfig
from cranpm.model.network import CranPM
from cranpm.model.statistics import Statistics
from cranpm.region import Region
from cranpm.train.days import Days
from cranpm.train.interruption import Interruption
from cranpm.train.keeper import Event, Keeper
from cranpm.train.module import Trained, Training
from cranpm.train.objective import Weights
from cranpm.train.optimiser import bfloat16_pays
from cranpm.train.pasts import give_pasts, make_pasts, simulated_pasts
from cranpm.train.place import Place
from cranpm.train.recipe import Recipe, Validation, read_recipe, recipe_hash
from cranpm.train.session import make_trainer
from cranpm.train.stores import end_with_parent, make_stores, store_path
from cranpm.variables import CHANNELS, CORRECTED_MAP, FORECAST_MAP, LOCAL_CHANNELS, PM_SCALE

FULL = "full"


@dataclass(frozen=True)
class Variant:
    """One row of a table.

    Attributes:
        key: what the paper calls it, e.g. "R2".
        table: "a" fusion, "b" build-up, "c" removal, "e" fewer years to train on; "d" what `plus` adds, for recipes of
            a network that reads forecasts; "" for the recipe's own network, which the others are compared with.
        label: what is different from the full network.
        config: switches of the configuration that differ.
        objective: weights of eq. 6 that differ.
        share: of the full network's tiles per step.
        years: how many of the recipe's training entries are used, from the first on; 0 for all.
    """

    key: str
    table: str
    label: str
    config: Mapping[str, Any] = field(default_factory=dict)
    objective: Mapping[str, float] = field(default_factory=dict)
    share: float = 1.0
    years: int = 0

    @property
    def digest(self) -> str:
        """What is run, for its lines: SHA-256 of all but key and label, 12 digits."""
        content = [dict(self.config), dict(self.objective), self.share, self.years]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]


TODAY_ONLY: Mapping[str, Any] = {"channels": CHANNELS[:35], "local_channels": ("pm2p5_t", *LOCAL_CHANNELS[2:])}
FORECAST_COMPOSITION = (*CHANNELS, *(f"{name}_f" for name in ("pm2p5", "pm10", "no2", "o3", "co")))
PLAIN: Mapping[str, float] = {"frequency": 0.0, "station": 0.0}

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
    Variant("P1", "d", "no forecast weather, only forecast composition", {"channels": FORECAST_COMPOSITION}),
    Variant("P2", "d", "the change from today instead of scaled bases", {"output": "change"}),
    Variant("P3", "d", "no usual map", {"local_channels": ("pm2p5_t", "pm2p5_t-1", CORRECTED_MAP, "elevation")}),
    Variant("P4", "d", "the forecast as issued, nothing of the past",
            {"local_channels": ("pm2p5_t", "pm2p5_t-1", FORECAST_MAP, "elevation")}),
    Variant("P5", "d", "no distance bias", {"distance_bias": False}),
    Variant("P6", "d", "latitude and longitude", {"local_channels": (*PLUS_SMALL.maps, *PLACE)}),
    Variant("P7", "d", "zeros beyond a tile's edge", {"padding": "zeros"}),
)  # fmt: skip


@dataclass(frozen=True)
class Result:
    """One finished run: squared errors per validation day, summed over the same pixels for every variant.

    Attributes:
        variant, seed: what was run.
        recipe: hash of the recipe.
        what: `Variant.digest` of what was run.
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
    what: str
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


def find_variants(keys: Sequence[str], config: ModelConfig) -> tuple[Variant, ...]:
    """The variants of a recipe's network by keys or tables ("c"), the full network first; all without.

    Raises:
        CranpmError: there is no such variant of this network.
    """
    known = [v for v in VARIANTS if v.key == FULL or (v.table == "d") == config.state_per_lead]
    tables = sorted({variant.table for variant in known} - {""})
    for key in keys:
        if key not in tables and key not in [variant.key for variant in known]:
            raise CranpmError(
                f"no ablation '{key}' of '{config.name}'; there are {', '.join(variant.key for variant in known)}, and "
                f"the tables {', '.join(tables)} (table d belongs to --recipe ablation-plus, the others to ablation)"
            )
    return tuple(v for v in known if not keys or v.key in keys or v.table in keys or v.key == FULL)


def read_results(path: Path, recipe: str) -> list[Result]:
    """The finished runs of a recipe; a line that a killed process left half written is dropped.

    So is a run of a variant that has been something else since.

    Args:
        path: the file of lines.
        recipe: hash of the recipe; runs of others are left out.
    """
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
    present = {(variant.key, variant.digest) for variant in VARIANTS}
    results = [result for result in map(Result.read, lines) if result.recipe == recipe]
    return [result for result in results if (result.variant, result.what) in present]


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
    with ProcessPoolExecutor(processes, context, _load, (recipe, region, cache)) as pool:
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


def prepare(recipe_file: Path, cache: Path, tell: Progress) -> None:
    """Make the simulated days that are missing, and fit their past where the network reads it."""
    recipe, region = read_recipe(recipe_file)
    assert recipe.simulated is not None
    pasts = simulated_pasts(recipe, region, cache) if recipe.config.reads_past else ()
    for ready, total in make_stores(recipe, region, (*recipe.simulated.train, *recipe.simulated.validate), cache):
        tell("simulated days", ready, total)
    make_pasts(pasts, tell)


def _append(path: Path, line: str) -> None:
    """Add a whole line, after dropping one that was left half written."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    whole = text[: text.rfind("\n") + 1]
    write_whole(path, (whole + line + "\n").encode())


_HELD: list[HeldStore] = []


def _load(recipe: Recipe, region: Region, cache: Path) -> None:
    """Read the stores once per process, which ends with the one that started it."""
    end_with_parent()
    torch.set_num_threads(1)
    assert recipe.simulated is not None
    pasts = (*recipe.simulated.train, *recipe.simulated.validate)
    issued = FORECAST if recipe.config.state_per_lead else ()
    _HELD[:] = [hold(store_path(recipe, region, past, cache), past.dates, issued) for past in pasts]
    if recipe.config.reads_past:
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
    return Result(variant.key, seed, digest, variant.digest, length, round(spent, 1), *scored)


class _Nothing(Keeper):
    """Keeps nothing of a run but its averaged weights: the run is short, and is scored when it has ended."""

    def _validate(self, trainer: Trainer, module: Trained, step: int) -> None:
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
