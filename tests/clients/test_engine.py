"""Flower's simulation engine runs the same app and scores the same; needs ray, and takes half a minute to start it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cranpm.clients.book import Book
from cranpm.clients.message import SCALARS
from tests.clients.running import run
from tests.clients.toy import write_federation

get_node_ip_address = pytest.importorskip("ray.util").get_node_ip_address
pytestmark = pytest.mark.slow
WATCH = (Path(__file__).parent / "egress_watch.py").read_text()
CODE = """
import sys
from pathlib import Path
from cranpm.clients.engine import run_in_engine
folder = Path(sys.argv[1])
run_in_engine(folder / "coordinator", folder / "agencies", resume=False, tell=lambda line: None)
"""


def told(folder: Path, name: str) -> list[list[float]]:
    """Each round's, from low to high: nodes of the engine have no names."""
    return [sorted(answer.scalars[name] for answer in line.answers) for line in Book(folder).lines]


def test_the_engine_scores_what_one_process_does_and_connects_to_nobody(tmp_path: Path):
    there, watch, noted = tmp_path / "engine", tmp_path / "watch", tmp_path / "egress.txt"
    write_federation(there, rounds=2, steps=2, personal=0)
    watch.mkdir()
    (watch / "sitecustomize.py").write_text(WATCH)
    path = os.pathsep.join([str(watch), *filter(None, [os.environ.get("PYTHONPATH", "")]), str(Path.cwd())])
    done = subprocess.run(
        [sys.executable, "-c", CODE, str(there)], capture_output=True, text=True, timeout=1800,
        env={**os.environ, "PYTHONPATH": path, "EGRESS": str(noted), "OWN_ADDRESS": get_node_ip_address(),
             "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    here = run(write_federation(tmp_path / "here", rounds=2, steps=2, personal=0)).folder
    for name in ("rmse", "loss"):
        assert len(told(there / "coordinator", name)) == 3
        for one, other in zip(told(there / "coordinator", name), told(here, name), strict=True):
            assert one == pytest.approx(other, abs=1e-4)
    answers = [answer for line in Book(there / "coordinator").lines for answer in line.answers]
    assert all(answer.accepted and set(answer.scalars) == set(SCALARS) for answer in answers)
    assert not noted.exists(), noted.read_text()
