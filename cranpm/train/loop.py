"""The training loop in its simple form: one process, one device, exact resume, the best weights kept.

What a step sees depends on the seed and the step alone, so a run that was killed goes on as if it had not been.
"""

from __future__ import annotations

import copy
import json
import math
import shutil
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cranpm.data.dataset import Batch, Examples
from cranpm.errors import CranpmError
from cranpm.model.checkpoint import Checkpoint, write_checkpoint
from cranpm.model.network import CranPM
from cranpm.train.objective import land_mse
from cranpm.train.recipe import Recipe, Schedule
from cranpm.train.validation import validate

RESUME, HISTORY, CHECKPOINT = "resume.pt", "history.json", "checkpoint"


@dataclass(frozen=True)
class Stepped:
    """A step was made: its number, the steps in all, the mean loss since the last report."""

    step: int
    total: int
    loss: float


@dataclass(frozen=True)
class Validated:
    """The averaged weights were validated: RMSE of model and persistence by lead, and whether they are the best."""

    step: int
    rmse: dict[int, tuple[float, float]]
    best: bool


Event = Stepped | Validated


@dataclass
class Progress:
    """Where a run stands, apart from its tensors."""

    step: int = 0
    seconds: float = 0.0
    best_ratio: float = math.inf
    best_step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)

    @property
    def since_best(self) -> int:
        """Validations since the best one."""
        return sum(entry["step"] > self.best_step for entry in self.history)


class Trainer:
    """A run in its folder: `checkpoint/` (the best so far), `history.json` and, until it ends, `resume.pt`.

    Args:
        recipe: what to do.
        about: what the checkpoint is to say; the scores are added to its provenance.
        folder: the run's folder.
        key: what must agree to resume a run, e.g. the recipe's hash and the seed.
        seed: of the weights, the examples and the dropout.
        device: where to run.
    """

    def __init__(
        self, recipe: Recipe, about: Checkpoint, folder: Path, *, key: str, seed: int, device: torch.device
    ) -> None:
        self.recipe, self.about, self.folder, self.key, self.seed = recipe, about, folder, key, seed
        self.device, self.half = device, bfloat16_pays(device)
        torch.manual_seed(seed)
        self.network = CranPM(about.config, about.statistics).to(device)
        self.average = copy.deepcopy(self.network).eval().requires_grad_(False)
        self.optimiser = make_optimiser(self.network, recipe.schedule)
        self.progress = Progress()

    def run(self, train: Examples, held_out: Examples) -> Iterator[Event]:
        """Train until the steps are done or patience ends; the best weights lie in `checkpoint/` then."""
        schedule, began = self.recipe.schedule, time.monotonic() - self.progress.seconds
        losses: list[float] = []  # since the last validation
        recent: list[float] = []  # for the report
        with ThreadPoolExecutor(1) as ahead:
            following = ahead.submit(self._batch, train, self.progress.step)
            while self.progress.step < schedule.steps and self.progress.since_best < schedule.patience:
                batch = following.result()
                following = ahead.submit(self._batch, train, self.progress.step + 1)
                losses.append(self._step(batch.to(self.device)))
                recent = [*recent[-19:], losses[-1]]
                self.progress.step += 1
                self.progress.seconds = time.monotonic() - began
                if self.progress.step % schedule.validate == 0 or self.progress.step == schedule.steps:
                    yield self._validate(held_out, float(np.mean(losses)))
                    losses = []
                    self.save()
                yield Stepped(self.progress.step, schedule.steps, float(np.mean(recent)))
        (self.folder / RESUME).unlink(missing_ok=True)

    def save(self) -> None:
        """Write what a resumed run needs, in one rename."""
        state = {
            "key": self.key,
            "progress": vars(self.progress) | {"history": json.dumps(self.progress.history)},
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        draft = self.folder / f".{RESUME}.partial"
        torch.save(state, draft)
        draft.replace(self.folder / RESUME)

    def resume(self) -> None:
        """Go on where the run in this folder stopped.

        Raises:
            CranpmError: there is nothing to resume, or it is another recipe's or seed's.
        """
        path = self.folder / RESUME
        if not path.is_file():
            raise CranpmError(f"{self.folder}: no unfinished run there; leave --resume out to start one")
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["key"] != self.key:
            raise CranpmError(
                f"{self.folder}: its run has another recipe or seed ({state['key']}, this one is {self.key}); "
                "give another --out, or the recipe and seed it began with"
            )
        progress = state["progress"]
        self.progress = Progress(**progress | {"history": json.loads(progress["history"])})
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])

    def _batch(self, examples: Examples, step: int) -> Batch:
        """The examples of a step: the same for the same seed and step, whatever came before."""
        rng = np.random.default_rng([self.seed, step])
        schedule = self.recipe.schedule
        return examples.batch(examples.draw(rng, schedule.days, schedule.tiles, schedule.lead_shares))

    def _step(self, batch: Batch) -> float:
        """One optimiser step; each day is encoded once and its gradient comes from all its tiles."""
        schedule, step = self.recipe.schedule, self.progress.step
        torch.manual_seed(self.seed * 1_000_003 + step)
        self.network.train()
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(schedule, step)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.half):
            residual = self.network.forward_tiles(self.network.encode_day(*batch.day), *batch.tiles)
        loss = land_mse(residual.float(), batch.pm[:, 0], batch.target, batch.valid)
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), schedule.clip)
        self.optimiser.step()
        self._follow(min(schedule.average, (1 + step) / (10 + step)))
        return float(loss.detach())

    def _follow(self, decay: float) -> None:
        """Move the averaged weights towards the present ones."""
        with torch.no_grad():
            for averaged, present in zip(self.average.parameters(), self.network.parameters(), strict=True):
                averaged.lerp_(present, 1.0 - decay)

    def _validate(self, held_out: Examples, loss: float) -> Validated:
        scores = validate(self.average, held_out, self.recipe.validation, half=self.half)
        progress, rmse = self.progress, scores.rmse()
        best = scores.ratio < progress.best_ratio
        if best:
            progress.best_ratio, progress.best_step = scores.ratio, progress.step
        entry = {"step": progress.step, "loss": loss, "rmse": {str(k): [*pair] for k, pair in rmse.items()}}
        progress.history.append({**entry, "seconds": round(progress.seconds, 1)})
        if best:
            figures = {"step": progress.step, "validation_rmse": {str(k): pair[0] for k, pair in rmse.items()}}
            figures["validation_rmse_persistence"] = {str(k): pair[1] for k, pair in rmse.items()}
            about = {**vars(self.about), "provenance": {**self.about.provenance, **figures}}
            write_checkpoint(self.folder / CHECKPOINT, Checkpoint(**about), self.average)
        draft = self.folder / f".{HISTORY}.partial"
        draft.write_text(json.dumps(progress.history, indent=1) + "\n", encoding="utf-8")
        draft.replace(self.folder / HISTORY)
        return Validated(progress.step, rmse, best)


def learning_rate(schedule: Schedule, step: int) -> float:
    """Linear warm-up, then a cosine to the final rate."""
    if step < schedule.warm_up:
        return schedule.learning_rate * (step + 1) / schedule.warm_up
    done = (step - schedule.warm_up) / max(schedule.steps - schedule.warm_up, 1)
    wave = 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))
    return schedule.final_learning_rate + (schedule.learning_rate - schedule.final_learning_rate) * wave


def make_optimiser(network: CranPM, schedule: Schedule) -> torch.optim.AdamW:
    """AdamW; only the matrices and kernels decay, not biases, norms, tables, alpha and beta."""
    kept = ("table", "lead")
    decayed: list[Tensor] = []
    free: list[Tensor] = []
    for name, parameter in network.named_parameters():
        matrix = parameter.ndim > 1 and not any(part in kept for part in name.split("."))
        (decayed if matrix else free).append(parameter)
    groups = [{"params": decayed, "weight_decay": schedule.weight_decay}, {"params": free, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=schedule.learning_rate, betas=(0.9, 0.98))


def bfloat16_pays(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 faster than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def clear(folder: Path, files: Sequence[str] = (RESUME, HISTORY)) -> None:
    """Remove what an earlier run left in a folder."""
    for name in files:
        (folder / name).unlink(missing_ok=True)
    shutil.rmtree(folder / CHECKPOINT, ignore_errors=True)
