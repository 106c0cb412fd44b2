"""What each training day knows of the past: baselines fitted on the training days of other years.

A network that reads them must meet them as it will when it forecasts: fitted on days that are not the day's own year.
"""

from __future__ import annotations

from collections.abc import Sequence

from cranpm.data.progress import Progress
from cranpm.data.training_days import HeldStore, TrainingStore
from cranpm.errors import CranpmError
from cranpm.train.recipe import Recipe
from cranpm.verify.baselines import Fitted
from cranpm.verify.fit import fit
from cranpm.verify.past import past_of_store


def fit_on(stores: Sequence[TrainingStore]) -> Fitted:
    """The baselines of some stores of one window."""
    first = stores[0]

    def past():
        for store in stores:
            yield from past_of_store(store, store.days)

    return fit(past, first.fine, first.coarse, first.land, {})


def tell_simulated_pasts(recipe: Recipe, held: Sequence[HeldStore], tell: Progress) -> None:
    """Give each held store what the training stores of its window, but itself, say of the past.

    Raises:
        CranpmError: a window has a single year to train on.
    """
    assert recipe.simulated is not None
    simulated = recipe.simulated
    pasts = (*simulated.train, *simulated.validate)
    for k, (mine, store) in enumerate(zip(pasts, held, strict=True)):
        others = [
            held[j] for j, past in enumerate(simulated.train) if past.window == mine.window and held[j] is not store
        ]
        if not others:
            raise CranpmError(
                f"recipe '{recipe.name}': window '{mine.window}' has one entry of training days, and a network that "
                "reads the past needs another year of it to fit on: add an entry of the window under 'train'"
            )
        fitted = fit_on(others)
        store.pasts = {day.year: fitted for day in store.days}
        tell("fitting the past", k + 1, len(held))
