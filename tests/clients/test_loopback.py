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

from cranpm.clients.book import Book
from cranpm.clients.deploy import run_command
from cranpm.clients.invitation import read_invitation
from cranpm.clients.processes import free_port, program, surroundings
from tests.clients.running import run as run_here
from tests.clients.toy import write_federation

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


def scores(home: Path) -> list[list[float]]:
    return [[answer.scalars["rmse"] for answer in line.answers] for line in Book(home).lines]


def test_processes_with_tls_and_keys_score_what_one_process_does(deployment, tmp_path: Path):
    made = deployment("deployed", 2)
    made.set_up()
    made.start("run", "run", made.home)
    made.until(lambda: (made.home / "choices.json").exists())
    here = run_here(write_federation(tmp_path / "here", rounds=2, personal=0, steps=2))
    assert scores(made.home) == [pytest.approx(one, abs=1e-4) for one in scores(here.folder)]
    assert set(json.loads((made.home / "choices.json").read_text())) == {"north", "south"}
    assert not made.egress.exists(), made.egress.read_text()


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


def test_outsiders_and_apps_that_no_agency_approved_get_nowhere(deployment):
    made = deployment("unapproved", 1, least=1)
    made.set_up()
    other = made.folder / "clients"
    source = Path(run_command(made.home, resume=False)[2])
    shutil.copytree(source, other, ignore=shutil.ignore_patterns("__pycache__"))
    path = other / "flapp" / "client_app.py"
    path.write_text(path.read_text() + f"open({str(made.folder / 'owned')!r}, 'w')\n")
    made.until(lambda: "Starting Flower SuperNode" in made.log("north"))
    subprocess.Popen(run_command(made.home, resume=False, app=other), env={**made.variables, **surroundings(made.home)})
    made.until(lambda: made.rounds() >= 1)
    line = Book(made.home).lines[1]
    assert not line.accepted
    assert any("could not be verified" in answer.reason for answer in line.answers), line
    assert not (made.folder / "owned").exists()
    assert_outsiders_get_nowhere(made)


def test_killed_agencies_and_coordinators_come_back(deployment):
    made = deployment("killed", 4, least=1, timeout=240.0)
    made.set_up()
    made.start("run", "run", made.home)
    made.until(lambda: made.rounds() >= 1)
    made.kill("south")
    made.until(lambda: made.rounds() >= 2)
    made.join("south")
    made.until(lambda: made.rounds() >= 3)
    before = Book(made.home).lines[-1]
    made.kill("run")
    made.kill("serve")
    made.serve()
    made.start("run", "run", made.home, "--resume")
    made.until(lambda: (made.home / "choices.json").exists())
    lines = Book(made.home).lines
    assert lines[-1].round == 4 and lines[before.round].adapter == before.adapter
    assert {answer.agency for answer in lines[-1].answers} == {"north", "south"}
