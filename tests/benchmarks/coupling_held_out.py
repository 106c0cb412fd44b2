"""Score coupling networks on the days their recipe validates on, driven by what the weather was.

python -m tests.benchmarks.coupling_held_out RECIPE CHECKPOINT [CHECKPOINT]

Prints RMSE over persistence's and over the base's in the mean over species by lead, with 95 % intervals over starts;
the same by species; with two networks of the same starts, how much worse the second is.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from cranpm.composition.coupling.checkpoint import read_coupling
from cranpm.composition.coupling.examples import held_out_batches
from cranpm.composition.coupling.network import Ground
from cranpm.composition.coupling.objective import row_weights
from cranpm.composition.coupling.recipe import Recipe, find_recipe
from cranpm.composition.coupling.scores import BASE, MODEL, PERSISTENCE, Scores, score
from cranpm.composition.coupling.series import simulated_ground, simulated_series
from cranpm.folders import cache_folder


def held_out(recipe: Recipe, folder: str) -> Scores:
    """Scores of one network."""
    checkpoint, simulated = read_coupling(folder), recipe.simulated
    config, area = checkpoint.config, simulated.area
    series = [
        one
        for course in simulated.validate
        for one in simulated_series(area, course, "analysis", config.species, config.weather, cache_folder())
    ]
    ground = Ground(torch.from_numpy(simulated_ground(area, config.places, cache_folder()))[None])
    weights = row_weights(torch.from_numpy(area.grid.lats.astype(np.float32)))
    batches = held_out_batches(series, recipe.validate_every, 16)
    return score(checkpoint.network(), batches, ground, weights)


def worse(first: Scores, second: Scores, draws: int = 500) -> list[str]:
    """The difference of the second's share of persistence from the first's, with its interval over starts."""
    one, two, still = (
        np.array(of.squared[name]) for of, name in ((first, MODEL), (second, MODEL), (first, PERSISTENCE))
    )
    rng, found = np.random.default_rng(0), []
    for number in range(draws + 1):
        d = rng.integers(len(one), size=len(one)) if number else np.arange(len(one))
        shares = [np.sqrt(of[d].mean(0) / still[d].mean(0)).mean(-1) for of in (one, two)]
        found.append(shares[1] - shares[0])
    low, high = np.quantile(found[1:], [0.025, 0.975], axis=0)
    return [f"{m:+.3f} ({a:+.3f}..{b:+.3f})" for m, a, b in zip(found[0], low, high, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("recipe")
    parser.add_argument("models", nargs="+")
    given = parser.parse_args()
    torch.set_num_threads(1)
    recipe, _ = find_recipe(given.recipe)
    scores = [held_out(recipe, folder) for folder in given.models]
    for name, one in zip(given.models, scores, strict=True):
        print(f"{name}: {len(one.squared[MODEL])} starts, simulated; leads {one.leads}")
        for against in (PERSISTENCE, BASE):
            mean, low, high = one.interval(MODEL, against)
            cells = [f"{m:.3f} ({a:.3f}..{b:.3f})" for m, a, b in zip(mean, low, high, strict=True)]
            print(f"  / {against}: {' '.join(cells)}")
        for column, species in enumerate(one.species):
            print(f"  {species} / {BASE}: {np.round(one.ratio(MODEL, BASE)[:, column], 3).tolist()}")
    if len(scores) == 2:
        print(f"second - first: {' '.join(worse(*scores))}")


if __name__ == "__main__":
    main()
