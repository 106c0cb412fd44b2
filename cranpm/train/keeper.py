"""What is done after every step: average, validate, keep the best and the last weights, save what a resumed run needs.

The run's folder holds
    checkpoint/     the weights that validated best          last/          those of the last validation
    steps.jsonl     the terms of the objective, per step     history.json   the scores, per validation
    resume.ckpt     Lightning's state, until the run ends
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from cranpm.data.dataset import Examples
from cranpm.folders import write_whole
from cranpm.model.checkpoint import Checkpoint, write_checkpoint
from cranpm.train.detail import detail_shares
from cranpm.train.interruption import Interruption
from cranpm.train.module import Trained, Training
from cranpm.train.validation import Scores, validate

if TYPE_CHECKING:
    from cranpm.train.days import Days

CHECKPOINT, LAST, STEPS, HISTORY, RESUME = "checkpoint", "last", "steps.jsonl", "history.json", "resume.ckpt"


Rmse = dict[int, tuple[float, float]]
"""RMSE of the model and of what it must beat, by lead."""


@dataclass(frozen=True)
class Stepped:
    """A step was made: its number, the steps in all, what `Training.last` says of it."""

    step: int
    total: int
    terms: dict[str, float]


@dataclass(frozen=True)
class Validating:
    """So many of the days are validated."""

    done: int
    total: int


@dataclass(frozen=True)
class Validated:
    """The weights were validated: RMSE of model and persistence by lead, and whether they are the best."""

    step: int
    rmse: Rmse
    best: bool


Event = Stepped | Validating | Validated


class Keeper(Callback):
    """See the module.

    Args:
        folder: the run's folder.
        describe: from the days, what the checkpoints are to say; the scores are added to its provenance.
        tell: called with what happened, on the first device only.
        half: whether the network is validated in bfloat16.
        interruption: whether somebody asked the run to stop.
    """

    about: Checkpoint
    held_out: Examples

    def __init__(
        self, folder: Path, describe: Callable[[Days], Checkpoint], tell: Callable[[Event], None], *,
        half: bool, interruption: Interruption,
    ) -> None:  # fmt: skip
        self.folder, self.describe, self.tell, self.half = folder, describe, tell, half
        self.interruption = interruption
        self.history: list[dict[str, Any]] = []
        self.best_ratio, self.best_step = math.inf, 0
        self.seconds, self._began = 0.0, time.monotonic()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen for signals, and forget what a killed run wrote down after its last saved state."""
        days: Days = trainer.datamodule  # type: ignore[attr-defined]
        self.held_out, self.about = days.held_out, self.describe(days)
        self.interruption.listen()
        self._began = time.monotonic() - self.seconds
        if trainer.is_global_zero:
            self._shorten(trainer.global_step)
        if not (self.folder / RESUME).exists():  # so that whatever is killed from now on can go on
            self._save(trainer)
        if not self._patient(pl_module):
            trainer.should_stop = True

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: object, batch: object, batch_idx: int
    ) -> None:
        """All of it, in one order, so that a saved state is always that of a finished step."""
        assert isinstance(pl_module, Trained)
        step, schedule = trainer.global_step, pl_module.schedule
        pl_module.follow(step - 1)
        self.seconds = time.monotonic() - self._began
        if trainer.is_global_zero:
            self._write_step(step, pl_module.last)
        self._tell(trainer, Stepped(step, schedule.length, pl_module.last))
        due = step % schedule.validate == 0 or step == schedule.length
        if due:
            self._validate(trainer, pl_module, step)
        stop = trainer.strategy.reduce_boolean_decision(self.interruption.asked, all=False)
        if due or stop or step % schedule.save == 0:
            self._save(trainer)
        if stop or not self._patient(pl_module):
            trainer.should_stop = True
        if stop and step < schedule.length:
            self.interruption.stopped_at = step

    def keep(self, module: Training, about: Checkpoint, *, best: bool) -> None:
        """Write the weights that were validated."""
        about = replace(about, detail=detail_shares(module.validated, self.held_out, module.seed))
        for name in (CHECKPOINT, LAST) if best else (LAST,):
            write_checkpoint(self.folder / name, about, module.validated)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run goes on with."""
        kept = {"best_ratio": self.best_ratio, "best_step": self.best_step, "seconds": self.seconds}
        return {**kept, "history": json.dumps(self.history)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.best_ratio, self.best_step = state_dict["best_ratio"], state_dict["best_step"]
        self.seconds, self.history = state_dict["seconds"], json.loads(state_dict["history"])

    def _save(self, trainer: Trainer) -> None:
        """Write the state beside the last one, then put it in its place."""
        part = self.folder / f".{RESUME}.part"
        trainer.save_checkpoint(part)
        if trainer.is_global_zero:
            part.replace(self.folder / RESUME)
        trainer.strategy.barrier()

    def _patient(self, module: LightningModule) -> bool:
        assert isinstance(module, Trained)
        patience = module.schedule.patience
        return patience is None or self._since_best() < patience

    def _validate(self, trainer: Trainer, module: Trained, step: int) -> None:
        assert isinstance(module, Training)
        scores = self._scores(trainer, module)
        rmse = scores.rmse()

        def keep(best: bool) -> None:
            self.keep(module, self._described(step, rmse), best=best)

        figures = {"rmse": {str(lead): [*pair] for lead, pair in rmse.items()}}
        self._record(trainer, Validated(step, rmse, scores.ratio < self.best_ratio), scores.ratio, figures, keep)

    def _record(
        self, trainer: Trainer, found: Validated, ratio: float, figures: Mapping[str, Any], keep: Callable[[bool], None]
    ) -> None:
        """Note what a validation found: in the history, with its figures, and, through `keep`, as weights."""
        if found.best:
            self.best_ratio, self.best_step = ratio, found.step
        entry = {"step": found.step, "loss": self._mean_loss(found.step), **figures}
        self.history.append({**entry, "seconds": round(self.seconds, 1)})
        if not trainer.is_global_zero:
            return
        keep(found.best)
        write_whole(self.folder / HISTORY, (json.dumps(self.history, indent=1) + "\n").encode())
        self._tell(trainer, found)

    def _scores(self, trainer: Trainer, module: Training) -> Scores:
        mine = validate(
            module.validated, self.held_out, module.recipe.validation, half=self.half,
            rank=trainer.global_rank, ranks=trainer.world_size,
            tell=lambda done, total: self._tell(trainer, Validating(done, total)),
        )  # fmt: skip

        def reduce(rows: Tensor) -> Tensor:
            return trainer.strategy.reduce(rows.to(module.device), reduce_op="sum").cpu()

        return mine.over_devices(self.held_out.leads, reduce)

    def _described(self, step: int, rmse: dict[int, tuple[float, float]]) -> Checkpoint:
        figures = {"step": step, "validation_rmse": {str(k): pair[0] for k, pair in rmse.items()}}
        figures["validation_rmse_persistence"] = {str(k): pair[1] for k, pair in rmse.items()}
        return replace(self.about, provenance={**self.about.provenance, **figures})

    def _tell(self, trainer: Trainer, event: Event) -> None:
        if trainer.is_global_zero:
            self.tell(event)

    def _since_best(self) -> int:
        """Validations since the best one."""
        return sum(entry["step"] > self.best_step for entry in self.history)

    def _write_step(self, step: int, terms: dict[str, float]) -> None:
        with (self.folder / STEPS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"step": step, **terms, "seconds": round(self.seconds, 2)}) + "\n")

    def _mean_loss(self, step: int) -> float:
        """Mean loss of the steps since the validation before this one."""
        before = self.history[-1]["step"] if self.history else 0
        losses = [entry["loss"] for entry in read_steps(self.folder) if before < entry["step"] <= step]
        return sum(losses) / max(len(losses), 1)

    def _shorten(self, step: int) -> None:
        """Keep the lines of the steps up to the one the run goes on from."""
        lines = [json.dumps(entry) for entry in read_steps(self.folder) if entry["step"] <= step]
        write_whole(self.folder / STEPS, "".join(f"{line}\n" for line in lines).encode())


def read_steps(folder: Path) -> list[dict[str, float]]:
    """The lines of `steps.jsonl`; a last one that a killed run left half written is dropped."""
    path = folder / STEPS
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True) if path.exists() else []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def saved_key(path: Path) -> str:
    """Whose state a resume file holds; nothing in it is unpickled.

    Raises:
        OSError, RuntimeError: it is not there or not such a file.
    """
    return str(torch.load(path, map_location="cpu", weights_only=True, mmap=True)["key"])
