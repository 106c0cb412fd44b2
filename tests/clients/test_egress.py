"""Nothing in a federation looks beyond loopback: an audit hook in a process of its own would note it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.clients.toy import write_federation

CODE = """
import socket, sys
from pathlib import Path
import tests.clients.egress_watch
from cranpm.clients.quiet import quiet
quiet()
from tests.clients.running import run
run(Path(sys.argv[1]))
try:
    socket.create_connection(("telemetry.flower.ai", 443), timeout=1)
except OSError as error:
    print(error)
"""


def test_a_federation_in_one_process_connects_to_nobody(tmp_path: Path):
    """And the hook would have seen it: the last lines try."""
    folder, noted = write_federation(tmp_path, rounds=1, steps=1, personal=0), tmp_path / "egress.txt"
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(folder)], env={**os.environ, "EGRESS": str(noted)}, capture_output=True,
        text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "no connection beyond loopback in this test: telemetry.flower.ai"
    assert noted.read_text() == "socket.getaddrinfo telemetry.flower.ai\n"
