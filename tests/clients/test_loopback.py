"""Real processes on loopback: SuperLink, gateway, SuperNodes, TLS, node keys; who is not let in, and who comes back.

Minutes long: every message of a round is a process of its own. Needs nginx.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from cranpm.clients.book import Book
from cranpm.clients.deploy import run_command
from cranpm.clients.invitation import read_invitation
from cranpm.clients.message import SCALARS
from cranpm.clients.processes import free_port, program, surroundings
from tests.clients.running import run as run_here
from tests.clients.toy import write_federation, write_yaml

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is None, reason="nginx is not installed"
    ),
]
WATCH = (Path(__file__).parent / "egress_watch.py").read_text()
"""sitecustomize of every Python process of the test: nothing may reach beyond loopback."""


class Deployment:
    """A coordinator and its agencies as processes, in a folder."""

    def __init__(self, folder: Path, rounds: int, **changed: object) -> None:
        values = {"personal": 0, "steps": 2, "timeout": 600.0, **changed}
        self.folder = write_federation(folder, rounds=rounds, **values)
        self.home = folder / "coordinator"
        (folder / "watch").mkdir()
        (folder / "watch" / "sitecustomize.py").write_text(WATCH)
        self.egress = folder / "egress.txt"
        path = os.pathsep.join(
            [str(folder / "watch"), *filter(None, [os.environ.get("PYTHONPATH", "")]), str(Path.cwd())]
        )
        self.variables = {**os.environ, "PYTHONPATH": path, "EGRESS": str(self.egress), "OMP_NUM_THREADS": "1"}
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def cranpm(self, *arguments: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "cranpm", "federate", *map(str, arguments)], env=self.variables,
            capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, name: str, *arguments: str | Path) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", "cranpm", "federate", *map(str, arguments)], env=self.variables, stdout=log,
                stderr=log, start_new_session=True,
            )  # fmt: skip

    def kill(self, name: str) -> None:
        """SIGKILL to the process and all that it started."""
        stop_tree(self.running.pop(name).pid)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def until(self, true: Callable[[], bool], seconds: float = 900) -> None:
        end = time.monotonic() + seconds
        while not true():
            assert time.monotonic() < end, "\n".join(f"--- {n}\n{self.log(n)[-3000:]}" for n in self.running)
            time.sleep(0.5)

    def rounds(self) -> int:
        lines = Book(self.home).lines
        return lines[-1].round if lines else -1

    def serve(self) -> None:
        self.start("serve", "serve", self.home)
        self.until(lambda: "Uvicorn running" in self.log("serve") or "startup complete" in self.log("serve"), 300)

    def set_up(self) -> None:
        port, link = free_port(), free_port()
        self.cranpm("init", self.home, "--address", f"localhost:{port}", "--listen", f"127.0.0.1:{port}",
                    "--superlink-port", str(link))  # fmt: skip
        self.serve()
        for name in ("north", "south"):
            self.cranpm("request", self.folder / "nodes" / name)
            key = self.folder / "nodes" / name / "node.key.pub"
            self.cranpm("admit", self.home, key, "--name", name, "--out", self.folder / f"{name}.json")
            self.join(name)

    def join(self, name: str) -> None:
        store = self.folder / "agencies" / name / "store.zarr"
        self.start(name, "join", self.folder / f"{name}.json", "--folder", self.folder / "nodes" / name, "--region",
                   "europe", "--data", store, "--base", self.folder / "base")  # fmt: skip

    def close(self) -> None:
        for name in list(self.running):
            self.kill(name)


def stop_tree(pid: int) -> None:
    """SIGKILL to a process and its descendants, found by their parents; only what this test started."""
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    for child in children:
        stop_tree(int(child))


@pytest.fixture
def deployment(tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    made: list[Deployment] = []

    def make(name: str, rounds: int, **changed: object) -> Deployment:
        made.append(Deployment(tmp_path / name, rounds, **changed))
        return made[-1]

    yield make
    for one in made:
        one.close()


def told(home: Path, name: str) -> list[list[float]]:
    return [[answer.scalars[name] for answer in line.answers] for line in Book(home).lines]


def test_a_coordinator_that_was_killed_ends_with_what_one_process_ends_with(deployment, tmp_path: Path):
    """Over TLS, with keys and a gateway, SIGKILL in round 2 and --resume: each number and each adapter are the same."""
    made = deployment("deployed", 3)
    made.set_up()
    made.start("run", "run", made.home)
    made.until(lambda: made.rounds() >= 1)
    made.kill("run")
    made.kill("serve")
    assert made.rounds() == 1, "round 2 is under way"
    made.serve()
    made.start("run", "run", made.home, "--resume")
    made.until(lambda: (made.home / "choices.json").exists())
    here = run_here(write_federation(tmp_path / "here", rounds=3, personal=0, steps=2)).folder
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
    pushed = [line.split() for line in (made.home / "gateway" / "access.log").read_text().splitlines()]
    came = sum(int(words[-2]) for words in pushed if "push" in words[3])
    assert came < 2 * sum(answer.bytes_up for answer in answers) + 500_000, "a tile of these stores is far larger"


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
