"""How a network of DeepCAMS is trained: one YAML file, read strictly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cranpm.composition.deepcams.config import (
    SpatialConfig,
    TemporalConfig,
    spatial_config,
    temporal_config,
)
from cranpm.composition.deepcams.degrade import Degradation
from cranpm.composition.deepcams.objective import Objective
from cranpm.composition.deepcams.truth import Course, Place
from cranpm.config import read_config
from cranpm.errors import CranpmError
from cranpm.train.recipe import Schedule, recipe_path

FOLDER = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class Drawing:
    """What a step is made of.

    Attributes:
        examples: of a step.
        patch: side of the coarse patches, pixels; 0 for whole maps.
        reverse: how often time runs backwards (temporal network).
        every: keep each n-th hour of the maps (spatial network), so that years fit in memory.
        flip: whether maps are mirrored at random. A mirrored Earth turns the other way: without, the temporal network
            can learn that day breaks in the east.
    """

    examples: int
    patch: int
    reverse: float = 0.0
    every: int = 1
    flip: bool = True


@dataclass(frozen=True)
class Years:
    """Years of a folder of GEOS-CF files: to train on, to validate on."""

    train: tuple[int, ...]
    validate: tuple[int, ...]


@dataclass(frozen=True)
class Simulated:
    """Days of the sample world: where, which course's days to train on, which to validate on."""

    world_seed: int
    place: Place
    train: tuple[Course, ...]
    validate: tuple[Course, ...]


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Attributes:
        name: what the run is called.
        task: "time" trains the temporal network on maps degraded to 0.75 degrees, "space" the spatial one.
        model: name of the configuration.
        scale: ug m-3 that become 1.
        degradation: from 0.25 to 0.75 degrees, see `degrade`.
        batch: what a step is made of.
        schedule: as in `cranpm train`, in steps.
        validate_every: each n-th map (space) or interval of a day (time) is validated on.
        objective: of the temporal network.
        simulated: days of the sample world; or
        years: of the files named with --data.
    """

    name: str
    task: Literal["time", "space"]
    model: str
    scale: float
    degradation: Literal["area", "imresize"]
    batch: Drawing
    schedule: Schedule
    validate_every: int = 1
    objective: Objective = Objective()  # noqa: RUF009 - frozen
    simulated: Simulated | None = None
    years: Years | None = None

    @property
    def config(self) -> TemporalConfig | SpatialConfig:
        """The network's shape."""
        return spatial_config(self.model) if self.task == "space" else temporal_config(self.model)

    @property
    def how(self) -> Degradation:
        """The degradation."""
        return self.degradation


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
    if (recipe.simulated is None) == (recipe.years is None):
        raise CranpmError(f"{path}: 'simulated' or 'years' is needed, and not both")
    for name, value, low in (
        ("scale", recipe.scale, 1e-9),
        ("batch.examples", recipe.batch.examples, 1),
        ("batch.patch", recipe.batch.patch, 0),
        ("batch.every", recipe.batch.every, 1),
        ("validate_every", recipe.validate_every, 1),
        *((f"schedule.{name}", getattr(recipe.schedule, name), 1) for name in ("length", "validate", "save")),
    ):
        if value < low:
            raise CranpmError(f"{path}: {name} {value:g}: at least {low:g} is needed")
    if recipe.schedule.unit != "step":
        raise CranpmError(f"{path}: schedule.unit '{recipe.schedule.unit}': steps are counted here")
    if recipe.task == "time" and recipe.batch.every > 1:
        raise CranpmError(f"{path}: batch.every {recipe.batch.every}: the temporal network needs every hour")
    _ = recipe.config
    if recipe.simulated is not None:
        place, roles = recipe.simulated.place, (recipe.simulated.train, recipe.simulated.validate)
        if place.height % 3 or place.width % 3:
            raise CranpmError(f"{path}: place of {place.height} x {place.width} points: multiples of 3 are needed")
        if not all(roles):
            raise CranpmError(f"{path}: 'train' and 'validate' need days")
        known = {(course.realisation, day) for course in roles[0] for day in course.dates}
        if known & {(course.realisation, day) for course in roles[1] for day in course.dates}:
            raise CranpmError(f"{path}: days of 'validate' are among those of 'train'")
