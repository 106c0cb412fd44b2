"""Before and after at an agency: a tile of a scoring day as it was, as the base and as the winner forecast it.

The picture stays in the agency's folder: maps are never sent.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from cranpm.clients.message import Tensors
from cranpm.clients.training import put_tensors
from cranpm.variables import PM_SCALE

if TYPE_CHECKING:
    from cranpm.data.dataset import Examples
    from cranpm.model.network import CranPM


def draw(path: Path, network: CranPM, examples: Examples, maps: dict[str, Tensors], title: str) -> None:
    """Draw the truth and a forecast for each set of tensors with its RMSE, on the middle scoring day at one lead.

    Args:
        path: the PNG.
        network: with an adapter attached.
        examples: the scoring days.
        maps: tensors by what the panel is called.
        title: over all.
    """
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    days = list(examples.sweep(every=1, tiles=1))
    draws = days[len(days) // 2][:1]
    batch = examples.batch(draws)
    truth = torch.where(batch.valid[0], batch.target[0], torch.nan)
    panels = {f"truth, {draws[0].day} + {int(batch.lead[0])} d": truth.numpy()}
    network.eval()
    for name, tensors in maps.items():
        put_tensors(network, tensors)
        with torch.inference_mode():
            residual = network(*batch.day, *batch.tiles)[0].float()
        forecast = (batch.pm[0, 0] + PM_SCALE * residual).clamp_min(0)
        error = float((forecast - truth).square().nanmean().sqrt())
        panels[f"{name}: RMSE {error:.1f}"] = forecast.numpy()
    figure = Figure(figsize=(3.4 * len(panels), 3.6), layout="constrained")
    high = max(float(torch.nan_to_num(torch.from_numpy(panel)).max()) for panel in panels.values())
    for axes, (name, panel) in zip(figure.subplots(1, len(panels)), panels.items(), strict=True):
        shown = axes.imshow(panel, vmin=0, vmax=high, cmap="viridis")
        axes.set_title(name, fontsize=9)
        axes.set(xticks=[], yticks=[])
    figure.colorbar(shown, ax=figure.axes, label="PM2.5, ug m-3", shrink=0.8)
    figure.suptitle(title)
    part = path.with_name(f".{path.name}.part")
    figure.savefig(part, format="png", dpi=110)
    part.replace(path)
