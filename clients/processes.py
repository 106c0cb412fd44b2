"""Child processes of a coordinator or an agency: started with the switches set, ended together."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cranpm.clients.quiet import environment
from cranpm.errors import CranpmError

PATIENCE = 20.0
"""Seconds to end in after a signal."""


def home_of(folder: Path) -> Path:
    """Where Flower keeps its own files for a coordinator or an agency."""
    return folder.resolve() / "flower"


def surroundings(folder: Path) -> dict[str, str]:
    """The environment of the children: the switches, a home of their own, and this Python's programs first."""
    home = home_of(folder)
    home.mkdir(parents=True, exist_ok=True)
    programs = str(Path(sys.executable).parent)
    return {**environment(str(home)), "PATH": f"{programs}{os.pathsep}{os.environ.get('PATH', '')}"}


def program(name: str) -> str:
    """A program that came with Flower, beside this Python.

    Raises:
        CranpmError: it is not there.
    """
    path = Path(sys.executable).parent / name
    if not path.is_file():
        raise CranpmError(f"'{name}' is not beside {sys.executable}: pip install \"cranpm[federate]\"")
    return str(path)


def free_port() -> int:
    """A port of loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call(command: Sequence[str], folder: Path) -> str:
    """Run a program to its end.

    Returns:
        What it printed.

    Raises:
        CranpmError: it failed; with the end of what it said.
    """
    done = subprocess.run(command, env=surroundings(folder), capture_output=True, text=True)
    if done.returncode:
        said = " ".join(f"{done.stdout} {done.stderr}".split())[-400:]
        raise CranpmError(f"{Path(command[0]).name} {' '.join(command[1:3])}: {said}")
    return done.stdout


def keep_running(commands: Sequence[Sequence[str]], folder: Path) -> int:
    """Start programs and wait until one ends or a person ends this one; then end the others.

    Returns:
        The exit status: 0 when a person asked for the end.
    """
    stopped: list[int] = []
    with children(commands, folder) as running:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda got, frame: stopped.append(got))
        while not stopped and all(child.poll() is None for child in running):
            time.sleep(0.2)
        codes = [child.returncode for child in running if child.returncode]
    return 0 if stopped else (codes[0] if codes else 0)


@contextlib.contextmanager
def children(commands: Sequence[Sequence[str]], folder: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Programs that run while the block does, each in a session of its own."""
    running: list[subprocess.Popen[bytes]] = []
    try:
        for command in commands:
            running.append(subprocess.Popen(command, env=surroundings(folder), start_new_session=True))
        yield running
    finally:
        for child in running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGTERM)
        end = time.monotonic() + PATIENCE
        for child in running:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.wait(max(end - time.monotonic(), 0.1))
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
