"""What a coordinator decides before the first round: one small YAML file, read strictly."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cranpm.clients.method import Method
from cranpm.config import read_config
from cranpm.errors import CranpmError

FILE = "federation.yaml"
SETTINGS = Path(__file__).parent / "settings.yaml"
"""What is trained and how, where a federation does not bring its own."""
Robust = Literal["clip", "none", "trimmed", "krum"]


@dataclass(frozen=True)
class Public:
    """Days that anyone may see, by which an aggregate is judged before it counts.

    Attributes:
        region: pack, by name or path.
        data: a prepared store.
        days: which of its days, as `--days` reads them.
        baselines: a past fitted on other years, for bases that read one.
    """

    region: str
    data: Path
    days: str
    baselines: Path | None = None


@dataclass(frozen=True)
class Federation:
    """The file; paths are relative to its folder.

    Attributes:
        base: registered model or checkpoint folder that all agencies have.
        method: what is trained and what is sent.
        robust: clip to the median norm, Flower's trimmed mean or Krum, or none.
        rounds, steps: how many rounds, and the optimiser steps of each agency in one.
        personal: steps that an agency makes alone after the last round.
        proximal: weight of FedProx's pull; used by that method alone.
        least: agencies without which no round begins, and answers without which none is aggregated.
        timeout: seconds after which a round goes on without those that have not answered.
        tolerance: by how much the RMSE on the public days may rise above the best so far before an aggregate is
            rejected, as a share.
        seed: of the first matrices A and of the examples.
        settings: rank, targets, batch; the package's own without.
        public: the public days; an aggregate is not judged without any.
    """

    base: str = "europe-sample"
    method: Method = "fedavg"
    robust: Robust = "clip"
    rounds: int = 5
    steps: int = 6
    personal: int = 18
    proximal: float = 0.01
    least: int = 2
    timeout: float = 3600.0
    tolerance: float = 0.02
    seed: int = 0
    settings: Path | None = None
    public: tuple[Public, ...] = ()


def read_federation(folder: Path) -> Federation:
    """Read the file of a coordinator's folder.

    Raises:
        CranpmError: it does not fit, or a value cannot be used.
    """
    path = folder / FILE
    found = read_config(path, Federation)
    for name, value, low in (
        ("rounds", found.rounds, 1),
        ("steps", found.steps, 1),
        ("personal", found.personal, 0),
        ("least", found.least, 1),
        ("timeout", found.timeout, 1),
        ("tolerance", found.tolerance, 0),
        ("proximal", found.proximal, 0),
        ("seed", found.seed, 0),
    ):
        if value < low:
            raise CranpmError(f"{path}: {name} {value:g}: at least {low} is needed")
    if found.robust in ("trimmed", "krum") and found.least < 3:
        raise CranpmError(f"{path}: robust {found.robust} tells nothing of fewer than three answers; set least: 3")
    return found
