"""Training the sharpeners: pairs, objective, a run that is killed and goes on, scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cranpm.composition.deepcams.checkpoint import read_sharpener
from cranpm.composition.deepcams.objective import Objective, interpolated, loss, smoothness
from cranpm.composition.deepcams.pairs import Batch, Pairs
from cranpm.composition.deepcams.recipe import FOLDER, find_recipe
from cranpm.composition.deepcams.run import SharpenerRun
from cranpm.composition.deepcams.scores import Table, markdown
from cranpm.composition.deepcams.temporal import Level
from cranpm.composition.deepcams.truth import Course, Place, Series, read_series, simulated_files
from cranpm.errors import CranpmError
from cranpm.train.keeper import Event, Stepped
from cranpm.train.place import find_place

PLACE = Place("europe", 48.0, 6.0, 24, 24)
COURSES = (Course(1, "2017-02-01..2017-02-02"), Course(2, "2021-02-01"))


def series(hours: int = 10, start: str = "2018-03-01T22") -> Series:
    times = np.datetime64(start, "s") + np.arange(hours) * np.timedelta64(3600, "s")
    return Series(times, np.arange(hours, dtype=np.float32)[:, None, None] * np.ones((1, 12, 15), np.float32))


def test_the_hours_of_a_pair_stand_in_their_order():
    pairs = Pairs([series()], space=False, scale=2.0)
    batch = pairs.draw(np.random.default_rng(0), 50, 6)
    first, last, inner = batch.given[:, 0, 0, 0], batch.given[:, 1, 0, 0], batch.target[:, 0, 0, 0]
    assert batch.given.shape == (50, 2, 6, 6)
    torch.testing.assert_close(2 * (last - first), torch.full((50,), 3.0))
    torch.testing.assert_close(inner, first + batch.t * (last - first))
    backward = pairs.draw(np.random.default_rng(0), 50, 6, reverse=1.0)
    assert (backward.given[:, 1] < backward.given[:, 0]).all()
    torch.testing.assert_close(interpolated(backward), backward.target)


def test_scored_intervals_begin_at_the_hours_of_the_reanalysis():
    found = [[str(t)[11:13] for t in times] for times, _ in Pairs([series()], space=False, scale=1.0).scored()]
    assert found == [["01", "02"], ["04", "05"]]


def test_a_gap_in_time_parts_the_series(tmp_path):
    paths = simulated_files(PLACE, Course(1, "2017-02-01,2017-02-03"), tmp_path)
    found = read_series(paths, lambda maps: maps)
    assert [len(one.times) for one in found] == [24, 24]
    assert [len(one.times) for one in read_series(paths, lambda maps: maps, every=6)] == [4, 4]


def test_a_batch_depends_on_seed_and_step_alone():
    pairs = Pairs([series()], space=True, scale=1.0)
    one, two = (pairs.draw(np.random.default_rng([3, 7]), 4, 2) for _ in range(2))
    assert torch.equal(one.target, two.target) and one.given.shape == (4, 1, 2, 2)


def test_flow_may_change_at_the_edges_of_the_map_only():
    """Eq. 5: where the map has a step of 1 the flow's change costs nothing."""
    flow = torch.zeros(1, 2, 8, 8)
    flow[..., 4:] = 1.0
    level = Level(flow[:, :1], flow, flow)
    even, edge = torch.zeros(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    edge[..., 4:] = 1.0
    assert float(smoothness(level, even, 1, 150.0)) == pytest.approx(0.5 * 8 / 56)
    assert float(smoothness(level, edge, 1, 150.0)) < 1e-6


def test_the_objective_of_a_perfect_linear_course_is_zero():
    from cranpm.composition.deepcams.checkpoint import build

    batch = Pairs([series()], space=False, scale=5.0).draw(np.random.default_rng(0), 3, 12)
    assert float(loss(build("time", "small"), batch, Objective()).detach()) < 1e-5


def test_even_errors_count_less_where_there_is_much():
    """With a power of 1 the same share of a map costs the same, whatever the map."""
    from cranpm.composition.deepcams.checkpoint import build

    network, t = build("time", "small"), torch.tensor([0.5])
    costs = {}
    for level in (50.0, 100.0):
        given = torch.full((1, 2, 16, 16), level)
        batch = Batch(given, given[:, :1] * 1.1, t)
        costs[level] = [float(loss(network, batch, Objective(even=power)).detach()) for power in (0.0, 1.0)]
    assert costs[100.0][0] == pytest.approx(2 * costs[50.0][0], rel=1e-3)
    assert costs[100.0][1] == pytest.approx(costs[50.0][1], rel=0.01)


def test_maps_are_mirrored_where_the_recipe_says_so():
    one = series()
    east = Series(one.times, one.maps + np.arange(15, dtype=np.float32))
    for flip in (False, True):
        given = Pairs([east], space=False, scale=1.0).draw(np.random.default_rng(0), 30, 6, flip=flip).given
        eastward = (given.diff(dim=-1) > 0).all(dim=(1, 2, 3))
        assert eastward.any() and bool(eastward.all()) is not flip


def test_the_scores_of_a_month_are_the_mean_of_its_hours():
    truth = np.array([[0.0, 2.0], [4.0, 6.0]])
    table = Table()
    table.add("2022-01", truth, (truth + 1, truth))
    table.add("2022-01", truth, (truth + 3, truth))
    table.add("2022-02", truth, (truth, truth + 1))
    assert table.monthly()["2022-01"].rmse == (2.0, 0.0) and table.average.mae == (1.0, 0.5)
    assert table.pooled == pytest.approx((np.sqrt(10 / 3), np.sqrt(1 / 3)))
    assert "| 2022-02 | 1.00000 | 1.00000 | 0.000 | 1.000 |" in markdown(replace_zero(table), "linear")


def replace_zero(table: Table) -> Table:
    """A month without error has no relative change; nudge it."""
    row = table.months["2022-02"][0]
    table.months["2022-02"] = [replace(row, rmse=(1e-9, row.rmse[1]))]
    return table


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_recipes_are_right(path):
    recipe, _ = find_recipe(path.stem)
    assert recipe.name == path.stem and recipe.config is not None


def test_days_to_validate_on_are_not_trained_on(tmp_path):
    text = (FOLDER / "sample-time.yaml").read_text().replace("realisation: 3", "realisation: 1").replace("2021", "2017")
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace("[11, 14]", "[1, 14]"))
    with pytest.raises(CranpmError, match="days of 'validate' are among those of 'train'"):
        find_recipe(str(path))


def run(folder: Path, cache: Path, task: str) -> SharpenerRun:
    recipe, _ = find_recipe(f"sample-{task}")
    assert recipe.simulated is not None
    recipe = replace(
        recipe,
        simulated=replace(recipe.simulated, place=PLACE, train=COURSES[:1], validate=COURSES[1:]),
        batch=replace(recipe.batch, examples=2, patch=6),
        schedule=replace(recipe.schedule, length=4, validate=2, save=1, warm_up=1),
    )
    return SharpenerRun(recipe, 0, None, find_place("cpu", None, {}), folder, "toy", cache, "")


class KilledError(Exception):
    """Stands for a kill."""


@pytest.mark.slow
@pytest.mark.parametrize("task", ["time", "space"])
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path, task):
    whole = run(tmp_path / "whole", tmp_path, task)
    whole.prepare_folder(resume=False)
    whole.run(resume=False)

    def die(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == 3:
            raise KilledError

    killed = run(tmp_path / "killed", tmp_path, task)
    killed.prepare_folder(resume=False)
    with pytest.raises(KilledError):
        killed.run(resume=False, tell=die)
    again = run(tmp_path / "killed", tmp_path, task)
    again.prepare_folder(resume=True)
    again.run(resume=True)
    one, two = (read_sharpener(made.folder / "checkpoint", task) for made in (whole, again))
    assert one.hash == two.hash and one.simulated and one.mean > 0
    history = json.loads((tmp_path / "killed" / "history.json").read_text())
    assert [entry["step"] for entry in history] == [2, 4] and history[0]["rmse_interpolated"] > 0
    assert not (tmp_path / "killed" / "resume.ckpt").exists()
