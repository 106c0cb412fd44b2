"""A run small enough for tests: a few days of a small area, a few steps of a tiny network."""

from __future__ import annotations

from pathlib import Path

import pytest

TEXT = """
name: toy
model: small
species: [pm2p5, no2_1000]
simulated:
  world_seed: 0
  area: {region: europe, north: 52.0, west: 6.0, step: 0.75, height: 6, width: 8}
  reanalysis: [{realisation: 1, days: 2017-01-01..2017-01-08}]
  analysis: [{realisation: 1, days: 2017-01-01..2017-01-08}]
  validate: [{realisation: 2, days: 2021-01-01..2021-01-08}]
stages:
  - {view: reanalysis, length: 4, rollout: 1, examples: 2, learning_rate: 1.0e-3, final_learning_rate: 1.0e-4}
  - {view: analysis, length: 2, rollout: 2, examples: 2, learning_rate: 1.0e-3, final_learning_rate: 1.0e-4}
weight_decay: 0.01
clip: 1.0
average: 0.9
validate: 3
save: 2
validate_every: 1
"""


def toy_recipe(folder: Path, text: str = TEXT) -> Path:
    """The recipe as a file."""
    path = folder / "toy.yaml"
    path.write_text(text)
    return path


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the tests' simulated days lie."""
    return tmp_path_factory.mktemp("species")
