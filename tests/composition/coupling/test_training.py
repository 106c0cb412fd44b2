"""Training a coupling network: stages, resuming, what is kept."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from cranpm.composition.coupling.checkpoint import read_coupling
from cranpm.composition.coupling.examples import (
    Batch,
    CouplingDays,
    better_a_day_before,
    half_day_errors,
    held_out_batches,
)
from cranpm.composition.coupling.network import Ground
from cranpm.composition.coupling.recipe import find_recipe
from cranpm.composition.coupling.run import multi_step_loss, plan
from cranpm.composition.coupling.scores import MODEL, PERSISTENCE, score
from cranpm.errors import CranpmError
from cranpm.train.keeper import Event, Stepped
from tests.composition.coupling.tiny import inputs, network
from tests.composition.coupling.toy import TEXT, toy_recipe

ONES = torch.ones(13, 1)


def batch(steps: int = 3, count: int = 2) -> tuple[Batch, Ground]:
    given = inputs(batch=count)
    truth, weather = torch.rand(count, steps, 3, 13, 24) + 0.5, torch.randn(count, steps + 1, 3, 13, 24)
    clocks = torch.tensor([100.0, 0.0]).expand(steps, count, 2)
    before, now = given["before"].abs() + 0.1, given["now"].abs() + 0.1
    return Batch(before, now, weather, truth, clocks, ()), given["ground"]


def test_an_untrained_network_costs_one_at_its_first_step():
    made, ground = batch(steps=1)
    assert multi_step_loss(network(trained=False), made, ground, ONES).item() == pytest.approx(1.0, abs=1e-5)


def test_later_steps_of_a_forecast_reach_the_weights_through_earlier_ones():
    made, ground = batch()
    net = network().train()
    multi_step_loss(net, made, ground, ONES).backward()
    grads = [p.grad for p in net.parameters()]
    assert all(g is not None and g.isfinite().all() for g in grads)
    far = Batch(
        made.before,
        made.now,
        made.weather,
        made.truth * torch.tensor([1, 1, 2.0])[:, None, None, None],
        made.clocks,
        (),
    )
    assert multi_step_loss(net, far, ground, ONES) != multi_step_loss(net, made, ground, ONES)


def test_the_untrained_network_scores_as_persistence_where_nothing_follows_the_sun():
    made, ground = batch()
    scores = score(network(trained=False), [made], ground, ONES)
    shares = scores.ratio(MODEL)
    assert scores.leads == (12, 24, 36) and shares.shape == (3, 3)
    assert shares[:, [0, 2]] == pytest.approx(1, rel=1e-4)
    assert shares[1, 1] == pytest.approx(1, rel=1e-4) and shares[0, 1] != pytest.approx(1, rel=1e-2)
    mean, low, high = scores.interval(MODEL, PERSISTENCE, draws=50)
    assert (low <= mean + 1e-9).all() and (mean <= high + 1e-9).all()


def test_stages_follow_each_other_with_their_own_learning_rates(tmp_path: Path):
    recipe, _ = find_recipe(str(toy_recipe(tmp_path)))
    assert recipe.schedule.length == 6
    assert [recipe.stage(step)[0].view for step in (0, 3, 4, 5)] == ["reanalysis"] * 2 + ["analysis"] * 2
    assert recipe.learning_rate(3) < recipe.learning_rate(4) == recipe.learning_rate(0)


def test_a_recipe_that_validates_on_its_own_days_is_refused(tmp_path: Path):
    wrong = TEXT.replace("{realisation: 2, days: 2021", "{realisation: 1, days: 2017")
    with pytest.raises(CranpmError, match="days of 'validate' are among those to train on"):
        find_recipe(str(toy_recipe(tmp_path, wrong)))
    with pytest.raises(CranpmError, match=r"stages\[1\].rollout 11: 1 to 10 is needed"):
        find_recipe(str(toy_recipe(tmp_path, TEXT.replace("rollout: 2", "rollout: 11"))))


@pytest.mark.slow
def test_no2_is_measured_to_follow_the_sun_and_pm_is_not(tmp_path: Path, cache: Path):
    recipe, _ = find_recipe(str(toy_recipe(tmp_path)))
    days = CouplingDays(recipe, seed=0, cache=cache)
    days.setup("fit")
    assert days.config.day_before == ("no2_1000",)
    errors = half_day_errors(days.train["reanalysis"], days.config, days.scales["reanalysis"])
    assert better_a_day_before(errors, days.config) == ("no2_1000",)
    assert 0 < days.scales["analysis"].change["pm2p5"] < 0.5
    assert days.scales["reanalysis"].species != days.scales["analysis"].species
    first = next(held_out_batches(days.held_out, 1, 2, steps=3))
    assert all(start.hour == 0 for start in first.starts)
    assert np.isfinite(first.truth.numpy()).all()


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path, cache: Path):
    recipe = str(toy_recipe(tmp_path))
    whole = plan(recipe, out=tmp_path / "whole", cache=cache, device="cpu")
    whole.prepare_folder(resume=False)
    whole.run(resume=False)
    checkpoint = read_coupling(tmp_path / "whole" / "last")
    assert checkpoint.simulated and checkpoint.config.day_before == ("no2_1000",)

    def stop(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == 3:
            signal.raise_signal(signal.SIGTERM)

    halted = plan(recipe, out=tmp_path / "halted", cache=cache, device="cpu")
    halted.prepare_folder(resume=False)
    halted.run(resume=False, tell=stop)
    assert halted.interruption.stopped_at is not None
    again = plan(recipe, out=tmp_path / "halted", cache=cache, device="cpu")
    again.prepare_folder(resume=True)
    again.run(resume=True)
    found = read_coupling(tmp_path / "halted" / "last")
    assert found.hash == checkpoint.hash
    history = json.loads((tmp_path / "halted" / "history.json").read_text())
    assert [entry["step"] for entry in history] == [3, 6]


def test_a_folder_that_is_no_network_is_refused(tmp_path: Path):
    with pytest.raises(CranpmError, match=r"coupling.json and weights.safetensors missing"):
        read_coupling(tmp_path)
