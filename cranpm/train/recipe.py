"""What a training run is made of: one YAML file, read strictly, checked against the region's split of years."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Literal

from cranpm.config import nearest, read_config
from cranpm.data.days import format_days, parse_days
from cranpm.errors import CranpmError
from cranpm.grid import coarse_grid, fine_grid
from cranpm.model.config import CONFIGS, ModelConfig
from cranpm.region import Region, Window, load_region
from cranpm.train.loader import Sampling
from cranpm.train.objective import Weights
from cranpm.verify.fit import MIN_DAYS

FOLDER = Path(__file__).parent / "configs"


@dataclass(frozen=True)
class Corner:
    """The north-west corner of a grid: its first node (coarse) or its outer edge (fine), degrees."""

    north: float
    west: float


@dataclass(frozen=True)
class Place:
    """Where a window lies; its sizes are the model's coarse shape and `Simulated.fine_size`."""

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
class Simulated:
    """Days of the sample world to train on, made on demand.

    Attributes:
        world_seed: which sample world.
        fine_size: side of the fine windows, pixels.
        windows: the places, by name.
        train, validate: the days.
    """

    world_seed: int
    fine_size: int
    windows: dict[str, Place]
    train: tuple[Past, ...]
    validate: tuple[Past, ...]

    def others(self, mine: Past) -> tuple[Past, ...]:
        """What the past of some days may be fitted on: training days of their window, none of them these very days."""
        days = {*mine.dates}
        return tuple(
            past
            for past in self.train
            if past.window == mine.window and (past.realisation != mine.realisation or days.isdisjoint(past.dates))
        )


@dataclass(frozen=True)
class Schedule:
    """How the optimiser runs.

    Attributes:
        length: of the run, in units.
        learning_rate, final_learning_rate: of AdamW, after the warm-up and at the end of the cosine.
        warm_up: units of linear warm-up.
        weight_decay: of weight matrices; biases, norms, tables, alpha and beta have none.
        clip: largest global norm of the gradient.
        validate: units between validations.
        save: steps between the saved states that a killed run goes on from; each validation saves too.
        unit: what length, warm_up and validate count: steps of the optimiser, or epochs (`Recipe.steps_per_epoch`).
        average: decay of a running average of the weights, which then is what is validated and kept; 0 for none.
        patience: validations without an improvement after which the run stops; never without.
    """

    length: int
    learning_rate: float
    final_learning_rate: float
    warm_up: int
    weight_decay: float
    clip: float
    validate: int
    save: int
    unit: Literal["step", "epoch"] = "step"
    average: float = 0.0
    patience: int | None = None

    def in_steps(self, per_epoch: int) -> Schedule:
        """The same schedule counted in steps."""
        if self.unit == "step":
            return self
        lengths = {name: getattr(self, name) * per_epoch for name in ("length", "warm_up", "validate")}
        return replace(self, unit="step", **lengths)


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
        batch: what a step is made of.
        objective: weights of the terms of eq. 6.
        schedule, validation: see there.
        simulated: days of the sample world; without, a prepared store is trained on, in the pack's years.
    """

    name: str
    region: str
    model: str
    leads: tuple[int, ...]
    batch: Sampling
    objective: Weights
    schedule: Schedule
    validation: Validation
    simulated: Simulated | None = None

    @property
    def config(self) -> ModelConfig:
        """The model's configuration."""
        return CONFIGS[self.model]

    @property
    def tiles_per_step(self) -> int:
        """The effective batch: tiles of one optimiser step on all devices together."""
        return self.batch.groups * self.batch.days * self.batch.tiles_per_day

    def steps_per_epoch(self, days: int, tiles: int) -> int:
        """Steps that draw as many tiles as there are: every land tile of every day once, with one lead."""
        return max(days * tiles // self.tiles_per_step, 1)

    def window(self, name: str, overlap: int) -> Window:
        """One of the simulated windows as grids; its coarse shape is the model's."""
        assert self.simulated is not None
        place, (height, width) = self.simulated.windows[name], self.config.coarse_shape
        coarse = coarse_grid(place.coarse.north, place.coarse.west, height, width)
        side = self.simulated.fine_size
        return Window(coarse, fine_grid(place.fine.north, place.fine.west, side, side), overlap)


def recipe_path(name_or_path: str, *, quick: bool = False, folder: Path = FOLDER) -> Path:
    """The file of a recipe given by path, or by its name in a folder; its quick variant has `-quick` before the suffix.

    Raises:
        CranpmError: there is no such recipe, or it has no quick variant.
    """
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = folder / f"{name_or_path}.yaml"
    if not path.is_file():
        names = sorted(file.stem for file in folder.glob("*.yaml") if not file.stem.endswith("-quick"))
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
    if unknown := [lead for lead in recipe.leads if lead not in (1, 2, 3)]:
        raise CranpmError(f"{path}: lead {unknown[0]}: leads 1, 2 and 3 can be trained")
    if not recipe.leads or len(set(recipe.leads)) < len(recipe.leads):
        raise CranpmError(f"{path}: leads {list(recipe.leads)}: one or more, each once")
    shares = recipe.batch.lead_shares
    if len(shares) != len(recipe.leads) or min(shares) < 0 or sum(shares) <= 0:
        raise CranpmError(f"{path}: batch.lead_shares {list(shares)}: one share for each of {list(recipe.leads)}")
    check_steps(path, recipe.batch, recipe.objective, recipe.schedule, recipe.validation, recipe.config.tile)
    if recipe.simulated is not None:
        _check_simulated(path, recipe.simulated, region)
        if recipe.config.reads_past:
            _check_others(path, recipe.model, recipe.simulated)
    return recipe, region


def recipe_hash(path: Path) -> str:
    """SHA-256 of a recipe's text, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_steps(
    path: Path, batch: Sampling, terms: Weights, schedule: Schedule, validation: Validation, tile: int | None = None
) -> None:
    """Refuse numbers that no step could be made of.

    Args:
        path: the file, for the error.
        batch, terms, schedule, validation: what it says.
        tile: side of the network's tiles, pixels, where it is known.

    Raises:
        CranpmError: names the number and what is needed.
    """
    for name, value, low, high in (
        *((f"batch.{name}", getattr(batch, name), 1, None) for name in ("groups", "days", "tiles_per_day")),
        ("batch.align", batch.align, 1, tile),
        ("batch.at_once", batch.at_once or batch.tiles_per_day, 1, None),
        ("batch.hotspot_ratio", batch.hotspot_ratio, 0, 1),
        *((f"objective.{name}", getattr(terms, name), 0, None) for name in ("pixel", "frequency", "station", "high")),
        *((f"schedule.{name}", getattr(schedule, name), 1, None) for name in ("length", "validate", "save")),
        ("schedule.warm_up", schedule.warm_up, 0, schedule.length),
        ("schedule.average", schedule.average, 0, 0.999999),
        ("schedule.patience", 1 if schedule.patience is None else schedule.patience, 1, None),
        ("validation.every", validation.every, 1, None),
        ("validation.tiles", validation.tiles, 1, None),
    ):
        if value < low or (high is not None and value > high):
            wanted = f"at least {low}" if high is None else f"{low} to {high}"
            raise CranpmError(f"{path}: {name} {value:g}: {wanted} is needed")
    for name in ("learning_rate", "final_learning_rate", "clip"):
        if not getattr(schedule, name) > 0:
            raise CranpmError(f"{path}: schedule.{name} {getattr(schedule, name):g}: more than 0 is needed")


def _check_simulated(path: Path, simulated: Simulated, region: Region) -> None:
    for role, pasts, years in (
        ("train", simulated.train, region.split.train),
        ("validate", simulated.validate, region.split.validate),
    ):
        if not pasts:
            raise CranpmError(f"{path}: '{role}' is empty")
        for past in pasts:
            _check_past(path, role, past, simulated, years)


def _check_others(path: Path, model: str, simulated: Simulated) -> None:
    """Refuse entries of which no past is known: they would be found only after all days are simulated."""
    for past in (*simulated.train, *simulated.validate):
        found = sum(len(other.dates) for other in simulated.others(past))
        if found < MIN_DAYS:
            raise CranpmError(
                f"{path}: '{model}' reads what was fitted on the past, and window '{past.window}' has {found} training "
                f"days beside realisation {past.realisation}'s {past.days} to fit on, at least {MIN_DAYS} are needed: "
                "add another year of the window under 'train'"
            )
        days = [day for other in simulated.others(past) for day in other.dates]
        if len(set(days)) < len(days):
            raise CranpmError(
                f"{path}: '{model}' reads what was fitted on the past, and window '{past.window}' has training days of "
                "one date in two realisations, which no past has: give its entries different years"
            )


def _check_past(path: Path, role: str, past: Past, simulated: Simulated, years: tuple[int, ...]) -> None:
    if past.window not in simulated.windows:
        raise CranpmError(f"{path}: {role}: window '{past.window}': {nearest(past.window, list(simulated.windows))}")
    other = [day for day in past.dates if day.year not in years]
    if other:
        raise CranpmError(
            f"{path}: {role}: {format_days(other)} lies outside the years the pack sets aside for it "
            f"({', '.join(map(str, years))}); scores on other years would not be honest"
        )
