"""Two processes on CPU (gloo) make the steps that one makes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from cranpm.train.keeper import LAST, read_steps


def launch(folder: Path, processes: int, *options: str) -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    made = subprocess.run(
        [*torchrun, "-m", "tests.train.toy_run", str(folder), "--groups", "2", *options],
        capture_output=True, text=True, env=environment, timeout=240,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr[-3000:]


@pytest.mark.slow
def test_two_processes_make_the_losses_and_weights_of_one(tmp_path):
    for processes in (1, 2):
        launch(tmp_path / str(processes), processes)
    one, two = (read_steps(tmp_path / str(processes)) for processes in (1, 2))
    assert len(one) == len(two) == 14
    for mine, theirs in zip(one, two, strict=True):
        assert mine["step"] == theirs["step"]
        for term in ("loss", "pixel", "gradient_norm"):
            assert theirs[term] == pytest.approx(mine[term], rel=1e-4)
    weights = [load_file(tmp_path / name / LAST / "weights.safetensors") for name in ("1", "2")]
    for name, values in weights[0].items():
        assert abs(values - weights[1][name]).max() < 1e-4
