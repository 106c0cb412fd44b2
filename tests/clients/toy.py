"""Agencies whose air never changes: what a base wrongly forecasts as a change, each can teach it; levels differ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import yaml

from cranpm.data.layout import STORE_CHANNELS, DayRecord, Fixed, Header, StationTable
from cranpm.data.writer import open_writer
from cranpm.grid import coarse_grid, fine_grid
from cranpm.model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from cranpm.model.statistics import nominal
from cranpm.variables import COARSE
from tests.model.examples import TINY, network

CONFIG = replace(TINY, tile=32, coarse_shape=(16, 20), dropout=0.0, drop_path=0.0)
FIRST, DAYS = date(2017, 1, 1), 40
LEVELS = {"north": 30.0, "south": 90.0, "west": 60.0, "east": 120.0}
"""What PM2.5 is every day at each agency, ug m-3."""
SETTINGS = {
    "lora": {"rank": 2, "alpha": 4.0, "dropout": 0.0, "targets": ["attention", "mlp"]},
    "parts": [],
    "blocks": {"train": 12, "held_out": 8},
    "batch": {"groups": 1, "days": 2, "tiles_per_day": 2, "lead_shares": [1, 1]},
    "objective": {"pixel": 1.0},
    "whole_rate": 1.0e-4,
    "strength": 1.0,
    "schedule": {
        "length": 12, "learning_rate": 5.0e-3, "final_learning_rate": 1.7e-4, "warm_up": 1, "weight_decay": 0.01,
        "clip": 1.0, "validate": 4, "patience": 4, "save": 4, "average": 0.0,
    },
    "validation": {"every": 1, "tiles": 2},
}  # fmt: skip


def write_base(folder: Path) -> Checkpoint:
    """A base that forecasts changes where there are none."""
    write_checkpoint(folder, Checkpoint("europe", CONFIG, nominal(), (1, 2), "europe", True), network(CONFIG))
    return read_checkpoint(folder)


HEADER = Header("europe", "sample", coarse_grid(46.0, 19.0, 16, 20), fine_grid(45.0, 20.0, 64, 72), 8, {"seed": 0})


def write_toy_store(path: Path, level: float, seed: int = 0, header: Header = HEADER, count: int = DAYS) -> Path:
    """Days of one level, with noise of 1 ug m-3."""
    ground = Fixed(
        np.full(header.coarse.shape, 100.0, np.float32), np.full(header.fine.shape, 120.0, np.float32),
        np.ones(header.fine.shape, bool), StationTable((), (), (), (), (), ()),
    )  # fmt: skip
    middle = np.array([(max(v.low, -20) + v.high) / 2 for v in COARSE.values()], np.float32)
    days = [date.fromordinal(FIRST.toordinal() + k) for k in range(count)]
    with open_writer(path, header, lambda: ground, days[0], days[-1]) as writer:
        for k, day in enumerate(days):
            rng = np.random.default_rng([seed, k])
            wiggle = rng.uniform(0.9, 1.1, (len(STORE_CHANNELS), *header.coarse.shape)).astype(np.float32)
            pm = (level + rng.normal(0, 1, header.fine.shape)).astype(np.float32)
            writer.write_day(DayRecord(day, wiggle * middle[:, None, None], pm, None, np.empty(0, np.float32)))
    return path


def write_federation(folder: Path, names: Sequence[str] = ("north", "south"), **changed: object) -> Path:
    """A base, a coordinator's folder and agencies' folders; the values of federation.yaml may be given."""
    write_base(folder / "base")
    (folder / "settings.yaml").write_text(yaml.safe_dump(SETTINGS))
    shared = {"base": str(folder / "base"), "settings": str(folder / "settings.yaml")}
    for number, name in enumerate(names):
        place = folder / "agencies" / name
        place.mkdir(parents=True)
        write_toy_store(place / "store.zarr", LEVELS[name], seed=number)
        write_yaml(place / "agency.yaml", {"name": name, "region": "europe", "data": "store.zarr", **shared})
    plan = {"rounds": 2, "steps": 3, "personal": 3, "least": min(2, len(names)), "seed": 0, **shared, **changed}
    write_yaml(folder / "coordinator" / "federation.yaml", plan)
    return folder


def write_yaml(path: Path, values: dict[str, object]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(values))
