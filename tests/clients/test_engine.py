"""Flower's simulation engine runs the same app and scores the same; needs ray, and takes half a minute to start it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cranpm.clients.book import Book
from cranpm.clients.engine import run_in_engine
from tests.clients.running import run
from tests.clients.toy import write_federation

pytest.importorskip("ray")
pytestmark = pytest.mark.slow


def scores(folder: Path) -> list[list[float]]:
    """Each round's, from low to high: nodes of the engine have no names."""
    return [sorted(answer.scalars["rmse"] for answer in line.answers) for line in Book(folder).lines]


def test_the_engine_scores_what_one_process_does(tmp_path: Path):
    there = write_federation(tmp_path / "engine", rounds=2, steps=2, personal=0)
    run_in_engine(there / "coordinator", there / "agencies", resume=False, tell=lambda line: None)
    here = run(write_federation(tmp_path / "here", rounds=2, steps=2, personal=0))
    assert len(scores(there / "coordinator")) == 3
    for one, other in zip(scores(there / "coordinator"), scores(here.folder), strict=True):
        assert one == pytest.approx(other, abs=1e-4)
