"""Train both sharpeners with several seeds and score each on the held-out year: the bars of docs/composition.md.

    python -m tests.benchmarks.composition_seeds OUT [--seeds 0 1 2] [--tasks time space]

A run that is there is not made again; one that was killed goes on. Scores go to OUT/TASK-sSEED.md.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from pathlib import Path

SCORED = {"time": ["--of-month", "1-2"], "space": ["--of-month", "1-2", "--every", "7"]}
"""Two days of each month: all their intervals in time, each 7th of their hours in space."""


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--tasks", nargs="+", default=["time", "space"])
    given = parser.parse_args()
    command = [sys.executable, "-m", "cranpm", "composition"]
    for seed in given.seeds:
        for task in given.tasks:
            folder = given.out / f"{task}-s{seed}"
            table = given.out / f"{task}-s{seed}.md"
            began = time.monotonic()
            if (folder / "resume.ckpt").exists() or not (folder / "checkpoint").exists():
                go_on = ["--resume"] if (folder / "resume.ckpt").exists() else []
                train = [*command, "train", f"sample-{task}", "--seed", str(seed), "--out", str(folder), *go_on]
                subprocess.run(train, check=True)
                print(f"{folder}: {time.monotonic() - began:.0f} s", flush=True)
            if not table.exists():
                score = [*command, "score", str(folder / "checkpoint"), *SCORED[task], "--out", str(table)]
                subprocess.run(score, check=True)


if __name__ == "__main__":
    main()
