"""A federation in a process of its own, to be killed: `python -m tests.clients.federation_run FOLDER [--resume]`.

Prints a line for every round that is kept.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch

from tests.clients.running import run


def main() -> None:
    """Run the federation in the folder."""
    torch.set_num_threads(1)
    folder, resume = Path(sys.argv[1]), "--resume" in sys.argv
    run(folder, resume=resume, tell=lambda line: print(f"round {line.round}", flush=True))


if __name__ == "__main__":
    main()
