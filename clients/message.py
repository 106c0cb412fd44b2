"""What goes to an agency in a round, and all that comes back: tensors of an adapter, and the scalars listed here.

Nothing else leaves an agency: no tile, no station, no day, no score of a single place. `Reply` is the only thing that
is ever put into a message, and it refuses a scalar that is not in `SCALARS`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

import numpy as np
from numpy.typing import NDArray

from cranpm.clients.method import METHODS, Method
from cranpm.errors import CranpmError

Tensors = Mapping[str, NDArray[np.float32]]

SCALARS: Mapping[str, str] = {
    "examples": "days trained on, rounded to whole months of 30 and at most 360: the weight of the reply",
    "steps": "optimiser steps made",
    "loss": "mean training loss of the round, four digits",
    "rmse": "RMSE of the adapter as received, mean over leads, on the agency's selection days, ug m-3, four digits",
    "persistence": "RMSE of persistence there, ug m-3, four digits",
    "rank": "inner width of the update",
    "seconds": "time taken, whole seconds",
    "memory_mb": "highest memory of the process, whole MB",
}
"""Every number that leaves an agency in a round, and what it says."""
LAST_SCALARS: Mapping[str, str] = {
    "zero_shot": "RMSE of the base on the agency's scoring days, mean over leads, ug m-3, four digits",
    "local": "the same of an adapter trained alone for as many steps; each at the strength that selection days chose",
    "global": "the same of the federation's adapter",
    "personal": "the same of the federation's adapter after further steps alone",
    "chosen": "which of these four the agency keeps, 0 to 3: the lowest on its selection days",
}
"""What leaves an agency after the last round, where its file does not say `tell_scores: false`."""
MONTH, MOST = 30, 360


@dataclass(frozen=True)
class Order:
    """What the coordinator asks of an agency.

    Attributes:
        round, rounds: this one, from 1, and how many there will be.
        steps: optimiser steps to make.
        personal: steps that each agency makes on its own after the last round.
        method: which tensors are trained and sent.
        proximal: weight of the pull towards the tensors received (FedProx, Li et al. 2020); 0 for none.
        seed: of the examples.
        base_hash: SHA-256 of the base's weights; empty for random weights.
        rank: inner width of the update.
    """

    round: int
    rounds: int
    steps: int
    personal: int
    method: Method
    proximal: float
    seed: int
    base_hash: str
    rank: int

    def to_config(self) -> dict[str, int | float | str]:
        """As Flower carries it."""
        return asdict(self)

    @staticmethod
    def from_config(values: Mapping[str, object]) -> Order:
        """What `to_config` wrote; keys that Flower adds are left aside.

        Raises:
            CranpmError: a key is missing, or its value is not of its kind or cannot be meant.
        """
        kinds = {"method": str, "base_hash": str, "proximal": float}
        found: dict[str, object] = {}
        for field in fields(Order):
            value = values.get(field.name)
            if type(value) is not kinds.get(field.name, int):
                raise CranpmError(f"the coordinator's order says {field.name} {value!r}; ask which cranpm it runs")
            found[field.name] = value
        order = Order(**found)  # type: ignore[arg-type]
        in_order = 1 <= order.round <= order.rounds <= 10_000 and 1 <= order.steps <= 100_000 and order.seed >= 0
        in_order = in_order and 0 <= order.personal <= 100_000
        if order.method not in METHODS or not in_order or not 0 <= order.proximal < math.inf:
            raise CranpmError(f"the coordinator's order cannot be meant: {order}; ask which cranpm it runs")
        return order


@dataclass(frozen=True)
class Reply:
    """What an agency answers.

    Attributes:
        tensors: those of the adapter that the method sends, under peft's names, float32.
        scalars: of `SCALARS`, all of them.
        base_hash: of the base it trained on.
    """

    tensors: Tensors
    scalars: Mapping[str, float]
    base_hash: str

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.scalars) - set(SCALARS)):
            raise CranpmError(f"scalar '{unknown[0]}' is not in the list of what leaves an agency; leave it out")


def in_months(days: int) -> int:
    """A number of days as what is told of it: whole months, at least one and at most twelve."""
    return min(max(round(days / MONTH), 1) * MONTH, MOST)


def four_digits(value: float) -> float:
    """A score as what is told of it."""
    return float(f"{value:.4g}")
