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
from cranpm.train.recipe import Recipe, Schedule, Validation, check_steps

DEFAULT = Path(__file__).parent / "configs" / "default.yaml"
Target = Literal["attention", "mlp"]
Part = Literal["decoder", "embeddings"]
PARTS: tuple[Part, ...] = ("decoder", "embeddings")


@dataclass(frozen=True)
class Lora:
    """The low-rank updates W + (alpha / rank) B A (Hu et al. 2021).

    Attributes:
        rank, alpha: see the formula.
        dropout: of their input during training.
        targets: which linear layers of both branches and of the bridge have one.
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
class Settings:
    """The file.

    Attributes:
        lora: what is added.
        parts: what is trained whole besides.
        blocks: how the local days are divided.
        batch, objective, schedule, validation: as in a recipe; the schedule's learning rates are those of the updates.
        whole_rate: highest learning rate of what is trained whole, and of fine-tuning everything.
        strength: how much of what was learned is kept, 0 to 1: the rest of the way from the base is taken back
            (Wortsman et al. 2022). One year's days are more or less polluted than usual, and a whole step overshoots.
    """

    lora: Lora
    parts: tuple[Part, ...]
    blocks: Blocks
    batch: Sampling
    objective: Weights
    schedule: Schedule
    whole_rate: float
    validation: Validation
    strength: float

    @property
    def share(self) -> float:
        """Learning rate of what is trained whole over that of the updates."""
        return self.whole_rate / self.schedule.learning_rate


@dataclass(frozen=True, kw_only=True)
class Adaptation(Recipe):
    """A run that begins with a base's weights.

    Attributes:
        base: where it begins.
        settings: the file it was made of.
        full: whether everything is trained, instead of an adapter.
    """

    base: Checkpoint
    settings: Settings
    full: bool

    @property
    def config(self) -> ModelConfig:
        """The base's configuration."""
        return self.base.config


def read_settings(path: Path) -> Settings:
    """Read the file.

    Raises:
        CranpmError: it does not fit the schema, or a value cannot be used.
    """
    settings = read_config(path, Settings)
    lora, blocks = settings.lora, settings.blocks
    check_steps(path, settings.batch, settings.objective, settings.schedule, settings.validation)
    for name, value, holds, wanted in (
        ("lora.rank", lora.rank, lora.rank >= 1, "at least 1"),
        ("lora.alpha", lora.alpha, lora.alpha > 0, "more than 0"),
        ("lora.dropout", lora.dropout, 0 <= lora.dropout < 1, "0 to below 1"),
        ("lora.targets", list(lora.targets), bool(lora.targets), "attention, mlp or both"),
        ("blocks.train", blocks.train, blocks.train >= 5, "at least 5"),
        ("blocks.held_out", blocks.held_out, blocks.held_out >= 5, "at least 5"),
        ("whole_rate", settings.whole_rate, settings.whole_rate > 0, "more than 0"),
        ("strength", settings.strength, 0 < settings.strength <= 1, "more than 0, up to 1"),
    ):
        if not holds:
            raise CranpmError(f"{path}: {name} {value}: {wanted} is needed")
    return settings


def settings_hash(path: Path) -> str:
    """SHA-256 of the file's text, hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def adaptation(name: str, region: str, base: Checkpoint, settings: Settings, *, full: bool) -> Adaptation:
    """The run that the settings ask for, on all leads that the base was trained for."""
    leads, batch, schedule = base.trained_leads or base.config.leads, settings.batch, settings.schedule
    if len(batch.lead_shares) != len(leads):  # a base of other leads: all alike
        batch = replace(batch, lead_shares=(1.0,) * len(leads))
    if full:
        final = schedule.final_learning_rate * settings.share
        schedule = replace(schedule, learning_rate=settings.whole_rate, final_learning_rate=final)
    return Adaptation(
        name=name,
        region=region,
        model=base.config.name,
        leads=leads,
        batch=batch,
        objective=settings.objective,
        schedule=schedule,
        validation=settings.validation,
        base=base,
        settings=settings,
        full=full,
    )
