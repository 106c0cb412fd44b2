"""Methods of federation over seeds, against what agencies reach alone: four simulated agencies of different regimes.

    python -m tests.benchmarks.federation --out runs/federation [--seeds 0 1 2] [--methods fedavg fedprox ...]

Each method and seed is a simulation of its own folder, which a second call leaves as it is. Prints a Markdown table:
per agency the RMSE on its scoring days (mean of seeds) of the base, alone, together, together and further, and of what
it chose; and whether the bars hold. Needs idle cores.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import time
from pathlib import Path

import numpy as np

from cranpm.clients.book import CHOICES
from cranpm.clients.choice import KINDS
from cranpm.clients.federation import Federation
from cranpm.clients.method import METHODS
from cranpm.clients.personal import ALONE
from cranpm.clients.quiet import quiet
from cranpm.clients.simulate import Simulation, prepare, run
from cranpm.data.progress import progress_bar
from cranpm.folders import cache_folder


def simulate(out: Path, method: str, seed: int) -> dict[str, dict[str, float]]:
    """One federation, or what an earlier call made of it: scores by agency."""
    if not (out / CHOICES).exists():
        began, resume = time.monotonic(), (out / "rounds.jsonl").exists()
        with progress_bar() as tell:
            if not resume:
                plan = Federation(least=3, method=method, seed=seed)  # type: ignore[arg-type]
                prepare(Simulation(plan), out, cache_folder(), tell)
                _share_what_is_alike(out, seed)
            run(out, resume=resume, tell=lambda line: None, preparing=tell)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        (out / "took.json").write_text(json.dumps({"seconds": time.monotonic() - began, "memory_mb": memory}))
    return json.loads((out / CHOICES).read_text(encoding="utf-8"))


def _share_what_is_alike(out: Path, seed: int) -> None:
    """Fits of the past and what agencies train alone do not depend on the method: take them from another one's run."""
    for other in sorted(out.parent.glob(f"*-s{seed}/{CHOICES}")):
        for folder in other.parent.glob("agencies/*/*"):
            if folder.name in ("past", ALONE):
                mine = out / "agencies" / folder.parent.name / folder.name
                shutil.copytree(folder, mine, dirs_exist_ok=True)


def table(found: dict[str, list[dict[str, dict[str, float]]]]) -> str:
    """The table of all methods; scores are means over seeds."""
    lines = ["| method | agency | " + " | ".join(KINDS) + " | chosen | against alone | beats the base |"]
    lines.append("|---" * (len(KINDS) + 5) + "|")
    for method, seeds in found.items():
        for agency in seeds[0]:
            scores = {kind: float(np.mean([seed[agency][kind] for seed in seeds])) for kind in KINDS}
            chosen = float(np.mean([seed[agency][KINDS[int(seed[agency]["chosen"])]] for seed in seeds]))
            change = 100 * (chosen / scores["local"] - 1)
            cells = [f"{scores[kind]:.2f}" for kind in KINDS]
            held = "yes" if chosen < scores["zero_shot"] else "NO"
            bar = "" if change <= 1 else " (over the bar of 1 %)"
            lines.append(
                f"| {method} | {agency} | {' | '.join(cells)} | {chosen:.2f} | {change:+.1f} %{bar} | {held} |"
            )
    return "\n".join(lines)


def main() -> None:
    """Run the federations and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    given = parser.parse_args()
    quiet()
    for seed in given.seeds:
        for method in given.methods:
            simulate(given.out / f"{method}-s{seed}", method, seed)
    found = {
        method: [simulate(given.out / f"{method}-s{seed}", method, seed) for seed in given.seeds]
        for method in given.methods
    }
    seeds = ", ".join(map(str, given.seeds))
    print(f"Simulated, seeds {seeds}, RMSE in ug m-3 on scoring days, mean over leads.\n\n{table(found)}")


if __name__ == "__main__":
    main()
