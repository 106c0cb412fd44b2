"""From files to files: the composition of five days, from an analysis and a given weather forecast."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cranpm import __version__
from cranpm.composition.coupling.channels import LOADED, PARTICLES
from cranpm.composition.coupling.checkpoint import CouplingCheckpoint
from cranpm.composition.coupling.config import STEPS
from cranpm.composition.coupling.drivers import Form
from cranpm.composition.coupling.inputs import read_composition, read_driver
from cranpm.composition.coupling.named import read_named
from cranpm.composition.coupling.network import Ground
from cranpm.composition.coupling.output import write_forecast
from cranpm.composition.coupling.rollout import roll_out
from cranpm.data.products.description import SIMULATED, STANDS_IN
from cranpm.errors import CranpmError


@dataclass(frozen=True)
class Made:
    """What was written: the file, and whether anything it was made of is simulated."""

    path: Path
    simulated: bool
    driver: str


def forecast_composition(
    checkpoint: CouplingCheckpoint, day: dt.date, composition: Path, driver: Path, out: Path, *, places: Tensor,
    form: Form | None = None,
) -> Made:  # fmt: skip
    """Forecast the five days after 00 UTC of a day and write them as CAMS would.

    What the product loader reads besides the network's species is held at that of the same hour of the last day, where
    the analyses have it: without, a forecast could not stand in for one of CAMS.

    Args:
        checkpoint: the network; its grid is the forecast's.
        day: of the start.
        composition: folder with the CAMS analysis of 12 UTC of the day before and 00 UTC of the day.
        driver: folder with the weather.
        out: folder for the file.
        places: what is known of the places, shape (S, H, W).
        form: in which form the weather comes; without, in files that the product loader recognises.

    Raises:
        CranpmError: something is missing in the files.
        MissingExtra: the weather is GRIB, and cfgrib is not installed.
    """
    config, grid = checkpoint.config, checkpoint.grid
    if config.emissions:
        raise CranpmError(f"'{config.name}' needs emission inventories, which no reader brings yet")
    begin = read_composition(
        composition, day, config.species, grid, also=[n for n in LOADED if n not in config.species]
    )
    levels = sorted({int(n.rpartition("_")[2]) for n in (*config.species, *begin.others) if n not in PARTICLES})
    aloft = [f"t_{level}" for level in levels]
    if form is None:
        weather = read_driver(driver, day, config.weather, grid, also=aloft)
    else:
        weather = read_named(form, driver, day, config.weather, grid, also=aloft)
    maps = (
        torch.from_numpy(np.stack([weather.fields[name][k] for name in config.weather]))[None] for k in range(STEPS + 1)
    )
    start = dt.datetime.combine(day, dt.time())
    earlier, latest = torch.from_numpy(begin.before)[None], torch.from_numpy(begin.now)[None]
    steps, leads = [], []
    for step in roll_out(checkpoint.network(), earlier, latest, maps, Ground(places[None]), start):
        steps.append(step.fields[0].numpy())
        leads.append(step.lead)
    stacked = np.stack(steps)
    species = {name: stacked[:, k] for k, name in enumerate(config.species)}
    species |= {name: np.stack([both[k % 2] for k in range(STEPS)]) for name, both in begin.others.items()}
    temperature = {level: weather.fields[f"t_{level}"][1:] for level in levels if f"t_{level}" in weather.fields}
    simulated = begin.simulated or weather.simulated or checkpoint.simulated
    history = (
        f"{f'{SIMULATED}: ' if simulated else ''}cranpm {__version__} composition forecast, network "
        f"{checkpoint.hash[:12]} driven by {weather.source}; not a product of ECMWF or Copernicus; QA: {STANDS_IN}"
        f"{''.join(f'; {name} is that of the same hour of the last day' for name in begin.others)}"
    )
    path = write_forecast(out, grid, day, leads, species, temperature, history)
    return Made(path, simulated, weather.source)
