"""Train the coupling and its ablations with several seeds, and score them on days none of them saw.

python -m tests.benchmarks.coupling_seeds --out runs/coupling --seeds 3

Each run is a folder OUT/RECIPE-FUSION-sSEED; a finished one is not made again, an unfinished one goes on. Days of the
scoring world (realisation 0, 2022) are simulated once. Prints, by lead and in the mean over species, with 95 %
intervals over seeds and days together: RMSE over persistence's; by how much that of the network without weather is
larger; by which share of its own RMSE it is (the margin), and what that gains from one lead to the next. Then the
margin by species, how often each RMSE is below persistence's, and the tables of seed 0.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cranpm.composition.coupling.checkpoint import read_coupling
from cranpm.composition.coupling.network import Ground
from cranpm.composition.coupling.objective import row_weights
from cranpm.composition.coupling.report import area_of, forecasts, report
from cranpm.composition.coupling.run import plan
from cranpm.composition.coupling.scores import MODEL, PERSISTENCE, score
from cranpm.composition.coupling.series import simulated_ground
from cranpm.data.days import parse_days
from cranpm.folders import cache_folder
from cranpm.train.keeper import CHECKPOINT, RESUME

DAYS = "2022-01-09..2022-01-21,2022-04-09..2022-04-21,2022-07-09..2022-07-21,2022-10-09..2022-10-21"


def train(recipe: str, fusion: str, seed: int, out: Path) -> Path:
    """The folder of the checkpoint, made if need be."""
    folder = out / f"{recipe}-{fusion}-s{seed}"
    unfinished = (folder / RESUME).exists()
    if unfinished or not (folder / CHECKPOINT).exists():
        made = plan(recipe, seed=seed, fusion=fusion, out=folder, device="cpu")
        made.prepare_folder(resume=unfinished)
        made.run(resume=unfinished)
    return folder / CHECKPOINT


def shares(folders: list[list[Path]], every: int, *, perfect: bool) -> dict[str, NDArray[np.float64]]:
    """Mean squared errors by fusion, shape (seeds, starts, leads, species), and those of persistence."""
    first = read_coupling(folders[0][0])
    area, starts = area_of([first]), [day for part in DAYS.split(",") for day in parse_days(part)[::every]]
    batches, _ = forecasts(first.config, area, starts, 0, cache_folder(), perfect=perfect)
    ground = Ground(torch.from_numpy(simulated_ground(area, first.config.places, cache_folder()))[None])
    weights = row_weights(torch.from_numpy(area.grid.lats.astype(np.float32)))
    found: dict[str, NDArray[np.float64]] = {}
    for row in folders:
        checkpoints = [read_coupling(folder) for folder in row]
        scored = [score(one.network(), batches, ground, weights) for one in checkpoints]
        found[checkpoints[0].config.fusion] = np.array([one.squared[MODEL] for one in scored])
        found[PERSISTENCE] = np.array([scored[0].squared[PERSISTENCE]])
    return found


def interval(values: NDArray[np.float64]) -> str:
    """Mean and 95 % of draws (draws, leads) as a line."""
    low, high = np.quantile(values[1:], [0.025, 0.975], axis=0)
    return " ".join(f"{m:+.3f} ({a:+.3f}..{b:+.3f})" for m, a, b in zip(values[0], low, high, strict=True))


def drawn(found: dict[str, NDArray[np.float64]], draws: int = 400) -> dict[str, NDArray[np.float64]]:
    """RMSE by fusion as it is and for draws of seeds and starts, shape (1 + draws, seeds, leads, species)."""
    rng = np.random.default_rng(0)
    seeds, starts = max(len(values) for values in found.values()), found[PERSISTENCE].shape[1]
    out: dict[str, list] = {name: [] for name in found}
    for number in range(draws + 1):
        s = rng.integers(seeds, size=seeds) if number else np.arange(seeds)
        d = rng.integers(starts, size=starts) if number else np.arange(starts)
        for name, values in out.items():
            values.append(np.sqrt(found[name][s if name != PERSISTENCE else [0]][:, d].mean(1)))
    return {name: np.array(values) for name, values in out.items()}


def tell(rmse: dict[str, NDArray[np.float64]], species: tuple[str, ...]) -> None:
    """Print what the head of this file says, of what `drawn` made."""
    share = {name: (values / rmse[PERSISTENCE]).mean((1, 3)) for name, values in rmse.items() if name != PERSISTENCE}
    for name, values in share.items():
        print(f"{name} / persistence: {interval(values)}")
        below = (rmse[name][0] < rmse[PERSISTENCE][0]).mean((0, 2))
        print(f"{name} / persistence: below 1 in {np.round(100 * below).astype(int).tolist()} % of seeds and species")
    if {"bilinear", "concat"} <= set(share):
        print(f"concat - bilinear: {interval(share['concat'] - share['bilinear'])}")
    for name in share:
        if name == "none" or "none" not in share:
            continue
        print(f"none - {name}: {interval(share['none'] - share[name])}")
        margins = 1 - rmse[name] / rmse["none"]
        margin = margins.mean((1, 3))
        print(f"margin of {name}: {interval(margin)}")
        print(f"margin of {name}, gained since the lead before: {interval(np.diff(margin, axis=1))}")
        for number, of_seed in enumerate(margins[0].mean(-1)):
            print(f"margin of {name}, seed {number}: {np.round(of_seed, 3).tolist()}")
        for column, one in enumerate(species):
            print(f"margin of {name}, {one}: {np.round(margins[0, :, :, column].mean(0), 3).tolist()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--recipe", default="coupling-sample")
    parser.add_argument("--fusions", nargs="+", default=["bilinear", "none", "concat"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--every", type=int, default=2)
    parser.add_argument("--perfect", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    made = {(f, s): train(given.recipe, f, s, given.out) for s in range(given.seeds) for f in given.fusions}
    folders = [[made[f, s] for s in range(given.seeds)] for f in given.fusions]
    tell(drawn(shares(folders, given.every, perfect=given.perfect)), read_coupling(folders[0][0]).config.species)
    firsts = [row[0] for row in folders]
    print(report(firsts, days=DAYS, every=given.every, realisation=0, perfect=given.perfect, cache=cache_folder()))


if __name__ == "__main__":
    main()
