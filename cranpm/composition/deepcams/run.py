"""A training run of a network of DeepCAMS: the trainer of `cranpm train`, with other maps and scores."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer

from cranpm import __version__
from cranpm.composition.deepcams.checkpoint import Sharpener, build, write_sharpener
from cranpm.composition.deepcams.maps import TruthMaps
from cranpm.composition.deepcams.objective import Network, loss
from cranpm.composition.deepcams.pairs import Batch
from cranpm.composition.deepcams.recipe import Recipe, find_recipe
from cranpm.composition.deepcams.scores import score
from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError
from cranpm.folders import cache_folder
from cranpm.train.interruption import Interruption
from cranpm.train.keeper import CHECKPOINT, LAST, RESUME, Event, Keeper, Rmse, Validated, Validating
from cranpm.train.module import Trained
from cranpm.train.optimiser import learning_rate
from cranpm.train.place import Place, find_place
from cranpm.train.recipe import recipe_hash
from cranpm.train.session import Folder, make_trainer


@dataclass
class SharpenerRun(Folder):
    """A run that is about to happen.

    Attributes:
        recipe: what is trained on what.
        seed: of the weights and the examples.
        data: a folder of GEOS-CF files; None for simulated days.
        place: where it runs.
        folder: the run's folder.
        recipe_sha256: hash of the recipe's text.
        cache: where simulated days lie.
        again: the line that goes on with it.
        interruption: by what the run was stopped, if it was.
    """

    recipe: Recipe
    seed: int
    data: Path | None
    place: Place
    folder: Path
    recipe_sha256: str
    cache: Path
    again: str
    interruption: Interruption = field(default_factory=Interruption)

    @property
    def key(self) -> str:
        """What must agree for a run to be resumed."""
        return f"recipe {self.recipe_sha256[:12]}, seed {self.seed}"

    @property
    def simulated(self) -> bool:
        """Whether it is trained on the sample world."""
        return self.recipe.simulated is not None

    def run(self, *, resume: bool, prepared: Progress = silent, tell: Callable[[Event], None] | None = None) -> None:
        """Prepare the maps and train, until the steps are done, patience ends or a signal comes."""
        maps = TruthMaps(self.recipe, seed=self.seed, data=self.data, cache=self.cache, tell=prepared)
        keeper = SharpenerKeeper(self, tell or (lambda event: None))
        module = TrainedSharpener(self.recipe, seed=self.seed, key=self.key)
        trainer = make_trainer(self.place, self.folder, keeper, half=False)
        self.fit(trainer, module, maps, resume=resume)
        if self.interruption.stopped_at is None:
            (self.folder / RESUME).unlink(missing_ok=True)

    def described(self, maps: TruthMaps) -> Sharpener:
        """What is known of the network, before any score."""
        recipe = self.recipe
        provenance = {
            "recipe": recipe.name,
            "recipe_sha256": self.recipe_sha256,
            "seed": self.seed,
            "files": [maps.paths[0], maps.paths[-1], len(maps.paths)],
            "versions": {"cranpm": __version__, **{name: version(name) for name in ("torch", "numpy", "lightning")}},
        }
        return Sharpener(
            recipe.task, recipe.model, recipe.scale, maps.train.mean, recipe.degradation, self.simulated, provenance
        )


class TrainedSharpener(Trained[Network]):
    """The network and its training step."""

    def __init__(self, recipe: Recipe, *, seed: int, key: str) -> None:
        super().__init__(seed=seed, key=key)
        self.recipe = recipe

    def configure_model(self) -> None:
        """Make the network, the same for the same seed."""
        self.schedule = self.recipe.schedule
        torch.manual_seed(self.seed)
        self.network = build(self.recipe.task, self.recipe.model)
        self.average = self.averaging()

    def training_step(self, batch: Batch, index: int) -> None:
        """One optimiser step."""
        optimiser = self.begin_step()
        found = loss(self.network, batch, self.recipe.objective)
        self.manual_backward(found)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.clip)
        if not bool(found.isfinite() and norm.isfinite()):
            raise self.diverged(float(found), norm)
        optimiser.step()
        rate = learning_rate(self.schedule, self.trainer.global_step - 1)
        self.last = {"loss": float(found.detach()), "gradient_norm": float(norm), "learning_rate": rate}


class SharpenerKeeper(Keeper):
    """As for any run; what is validated is the RMSE beside that of interpolation."""

    held_out: Any
    about: Any

    def __init__(self, made: SharpenerRun, tell: Callable[[Event], None]) -> None:
        describe: Any = made.described
        super().__init__(made.folder, describe, tell, half=False, interruption=made.interruption)
        self.recipe = made.recipe

    def _validate(self, trainer: Trainer, module: Trained, step: int) -> None:
        network = module.validated
        network.eval()
        table = score(
            network, self.held_out, every=self.recipe.validate_every,
            tell=lambda what, done, total: self._tell(trainer, Validating(done, total)),
        )  # fmt: skip
        network.train()
        plain, sharp = table.pooled
        rmse: Rmse = {0: (sharp, plain)}
        ratio = sharp / plain
        told = {"step": step, "validation_rmse": sharp, "validation_rmse_interpolated": plain}
        about: Sharpener = replace(self.about, provenance={**self.about.provenance, **told})

        def keep(best: bool) -> None:
            for name in (CHECKPOINT, LAST) if best else (LAST,):
                write_sharpener(self.folder / name, about, network)

        figures = {"rmse": sharp, "rmse_interpolated": plain}
        self._record(trainer, Validated(step, rmse, ratio < self.best_ratio), ratio, figures, keep)


def plan(
    name: str, *, seed: int = 0, out: Path | None = None, data: Path | None = None, device: str = "auto",
    cache: Path | None = None,
) -> SharpenerRun:  # fmt: skip
    """Read a recipe and decide where its run lies and takes place.

    Raises:
        CranpmError: the recipe is not there or not right, or needs a folder of files and none is named.
    """
    place = find_place(device, None, os.environ)
    recipe, path = find_recipe(name)
    if recipe.simulated is None and data is None:
        raise CranpmError(f"recipe '{recipe.name}' trains on GEOS-CF files: name their folder with --data")
    if recipe.simulated is not None and data is not None:
        raise CranpmError(f"recipe '{recipe.name}' trains on simulated days of its own: leave --data out")
    folder = out or Path("runs") / f"{recipe.name}-s{seed}"
    options = {"--data": data, "--seed": seed, "--out": folder, "--device": device}
    given = [f"{option} {value}" for option, value in options.items() if value is not None]
    again = " ".join(["cranpm composition train", name, *given, "--resume"])
    return SharpenerRun(recipe, seed, data, place, folder, recipe_hash(path), cache or cache_folder(), again)


def line(rmse: Rmse) -> str:
    """Validation RMSE beside interpolation, e.g. `RMSE 0.31 against 0.35 (-11%) of interpolation, ug/m3`."""
    sharp, plain = rmse[0]
    return f"RMSE {sharp:.4f} against {plain:.4f} ({100 * (sharp / plain - 1):+.1f}%) of interpolation, ug/m3"
