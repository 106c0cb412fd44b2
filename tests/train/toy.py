"""A world with one law, for tests of training: PM2.5 rises by three times what the coarse fields share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from functools import cached_property
from pathlib import Path

import numpy as np

from cranpm.data.dataset import Examples, HeldStore, statistics_of
from cranpm.data.layout import StationTable
from cranpm.data.progress import silent
from cranpm.grid import coarse_grid, fine_grid
from cranpm.model.checkpoint import Checkpoint
from cranpm.model.config import ModelConfig
from cranpm.region import load_region
from cranpm.train.days import Days
from cranpm.train.interruption import Interruption
from cranpm.train.keeper import RESUME, Event, Keeper
from cranpm.train.loader import Sampling
from cranpm.train.module import Training
from cranpm.train.objective import Weights
from cranpm.train.place import Place
from cranpm.train.recipe import Recipe, Schedule, Validation
from cranpm.train.session import make_trainer
from cranpm.variables import COARSE
from tests.model.examples import TINY

CONFIG = replace(TINY, tile=32, coarse_shape=(16, 20), dropout=0.0, drop_path=0.0)
FIRST = date(2017, 3, 1)
STATIONS = StationTable(
    id=("A", "B", "C", "D", "E"), name=("a", "b", "c", "d", "e"), kind=("urban",) * 5,
    latitude=(44.955, 44.8031, 44.72, 44.5612, 44.4), longitude=(20.255, 20.4144, 20.3333, 20.65, 20.7111),
    elevation=(100.0,) * 5,
)  # fmt: skip


class ToyStore:
    """What `HeldStore` reads of a store; its stations are right except for one value in ten, which is missing."""

    region, simulated, overlap = "toyland", True, 8

    def __init__(self, seed: int = 0, days: int = 40) -> None:
        self.coarse, self.fine = coarse_grid(46.0, 19.0, 16, 20), fine_grid(45.0, 20.0, 64, 72)
        self.land = np.ones(self.fine.shape, bool)
        self.land[:, :20] = False
        self.days = [FIRST + timedelta(days=k) for k in range(days)]
        rng = np.random.default_rng(seed)
        self.wind = rng.normal(0, 2, days).astype(np.float32)
        self.fields = rng.normal(0, 1, (days, len(COARSE), *self.coarse.shape)).astype(np.float32)
        self.fields += self.wind[:, None, None, None]
        level = 60 + np.cumsum(3 * np.concatenate([[0.0], self.wind[:-1]]))
        pattern = 5 * np.sin(np.arange(72) / 9.0) + rng.normal(0, 1, (days, *self.fine.shape))
        self.maps = np.round(np.clip(level, 5, None)[:, None, None] + pattern, 1).astype(np.float32)
        self.maps[:, ~self.land] = np.nan
        self.maps[rng.random(self.maps.shape) < 0.02] = np.nan
        self.measured = (level[:, None] + rng.normal(0, 1, (days, len(STATIONS)))).astype(np.float32)
        self.measured[rng.random(self.measured.shape) < 0.1] = np.nan
        self.issued = rng.normal(20, 1, (days, 3, len(COARSE), *self.coarse.shape)).astype(np.float32)

    def forecast(self, day: date, lead: int, channels: Sequence[str]) -> np.ndarray:
        return self.issued[self.days.index(day), lead - 1, [list(COARSE).index(name) for name in channels]]

    def stations(self) -> StationTable:
        return STATIONS

    def station_pm(self, day: date) -> np.ndarray:
        return self.measured[self.days.index(day)]

    @cached_property
    def coarse_elevation(self) -> np.ndarray:
        return np.full(self.coarse.shape, 100.0, np.float32)

    @cached_property
    def elevation(self) -> np.ndarray:
        return np.full(self.fine.shape, 120.0, np.float32)

    def coarse_days(self, days: list[date]) -> np.ndarray:
        return self.fields[[self.days.index(day) for day in days]]

    def pm_days(self, days: list[date]) -> np.ndarray:
        return self.maps[[self.days.index(day) for day in days]]


SCHEDULE = Schedule(
    length=6, learning_rate=2e-3, final_learning_rate=1e-5, warm_up=2, weight_decay=0.05, clip=1.0,
    validate=2, save=1, average=0.9, patience=9,
)  # fmt: skip
BATCH = Sampling(groups=1, days=2, tiles_per_day=3, lead_shares=(1.0, 1.0))


@dataclass(frozen=True)
class ToyRecipe(Recipe):
    """A recipe whose network is smaller than any registered one."""

    @property
    def config(self) -> ModelConfig:
        return CONFIG


class ToyDays(Days):
    """The toy world's days: course 0 to train on, and one to validate on."""

    course, count = 1, 40

    def prepare_data(self) -> None:
        pass

    def setup(self, stage: str) -> None:
        self.train, self.held_out = (examples(seed, days=self.count) for seed in (0, self.course))
        self.statistics = statistics_of(self.train.stores)


def recipe(schedule: Schedule = SCHEDULE, batch: Sampling = BATCH, objective: Weights | None = None) -> Recipe:
    objective = objective or Weights()
    return ToyRecipe("toy", "europe", "small", (1, 2), batch, objective, schedule, Validation(every=9, tiles=1))


def held(seed: int = 0, days: int = 40, issued: Sequence[str] = ()) -> HeldStore:
    store = ToyStore(seed, days)
    return HeldStore(store, store.days, issued)  # type: ignore[arg-type]


def examples(seed: int = 0, *, leads: tuple[int, ...] = (1, 2), days: int = 40) -> Examples:
    return Examples([held(seed, days)], CONFIG, leads)


@dataclass
class Run:
    """A training run in the toy world; `fit` runs it.

    Attributes:
        folder: the run's folder.
        recipe, seed: what is trained.
        place: on which devices.
        held_out: the course that is validated on.
        days: how many days there are.
        workers: reading processes.
        told: what the keeper told.
    """

    folder: Path
    recipe: Recipe = field(default_factory=recipe)
    seed: int = 0
    place: Place = field(default_factory=lambda: Place("cpu"))
    held_out: int = 1
    days: int = 40
    workers: int = 0
    told: list[Event] = field(default_factory=list)
    interruption: Interruption = field(default_factory=Interruption)

    def fit(self, *, resume: bool = False, tell: Callable[[Event], None] | None = None) -> Training:
        """Train; `tell` hears each event, after `told` has it."""

        def note(event: Event) -> None:
            self.told.append(event)
            if tell:
                tell(event)

        self.folder.mkdir(parents=True, exist_ok=True)
        days = ToyDays(
            self.recipe, load_region("europe"), seed=self.seed, data=None, cache=self.folder, folder=self.folder,
            workers=self.workers, tell=silent,
        )  # fmt: skip
        days.course, days.count = self.held_out, self.days
        self.keeper = Keeper(self.folder, self.describe, note, half=False, interruption=self.interruption)
        self.module = Training(self.recipe, seed=self.seed, key="toy")
        state = self.folder / RESUME if resume else None
        trainer = make_trainer(self.place, self.folder, self.keeper, half=False)
        trainer.fit(self.module, days, ckpt_path=state, weights_only=True)
        return self.module

    def describe(self, days: Days) -> Checkpoint:
        return Checkpoint("toy", CONFIG, days.statistics, (1, 2), "toyland", True, {"seed": self.seed})
