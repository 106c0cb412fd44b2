"""A run from its recipe's name to its end: folder, days, Lightning's trainer, provenance."""

from __future__ import annotations

import logging
import os
import platform
import shutil
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.plugins.environments import LightningEnvironment, SLURMEnvironment
from lightning.pytorch.plugins.io import TorchCheckpointIO
from lightning.pytorch.strategies import DDPStrategy
from lightning.pytorch.utilities import rank_zero_only

from cranpm import __version__
from cranpm.data.days import format_days
from cranpm.data.progress import Progress, silent
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.folders import cache_folder
from cranpm.model.checkpoint import Checkpoint
from cranpm.region import Region
from cranpm.train.days import STATISTICS, Days
from cranpm.train.interruption import Interruption
from cranpm.train.keeper import CHECKPOINT, HISTORY, LAST, RESUME, STEPS, Event, Keeper, saved_key
from cranpm.train.module import Training
from cranpm.train.optimiser import bfloat16_pays
from cranpm.train.place import Place, find_place
from cranpm.train.recipe import Past, Recipe, read_recipe, recipe_hash, recipe_path


class Folder(ABC):
    """What every training run shares: the folder it writes to, and how it is gone on with there."""

    folder: Path

    @property
    @abstractmethod
    def key(self) -> str:
        """What must agree for a run to be resumed."""

    @property
    def first(self) -> bool:
        """Whether this is the first of the run's processes, which writes and speaks."""
        return getattr(rank_zero_only, "rank", None) in (0, None)

    def prepare_folder(self, *, resume: bool) -> None:
        """Make the run's folder, in the first process.

        Raises:
            CranpmError: it holds a run and none is to be resumed, or the other way round, or the run there has
                another recipe or seed.
        """
        if not self.first:
            return
        state = self.folder / RESUME
        if resume:
            self._check_resumable(state)
            return
        held = [name for name in (RESUME, HISTORY, CHECKPOINT, LAST) if (self.folder / name).exists()]
        if held:
            unfinished = RESUME in held
            raise CranpmError(
                f"{self.folder}: holds {'an unfinished' if unfinished else 'a finished'} run; "
                f"{'add --resume, or ' if unfinished else ''}give another folder with --out"
            )
        if self.folder.exists() and not self.folder.is_dir():
            raise CranpmError(f"{self.folder}: a file lies there; give the run a folder with --out")
        self.folder.mkdir(parents=True, exist_ok=True)
        for name in (STEPS, STATISTICS):  # of a run that was killed before anything was saved
            (self.folder / name).unlink(missing_ok=True)

    def fit(self, trainer: Trainer, module: LightningModule, days: LightningDataModule, *, resume: bool) -> None:
        """Train, from the saved state if the run is gone on with."""
        state = self.folder / RESUME if resume else None
        trainer.fit(module, days, ckpt_path=state, weights_only=True)

    def _check_resumable(self, state: Path) -> None:
        if not state.is_file():
            raise CranpmError(f"{self.folder}: no unfinished run there; leave --resume out to start one")
        try:
            key = saved_key(state)
        except Exception as error:
            raise CranpmError(
                f"{state}: cannot be read as the state of a run ({str(error).splitlines()[0]}); "
                "give another --out to start again"
            ) from error
        if key != self.key:
            raise CranpmError(
                f"{self.folder}: its run has another recipe or seed ({key}, this one is {self.key}); "
                "give another --out, or the recipe and seed it began with"
            )
        self._tidy()

    def _tidy(self) -> None:
        """Take up what a killed run was putting in place of something; what is not the run's is not touched."""
        for name in (CHECKPOINT, LAST):
            for old in self.folder.glob(f".{name}.*.old"):
                if not (self.folder / name).exists():
                    old.replace(self.folder / name)
            for left in (*self.folder.glob(f".{name}.*.old"), *self.folder.glob(f".{name}.*.new")):
                shutil.rmtree(left, ignore_errors=True)
        for name in (HISTORY, STEPS, STATISTICS, RESUME):
            for left in self.folder.glob(f".{name}.*part"):
                left.unlink(missing_ok=True)


@dataclass
class Plan(Folder):
    """A run that is about to happen.

    Attributes:
        recipe, region: what is trained on what.
        seed: of the weights, the examples and the dropout.
        data: the store it is trained on; None for simulated days.
        place: where it runs.
        folder: the run's folder.
        command: the line that repeats the run.
        recipe_sha256: hash of the recipe's text.
        cache: where the simulated stores lie.
        workers: processes that read ahead on each device.
        again: the line that goes on with it, as it was given.
        interruption: by what the run was stopped, if it was.
    """

    recipe: Recipe
    region: Region
    seed: int
    data: Path | None
    place: Place
    folder: Path
    command: str
    recipe_sha256: str
    cache: Path
    workers: int
    again: str = ""
    interruption: Interruption = field(default_factory=Interruption)

    @property
    def key(self) -> str:
        """What must agree for a run to be resumed."""
        return f"recipe {self.recipe_sha256[:12]}, seed {self.seed}"

    def run(self, *, resume: bool, prepared: Progress = silent, tell: Callable[[Event], None] | None = None) -> None:
        """Prepare the days and train, until the steps are done, patience ends or a signal comes.

        The best weights lie in `checkpoint/` then, the last ones in `last/`.
        """
        days, keeper, module = self.make_days(prepared), self.make_keeper(tell), self.make_module()
        trainer = make_trainer(self.place, self.folder, keeper, half=self.half)
        self.fit(trainer, module, days, resume=resume)
        if self.first and self.interruption.stopped_at is None:
            self.finish(days)
            (self.folder / RESUME).unlink(missing_ok=True)  # last: until here a killed run goes on

    def finish(self, days: Days) -> None:
        """What is done after the last step, in the first process; a resumed run may do it again."""

    def make_days(self, prepared: Progress) -> Days:
        """What is trained on."""
        return Days(
            self.recipe, self.region, seed=self.seed, data=self.data, cache=self.cache, folder=self.folder,
            workers=self.workers, tell=prepared,
        )  # fmt: skip

    def make_keeper(self, tell: Callable[[Event], None] | None) -> Keeper:
        """What is done after every step."""
        say = tell or (lambda event: None)
        return Keeper(self.folder, self.described, say, half=self.half, interruption=self.interruption)

    def make_module(self) -> Training:
        """What is trained."""
        return Training(self.recipe, seed=self.seed, key=self.key)

    @property
    def half(self) -> bool:
        """Whether the run computes in bfloat16."""
        return bfloat16_pays(torch.device(self.place.device))

    def described(self, days: Days) -> Checkpoint:
        """What is known of the network, before any score."""
        return Checkpoint(
            name=self.recipe.name,
            config=self.recipe.config,
            statistics=days.statistics,
            trained_leads=self.recipe.leads,
            region=self.region.name,
            simulated=self.simulated,
            provenance=self._provenance(days),
        )

    @property
    def simulated(self) -> bool:
        """Whether it is trained on the sample world."""
        return self.data is None or Store.open(self.data, self.region.given).simulated

    def _provenance(self, days: Days) -> dict[str, object]:
        versions = {name: version(name) for name in ("torch", "numpy", "lightning")}
        return {
            "command": self.command,
            "recipe": self.recipe.name,
            "recipe_sha256": self.recipe_sha256,
            "seed": self.seed,
            **self._days_used(days),
            "python": platform.python_version(),
            "versions": {"cranpm": __version__, **versions},
        }

    def _days_used(self, days: Days) -> dict[str, object]:
        simulated = self.recipe.simulated
        if simulated is None:
            train, validate = (format_days(of.stores[0].days) for of in (days.train, days.held_out))
            return {"store": Path(str(self.data)).name, "train": train, "validate": validate}
        from cranpm.sample.world import WORLD_VERSION

        def listed(pasts: tuple[Past, ...]) -> list[str]:
            return [f"{past.window}, realisation {past.realisation}, {past.days}" for past in pasts]

        made = {"train": listed(simulated.train), "validate": listed(simulated.validate)}
        return {"world_version": WORLD_VERSION, "world_seed": simulated.world_seed, **made}


def plan(
    name: str, *, quick: bool = False, seed: int = 0, out: Path | None = None, data: Path | None = None,
    device: str = "auto", devices: int | None = None, workers: int | None = None, cache: Path | None = None,
) -> Plan:  # fmt: skip
    """Read a recipe and decide where its run lies and takes place.

    Raises:
        CranpmError: the recipe is not there or not right, there is no such device, or the recipe needs a store and
            none is named, or the other way round.
    """
    place = find_place(device, devices, os.environ)  # a wrong one should not cost the simulating
    path = recipe_path(name, quick=quick)
    recipe, region = read_recipe(path)
    if recipe.simulated is None and data is None:
        raise CranpmError(
            f"recipe '{recipe.name}' trains on a prepared store: name it with --data "
            f"(`cranpm data prepare {region.given} --from DIR --out STORE` makes one; --dry-run says what it must hold)"
        )
    if recipe.simulated is not None and data is not None:
        raise CranpmError(f"recipe '{recipe.name}' trains on simulated days of its own: leave --data out")
    if recipe.batch.groups % place.ranks:
        raise CranpmError(
            f"{path}: batch.groups {recipe.batch.groups} cannot be shared by {place.ranks} devices: a step's groups go "
            f"to the devices in equal parts; take a number of devices that divides it, or change batch.groups"
        )
    if data is not None:
        Store.open(data, region.given).require(region)  # a wrong one should not leave a folder behind
    folder = out or Path("runs") / f"{recipe.name}-s{seed}"
    shown = name if Path(name).suffix == "" else Path(name).name
    stored = f" --data {data.name}" if data else ""
    command = f"cranpm train {shown}{' --quick' if quick else ''}{stored} --seed {seed}"
    ahead = workers if workers is not None else _workers(recipe, place)
    digest = recipe_hash(path)
    options = {"--data": data, "--seed": seed, "--out": folder, "--device": device, "--devices": devices}
    given = [f"{option} {value}" for option, value in options.items() if value is not None]
    again = " ".join(["cranpm train", name, *(["--quick"] if quick else []), *given, "--resume"])
    return Plan(recipe, region, seed, data, place, folder, command, digest, cache or cache_folder(), ahead, again)


def make_trainer(place: Place, folder: Path, keeper: Keeper, *, half: bool) -> Trainer:
    """Lightning's trainer; what it would write and print on its own, the keeper does."""
    _quieten()
    plugins: list[object] = [PlainFiles()]
    if place.launcher == "slurm":
        plugins.append(SLURMEnvironment(auto_requeue=False))
    elif not place.launcher:  # or a shell inside a SLURM job would be taken for one of its tasks
        plugins.append(LightningEnvironment())
    return Trainer(
        accelerator="gpu" if place.device == "cuda" else "cpu",
        devices=place.devices,
        num_nodes=place.nodes,
        strategy=DDPStrategy() if place.ranks > 1 else "auto",
        plugins=plugins,  # type: ignore[arg-type]
        precision="bf16-mixed" if half else "32-true",
        max_epochs=1,  # the run is one epoch to Lightning: see `days`
        limit_val_batches=0,
        callbacks=[keeper],
        default_root_dir=folder,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


class PlainFiles(TorchCheckpointIO):
    """Writes states where it is told to; Lightning's own way is through the temporary folder, from where a file of
    another file system is copied in pieces."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None) -> None:
        """Write a state."""
        torch.save(checkpoint, path)


def _workers(recipe: Recipe, place: Place) -> int:
    """Simulated days are held in memory; a store is read by the cores that a device can have, eight at most."""
    if recipe.simulated is not None:
        return 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    share = cores if place.launcher == "slurm" else cores // place.devices  # SLURM gives each task cores of its own
    return max(min(share, 8), 1)


def _quieten() -> None:
    """Keep Lightning's advice from the terminal; what matters there, cranpm says itself."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for known in (
        "does not have many workers",
        "resuming from a checkpoint that ended before",
        "in eval mode at the start",
        "is deprecated, use `isinstance",
    ):
        warnings.filterwarnings("ignore", message=f".*{known}.*")
