"""Before and after at an agency: a tile of a typical scoring day as it was, as the base and as the winner forecast it.

The picture stays in the agency's folder: maps are never sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from cranpm.clients.message import Tensors
from cranpm.clients.training import put_tensors
from cranpm.variables import PM_SCALE

if TYPE_CHECKING:
    from cranpm.data.batch import Batch
    from cranpm.data.dataset import Draw, Examples
    from cranpm.model.network import CranPM


def typical(before: ArrayLike, after: ArrayLike) -> int:
    """Where the squared error changes most nearly as it does in all: a drawn day shall not tell another story."""
    was, became = np.asarray(before, np.float64), np.asarray(after, np.float64)
    change = np.divide(became, was, out=np.full(was.shape, np.inf), where=was > 0)
    return int(np.argmin(np.abs(change - np.nansum(became) / max(np.nansum(was), np.finfo(np.float64).tiny))))


def draw(
    path: Path, network: CranPM, examples: Examples, day: Sequence[Draw], maps: dict[str, Tensors], title: str
) -> None:
    """Draw the truth and a forecast for each set of tensors with its RMSE, of the day's most typical tile and lead.

    Args:
        path: the PNG.
        network: with an adapter attached.
        examples: the scoring days.
        day: what of one of them is scored.
        maps: tensors by what the panel is called; the first and the last are before and after.
        title: over all.
    """
    batch = examples.batch(day)
    truth = torch.where(batch.valid, batch.target, torch.nan)
    forecasts = {name: _forecast(network, tensors, batch) for name, tensors in maps.items()}
    squared = {name: (made - truth).square().nanmean((1, 2)).numpy() for name, made in forecasts.items()}
    first, *_, last = squared.values()
    tile = typical(first, last)
    panels = {f"truth, {day[0].day} + {int(batch.lead[tile])} d": truth[tile].numpy()}
    panels |= {f"{name}: RMSE {squared[name][tile] ** 0.5:.1f}": made[tile].numpy() for name, made in forecasts.items()}
    _figure(path, panels, title)


def _forecast(network: CranPM, tensors: Tensors, batch: Batch) -> Tensor:
    """Forecasts of all tiles, ug m-3, shape (B, S, S)."""
    put_tensors(network, tensors)
    network.eval()
    with torch.inference_mode():
        residual = network(*batch.day, *batch.tiles).float()
    return (batch.pm[:, 0] + PM_SCALE * residual).clamp_min(0)


def _figure(path: Path, panels: dict[str, NDArray[np.float32]], title: str) -> None:
    """Maps side by side with one scale of colours."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.4 * len(panels), 3.6), layout="constrained")
    high = float(np.nanmax(np.stack(list(panels.values()))))
    for axes, (name, panel) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        shown = axes.imshow(panel, vmin=0, vmax=high, cmap="viridis")
        axes.set_title(name, fontsize=9)
        axes.set(xticks=[], yticks=[])
    figure.colorbar(shown, ax=figure.axes, label="PM2.5, ug m-3", shrink=0.8)
    figure.suptitle(title)
    part = path.with_name(f".{path.name}.part")
    figure.savefig(part, format="png", dpi=110)
    part.replace(path)
