"""One federated round of paper-96m with random weights and random data, as processes over TLS: memory and bytes.

    python -m tests.benchmarks.federation_96m --out /tmp/round [--agencies 1]

Prints the peak memory of each kind of process and what the gateway counted. Every agency needs some GB of its own.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import threading
from collections import defaultdict
from pathlib import Path

import torch

from cranpm.clients.book import Book
from cranpm.data.layout import Header
from cranpm.grid import coarse_grid, fine_grid
from cranpm.model.checkpoint import Checkpoint, write_checkpoint
from cranpm.model.config import PAPER_96M
from cranpm.model.network import CranPM
from cranpm.model.statistics import nominal
from tests.clients.deployment import Deployment
from tests.clients.toy import LEVELS, SETTINGS, write_toy_store, write_yaml

LEADS = (1, 2, 3)
DAYS = 24
KINDS = ("flower-superlink", "flower-superexec", "flwr-serverapp", "flwr-clientapp", "cranpm.clients.node", "nginx")


def write(folder: Path, names: list[str]) -> Path:
    """A federation whose base is paper-96m as it is drawn; one step of one tile."""
    torch.manual_seed(0)
    base = Checkpoint("paper-96m", PAPER_96M, nominal(), LEADS, "europe", True)
    write_checkpoint(folder / "base", base, CranPM(PAPER_96M, nominal()))
    settings = {
        **SETTINGS,
        "lora": {"rank": 8, "alpha": 16.0, "dropout": 0.0, "targets": ["attention", "mlp"]},
        "blocks": {"train": 12, "held_out": 12},
        "batch": {"groups": 1, "days": 1, "tiles_per_day": 1, "lead_shares": [1, 1, 1]},
        "validation": {"every": 4, "tiles": 1},
    }
    write_yaml(folder / "settings.yaml", settings)
    side, shape = PAPER_96M.tile, PAPER_96M.coarse_shape
    header = Header(
        "europe", "sample", coarse_grid(72.0, -25.0, *shape), fine_grid(50.0, 10.0, side, side), 8, {"seed": 0}
    )
    for number, name in enumerate(names):
        write_toy_store(folder / "agencies" / name / "store.zarr", LEVELS[name], number, header, DAYS)
    shared = {"base": str(folder / "base"), "settings": str(folder / "settings.yaml")}
    plan = {"rounds": 1, "steps": 1, "personal": 0, "least": len(names), "timeout": 3000.0, **shared}
    write_yaml(folder / "coordinator" / "federation.yaml", plan)
    return folder


def watch(done: threading.Event, peaks: dict[str, int], below: int) -> None:
    """Note the highest resident memory of each kind of process, kB, of this process's descendants."""
    while not done.wait(0.5):
        rows = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True).stdout.splitlines()
        table = {int(row.split()[0]): (int(row.split()[1]), row) for row in rows}
        for pid, (_, row) in table.items():
            line, kind = pid, next((kind for kind in KINDS if kind in row), None)
            while line in table and line != below:
                line = table[line][0]
            if kind and line == below:
                try:
                    status = Path(f"/proc/{pid}/status").read_text()
                except OSError:  # ended just now
                    continue
                high = next((int(text.split()[1]) for text in status.splitlines() if text.startswith("VmHWM")), 0)
                peaks[kind] = max(peaks[kind], high)


def wire(home: Path) -> dict[str, tuple[int, int, int]]:
    """By call of the fleet API: requests, bytes from agencies, bytes to agencies, as the gateway counted."""
    found: dict[str, tuple[int, int, int]] = {}
    for line in (home / "gateway" / "access.log").read_text().splitlines():
        words = line.split()
        call = words[3].rpartition("/")[2]
        count, up, down = found.get(call, (0, 0, 0))
        found[call] = count + 1, up + int(words[-2]), down + int(words[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--agencies", type=int, default=1, choices=(1, 2))
    given = parser.parse_args()
    names = ["north", "south"][: given.agencies]
    made = Deployment(write(given.out.resolve(), names), names)
    peaks: dict[str, int] = defaultdict(int)
    done = threading.Event()
    watcher = threading.Thread(target=watch, args=(done, peaks, os.getpid()))
    watcher.start()
    try:
        made.set_up()
        made.start("run", "run", made.home)
        made.until(lambda: made.rounds() >= 1, seconds=3000)
    finally:
        done.set()
        watcher.join()
        made.close()
    line = Book(made.home).lines[1]
    print(f"paper-96m, rank 8, {len(names)} agencies, one round of one step: {line.seconds:.0f} s")
    for answer in line.answers:
        print(
            f"  {answer.agency}: accepted {answer.accepted} {answer.reason}; tensors {answer.bytes_down / 1e6:.2f} MB"
        )
    for kind, high in sorted(peaks.items()):
        print(f"  {kind:22} {high / 1024:7.0f} MB")
    calls = wire(made.home)
    for call, (count, up, down) in sorted(calls.items()):
        print(f"  {call:26} {count:5} requests {up / 1e6:8.2f} MB up {down / 1e6:8.2f} MB down")
    up, down = (sum(call[k] for call in calls.values()) / 1e6 for k in (1, 2))
    print(f"  in all {up:.2f} MB up, {down:.2f} MB down")


if __name__ == "__main__":
    main()
