"""What a training run is made of: one YAML file, read strictly, checked against the region's split of years."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from cranpm.config import nearest, read_config
from cranpm.data.days import format_days, parse_days
from cranpm.errors import CranpmError
from cranpm.grid import coarse_grid, fine_grid
from cranpm.model.config import CONFIGS, ModelConfig
from cranpm.region import Region, Window, load_region

FOLDER = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class Corner:
    """The north-west corner of a grid: its first node (coarse) or its outer edge (fine), degrees."""

    north: float
    west: float


@dataclass(frozen=True)
class Place:
    """Where a window lies; its sizes are the model's coarse shape and the recipe's `fine_size`."""

    coarse: Corner
    fine: Corner


@dataclass(frozen=True)
class Past:
    """Simulated days of one window in one realisation.

    Attributes:
        window: name of a window of the recipe.
        realisation: which course of weather and emissions.
        days: as `cranpm.data.days.parse_days` reads them, e.g. "2017" or "2021-01..2021-03".
    """

    window: str
    realisation: int
    days: str

    @property
    def dates(self) -> tuple[date, ...]:
        """The days, in order."""
        return parse_days(self.days)


@dataclass(frozen=True)
class Schedule:
    """How the optimiser runs.

    Attributes:
        steps: optimiser steps.
        days: days per step, drawn at random; each is encoded once.
        tiles: tiles per day, at random places, each with a random lead.
        lead_shares: how often each of the recipe's leads is drawn, in their order.
        learning_rate, final_learning_rate: of AdamW, after the warm-up and at the end of the cosine.
        warm_up: steps of linear warm-up.
        weight_decay: of weight matrices; biases, norms, tables, alpha and beta have none.
        clip: largest global norm of the gradient.
        average: decay of the running average of the weights, which is what is validated and kept.
        validate: steps between validations.
        patience: validations without an improvement after which the run stops.
    """

    steps: int
    days: int
    tiles: int
    lead_shares: tuple[float, ...]
    learning_rate: float
    final_learning_rate: float
    warm_up: int
    weight_decay: float
    clip: float
    average: float
    validate: int
    patience: int


@dataclass(frozen=True)
class Validation:
    """What a validation looks at: every n-th day, so many tiles of each, all leads."""

    every: int
    tiles: int


@dataclass(frozen=True)
class Recipe:
    """A training run.

    Attributes:
        name: what the run is called.
        region: the pack whose world it is trained on.
        model: name of the configuration.
        leads: days ahead that are trained.
        world_seed: which sample world.
        fine_size: side of the fine windows, pixels.
        windows: the places, by name.
        train, validate: the days.
        schedule, validation: see there.
    """

    name: str
    region: str
    model: str
    leads: tuple[int, ...]
    world_seed: int
    fine_size: int
    windows: dict[str, Place]
    train: tuple[Past, ...]
    validate: tuple[Past, ...]
    schedule: Schedule
    validation: Validation

    @property
    def config(self) -> ModelConfig:
        """The model's configuration."""
        return CONFIGS[self.model]

    def window(self, name: str, overlap: int) -> Window:
        """One of the recipe's windows as grids."""
        place, (height, width) = self.windows[name], self.config.coarse_shape
        coarse = coarse_grid(place.coarse.north, place.coarse.west, height, width)
        fine = fine_grid(place.fine.north, place.fine.west, self.fine_size, self.fine_size)
        return Window(coarse, fine, overlap)


def recipe_path(name_or_path: str, *, quick: bool = False) -> Path:
    """The file of a recipe given by name or path; its quick variant has `-quick` before the suffix.

    Raises:
        CranpmError: there is no such recipe, or it has no quick variant.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = FOLDER / f"{name_or_path}.yaml"
    if not path.is_file():
        names = sorted(file.stem for file in FOLDER.glob("*.yaml") if not file.stem.endswith("-quick"))
        raise CranpmError(f"no recipe '{name_or_path}' ({nearest(name_or_path, names)}); your own is given by its path")
    if not quick:
        return path
    variant = path.with_name(f"{path.stem}-quick{path.suffix}")
    if not variant.is_file():
        raise CranpmError(f"{path}: no quick variant ({variant.name} is not beside it); leave --quick out")
    return variant


def read_recipe(path: Path) -> tuple[Recipe, Region]:
    """A recipe and its region.

    Raises:
        CranpmError: the file does not fit the schema, or trains on years that are not for training.
    """
    recipe = read_config(path, Recipe)
    if recipe.model not in CONFIGS:
        raise CranpmError(f"{path}: model '{recipe.model}': {nearest(recipe.model, list(CONFIGS))}")
    region = load_region(recipe.region)
    for role, pasts, years in (
        ("train", recipe.train, region.split.train),
        ("validate", recipe.validate, region.split.validate),
    ):
        if not pasts:
            raise CranpmError(f"{path}: '{role}' is empty")
        for past in pasts:
            _check_past(path, role, past, recipe, years)
    if unknown := [lead for lead in recipe.leads if lead not in (1, 2, 3)]:
        raise CranpmError(f"{path}: lead {unknown[0]}: leads 1, 2 and 3 can be trained")
    shares = recipe.schedule.lead_shares
    if len(shares) != len(recipe.leads) or min(shares) < 0 or sum(shares) <= 0:
        raise CranpmError(f"{path}: schedule.lead_shares {list(shares)}: one share for each of {list(recipe.leads)}")
    return recipe, region


def recipe_hash(path: Path) -> str:
    """SHA-256 of a recipe's text, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _check_past(path: Path, role: str, past: Past, recipe: Recipe, years: tuple[int, ...]) -> None:
    if past.window not in recipe.windows:
        raise CranpmError(f"{path}: {role}: window '{past.window}': {nearest(past.window, list(recipe.windows))}")
    other = [day for day in past.dates if day.year not in years]
    if other:
        raise CranpmError(
            f"{path}: {role}: {format_days(other)} lies outside the years the pack sets aside for it "
            f"({', '.join(map(str, years))}); scores on other years would not be honest"
        )
