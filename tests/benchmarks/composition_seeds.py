"""Train both sharpeners with several seeds and score each on the held-out year: the bars of docs/composition.md.

    python -m tests.benchmarks.composition_seeds OUT [--seeds 0 1 2] [--tasks time space]

A run that is there is not made again; one that was killed goes on. Scores go to OUT/TASK-sSEED.md; their means over the
months, by seed and over the seeds, are printed.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

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
    for task in given.tasks:
        print(summary([given.out / f"{task}-s{seed}.md" for seed in given.seeds], given.seeds))


def summary(tables: list[Path], seeds: list[int]) -> str:
    """The row of means of each seed's table, and mean and standard deviation over seeds."""
    found = []
    for table in tables:
        text = table.read_text(encoding="utf-8")
        row = re.findall(r"^\| mean \|(.*)\|$", text, re.MULTILINE)[0]
        pooled = re.findall(r"\(([-+.\d]+)%\)\.", text)[0]
        found.append([float(value.strip(" %")) for value in (*row.split("|"), pooled)])
    r, rmse, mae = ("{:.5f}", "{:.5f}"), ("{:.3f}", "{:.3f}"), ("{:.3f}", "{:.3f}")
    forms = [*r, *rmse, *mae, "{:+.1f}%", "{:+.1f}%"]
    spread = np.std(found, axis=0, ddof=min(1, len(found) - 1))
    rows = [*zip(map(str, seeds), found, strict=True), ("mean", np.mean(found, axis=0))]
    head = (
        "| seed | R plain | R DeepCAMS | RMSE plain | RMSE DeepCAMS | MAE plain | MAE DeepCAMS | RMSE change | pooled |"
    )
    lines = [f"| {name} | {' | '.join(map(str.format, forms, values))} |" for name, values in rows]
    apart = [form.replace("+", "").format(value) for form, value in zip(forms, spread, strict=True)]
    return "\n".join([head, "|" + "---|" * 9, *lines, f"| spread (1 sd) | {' | '.join(apart)} |"])


if __name__ == "__main__":
    main()
