"""Two processes on CPU (gloo) make the steps that one makes."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.numpy import load_file

from cranpm.train.keeper import LAST, RESUME, read_steps
from tests.train.test_interruption import fake_scontrol, start, wait_for
from tests.train.toy_run import LENGTH


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


def tasks_of_a_job(folder: Path, *options: str) -> list[subprocess.Popen[str]]:
    """Two processes as srun would start them in a job, with a fake scontrol in reach."""
    job = {"SLURM_JOB_ID": "4711", "SLURM_STEP_ID": "0", "SLURM_JOB_NAME": "cranpm", "SLURM_NTASKS": "2"}
    job |= {"SLURM_NTASKS_PER_NODE": "2", "SLURM_NNODES": "1", "SLURM_NODEID": "0", "SLURM_NODELIST": "127.0.0.1"}
    job |= {"MASTER_PORT": str(free_port()), "PATH": f"{folder.parent}:{os.environ['PATH']}"}
    return [
        start(folder, "--groups", "2", *options, environment={**job, "SLURM_PROCID": str(k), "SLURM_LOCALID": str(k)})
        for k in range(2)
    ]


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        return int(made.getsockname()[1])


@pytest.mark.slow
def test_a_slurm_job_short_of_time_is_started_again_and_ends_as_if_it_had_not_been(tmp_path):
    """SLURM signals the tasks one after the other; both stop after the same step, and one asks for more time."""
    fake_scontrol(tmp_path, 0)
    launch(tmp_path / "whole", 2)
    first, second = tasks_of_a_job(tmp_path / "job")
    assert wait_for(first, 4), first.stderr and first.stderr.read()
    second.send_signal(signal.SIGUSR1)
    codes = [task.wait(timeout=60) for task in (first, second)]
    assert (tmp_path / "asked").read_text() == "requeue 4711\n"
    assert codes[1] == 128 + signal.SIGUSR1 and codes[0] == 128 + signal.SIGTERM
    assert (tmp_path / "job" / RESUME).exists() and len(read_steps(tmp_path / "job")) < LENGTH
    for task in tasks_of_a_job(tmp_path / "job", "--resume"):
        _, errors = task.communicate(timeout=120)
        assert task.returncode == 0, errors
    one, two = (load_file(tmp_path / name / LAST / "weights.safetensors") for name in ("whole", "job"))
    assert all((one[name] == two[name]).all() for name in one)
