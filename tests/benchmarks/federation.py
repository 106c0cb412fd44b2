"""Methods of federation over seeds, against what agencies reach alone: four simulated agencies of different regimes.

    python -m tests.benchmarks.federation --out runs/federation [--seeds 3] [--methods fedavg fedprox ...]
    python -m tests.benchmarks.federation --out runs/96m --wire    one round of paper-96m, random data: memory, bytes

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
from dataclasses import replace
from pathlib import Path

import numpy as np

from cranpm.clients.book import CHOICES
from cranpm.clients.choice import KINDS
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
                prepare(replace(Simulation(), method=method, seed=seed), out, cache_folder(), tell)  # type: ignore[arg-type]
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


def wire() -> str:
    """An adapter of paper-96m, ordered and answered with random numbers: bytes on the wire and peak memory."""
    from flwr.app import ConfigRecord, Message, RecordDict

    from cranpm.adapt.settings import adaptation, read_settings
    from cranpm.clients.federation import SETTINGS
    from cranpm.clients.grid import InProcessGrid
    from cranpm.clients.message import SCALARS, Order, Reply
    from cranpm.clients.records import reply_record, to_arrays
    from cranpm.clients.training import read_tensors, with_adapter
    from cranpm.model.registry import load

    base = load("paper-96m", random_weights=True)
    recipe = adaptation("wire", "europe", base, read_settings(SETTINGS), full=False)
    tensors = read_tensors(with_adapter(recipe, 0))
    InProcessGrid(lambda message, context: message, {}, {})
    order = Order(1, 1, 1, 0, "fedavg", 0.0, 0, base.hash, 8)
    sent = RecordDict({"arrays": to_arrays(tensors), "config": ConfigRecord(dict(order.to_config()))})
    rng = np.random.default_rng(0)
    moved = {name: values + rng.normal(0, 1e-3, values.shape).astype("f4") for name, values in tensors.items()}
    back = reply_record(Reply(moved, dict.fromkeys(SCALARS, 1.0), base.hash))
    sizes = [_bytes(Message(content, dst_node_id=1, message_type="train")) for content in (sent, back)]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    count = sum(values.size for values in tensors.values())
    return (
        f"paper-96m, rank 8: {count:,} numbers in {len(tensors)} tensors; {sizes[0] / 1e6:.2f} MB down, "
        f"{sizes[1] / 1e6:.2f} MB up in a round; peak memory without a step {memory:.0f} MB"
    )


def _bytes(message) -> int:
    """Of a message and all objects that it is cut into."""
    from flwr.supercore.inflatable.inflatable_object import get_all_nested_objects

    return sum(len(part.deflate()) for part in get_all_nested_objects(message).values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--wire", action="store_true")
    given = parser.parse_args()
    quiet()
    if given.wire:
        print(wire())
        return
    found = {
        method: [simulate(given.out / f"{method}-s{seed}", method, seed) for seed in range(given.seeds)]
        for method in given.methods
    }
    text = f"Simulated, {given.seeds} seeds, RMSE in ug m-3 on scoring days, mean over leads.\n\n{table(found)}\n"
    (given.out / "table.md").write_text(text)
    print(text)


if __name__ == "__main__":
    main()
