"""A federation in one process: what is learnt, what is kept, what is rejected, and that a killed run goes on."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message

from cranpm.clients.book import Book, Line
from cranpm.clients.choice import STRENGTHS
from cranpm.clients.message import SCALARS
from cranpm.clients.records import ARRAYS, from_arrays, to_arrays
from cranpm.data.lock import locked
from cranpm.errors import CranpmError
from cranpm.model.adapter import read_adapter
from tests.clients.running import run
from tests.clients.toy import write_federation

pytestmark = pytest.mark.slow  # each test trains


def test_agencies_together_teach_the_base_what_none_told_the_others(tmp_path: Path):
    made = run(write_federation(tmp_path, ("north", "south"), rounds=3))
    lines = made.book.lines
    assert [line.round for line in lines] == [0, 1, 2, 3]
    assert all(line.accepted and line.simulated for line in lines)
    told = {answer.agency: answer.scalars for answer in lines[1].answers}
    later = {answer.agency: answer.scalars for answer in lines[3].answers}
    assert all(later[name]["rmse"] < told[name]["rmse"] for name in ("north", "south"))
    assert set(told["north"]) == set(SCALARS)
    assert lines[1].aggregation_error > 0
    for name in ("north", "south"):
        choice = json.loads((tmp_path / "agencies" / name / "choice.json").read_text())
        assert choice["score"][choice["chosen"]] < choice["score"]["zero_shot"]
        assert "(simulated)" in choice["recommendation"]
        assert set(choice["strengths"].values()) <= {*STRENGTHS}
        assert len(list((tmp_path / "agencies" / name / "alone").iterdir())) == 1, "kept for an exchange made again"
        adapter = read_adapter(tmp_path / "agencies" / name / "adapter")
        assert adapter.base_hash == made.desk.order.base_hash
    told_last = json.loads((tmp_path / "coordinator" / "choices.json").read_text())
    assert set(told_last) == {"north", "south"} and "zero_shot" in told_last["north"]


def test_a_coordinator_that_was_killed_ends_with_the_same_adapter(tmp_path: Path):
    class Killed(Exception):
        pass

    def die(line: Line) -> None:
        if line.round == 1:
            raise Killed

    whole = run(write_federation(tmp_path / "whole", rounds=3))
    broken = write_federation(tmp_path / "broken", rounds=3)
    with pytest.raises(Killed):
        run(broken, tell=die)
    with locked(broken / "coordinator" / "rounds", wait=False), pytest.raises(CranpmError, match="another process"):
        run(broken, resume=True)
    with pytest.raises(CranpmError, match="1 rounds already; go on with --resume"):
        run(broken)
    again = run(broken, resume=True)
    assert [line.adapter for line in again.book.lines] == [line.adapter for line in whole.book.lines]


def test_sigkill_between_rounds_changes_nothing(tmp_path: Path):
    """A process that is killed while it makes round 2, and another one that goes on."""
    folder = write_federation(tmp_path / "killed", rounds=2, personal=0, steps=2)
    command = [sys.executable, "-m", "tests.clients.federation_run", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        for line in first.stdout:
            if line == "round 1\n":
                first.send_signal(signal.SIGKILL)
    assert first.returncode == -signal.SIGKILL
    subprocess.run([*command, "--resume"], check=True, timeout=900)
    whole = run(write_federation(tmp_path / "whole", rounds=2, personal=0, steps=2))
    assert [line.adapter for line in Book(folder / "coordinator").lines] == [line.adapter for line in whole.book.lines]


def test_a_poisoner_is_left_out_and_named(tmp_path: Path):
    """Ten times backwards in round 1, not a number in round 2, wrong shapes in round 3."""
    names = ("north", "south", "west", "east")

    def poison(message: Message, reply: Message) -> Message:
        began, made = from_arrays(message.content[ARRAYS]), from_arrays(reply.content[ARRAYS])
        number = int(message.content["config"]["round"])
        if number == 1:
            bad = {name: began[name] - 10 * (values - began[name]) for name, values in made.items()}
        elif number == 2:
            bad = {name: values * np.float32(np.nan) for name, values in made.items()}
        else:
            bad = {name: values[:1] for name, values in made.items()}
        reply.content[ARRAYS] = to_arrays(bad)
        return reply

    clean = run(write_federation(tmp_path / "clean", names, rounds=3, personal=0))
    poisoned = run(write_federation(tmp_path / "bad", names, rounds=3, personal=0), {"east": poison})
    reasons = [a.reason for line in poisoned.book.lines[1:] for a in line.answers if not a.accepted]
    assert all(a.agency == "east" for line in poisoned.book.lines[1:] for a in line.answers if not a.accepted)
    assert [reason.split()[0] for reason in reasons] == ["norm:", reasons[1].split()[0], "shape"]
    assert "is not finite" in reasons[1]
    for name in ("north", "south", "west"):
        ends = [
            json.loads((tmp_path / run_ / "agencies" / name / "choice.json").read_text())["score"]["global"]
            for run_ in ("clean", "bad")
        ]
        assert ends[1] <= 1.15 * ends[0]
    assert clean.book.lines[-1].adapter != poisoned.book.lines[-1].adapter


def test_an_agency_that_fails_does_not_end_the_round(tmp_path: Path):
    def fail(message: Message, reply: Message) -> Message:
        raise RuntimeError("the disk is full")

    made = run(write_federation(tmp_path, ("north", "south", "west"), rounds=1), {"west": fail})
    line = made.book.lines[1]
    assert line.accepted
    assert [a.reason for a in line.answers if a.agency == "west"] == ["no answer: RuntimeError: the disk is full"]


def test_too_few_answers_leave_the_adapter_as_it_is(tmp_path: Path):
    def fail(message: Message, reply: Message) -> Message:
        raise RuntimeError("gone")

    made = run(write_federation(tmp_path, rounds=1), {"south": fail})
    line = made.book.lines[1]
    assert not line.accepted and line.reason == "1 answers counted, at least 2 are needed"
    assert line.adapter == made.book.lines[0].adapter


def test_an_aggregate_that_worsens_the_public_days_is_rejected(tmp_path: Path):
    """Both agencies send what their steps would undo; only the public days can tell."""

    def backwards(message: Message, reply: Message) -> Message:
        made = from_arrays(reply.content[ARRAYS])
        reply.content[ARRAYS] = to_arrays({n: v if ".lora_A." in n else -3 * v for n, v in made.items()})
        return reply

    public = [{"region": "europe", "data": "../agencies/north/store.zarr", "days": "2017-02-01..2017-02-09"}]
    folder = write_federation(tmp_path, rounds=1, public=public, steps=6, personal=0, tolerance=0.0)
    made = run(folder, {"north": backwards, "south": backwards})
    first, second = made.book.lines
    assert first.public is not None and second.public > first.public
    assert not second.accepted and second.reason.startswith("public days: RMSE")
    assert second.adapter == first.adapter


@pytest.mark.parametrize(
    ("method", "sent"), [("fedavg", {"A", "B"}), ("fedprox", {"A", "B"}), ("ffa-lora", {"B"}), ("fedsa-lora", {"A"})]
)
def test_each_method_sends_what_it_should(tmp_path: Path, method: str, sent: set[str]):
    seen: list[set[str]] = []

    def look(message: Message, reply: Message) -> Message:
        seen.append({name.split(".lora_")[1][0] for name in reply.content[ARRAYS]})
        return reply

    made = run(write_federation(tmp_path, method=method, rounds=2), {"north": look})
    assert seen == [sent, sent]
    error = made.book.lines[2].aggregation_error
    if method == "ffa-lora":
        assert error == pytest.approx(0.0, abs=1e-6)
    kept = tmp_path / "agencies" / "north" / "kept"
    assert kept.is_dir() == (method == "fedsa-lora")


@pytest.mark.parametrize("robust", ["none", "trimmed", "krum"])
def test_flowers_own_robust_strategies_end_rounds(tmp_path: Path, robust: str):
    made = run(write_federation(tmp_path, ("north", "south", "west"), robust=robust, rounds=1, least=3, personal=0))
    assert made.book.lines[1].accepted
    assert all(np.isfinite(values).all() for values in made.book.tensors(1).values())
