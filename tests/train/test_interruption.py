"""Killed at any step, a run continues and ends bit-identical; signals end it after the step; SLURM starts it again."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import typer

from cranpm.errors import CranpmError
from cranpm.model.checkpoint import read_checkpoint
from cranpm.train.display import ending
from cranpm.train.interruption import Interruption, requeue
from cranpm.train.keeper import CHECKPOINT, LAST, RESUME, Event, Stepped, read_steps
from cranpm.train.place import find_place
from cranpm.train.session import plan
from tests.train.toy import Run
from tests.train.toy_run import LENGTH, toy_run


def start(
    folder: Path, *options: str, environment: Mapping[str, str] | None = None, own_group: bool = False
) -> subprocess.Popen[str]:
    """The toy run as a process; it prints each step."""
    everything = {**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})}
    command = [sys.executable, "-m", "tests.train.toy_run", str(folder), *options]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=everything, start_new_session=own_group
    )


def wait_for(process: subprocess.Popen[str], step: int) -> bool:
    """Read until a step is printed; False if the process ends before."""
    assert process.stdout is not None
    return any(line.strip() == f"step {step}" for line in process.stdout)


@pytest.mark.slow
def test_killed_at_five_random_steps_it_ends_bit_identical(tmp_path):
    whole = tmp_path / "whole"
    _, errors = start(whole).communicate()
    assert (whole / LAST).exists(), errors
    chance = random.Random(time.time_ns())
    steps = sorted(chance.sample(range(1, LENGTH + 1), 5))
    delays = [chance.uniform(0, 0.06) for _ in steps]
    print("killed after steps", steps, "and seconds", delays)
    killed = tmp_path / "killed"
    for step, delay in zip(steps, delays, strict=True):
        process = start(killed, *(["--resume"] if (killed / RESUME).exists() else []))
        assert wait_for(process, step), process.stderr and process.stderr.read()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()
    last = start(killed, *(["--resume"] if (killed / RESUME).exists() else []))
    _, errors = last.communicate()
    assert last.returncode == 0, errors
    for name in (CHECKPOINT, LAST):
        one, two = (read_checkpoint(folder / name) for folder in (whole, killed))
        assert one.hash == two.hash, (steps, delays)
        assert one.provenance == two.provenance
    lines = [[(line["step"], line["loss"]) for line in read_steps(folder)] for folder in (whole, killed)]
    assert lines[0] == lines[1] and len(lines[0]) == LENGTH


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_run_after_its_step(tmp_path, number):
    process = start(tmp_path)
    assert wait_for(process, 4)
    process.send_signal(number)
    _, errors = process.communicate()
    assert process.returncode == 128 + number, errors
    reached = max(line["step"] for line in read_steps(tmp_path))
    assert 4 <= reached < LENGTH
    again = start(tmp_path, "--resume")
    printed, errors = again.communicate()
    assert again.returncode == 0, errors
    assert printed.splitlines()[0] == f"step {reached + 1}"  # nothing is done twice


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGTERM])
def test_a_signal_to_the_whole_group_spares_the_readers(tmp_path, number):
    process = start(tmp_path, "--workers", "2", own_group=True)
    assert wait_for(process, 4)
    os.killpg(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 128 + number, errors
    assert (tmp_path / RESUME).exists() and "killed by signal" not in errors


def test_a_signal_is_noted_and_a_second_one_is_not_held_back():
    before = signal.getsignal(signal.SIGUSR1)
    interruption = Interruption()
    try:
        interruption.listen()
        signal.raise_signal(signal.SIGUSR1)
        assert interruption.asked and interruption.asks_for_more_time and interruption.exit_code == 138
        assert signal.getsignal(signal.SIGUSR1) == interruption._note
    finally:
        signal.signal(signal.SIGUSR1, before)


def test_a_signal_during_training_saves_the_step_it_arrives_in(tmp_path):
    run = toy_run(tmp_path)

    def tell(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == 4 and not run.interruption.asked:
            signal.raise_signal(signal.SIGUSR1)

    run.fit(tell=tell)
    assert run.interruption.stopped_at == 4 and last_step(run) == 4
    again = toy_run(tmp_path)
    again.fit(resume=True)
    assert again.told[0].step == 5 and last_step(again) == LENGTH


def last_step(run: Run) -> int:
    return max(event.step for event in run.told if isinstance(event, Stepped))


def test_a_signal_during_the_last_step_leaves_nothing_to_do(tmp_path):
    run = toy_run(tmp_path)

    def tell(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == LENGTH:
            signal.raise_signal(signal.SIGTERM)

    run.fit(tell=tell)
    assert run.interruption.asked and run.interruption.stopped_at is None


def fake_scontrol(folder: Path, code: int) -> None:
    script = folder / "scontrol"
    script.write_text(f'#!/bin/sh\necho "$@" >> {folder}/asked\necho refused >&2\nexit {code}\n')
    script.chmod(0o755)


def test_slurm_is_asked_to_start_the_job_again(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert requeue() is None
    fake_scontrol(tmp_path, 0)
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    assert requeue() == "4711"
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "4700")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "3")
    assert requeue() == "4700_3"
    assert (tmp_path / "asked").read_text() == "requeue 4711\nrequeue 4700_3\n"
    fake_scontrol(tmp_path, 1)
    with pytest.raises(CranpmError, match=r"refused.*submit it again"):
        requeue()
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))  # as in a container: the job script does it
    assert requeue() is None


def test_the_command_says_how_to_go_on_and_asks_for_more_time(tmp_path, monkeypatch, capsys):
    made = plan("europe-sample", quick=True, out=tmp_path / "run", device="cpu")
    made.interruption.signal, made.interruption.stopped_at = signal.SIGUSR1, 12
    fake_scontrol(tmp_path, 0)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("SLURM_JOB_ID", "4711")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    with pytest.raises(typer.Exit) as ended:
        ending(made)
    assert ended.value.exit_code == 138
    told = capsys.readouterr().err
    assert f"cranpm train europe-sample --quick --seed 0 --out {tmp_path / 'run'} --device cpu --resume" in told
    assert "SLURM will start job 4711 again" in told and (tmp_path / "asked").read_text() == "requeue 4711\n"


def test_launchers_say_where_the_run_takes_place():
    torchrun = {"TORCHELASTIC_RUN_ID": "x", "LOCAL_WORLD_SIZE": "2", "WORLD_SIZE": "6"}
    slurm = {"SLURM_NTASKS": "64", "SLURM_PROCID": "3", "SLURM_STEP_ID": "0", "SLURM_NNODES": "8"}
    assert find_place("cpu", None, {}).ranks == 1
    assert find_place("cpu", 2, {}).ranks == 2
    place = find_place("cpu", None, torchrun)
    assert (place.launcher, place.devices, place.nodes, place.ranks) == ("torchrun", 2, 3, 6)
    place = find_place("cpu", None, slurm)
    assert (place.launcher, place.devices, place.nodes) == ("slurm", 8, 8)
    with pytest.raises(CranpmError, match="--devices 4, but torchrun started 2"):
        find_place("cpu", 4, torchrun)
    alone = {**slurm, "SLURM_NTASKS": "1"}  # a shell inside an allocation
    assert find_place("cpu", None, alone).launcher == ""
