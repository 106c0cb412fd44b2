"""A training run in the toy world as a process of its own, to be killed, signalled or launched several times.

    python -m tests.train.toy_run FOLDER [--resume] [--groups N] [--workers N]

Prints a line for every step; run by torchrun, the processes share the steps' groups.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from lightning.pytorch.utilities import rank_zero_only

from cranpm.train.interruption import requeue
from cranpm.train.keeper import Event, Stepped
from cranpm.train.place import find_place
from tests.train.toy import BATCH, CONFIG, SCHEDULE, Run, ToyRecipe, recipe

LENGTH, VALIDATE, SAVE = 14, 5, 3


class WithDropout(ToyRecipe):
    """Its network drops tokens and blocks, so that the seeds of the dropout matter."""

    config = replace(CONFIG, dropout=0.2, drop_path=0.2)


def toy_run(folder: Path, groups: int = 1) -> Run:
    """The run that this module makes, not yet started."""
    schedule = replace(SCHEDULE, length=LENGTH, validate=VALIDATE, save=SAVE)
    made = recipe(schedule, replace(BATCH, groups=groups, at_once=2))
    return Run(folder, WithDropout(**vars(made)), place=find_place("cpu", None, os.environ))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("--resume", action="store_true")
    parser.add_argument("--groups", type=int, default=1)
    parser.add_argument("--workers", type=int, default=0)
    given = parser.parse_args()
    torch.set_num_threads(1)
    run = toy_run(given.folder, given.groups)
    run.workers = given.workers

    def tell(event: Event) -> None:
        if isinstance(event, Stepped):
            print(f"step {event.step}", flush=True)

    run.fit(resume=given.resume, tell=tell)
    stopped = run.interruption
    if stopped.stopped_at and stopped.asks_for_more_time and rank_zero_only.rank == 0:
        requeue()
    return stopped.exit_code if stopped.stopped_at else 0


if __name__ == "__main__":
    sys.exit(main())
