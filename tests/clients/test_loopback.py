"""Real processes on loopback: SuperLink, gateway, SuperNodes, TLS, node keys; who is not let in, and who comes back.

Minutes long: every message of a round is a process of its own. Needs nginx.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from cranpm.clients.book import Book
from cranpm.clients.deploy import run_command
from cranpm.clients.invitation import read_invitation
from cranpm.clients.message import SCALARS
from cranpm.clients.processes import free_port, program, surroundings
from tests.clients.deployment import Deployment, stop_tree
from tests.clients.running import run as run_here
from tests.clients.toy import write_federation, write_yaml

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None, reason="nginx is not installed"
    ),
]


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    made: list[Deployment] = []

    def make(name: str, rounds: int, **changed: object) -> Deployment:
        values = {"personal": 0, "steps": 2, "timeout": 600.0, **changed}
        made.append(Deployment(write_federation(tmp_path / name, rounds=rounds, **values)))
        return made[-1]

    yield make
    for one in made:
        one.close()


def told(home: Path, name: str) -> list[list[float]]:
    return [[answer.scalars[name] for answer in line.answers] for line in Book(home).lines]


def test_a_coordinator_that_was_killed_ends_with_what_one_process_ends_with(deployment, tmp_path: Path):
    """Over TLS, with keys and a gateway, SIGKILL in round 2 and --resume: each number and each adapter are the same."""
    made = deployment("deployed", 2)
    made.set_up()
    made.start("run", "run", made.home)
    made.until(lambda: made.rounds() >= 1)
    made.kill("run")
    made.kill("serve")
    assert made.rounds() == 1, "round 2 is under way"
    made.serve()
    made.start("run", "run", made.home, "--resume")
    made.until(lambda: (made.home / "choices.json").exists())
    here = run_here(write_federation(tmp_path / "here", rounds=2, personal=0, steps=2)).folder
    for name in ("rmse", "loss"):
        assert told(made.home, name) == [pytest.approx(one, abs=1e-4) for one in told(here, name)]
    assert [line.adapter for line in Book(made.home).lines] == [line.adapter for line in Book(here).lines]
    assert set(json.loads((made.home / "choices.json").read_text())) == {"north", "south"}
    assert_only_adapters_left(made)
    assert not made.egress.exists(), made.egress.read_text()


def assert_only_adapters_left(made: Deployment) -> None:
    """Scalars as listed, tensors of adapters, and no room for more in the bytes that the gateway counted."""
    answers = [answer for line in Book(made.home).lines for answer in line.answers]
    assert all(set(answer.scalars) == set(SCALARS) for answer in answers)
    assert all(".lora_" in name for name in Book(made.home).tensors(1))
    asked = [line.split() for line in (made.home / "gateway" / "access.log").read_text().splitlines()]
    pushed = [
        int(words[-2]) for words in asked if "push" in words[3]
    ]  # bytes of each request, its signed head included
    assert sum(pushed) - 1200 * len(pushed) < 2 * sum(answer.bytes_up for answer in answers)


def assert_outsiders_get_nowhere(made: Deployment) -> None:
    """With the authority's certificate and the address, which are in every invitation, and nothing else."""
    outside = made.folder / "outside"
    invitation = read_invitation(made.folder / "north.json")
    made.cranpm("request", outside)
    (outside / "ca.crt").write_text(invitation.authority)
    (outside / "flower").mkdir()
    (outside / "flower" / "config.toml").write_text(
        f'[superlink]\ndefault = "x"\n[superlink.x]\naddress = "{invitation.address}"\n'
        f'root-certificates = "{outside / "ca.crt"}"\n'
    )
    around = {**surroundings(outside), "PYTHONPATH": made.variables["PYTHONPATH"], "EGRESS": str(made.egress)}
    for command in (
        ["supernode", "register", str(outside / "node.key.pub")],
        ["list"],
        [*run_command(made.home, resume=True)[1:3], "x"],
    ):
        done = subprocess.run([program("flwr"), *command], env=around, capture_output=True, text=True, timeout=300)
        assert "registered successfully" not in done.stdout and "Successfully started" not in done.stdout
        assert "403" in done.stdout + done.stderr or done.returncode, done.stdout + done.stderr
    log = outside / "node.log"
    with log.open("wb") as stream:
        node = subprocess.Popen(
            [program("flower-supernode"), "--superlink", invitation.address, "--root-certificates",
             str(outside / "ca.crt"), "--auth-supernode-private-key", str(outside / "node.key"),
             "--port", str(free_port())], env=around, stdout=stream, stderr=stream, start_new_session=True,
        )  # fmt: skip
    made.until(lambda: node.poll() is not None or "Failed to initialize the connection" in log.read_text())
    stop_tree(node.pid)
    assert "Failed to initialize the connection" in log.read_text(), "an unregistered key must not be let in"
    assert "SuperNode ID" not in log.read_text()


def submit_another_app(made: Deployment) -> None:
    """What the coordinator's operator could try: the same app with one line more."""
    other = made.folder / "clients"
    source = Path(run_command(made.home, resume=False)[2])
    shutil.copytree(source, other, ignore=shutil.ignore_patterns("__pycache__"))
    path = other / "flapp" / "client_app.py"
    path.write_text(path.read_text() + f"open({str(made.folder / 'owned')!r}, 'w')\n")
    subprocess.run(
        run_command(made.home, resume=False, app=other), env={**made.variables, **surroundings(made.home)}, timeout=600
    )


def test_strangers_get_nowhere_and_killed_agencies_come_back(deployment):
    made = deployment("killed", 1, least=1, timeout=240.0)
    made.set_up()
    made.until(lambda: all("Starting Flower SuperNode" in made.log(name) for name in ("north", "south")))
    submit_another_app(made)
    refused = Book(made.home).lines[1]
    assert not refused.accepted
    assert any("could not be verified" in answer.reason for answer in refused.answers), refused
    assert not (made.folder / "owned").exists()
    assert_outsiders_get_nowhere(made)
    (made.home / "choices.json").unlink()
    plan = yaml.safe_load((made.home / "federation.yaml").read_text())
    write_yaml(made.home / "federation.yaml", {**plan, "rounds": 6})
    made.start("run", "run", made.home, "--resume")
    made.until(lambda: made.rounds() >= 2)
    made.kill("south")
    made.until(lambda: made.rounds() >= 3)
    made.join("south")
    made.until(lambda: (made.home / "choices.json").exists())
    lines = Book(made.home).lines
    assert all(line.accepted for line in lines[2:])
    took = [[a.agency for a in line.answers if a.accepted] for line in lines]
    assert took[2] == ["north", "south"] and took[3] == ["north"] and took[6] == ["north", "south"], lines
    assert next(a.reason for a in lines[3].answers if a.agency == "south").startswith("no answer")
    assert not made.egress.exists(), made.egress.read_text()
