"""The engine that runs the network with torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cranpm.errors import CranpmError
from cranpm.forecast.engine import engine_spec
from cranpm.forecast.inputs import DayInputs, TileInputs
from cranpm.model.adapter import check_base
from cranpm.model.adapter_tensors import merged

if TYPE_CHECKING:
    from cranpm.model.adapter import Adapter
    from cranpm.model.checkpoint import Checkpoint
    from cranpm.model.network import CranPM


class TorchEngine:
    """Runs a checkpoint's network in evaluation mode, without gradients.

    The day state depends on its inputs alone: it is computed once for them and handed out again, for every lead
    where the inputs hold no forecasts. An adapter is merged into the network while it is worn; what it covers is kept.
    """

    def __init__(self, checkpoint: Checkpoint, *, device: str = "auto", network: CranPM | None = None) -> None:
        """Take a checkpoint's network, or one of the same shape that is given in its place."""
        self._checkpoint = checkpoint
        self._device = pick_device(device)
        self._network = (network or checkpoint.network()).eval().to(self._device)
        self._state: tuple[DayInputs, Tensor] | None = None
        self._covered: dict[str, Tensor] = {}  # tensors of the base where an adapter lies over them
        self.spec = engine_spec(checkpoint, str(self._device))

    def wear(self, adapter: Adapter | None) -> None:
        """Put an adapter on the base in the place of one that is worn; None takes it off.

        Taking it off restores the base bit for bit. Day states made before are of no use after.

        Raises:
            CranpmError: the adapter is of another base, or does not fit it; then nothing changes.
        """
        state = self._network.state_dict()
        base = state | self._covered
        changed = {}
        if adapter is not None:
            check_base(adapter, self._checkpoint)
            changed = merged(adapter, {name: tensor.cpu().numpy() for name, tensor in base.items()})
        with torch.no_grad():
            for name, tensor in self._covered.items():
                state[name].copy_(tensor)
            self._covered = {name: state[name].clone() for name in changed}
            for name, values in changed.items():
                state[name].copy_(torch.from_numpy(values))
        self._state = None
        self.spec = engine_spec(self._checkpoint, str(self._device), adapter)

    def encode_day(self, day: DayInputs, lead: int) -> Tensor:
        """Global tokens of a day, shape (1, K, D); the same for every lead."""
        if self._state is None or self._state[0] is not day:
            with torch.inference_mode():
                coarse, elevation = self._tensor(day.coarse)[None], self._tensor(day.elevation)[None]
                self._state = day, self._network.encode_day(coarse, elevation)
        return self._state[1]

    def forecast_tiles(self, state: object, tiles: TileInputs, lead: int) -> NDArray[np.float32]:
        """Residuals in normalised units, shape (B, S, S)."""
        if not isinstance(state, Tensor):
            raise TypeError("the day state must come from this engine's encode_day")
        fields = (tiles.pm, tiles.elevation, tiles.lats, tiles.lons, tiles.wind, tiles.queries, tiles.keys)
        pm, elevation, lats, lons, wind, queries, keys = (self._tensor(field) for field in fields)
        leads = torch.full((len(tiles.pm),), lead, dtype=torch.long, device=self._device)
        with torch.inference_mode():
            residual = self._network.forward_tiles(state, pm, elevation, lats, lons, wind, queries, keys, leads)
        return residual.float().cpu().numpy()

    def _tensor(self, values: NDArray) -> Tensor:
        return torch.from_numpy(np.array(values, dtype=np.float32)).to(self._device)


def pick_device(name: str) -> torch.device:
    """The device asked for; "auto" takes the GPU where there is one.

    Raises:
        CranpmError: the device is not here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name not in ("cpu", "cuda"):
        raise CranpmError(f"device '{name}' unknown: choose auto, cpu or cuda")
    if name == "cuda" and not torch.cuda.is_available():
        raise CranpmError("device 'cuda': torch finds no GPU here; choose --device cpu or auto")
    return torch.device(name)
