"""An adapter from a base and local days: the run, its folder, and what is written when it has ended.

OUT/       the adapter (peft's two files, cranpm.json, and baselines.nc where the base reads the past),
           or with --full a checkpoint
OUT.run/   steps.jsonl, history.json, the fits of the past, and resume.ckpt until the run ends
"""

from __future__ import annotations

import json
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from lightning.pytorch import LightningModule, Trainer

from cranpm import __version__
from cranpm.adapt.local_data import LocalData
from cranpm.adapt.local_days import LocalDays
from cranpm.adapt.lora import attach, trainable_by_part, write_peft_files
from cranpm.adapt.merge import merged_network
from cranpm.adapt.settings import Adaptation
from cranpm.data.days import format_days
from cranpm.data.progress import Progress
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.folders import swap_folder, whole_folder, write_whole
from cranpm.model.adapter import BASELINES, Adapter, read_adapter, write_manifest
from cranpm.model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from cranpm.model.network import CranPM
from cranpm.train.days import Days
from cranpm.train.detail import detail_shares
from cranpm.train.keeper import Event, Keeper
from cranpm.train.module import Training
from cranpm.train.session import Plan
from cranpm.train.validation import validate

if TYPE_CHECKING:
    from peft import PeftModel

BEST, ZERO_SHOT = "best", "zero-shot.json"
DRAWS = 100
"""Tiles for each lead behind the detail shares: held-out days are few."""


@dataclass(kw_only=True)
class Adapting(Plan):
    """A run that adapts a base to local days; what is not said here is as in `Plan`.

    Attributes:
        recipe: with the base and the settings.
        local: the days.
        baselines: what was fitted on other days than these, or None.
        out: where the adapter goes; `folder` is the run's, beside it.
    """

    local: LocalDays
    baselines: Path | None
    out: Path

    @property
    def adaptation(self) -> Adaptation:
        """The recipe, as what it is."""
        assert isinstance(self.recipe, Adaptation)
        return self.recipe

    @property
    def base(self) -> Checkpoint:
        """Where the run begins."""
        return self.adaptation.base

    @property
    def key(self) -> str:
        """What must agree for a run to be resumed."""
        kind = "full" if self.adaptation.full else "adapter"
        return f"settings {self.recipe_sha256[:12]}, base {self.base.hash[:12]}, {kind}, seed {self.seed}"

    def prepare_folder(self, *, resume: bool) -> None:
        """As `Plan.prepare_folder`; the adapter's place must be free, too.

        Raises:
            CranpmError: see there.
        """
        if self.first and self.out.exists():
            raise CranpmError(f"{self.out}: is there already; give another place with --out, or move it away")
        super().prepare_folder(resume=resume)
        if self.first and not resume:
            for left in (*self.folder.glob("past-fold-*.nc"), self.folder / BASELINES, self.folder / ZERO_SHOT):
                left.unlink(missing_ok=True)
            shutil.rmtree(self.folder / BEST, ignore_errors=True)

    def make_days(self, prepared: Progress) -> LocalData:
        """The local days."""
        assert self.data is not None
        return LocalData(
            self.adaptation, self.region, local=self.local, seed=self.seed, data=self.data, baselines=self.baselines,
            folder=self.folder, workers=self.workers, tell=prepared,
        )  # fmt: skip

    def make_keeper(self, tell: Callable[[Event], None] | None) -> Keeper:
        """Keeps the best adapter, or the best weights."""
        say = tell or (lambda event: None)
        return AdapterKeeper(self, say)

    def make_module(self) -> Training:
        """The base, with what is trained of it."""
        return Adapted(self.adaptation, seed=self.seed, key=self.key)

    def described(self, days: Days) -> Checkpoint:
        """The base, fine-tuned, before any score."""
        provenance: dict[str, object] = {
            "command": self.command,
            "base": self.base.name,
            "base_hash": self.base.hash,
            "adapted": {"region": self.region.name, **self.days_used},
            "settings_sha256": self.recipe_sha256,
            "seed": self.seed,
            "store": Path(str(self.data)).name,
            "python": platform.python_version(),
            "versions": {"cranpm": __version__, **{name: version(name) for name in ("torch", "peft", "numpy")}},
        }
        return replace(self.base, name=self.out.name, simulated=self.simulated, provenance=provenance)

    def finish(self, days: Days) -> None:
        """Put what did best on the held-out days in its place, scored, with its own shares of detail.

        Nothing is put there by a run that was stopped; --resume goes on with it.
        """
        best = self.folder / BEST
        if self.adaptation.full:
            checkpoint = read_checkpoint(best)
            network = checkpoint.network()
            shares = detail_shares(network, days.held_out, self.seed, DRAWS)
            write_checkpoint(best, replace(checkpoint, detail=shares), network)
        else:
            adapter = read_adapter(best)
            network = merged_network(adapter, self.base)
            shares = detail_shares(network, days.held_out, self.seed, DRAWS)
            found = validate(network, days.held_out, self.recipe.validation, half=self.half).rmse()
            kept = {"validation_rmse": {str(lead): model for lead, (model, _) in found.items()}}  # at its strength
            write_manifest(best, replace(adapter, detail=shares, scores={**adapter.scores, **kept}))
        swap_folder(best, self.out)

    @property
    def simulated(self) -> bool:
        """Whether base or days are of the sample world."""
        assert self.data is not None
        return self.base.simulated or Store.open(self.data, self.region.given).simulated

    @property
    def days_used(self) -> dict[str, str]:
        """The local days as text."""
        return {"train": format_days(self.local.train), "validate": format_days(self.local.held_out)}


class Adapted(Training):
    """The base's network; an adapter's updates in it are trained, or with `full` everything."""

    wrapped: tuple[PeftModel, ...] = ()  # in a tuple, or the network would be registered twice

    def make_network(self, days: Days) -> CranPM:
        """The base, with what is not trained frozen."""
        recipe = self.recipe
        assert isinstance(recipe, Adaptation)
        network = recipe.base.network()
        if not recipe.full:
            self.wrapped = (attach(network, recipe.settings.lora, recipe.settings.parts, self.seed),)
        self.strict_loading = False  # a saved state holds what is trained
        return network.train()

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW; parts that are trained whole take the smaller steps of full fine-tuning."""
        optimiser = super().configure_optimizers()
        recipe = self.recipe
        assert isinstance(recipe, Adaptation)
        if not recipe.full:
            updates = {id(p) for name, p in self.network.named_parameters() if ".lora_" in name}
            for group in list(optimiser.param_groups):
                whole = [p for p in group["params"] if id(p) not in updates]
                group["params"] = [p for p in group["params"] if id(p) in updates]
                optimiser.add_param_group({**group, "params": whole, "share": recipe.settings.share})
        return optimiser

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]  # torch's overloads
        """What is trained: the base stays where it is, unchanged."""
        trained = {name for name, parameter in self.named_parameters() if parameter.requires_grad}
        trained |= {f"average.{name.removeprefix('network.')}" for name in trained}
        return {name: value for name, value in super().state_dict(*args, **kwargs).items() if name in trained}


class AdapterKeeper(Keeper):
    """Scores the base first, and keeps the adapter that does best on the held-out days.

    Args:
        plan: the run.
        tell: called with what happened.
    """

    def __init__(self, plan: Adapting, tell: Callable[[Event], None]) -> None:
        super().__init__(plan.folder, plan.described, tell, half=plan.half, interruption=plan.interruption)
        self.plan = plan

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Score the base on the held-out days, once."""
        super().on_train_start(trainer, pl_module)
        path = self.folder / ZERO_SHOT
        if trainer.is_global_zero and not path.exists():
            assert isinstance(pl_module, Training)
            before = validate(pl_module.network, self.held_out, pl_module.recipe.validation, half=self.half).rmse()
            write_whole(path, json.dumps({str(lead): list(pair) for lead, pair in before.items()}).encode())

    def keep(self, module: Training, about: Checkpoint, *, best: bool) -> None:
        """Write the best so far."""
        if not best:
            return
        scores = json.loads((self.folder / ZERO_SHOT).read_text(encoding="utf-8"))
        zero_shot = {lead: pair[0] for lead, pair in scores.items()}
        about = replace(about, provenance={**about.provenance, "validation_rmse_zero_shot": zero_shot})
        if self.plan.adaptation.full:
            write_checkpoint(self.folder / BEST, about, module.validated)
            return
        assert isinstance(module, Adapted)
        with whole_folder(self.folder / BEST) as new:
            self._write_adapter(new, about, module)

    def _write_adapter(self, folder: Path, about: Checkpoint, module: Adapted) -> None:
        plan, config = self.plan, about.config
        strength = plan.adaptation.settings.strength
        write_peft_files(folder, module.wrapped[0], module.validated, plan.base.network(), strength)
        if (plan.folder / BASELINES).is_file():
            shutil.copyfile(plan.folder / BASELINES, folder / BASELINES)
        scored = ("step", "validation_rmse", "validation_rmse_persistence", "validation_rmse_zero_shot")
        elsewhere = (*scored, "base", "base_hash", "adapted")  # keys of the manifest's own
        write_manifest(
            folder,
            Adapter(
                name=plan.out.name,
                base=plan.base.name,
                base_hash=plan.base.hash,
                region=plan.region.name,
                channels=config.channels,
                maps=config.maps,
                leads=plan.recipe.leads,
                days=plan.days_used,
                simulated=plan.simulated,
                scores={name: about.provenance[name] for name in scored},
                licence=about.licence,
                provenance={k: v for k, v in about.provenance.items() if k not in elsewhere},
                detail=about.detail,
            ),
        )


def trained_numbers(recipe: Adaptation) -> tuple[dict[str, int], int]:
    """Numbers that are trained by part, and all numbers of the base."""
    network = recipe.base.network()
    total = sum(parameter.numel() for parameter in network.parameters())
    if not recipe.full:
        attach(network, recipe.settings.lora, recipe.settings.parts, seed=0)
    return trainable_by_part(network), total
