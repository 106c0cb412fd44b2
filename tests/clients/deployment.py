"""A coordinator and its agencies as processes on loopback: what tests and benchmarks of deployments start."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from cranpm.clients.book import Book
from cranpm.clients.processes import free_port

WATCH = (Path(__file__).parent / "egress_watch.py").read_text()
"""sitecustomize of every Python process of the test: nothing may reach beyond loopback."""


class Deployment:
    """A coordinator and its agencies as processes.

    Args:
        folder: as `toy.write_federation` leaves it.
        names: of the agencies.
    """

    def __init__(self, folder: Path, names: Sequence[str] = ("north", "south")) -> None:
        self.folder, self.names, self.home = folder, names, folder / "coordinator"
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
            failed = any(process.poll() for process in self.running.values())
            assert not failed and time.monotonic() < end, "\n".join(
                f"--- {n}\n{self.log(n)[-3000:]}" for n in self.running
            )
            time.sleep(0.5)

    def rounds(self) -> int:
        lines = Book(self.home).lines
        return lines[-1].round if lines else -1

    def serve(self) -> None:
        before = self.log("serve").count("startup complete") if (self.folder / "serve.log").exists() else 0
        self.start("serve", "serve", self.home)
        self.until(lambda: self.log("serve").count("startup complete") > before, 300)

    def set_up(self) -> None:
        port, link = free_port(), free_port()
        self.cranpm("init", self.home, "--address", f"localhost:{port}", "--listen", f"127.0.0.1:{port}",
                    "--superlink-port", str(link))  # fmt: skip
        self.serve()
        for name in self.names:
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
