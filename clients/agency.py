"""An agency: its store, its days, and what it does in a round. It runs where the data are, and only there.

FOLDER/agency.yaml    which pack, store, base and settings
FOLDER/kept/…/        tensors that never leave, one file a round (FedSA-LoRA); a folder for each federation
FOLDER/past/…/        what was fitted on the local past; a folder for each choice of days
FOLDER/alone/, adapter/, choice.json, before_after.png    of the closing exchange (`personal.py`)
"""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import time
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cranpm.adapt.local_data import LocalData
from cranpm.adapt.local_days import choose_days
from cranpm.adapt.settings import Adaptation, adaptation, read_settings
from cranpm.clients.agency_name import check_name
from cranpm.clients.federation import SETTINGS
from cranpm.clients.message import Order, Reply, Tensors, four_digits, in_months
from cranpm.clients.method import is_trained, sent_part
from cranpm.clients.share import Shares, share
from cranpm.clients.tensors import read_file, write_file
from cranpm.clients.training import Stretch, put_tensors, read_tensors, train, with_adapter
from cranpm.config import read_config
from cranpm.data.dataset import Draw, Examples
from cranpm.data.days import format_days, parse_days
from cranpm.data.progress import Progress, silent
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.model.network import CranPM
from cranpm.model.registry import load
from cranpm.region import load_region
from cranpm.train.optimiser import bfloat16_pays
from cranpm.train.validation import Scores, validate

FILE = "agency.yaml"


@dataclass(frozen=True)
class AgencyFile:
    """The file; paths are relative to its folder.

    Attributes:
        name: what the coordinator calls the agency.
        region: pack, by name or path.
        data: the prepared store.
        base: registered model or checkpoint folder.
        settings: rank, targets, batch; the package's own without.
        days: the local days; without, those outside the pack's test years.
        baselines: a past fitted on other years than the local days.
        tell_scores: whether the coordinator hears the four scores after the last round.
    """

    name: str
    region: str
    data: Path
    base: str
    settings: Path | None = None
    days: str | None = None
    baselines: Path | None = None
    tell_scores: bool = True


@dataclass(frozen=True)
class Score:
    """RMSE over some days, mean over leads, ug m-3: of a network and of persistence.

    Attributes:
        rmse, persistence: see above.
        daily: the network's mean squared error on each of the days, ug2 m-6.
    """

    rmse: float
    persistence: float
    daily: tuple[float, ...]


class Agency:
    """An agency's side of a federation.

    Args:
        folder: with `agency.yaml`.
        tell: called with how far preparations are.

    Raises:
        CranpmError: the file, the base or the store cannot serve.
    """

    def __init__(self, folder: Path, tell: Progress = silent) -> None:
        self.folder, self.tell = folder, tell
        self.file = read_config(folder / FILE, AgencyFile)
        check_name(self.file.name)
        self.region = load_region(self.file.region)
        self.store = Store.open(self._path(self.file.data), self.region.given)
        if self.store.region != self.region.name:
            raise CranpmError(
                f"{folder / FILE}: data is a store of '{self.store.region}', region is '{self.region.name}': "
                "give the store of that pack"
            )

    @cached_property
    def recipe(self) -> Adaptation:
        """The base and how it is trained."""
        settings = read_settings(self._path(self.file.settings) if self.file.settings else SETTINGS)
        base = self._path(Path(self.file.base)) if "/" in self.file.base else self.file.base
        return adaptation(f"{self.file.name}-federated", self.region.name, load(str(base)), settings, full=False)

    @cached_property
    def shares(self) -> Shares:
        """The local days."""
        asked = parse_days(self.file.days) if self.file.days else ()
        chosen = choose_days(self.store.days, self.region, None, asked)
        return share(chosen, self.recipe.settings.blocks, self.recipe.leads)

    @cached_property
    def data(self) -> LocalData:
        """Examples to train on and to choose by."""
        return self._examples(selecting=True)

    @cached_property
    def scoring(self) -> Examples:
        """Examples to score on; opened after the last round only."""
        return self._examples(selecting=False).held_out

    @property
    def past(self) -> Path:
        """Where fits of the local past lie: another choice of days has others."""
        return self.folder / "past" / _digest([str(self.store.path), format_days(self.shares.train)])

    def digest(self, seed: int, steps: int) -> str:
        """Names what comes of a training on the training days: another base, recipe or choice of days has another."""
        recipe = self.recipe
        return _digest([recipe.base.hash, asdict(recipe.settings), self.past.name, seed, steps])

    @property
    def half(self) -> bool:
        """Whether bfloat16 pays here."""
        return bfloat16_pays(torch.device("cpu"))

    def network(self, seed: int) -> CranPM:
        """The base with an adapter attached."""
        return with_adapter(self.recipe, seed)

    def score(self, network: CranPM, examples: Examples) -> Score:
        """RMSE on held-out examples, mean over the leads."""
        validation = self.recipe.validation
        days = len(self.sweep(examples))
        each = [validate(network, examples, validation, half=self.half, rank=day, ranks=days) for day in range(days)]
        found = sum(each, Scores()).rmse().values()
        daily = tuple(sum(day.model.values()) / max(sum(day.pixels.values()), 1) for day in each)
        return Score(float(np.mean([own for own, _ in found])), float(np.mean([still for _, still in found])), daily)

    def sweep(self, examples: Examples) -> list[list[Draw]]:
        """What `score` looks at, day by day."""
        validation = self.recipe.validation
        return list(examples.sweep(every=validation.every, tiles=validation.tiles))

    def answer(self, order: Order, tensors: Tensors) -> Reply:
        """What an agency does in a round: score what came, train on it, answer.

        Raises:
            CranpmError: base or rank of the order are not this agency's, or the training diverged.
        """
        began = time.monotonic()
        rank = self.recipe.settings.lora.rank
        if (order.base_hash, order.rank) != (self.recipe.base.hash, rank):
            raise CranpmError(
                f"the coordinator asks for base {order.base_hash[:12]}… and rank {order.rank}, this agency has "
                f"'{self.recipe.base.name}' ({self.recipe.base.hash[:12]}…) and rank {rank}: agree on both"
            )
        if not all(np.isfinite(values).all() for values in tensors.values()):
            raise CranpmError("the coordinator's adapter is not finite; tell the coordinator")
        network = self.network(order.seed)
        put_tensors(network, {**tensors, **self.kept_before(order)})
        before = self.score(network, self.data.held_out)
        loss = train(
            network, self.data.train, self.recipe,
            Stretch((order.round - 1) * order.steps, order.steps, order.rounds * order.steps), order.seed,
            trained=lambda name: is_trained(order.method, name), proximal=order.proximal, half=self.half,
        )  # fmt: skip
        made = read_tensors(network)
        sent = sent_part(order.method, made)
        self._keep(order, {name: values for name, values in made.items() if name not in sent})
        scalars = {
            "examples": in_months(len(self.shares.train)),
            "steps": order.steps,
            "loss": four_digits(loss),
            "rmse": four_digits(before.rmse),
            "persistence": four_digits(before.persistence),
            "rank": rank,
            "seconds": round(time.monotonic() - began),
            "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        }
        return Reply(sent, scalars, self.recipe.base.hash)

    def kept_before(self, order: Order) -> dict[str, NDArray[np.float32]]:
        """The tensors that stayed here after the latest round before this one; none at first.

        A coordinator that was killed may ask for a round again: what it left here is then written over.
        """
        if order.method != "fedsa-lora":
            return {}
        kept = self._kept(order)
        rounds = [int(path.stem) for path in kept.glob("[0-9]*.safetensors") if int(path.stem) < order.round]
        return read_file(kept / f"{max(rounds):04}.safetensors") if rounds else {}

    def _kept(self, order: Order) -> Path:
        return self.folder / "kept" / _digest({**order.to_config(), "round": 0})

    def _keep(self, order: Order, tensors: Tensors) -> None:
        if order.method != "fedsa-lora":
            return
        if order.round == 1:  # of an earlier federation with the same orders
            shutil.rmtree(self._kept(order), ignore_errors=True)
        write_file(self._kept(order) / f"{order.round:04}.safetensors", tensors)

    def _examples(self, *, selecting: bool) -> LocalData:
        past = self.past
        past.mkdir(parents=True, exist_ok=True)
        baselines = self._path(self.file.baselines) if self.file.baselines else None
        recipe = replace(self.recipe, batch=replace(self.recipe.batch, hotspot_ratio=0.0))
        data = LocalData(
            recipe, self.region, local=self.shares.selecting if selecting else self.shares.scoring, seed=0,
            data=self.store.path, baselines=baselines, folder=past, workers=0, tell=self.tell,
        )  # fmt: skip
        data.prepare_data()
        data.setup("fit")
        return data

    def _path(self, path: Path) -> Path:
        return path if path.is_absolute() else self.folder / path


def _digest(values: object) -> str:
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:12]
