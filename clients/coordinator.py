"""A coordinator: its plan, its public days, and the run of all rounds over whatever grid carries the messages."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cranpm.adapt.settings import Adaptation, adaptation, read_settings
from cranpm.clients.book import ROUNDS, Book, Line
from cranpm.clients.desk import Desk
from cranpm.clients.federation import SETTINGS, Public, read_federation
from cranpm.clients.message import Order, Tensors
from cranpm.clients.peft_config import peft_config
from cranpm.clients.running import check_run
from cranpm.clients.training import put_tensors, read_tensors, with_adapter
from cranpm.data.dataset import Examples, HeldStore
from cranpm.data.days import parse_days
from cranpm.data.lock import locked
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.model.registry import load
from cranpm.region import Region, load_region
from cranpm.train.optimiser import bfloat16_pays
from cranpm.train.validation import validate
from cranpm.variables import FORECAST_CHANNELS
from cranpm.verify.baselines import Fitted, read_fitted
from cranpm.verify.fitting import find_fitted

if TYPE_CHECKING:
    from flwr.serverapp import Grid


def nothing(line: Line) -> None:
    """Tell nobody."""


class Coordinator:
    """The coordinator's side of a federation.

    Args:
        folder: with `federation.yaml`; the book is kept there.
        tell: called with every round's line.

    Raises:
        CranpmError: the file, the base or the public days cannot serve.
    """

    def __init__(self, folder: Path, tell: Callable[[Line], None] = nothing) -> None:
        self.folder, self.tell = folder, tell
        self.plan = read_federation(folder)
        self.book = Book(folder)

    @cached_property
    def recipe(self) -> Adaptation:
        """The base and the settings of all."""
        settings = read_settings(self._path(self.plan.settings) if self.plan.settings else SETTINGS)
        base = str(self._path(Path(self.plan.base))) if "/" in self.plan.base else self.plan.base
        return adaptation("federated", "federation", load(base), settings, full=False)

    @cached_property
    def desk(self) -> Desk:
        """Checks and the book."""
        plan, base = self.plan, self.recipe.base
        order = Order(
            1, plan.rounds, plan.steps, plan.personal, plan.method, plan.proximal if plan.method == "fedprox" else 0.0,
            plan.seed, base.hash, self.recipe.settings.lora.rank,
        )  # fmt: skip
        simulated = base.simulated or any(store.simulated for store, _ in self._public)
        return Desk(plan, order, self.book, peft_config(self.recipe), self.judge, simulated, self.tell)

    def run(self, grid: Grid, names: Mapping[int, str], *, resume: bool) -> dict[str, Any]:
        """All rounds that are not done, and the closing exchange.

        Args:
            grid: carries messages.
            names: of the nodes, as they were admitted.
            resume: go on with the book; without, there must be none.

        Returns:
            What the agencies told after the last round, by name.

        Raises:
            CranpmError: there is a book and nobody said to go on with it, or none to go on with; a run is under way.
        """
        from cranpm.clients.closing import close_federation
        from cranpm.clients.records import to_arrays
        from cranpm.clients.strategy import make_strategy

        with locked(self.folder / ROUNDS, wait=False):  # two runs would write one book
            check_run(self.folder, resume=resume)
            self.desk.names = names
            torch.manual_seed(self.plan.seed)
            done = self.desk.open_book(read_tensors(self._network))
            strategy = make_strategy(self.plan.robust, self.desk, done)
            if done < self.plan.rounds:
                strategy.start(
                    grid, to_arrays(self.desk.present), num_rounds=self.plan.rounds - done, timeout=self.plan.timeout
                )
            return close_federation(self, grid)

    def judge(self, tensors: Tensors) -> float | None:
        """RMSE over persistence's on the public days, mean over leads and stores; None without public days."""
        if not self._public:
            return None
        put_tensors(self._network, tensors)
        half = bfloat16_pays(torch.device("cpu"))
        ratios = [
            validate(self._network, examples, self.recipe.validation, half=half).ratio for _, examples in self._public
        ]
        return float(np.mean(ratios))

    @cached_property
    def _network(self) -> Any:
        return with_adapter(self.recipe, self.plan.seed)

    @cached_property
    def _public(self) -> list[tuple[Store, Examples]]:
        config, leads = self.recipe.config, self.recipe.leads
        issued = [name.removesuffix("_f") for name in config.channels if name in FORECAST_CHANNELS]
        out = []
        for public in self.plan.public:
            region = load_region(public.region)
            store = Store.open(self._path(public.data), region.given)
            days = parse_days(public.days)
            held = HeldStore(store, days, issued)
            if config.reads_past:
                fitted = self._past(public, region, store)
                held.pasts = dict.fromkeys(days, fitted) if fitted is not None else {}
            out.append((store, Examples([held], config, leads)))
        return out

    def _past(self, public: Public, region: Region, store: Store) -> Fitted | None:
        """What the base reads of the past on public days: the file named, else the pack's where it serves."""
        if public.baselines is None:
            return find_fitted(region, store)[0]
        path = self._path(public.baselines)
        fitted = read_fitted(path)
        if problem := fitted.mismatch(store.fine, store.coarse, "sample" if store.simulated else "real"):
            raise CranpmError(f"{path}: {problem}; name what was fitted for the public store, or leave baselines out")
        return fitted

    def _path(self, path: Path) -> Path:
        return path if path.is_absolute() else self.folder / path


def last_order(coordinator: Coordinator) -> Order:
    """The order of the closing exchange."""
    return replace(coordinator.desk.order, round=coordinator.plan.rounds)
