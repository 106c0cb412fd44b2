"""A training run of a coupling network: the trainer of `cranpm train`, with stages, other days and other scores."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from cranpm import __version__
from cranpm.composition.coupling.checkpoint import CouplingCheckpoint, write_coupling
from cranpm.composition.coupling.examples import Batch, CouplingDays, held_out_batches
from cranpm.composition.coupling.network import Coupling, Ground
from cranpm.composition.coupling.objective import row_weights, share_of_base
from cranpm.composition.coupling.recipe import Recipe, find_recipe
from cranpm.composition.coupling.rollout import advance
from cranpm.composition.coupling.scores import MODEL, score
from cranpm.data.progress import Progress, silent
from cranpm.folders import cache_folder
from cranpm.train.interruption import Interruption
from cranpm.train.keeper import CHECKPOINT, LAST, RESUME, Event, Keeper, Rmse, Validated
from cranpm.train.module import Trained
from cranpm.train.place import Place, find_place
from cranpm.train.recipe import recipe_hash
from cranpm.train.session import Folder, make_trainer

_AT_ONCE = 16  # forecasts that are validated together


@dataclass
class CouplingRun(Folder):
    """A run that is about to happen.

    Attributes:
        recipe: what is trained on what.
        seed: of the weights and the examples.
        place: where it runs.
        folder: the run's folder.
        recipe_sha256: hash of the recipe's text.
        cache: where simulated days lie.
        again: the line that goes on with it.
        interruption: by what the run was stopped, if it was.
    """

    recipe: Recipe
    seed: int
    place: Place
    folder: Path
    recipe_sha256: str
    cache: Path
    again: str
    interruption: Interruption = field(default_factory=Interruption)

    @property
    def key(self) -> str:
        """What must agree for a run to be resumed."""
        return f"recipe {self.recipe_sha256[:12]}, fusion {self.recipe.config.fusion}, seed {self.seed}"

    @property
    def simulated(self) -> bool:
        """Recipes are for the sample world alone."""
        return True

    def run(self, *, resume: bool, prepared: Progress = silent, tell: Callable[[Event], None] | None = None) -> None:
        """Prepare the days and train, until the stages are done or a signal comes."""
        days = CouplingDays(self.recipe, seed=self.seed, cache=self.cache, tell=prepared)
        keeper = CouplingKeeper(self, tell or (lambda event: None))
        module = TrainedCoupling(self.recipe, seed=self.seed, key=self.key)
        trainer = make_trainer(self.place, self.folder, keeper, half=False)
        self.fit(trainer, module, days, resume=resume)
        if self.interruption.stopped_at is None:
            (self.folder / RESUME).unlink(missing_ok=True)

    def described(self, days: CouplingDays) -> CouplingCheckpoint:
        """What is known of the network, before any score."""
        recipe = self.recipe
        listed = {
            role: [f"realisation {course.realisation}, {course.days}" for course in getattr(recipe.simulated, role)]
            for role in ("reanalysis", "analysis", "validate")
        }
        provenance = {
            "recipe": recipe.name, "recipe_sha256": self.recipe_sha256, "seed": self.seed, "days": listed,
            "region": recipe.simulated.area.region, "world_seed": recipe.simulated.world_seed,
            "versions": {"cranpm": __version__, **{name: version(name) for name in ("torch", "numpy", "lightning")}},
        }  # fmt: skip
        scales = days.scales[recipe.stages[-1].view]
        return CouplingCheckpoint(days.config, scales, recipe.simulated.area.grid, True, provenance)


class TrainedCoupling(Trained[Coupling]):
    """The network and its training step."""

    def __init__(self, recipe: Recipe, *, seed: int, key: str) -> None:
        super().__init__(seed=seed, key=key)
        self.recipe = recipe

    def configure_model(self) -> None:
        """Make the network, the same for the same seed."""
        days: CouplingDays = self._days()
        self.schedule, self.days = self.recipe.schedule, days
        torch.manual_seed(self.seed)
        self.network = Coupling(days.config, days.scales[self.recipe.stages[-1].view])
        self.average = self.averaging()

    def training_step(self, batch: Batch, index: int) -> None:
        """One optimiser step: eq. 9 in the mean over the forecast's steps."""
        step = self.trainer.global_step
        optimiser, stage = self.begin_step(), self.recipe.stage(step)[0]
        for settings in optimiser.param_groups:
            settings["lr"] = self.recipe.learning_rate(step)
        self.see(stage.view)
        found = multi_step_loss(self.network, batch, self.ground, row_weights(self.days.latitudes).to(self.device))
        self.manual_backward(found)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.clip)
        if not bool(found.isfinite() and norm.isfinite()):
            raise self.diverged(float(found), norm)
        optimiser.step()
        rate = self.recipe.learning_rate(step)
        self.last = {"loss": float(found.detach()), "gradient_norm": float(norm), "learning_rate": rate}

    def see(self, view: str) -> None:
        """Take the scales (eq. 11) of a view of the composition."""
        scales, _ = self.days.scales[view].of_species(self.days.config)
        for network in (self.network, self.average):
            if network is not None:
                network.species.scale.copy_(torch.tensor(scales).reshape(-1, 1, 1))

    @property
    def ground(self) -> Ground:
        """What is known of the places, on this device."""
        return Ground(self.days.ground.places.to(self.device))


def multi_step_loss(network: Coupling, batch: Batch, ground: Ground, weights: Tensor) -> Tensor:
    """Eq. 9 of every step of forecasts, in the mean.

    What a step is measured by (eq. 7) is the error of the true base, not of one that was forecast: how much a species
    changes does not depend on how well it is forecast.
    """
    fields = torch.cat([batch.before[:, None], batch.now[:, None], batch.truth], dim=1)
    seen = network.species(fields).unbind(1)
    states = advance(network, seen[0], seen[1], batch.weather.unbind(1), ground, batch.clocks)
    losses = [
        share_of_base(state, network.base(seen[k], seen[k + 1]), seen[k + 2], weights) for k, state in enumerate(states)
    ]
    return torch.stack(losses).mean()


class CouplingKeeper(Keeper):
    """As for any run; what is validated is the RMSE of five days' forecasts as a share of persistence's."""

    held_out: Any
    about: Any

    def __init__(self, made: CouplingRun, tell: Callable[[Event], None]) -> None:
        describe: Any = made.described
        super().__init__(made.folder, describe, tell, half=False, interruption=made.interruption)
        self.recipe = made.recipe

    def _validate(self, trainer: Trainer, module: Trained, step: int) -> None:
        assert isinstance(module, TrainedCoupling)
        module.see("analysis")
        network = module.validated.eval()
        batches = held_out_batches(self.held_out, self.recipe.validate_every, _AT_ONCE)
        moved = (batch.to(module.device) for batch in batches)
        scores = score(network, moved, module.ground, row_weights(module.days.latitudes).to(module.device))
        network.train()
        shares = scores.ratio(MODEL).mean(axis=1)
        rmse: Rmse = {lead: (float(share), 1.0) for lead, share in zip(scores.leads, shares, strict=True)}
        ratio = float(shares.mean())
        figures = {"rmse_share_of_persistence": {str(lead): round(pair[0], 4) for lead, pair in rmse.items()}}
        about: CouplingCheckpoint = replace(self.about, provenance={**self.about.provenance, "step": step, **figures})

        def keep(best: bool) -> None:
            for name in (CHECKPOINT, LAST) if best else (LAST,):
                write_coupling(self.folder / name, about, network)

        self._record(trainer, Validated(step, rmse, ratio < self.best_ratio), ratio, figures, keep)


def plan(
    name: str, *, seed: int = 0, out: Path | None = None, fusion: str | None = None, device: str = "auto",
    cache: Path | None = None,
) -> CouplingRun:  # fmt: skip
    """Read a recipe and decide where its run lies and takes place.

    Args:
        fusion: another one than the recipe's, for ablations.

    Raises:
        CranpmError: the recipe is not there or not right.
    """
    place = find_place(device, None, os.environ)
    recipe, path = find_recipe(name)
    if fusion is not None:
        recipe = replace(recipe, fusion=fusion)  # type: ignore[arg-type]
        _ = recipe.config
    folder = out or Path("runs") / f"{recipe.name}{f'-{fusion}' if fusion else ''}-s{seed}"
    options = {"--fusion": fusion, "--seed": seed, "--out": folder, "--device": device}
    given = [f"{option} {value}" for option, value in options.items() if value is not None]
    again = " ".join(["cranpm composition couple", name, *given, "--resume"])
    return CouplingRun(recipe, seed, place, folder, recipe_hash(path), cache or cache_folder(), again)


def line(rmse: Rmse) -> str:
    """Validation RMSE as a share of persistence's, e.g. `RMSE / persistence: 12 h 0.71, 48 h 0.60, 120 h 0.62`."""
    return "RMSE / persistence: " + ", ".join(f"{lead} h {share:.3f}" for lead, (share, _) in rmse.items())
