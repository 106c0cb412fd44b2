"""How a base is adapted: one small YAML file, read strictly; and the recipe of a run that it becomes."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cranpm.config import read_config
from cranpm.errors import CranpmError
from cranpm.model.checkpoint import Checkpoint
from cranpm.model.config import ModelConfig
from cranpm.train.loader import Sampling
from cranpm.train.objective import Weights
from cranpm.train.recipe import Recipe, Schedule, Validation

DEFAULT = Path(__file__).parent / "configs" / "default.yaml"
Target = Literal["attention", "mlp", "embedding"]
Part = Literal["output", "decoder", "embeddings"]
PARTS: tuple[Part, ...] = ("output", "decoder", "embeddings")


@dataclass(frozen=True)
class Lora:
    """The low-rank updates W + (alpha / rank) B A (Hu et al. 2021).

    Attributes:
        rank, alpha: see the formula.
        dropout: of their input during training.
        targets: which linear layers of both branches and of the bridge have one: of attention (with the bridge's
            projections), of the MLPs, of the patch embeddings.
    """

    rank: int
    alpha: float
    dropout: float
    targets: tuple[Target, ...]


@dataclass(frozen=True)
class Blocks:
    """How local days are divided: so many to train on, then so many to choose by, over and over."""

    train: int
    held_out: int


@dataclass(frozen=True)
class LearningRates:
    """Highest learning rates of AdamW: of an adapter, and of fine-tuning everything."""

    lora: float
    full: float


@dataclass(frozen=True)
class Steps:
    """As `cranpm.train.recipe.Schedule`, in steps, without the learning rates."""

    length: int
    warm_up: int
    weight_decay: float
    clip: float
    validate: int
    patience: int
    save: int
    average: float


@dataclass(frozen=True)
class Settings:
    """The file.

    Attributes:
        lora: what is added.
        parts: what is trained whole besides.
        blocks: how the local days are divided.
        batch, objective, validation: as in a recipe; without hotspots in the window `hotspot_ratio` does nothing.
        learning_rates, schedule: how the optimiser runs.
        strength: how much of what was learned is kept, 0 to 1: the rest of the way from the base is taken back
            (Wortsman et al. 2022). One year's days are more or less polluted than usual, and a whole step overshoots.
    """

    lora: Lora
    parts: tuple[Part, ...]
    blocks: Blocks
    batch: Sampling
    objective: Weights
    learning_rates: LearningRates
    schedule: Steps
    validation: Validation
    strength: float = 1.0


@dataclass(frozen=True)
class Adaptation(Recipe):
    """A run that begins with a base's weights.

    Attributes:
        base: where it begins.
        settings: the file it was made of.
        full: whether everything is trained, instead of an adapter.
    """

    base: Checkpoint | None = None
    settings: Settings | None = None
    full: bool = False

    @property
    def config(self) -> ModelConfig:
        """The base's configuration."""
        assert self.base is not None
        return self.base.config


def read_settings(path: Path) -> Settings:
    """Read the file.

    Raises:
        CranpmError: it does not fit the schema, or a value cannot be used.
    """
    settings = read_config(path, Settings)
    lora, blocks, schedule, rates = settings.lora, settings.blocks, settings.schedule, settings.learning_rates
    for name, value, low in (
        ("lora.rank", lora.rank, 1),
        ("blocks.train", blocks.train, 5),
        ("blocks.held_out", blocks.held_out, 5),
        ("schedule.length", schedule.length, 1),
        ("schedule.warm_up", schedule.warm_up, 0),
        ("schedule.validate", schedule.validate, 1),
        ("schedule.patience", schedule.patience, 1),
        ("schedule.save", schedule.save, 1),
        ("batch.groups", settings.batch.groups, 1),
        ("batch.days", settings.batch.days, 1),
        ("batch.tiles_per_day", settings.batch.tiles_per_day, 1),
        ("validation.every", settings.validation.every, 1),
        ("validation.tiles", settings.validation.tiles, 1),
    ):
        if value < low:
            raise CranpmError(f"{path}: {name} {value}: at least {low} is needed")
    above_zero = (("lora.alpha", lora.alpha), ("learning_rates.lora", rates.lora), ("learning_rates.full", rates.full))
    for name, rate in (*above_zero, ("schedule.clip", schedule.clip), ("objective.high", settings.objective.high)):
        if not rate > 0:
            raise CranpmError(f"{path}: {name} {rate:g}: more than 0 is needed")
    if not 0 < settings.strength <= 1:
        raise CranpmError(f"{path}: strength {settings.strength:g}: more than 0, up to 1 is needed")
    if not 0 <= schedule.average < 1:
        raise CranpmError(f"{path}: schedule.average {schedule.average:g}: 0 to below 1 is needed")
    if not 0 <= lora.dropout < 1 or not 0 <= settings.batch.hotspot_ratio <= 1:
        raise CranpmError(f"{path}: lora.dropout and batch.hotspot_ratio are shares, below 1 and up to 1")
    if not lora.targets:
        raise CranpmError(f"{path}: lora.targets is empty: some of attention, mlp, embedding are needed")
    return settings


def settings_hash(path: Path) -> str:
    """SHA-256 of the file's text, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def adaptation(name: str, region: str, base: Checkpoint, settings: Settings, *, full: bool) -> Adaptation:
    """The run that the settings ask for, on all leads that the base was trained for.

    An output that only changes today's map has nothing to train: the part is left out for such a base.
    """
    if base.config.output != "scale":
        settings = replace(settings, parts=tuple(part for part in settings.parts if part != "output"))
    leads = base.trained_leads or base.config.leads
    steps, rate = settings.schedule, settings.learning_rates.full if full else settings.learning_rates.lora
    shares = settings.batch.lead_shares
    batch = settings.batch
    if len(shares) != len(leads):  # a base of other leads: all alike
        batch = Sampling(**{**vars(batch), "lead_shares": (1.0,) * len(leads)})
    return Adaptation(
        name=name,
        region=region,
        model=base.config.name,
        leads=leads,
        batch=batch,
        objective=settings.objective,
        schedule=Schedule(
            length=steps.length,
            learning_rate=rate,
            final_learning_rate=rate / 30,
            warm_up=min(steps.warm_up, steps.length),
            weight_decay=steps.weight_decay,
            clip=steps.clip,
            validate=steps.validate,
            save=steps.save,
            patience=steps.patience,
            average=steps.average,
        ),
        validation=settings.validation,
        base=base,
        settings=settings,
        full=full,
    )
