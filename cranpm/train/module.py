"""One optimiser step of the network, as Lightning runs it on one device or on many.

A step is what its seed and its number say: the examples, the dropout and the learning rate depend on nothing else.
So a run that was killed goes on as if it had not been, and its groups may be shared by any number of devices.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn

from cranpm.data.dataset import Batch
from cranpm.errors import CranpmError
from cranpm.model.network import CranPM
from cranpm.train.blend_start import start_from_blend
from cranpm.train.cached_day import run_group
from cranpm.train.objective import counts, loss, sums
from cranpm.train.optimiser import learning_rate, make_optimiser
from cranpm.train.recipe import Recipe, Schedule

if TYPE_CHECKING:
    from lightning.pytorch.core.optimizer import LightningOptimizer

    from cranpm.train.days import Days

N = TypeVar("N", bound=nn.Module)
TERMS = ("pixel", "frequency", "station")
"""The terms of eq. 6, in the order of `cranpm.train.objective.sums`."""


class Trained(LightningModule, Generic[N]):
    """What every trained network shares: its schedule, the running average of its weights, its saved state.

    Args:
        seed: of the weights and the dropout.
        key: what must agree to resume a run; kept in the saved state.

    Attributes:
        schedule: the recipe's in steps, once the data are known.
        last: of the last step: loss, its terms, norm of the gradient, learning rate.
    """

    schedule: Schedule
    network: N
    average: N | None

    def __init__(self, *, seed: int, key: str) -> None:
        super().__init__()
        self.seed, self.key = seed, key
        self.last: dict[str, float] = {}
        self.automatic_optimization = False

    @property
    def validated(self) -> N:
        """What is validated and kept: the averaged weights where there are any."""
        return self.network if self.average is None else self.average

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW over the network."""
        return make_optimiser(self.network, self.schedule)

    def begin_step(self) -> LightningOptimizer:
        """The optimiser at its learning rate of this step, without gradients."""
        optimiser = self.optimizers()
        assert not isinstance(optimiser, list)
        for settings in optimiser.param_groups:
            settings["lr"] = learning_rate(self.schedule, self.trainer.global_step) * settings.get("share", 1.0)
        self.network.zero_grad(set_to_none=True)
        return optimiser

    def follow(self, step: int) -> None:
        """Move the averaged weights towards those after a step."""
        if self.average is None:
            return
        decay = min(self.schedule.average, (1 + step) / (10 + step))
        with torch.no_grad():
            for averaged, present in zip(self.average.parameters(), self.network.parameters(), strict=True):
                averaged.lerp_(present, 1.0 - decay)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Write down whose state this is."""
        checkpoint["key"] = self.key
        checkpoint["days"] = self._days().identity()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse to go on with other days than the run began with.

        Raises:
            CranpmError: what is trained on changed since.
        """
        if checkpoint["days"] != self._days().identity():
            raise CranpmError(
                "the days to train or validate on, their grids or the pack's hotspots changed since this run began; "
                "give the store it began with, or another --out to start again"
            )

    def averaging(self) -> N | None:
        """A copy of the network for the running average, or None where the schedule asks for none."""
        return copy.deepcopy(self.network).eval().requires_grad_(False) if self.schedule.average else None

    def diverged(self, loss: object, norm: Tensor) -> CranpmError:
        """The error of a step whose loss or gradient is not finite."""
        return CranpmError(
            f"step {self.trainer.global_step + 1}: loss {loss}, norm of the gradient {float(norm):g}: not finite, the "
            "run diverged; lower schedule.learning_rate, or lengthen schedule.warm_up. The state before is kept"
        )

    def _days(self) -> Any:
        return self.trainer.datamodule  # type: ignore[attr-defined]


class Training(Trained[CranPM]):
    """The network, the running average of its weights where the recipe asks for one, and their training step.

    Args:
        recipe: what to do.
        seed: of the weights and the dropout.
        key: what must agree to resume a run; kept in the saved state.

    Attributes:
        last: of the last step: loss, each term of eq. 6 (unweighted), norm of the gradient, learning rate.
    """

    weights: Tensor

    def __init__(self, recipe: Recipe, *, seed: int, key: str) -> None:
        super().__init__(seed=seed, key=key)
        self.recipe = recipe  # a step runs backwards several times: see `cached_day`
        weights = recipe.objective
        self.register_buffer("weights", torch.tensor([weights.pixel, weights.frequency, weights.station]), False)

    def configure_model(self) -> None:
        """Make the network, the same for the same seed on every device."""
        days = self._days()
        self.schedule = days.schedule()
        with torch.device("cpu"):
            torch.manual_seed(self.seed)
            self.network = self.make_network(days)
            self.average = self.averaging()

    def make_network(self, days: Days) -> CranPM:
        """The network at the start of the run."""
        network = CranPM(self.recipe.config, days.statistics)
        start_from_blend(network, days.train, self.seed)
        return network

    def training_step(self, groups: list[Batch], index: int) -> None:
        """One optimiser step over this device's groups of the step.

        The loss is that of all tiles of the step on all devices: sums over them divided by counts over them.
        """
        optimiser, step = self.begin_step(), self.trainer.global_step
        counted = self._over_devices(torch.stack([counts(group) for group in groups]).sum(0).to(self.device))
        scale = self.weights / counted.clamp_min(1)
        total = torch.zeros_like(scale)
        for place, group in enumerate(groups):
            torch.manual_seed(self._seed_of(step, place))
            # DDP averages gradients over the devices: times their number, it is the sum.
            closing, found = run_group(
                self.network, group.to(self.device), self._sums, scale * self.trainer.world_size,
                at_once=self.recipe.batch.at_once or self.recipe.batch.tiles_per_day,
            )  # fmt: skip
            total += found
            self._go_back(closing, last=place == len(groups) - 1)
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.schedule.clip)
        total = self._over_devices(total)
        means = total / counted.clamp_min(1)
        if not bool(means.isfinite().all() and norm.isfinite()):
            raise self.diverged(means.tolist(), norm)
        optimiser.step()
        self.last = {
            "loss": float(loss(total, counted, self.recipe.objective)),
            **dict(zip(TERMS, means.tolist(), strict=True)),
            "gradient_norm": float(norm),
            "learning_rate": learning_rate(self.schedule, step),
        }

    def _sums(self, residual: Tensor, part: Batch) -> Tensor:
        return sums(residual, part, self.recipe.objective)

    def _go_back(self, closing: Tensor, *, last: bool) -> None:
        """Backwards outside autocast; DDP exchanges the gradients in the last backward of a step only."""
        with torch.autocast(self.device.type, enabled=False):
            if last:
                self.manual_backward(closing)
            else:
                closing.backward()

    def _seed_of(self, step: int, place: int) -> int:
        """The dropout's seed of this device's group at a place: the same whichever device runs the group."""
        group = self.global_rank + place * self.trainer.world_size
        return (self.seed * 1_000_003 + step) * self.recipe.batch.groups + group

    def _over_devices(self, values: Tensor) -> Tensor:
        return self.trainer.strategy.reduce(values, reduce_op="sum")
