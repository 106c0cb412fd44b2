"""The temporal network (XVFI with one channel): a map at any time between two maps.

From the coarsest level down: flow both ways between the maps (`BiFlow`), reversed to the wanted time (`flow.reverse`),
refined there (`TFlow`), both maps warped along it (eqs. 1 and 2), blended with a mask, and corrected by a residual
(eq. 3). All levels share everything but the two kinds of BiFlow. At inference, levels above 0 only give flow.

The last layers begin at zero: an untrained network *is* linear interpolation in time.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cranpm.composition.deepcams.config import TemporalConfig
from cranpm.composition.deepcams.flow import FLOOR, blend, enlarge, reverse, warp
from cranpm.composition.deepcams.layers import Features, Hourglass, Refinement, started

_LEAST = 0.05  # of the scale: values below it look alike in a logarithm
_CLOSER = 5.0  # brings changes of a tenth in three hours near 1


@dataclass(frozen=True)
class Level:
    """What the network makes of a level: the map at t, and the refined flows from t to both ends."""

    map: Tensor
    to_0: Tensor
    to_1: Tensor


class TemporalNetwork(nn.Module):
    """Two maps and a time between them in, the map of that time out.

    Args:
        config: its shape.
    """

    def __init__(self, config: TemporalConfig) -> None:
        super().__init__()
        self.config, n = config, config.features
        self.extract = Features(n, config.stride)
        self.coarser = nn.Conv2d(n, n, 3, 2, 1) if config.levels else None
        self.coarsest_flow = Hourglass(2 * n, n, 6)
        self.finer_flow = FinerFlow(n, config.flow_unit) if config.levels else None
        self.flow_at_t = FlowAtT(n, config.flow_unit)
        incoming = 4 * n // config.stride**2 + (9 if config.relative else 8)
        self.refine = Refinement(incoming, n, whole=config.whole)
        self.apply(started)

    def forward(self, first: Tensor, second: Tensor, t: Tensor) -> Tensor:
        """The map at t.

        Args:
            first, second: normalised maps at 0 and 1, shape (n, 1, h, w).
            t: time in (0, 1), shape (n,).

        Returns:
            Shape (n, 1, h, w).
        """
        return self._levels(first, second, t, every=False)[0].map

    def levels(self, first: Tensor, second: Tensor, t: Tensor) -> list[Level]:
        """The map at t on every level, finest first: what the objective looks at (eq. 4)."""
        return self._levels(first, second, t, every=True)

    def _levels(self, first: Tensor, second: Tensor, t: Tensor, *, every: bool) -> list[Level]:
        height, width = first.shape[-2:]
        time = t.reshape(-1, 1, 1, 1)
        maps = [(pad(first, self.config.multiple), pad(second, self.config.multiple))]
        features = [(self.extract(self._seen(maps[0][0])), self.extract(self._seen(maps[0][1])))]
        for _ in range(self.config.levels):
            assert self.coarser is not None
            maps.append((halve(maps[-1][0]), halve(maps[-1][1])))
            features.append((self.coarser(features[-1][0]), self.coarser(features[-1][1])))
        flow: Tensor | None = None
        found: list[Level] = []
        for level in range(self.config.levels, -1, -1):
            bidirectional = self._flow(*features[level], flow)
            flow = bidirectional[:, :4].detach()
            if every or level == 0:
                size = (-(-height // 2**level), -(-width // 2**level))
                found.append(self._at_level(*maps[level], *features[level], bidirectional, time, size))
        return found[::-1]

    def _flow(self, f0: Tensor, f1: Tensor, coarser: Tensor | None) -> Tensor:
        """Flow 0 to 1, flow 1 to 0, two logits of importance: shape (n, 6, h, w)."""
        if coarser is None:
            flow, logits = self.coarsest_flow(torch.cat([f0, f1], dim=1)).split([4, 2], dim=1)
            return torch.cat([self.config.flow_unit * flow, logits], dim=1)
        assert self.finer_flow is not None
        return self.finer_flow(f0, f1, enlarge(coarser, 2))

    def _at_level(
        self, map_0: Tensor, map_1: Tensor, f0: Tensor, f1: Tensor, bidirectional: Tensor, t: Tensor,
        size: tuple[int, int],
    ) -> Level:  # fmt: skip
        stride = self.config.stride
        forward, backward, logits = bidirectional.split(2, dim=1)
        z0, z1 = (torch.sigmoid(logits) + FLOOR).split(1, dim=1)
        to_0, to_1 = self.flow_at_t(f0, f1, *reverse(forward, backward, z0, z1, t))
        warped = [f0, f1, warp(f0, to_0), warp(f1, to_1)]
        fine_0, fine_1 = enlarge(to_0, stride), enlarge(to_1, stride)
        early, late = warp(map_0, fine_0), warp(map_1, fine_1)
        context = F.pixel_shuffle(torch.cat(warped, dim=1), stride)
        seen_0, seen_1 = self._seen(map_0), self._seen(map_1)
        seen = [context, seen_0, seen_1, self._seen(early), self._seen(late), fine_0, fine_1]
        if self.config.relative:
            seen.append(_CLOSER * (seen_1 - seen_0))
        logit, residual = self.refine(torch.cat(seen, dim=1)).split(1, dim=1)
        blended = blend(early, late, torch.sigmoid(logit), t)
        change = self.config.unit * residual
        whole = blended * (1 + change) if self.config.relative else blended + change
        return Level(whole[..., : size[0], : size[1]], to_0, to_1)

    def _seen(self, map: Tensor) -> Tensor:
        """What the network is shown of a normalised map: itself, or half its logarithm."""
        return 0.5 * torch.log(map.clamp_min(0) + _LEAST) if self.config.relative else map


class FinerFlow(nn.Module):
    """Flow between the maps on a level below the coarsest: a correction of what the coarser level found."""

    def __init__(self, n: int, unit: float) -> None:
        super().__init__()
        self.unit = unit
        self.compare = nn.Conv2d(2 * n, n, 3, 1, 1)
        self.hourglass = Hourglass(2 * n + 4, n, 6)

    def forward(self, f0: Tensor, f1: Tensor, flow: Tensor) -> Tensor:
        """Flow both ways and logits of importance, shape (n, 6, h, w); `flow` is the coarser one, enlarged."""
        forward, backward = flow.split(2, dim=1)
        one = F.relu(self.compare(torch.cat([f0, warp(f1, forward)], dim=1)))
        two = F.relu(self.compare(torch.cat([f1, warp(f0, backward)], dim=1)))
        change, logits = self.hourglass(torch.cat([one, two, flow], dim=1)).split([4, 2], dim=1)
        return torch.cat([flow + self.unit * change, logits], dim=1)


class FlowAtT(nn.Module):
    """TFlow: corrects the reversed flows with what the features look like along them."""

    def __init__(self, n: int, unit: float) -> None:
        super().__init__()
        self.unit = unit
        self.mix, self.hourglass = nn.Conv2d(4 * n + 4, n, 1), Hourglass(n, n, 4)

    def forward(self, f0: Tensor, f1: Tensor, to_0: Tensor, to_1: Tensor) -> tuple[Tensor, Tensor]:
        """Flows from t to both ends, shape (n, 2, h, w) each."""
        seen = torch.cat([f0, warp(f0, to_0), warp(f1, to_1), f1, to_0, to_1], dim=1)
        change_0, change_1 = self.hourglass(F.relu(self.mix(seen))).split(2, dim=1)
        return to_0 + self.unit * change_0, to_1 + self.unit * change_1


def halve(map: Tensor) -> Tensor:
    """A map on a grid coarser by two: bicubic, antialiased."""
    return F.interpolate(map, scale_factor=0.5, mode="bicubic", antialias=True)


def pad(map: Tensor, multiple: int) -> Tensor:
    """Continue a map below and to the right with its edge, up to multiples of a number."""
    height, width = map.shape[-2:]
    return F.pad(map, (0, -width % multiple, 0, -height % multiple), mode="replicate")
