"""How a coupling network is trained: one YAML file of stages, read strictly."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cranpm.composition.coupling.config import STEPS, CouplingConfig, coupling_config, with_species
from cranpm.composition.coupling.series import Area, Course
from cranpm.config import read_config
from cranpm.errors import CranpmError
from cranpm.train.recipe import Schedule, recipe_path

FOLDER = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class Stage:
    """A part of the run: which view of the composition is learned, how far ahead, how fast.

    Attributes:
        view: the reanalysis to begin with, the analysis in the end; each has scales (eq. 11) of its own.
        length: steps of the optimiser.
        rollout: forecast steps of 12 h that the loss sees.
        examples: forecasts of a step of the optimiser.
        learning_rate, final_learning_rate: after the warm-up and at the end of the cosine.
        warm_up: steps.
    """

    view: Literal["reanalysis", "analysis"]
    length: int
    rollout: int
    examples: int
    learning_rate: float
    final_learning_rate: float
    warm_up: int = 0


@dataclass(frozen=True)
class Simulated:
    """Days of the sample world: where, and which days' reanalysis and analysis to train on, which to validate on."""

    world_seed: int
    area: Area
    reanalysis: tuple[Course, ...]
    analysis: tuple[Course, ...]
    validate: tuple[Course, ...]


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Attributes:
        name: what the run is called.
        model: name of the configuration.
        stages: in order.
        weight_decay, clip, average: as in `cranpm train`.
        validate, save: steps between validations and between saved states.
        validate_every: each n-th day that could be validated on is.
        simulated: where the days come from.
        fusion: another one than the configuration's, for ablations.
        species: others than the configuration's.
        bases: "measured" takes for each species the base that was better on the days to train on (section 3.4);
            "named" takes the configuration's.
    """

    name: str
    model: str
    stages: tuple[Stage, ...]
    weight_decay: float
    clip: float
    average: float
    validate: int
    save: int
    validate_every: int
    simulated: Simulated
    fusion: Literal["bilinear", "concat", "none"] | None = None
    species: tuple[str, ...] | None = None
    bases: Literal["measured", "named"] = "measured"

    @property
    def config(self) -> CouplingConfig:
        """The network's shape, before bases are measured."""
        found = coupling_config(self.model)
        found = with_species(found, self.species) if self.species else found
        return replace(found, fusion=self.fusion) if self.fusion else found

    @property
    def schedule(self) -> Schedule:
        """All stages as one run; the learning rate is the stages' own."""
        return Schedule(
            length=sum(stage.length for stage in self.stages), learning_rate=self.stages[0].learning_rate,
            final_learning_rate=self.stages[-1].final_learning_rate, warm_up=self.stages[0].warm_up,
            weight_decay=self.weight_decay, clip=self.clip, validate=self.validate, save=self.save,
            average=self.average,
        )  # fmt: skip

    def stage(self, step: int) -> tuple[Stage, int]:
        """The stage of a step of the optimiser, and the step's number in it."""
        for stage in self.stages:
            if step < stage.length:
                return stage, step
            step -= stage.length
        return self.stages[-1], self.stages[-1].length + step

    def learning_rate(self, step: int) -> float:
        """That of a step of the optimiser: warm-up and cosine of its stage."""
        from cranpm.train.optimiser import learning_rate

        stage, number = self.stage(step)
        own = replace(
            self.schedule, length=stage.length, warm_up=stage.warm_up, learning_rate=stage.learning_rate,
            final_learning_rate=stage.final_learning_rate,
        )  # fmt: skip
        return learning_rate(own, number)


def find_recipe(name_or_path: str) -> tuple[Recipe, Path]:
    """A recipe by name or path, and its file.

    Raises:
        CranpmError: there is no such recipe, or it does not fit the schema.
    """
    path = recipe_path(name_or_path, folder=FOLDER)
    recipe = read_config(path, Recipe)
    _check(path, recipe)
    return recipe, path


def _check(path: Path, recipe: Recipe) -> None:
    if not recipe.stages:
        raise CranpmError(f"{path}: no stages; at least one is needed")
    for number, stage in enumerate(recipe.stages):
        if not 1 <= stage.rollout <= STEPS:
            raise CranpmError(f"{path}: stages[{number}].rollout {stage.rollout}: 1 to {STEPS} is needed")
        for name in ("length", "examples"):
            if getattr(stage, name) < 1:
                raise CranpmError(f"{path}: stages[{number}].{name} {getattr(stage, name)}: at least 1 is needed")
        if not stage.learning_rate > 0:
            raise CranpmError(f"{path}: stages[{number}].learning_rate {stage.learning_rate:g}: more than 0 is needed")
        if not getattr(recipe.simulated, stage.view):
            raise CranpmError(f"{path}: stages[{number}] learns the {stage.view}, of which 'simulated' has no days")
    for name in ("validate", "save", "validate_every"):
        if getattr(recipe, name) < 1:
            raise CranpmError(f"{path}: {name} {getattr(recipe, name)}: at least 1 is needed")
    _ = recipe.config
    simulated = recipe.simulated
    if not simulated.validate:
        raise CranpmError(f"{path}: 'validate' needs days")
    known = {(c.realisation, day) for c in (*simulated.reanalysis, *simulated.analysis) for day in c.dates}
    if known & {(c.realisation, day) for c in simulated.validate for day in c.dates}:
        raise CranpmError(f"{path}: days of 'validate' are among those to train on")
