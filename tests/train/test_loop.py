"""The loop: it learns, it can be killed, and what it leaves is a checkpoint."""

import json
from dataclasses import replace
from itertools import islice

import pytest
import torch

from cranpm.errors import CranpmError
from cranpm.model.checkpoint import read_checkpoint
from cranpm.train.loop import RESUME, Stepped, Validated, learning_rate
from cranpm.train.objective import land_mse
from cranpm.train.validation import validate
from tests.train.toy import SCHEDULE, examples, trainer


def test_the_objective_counts_valid_pixels_only():
    today = torch.tensor([[[10.0, 20.0], [30.0, 40.0]]])
    target = torch.tensor([[[14.0, 20.0], [999.0, 0.0]]])
    valid = torch.tensor([[[True, True], [False, False]]])
    residual = torch.full((1, 2, 2), 0.1, requires_grad=True)
    loss = land_mse(residual, today, target, valid)
    assert loss.item() == pytest.approx(((0.1 - 0.2) ** 2 + 0.1**2) / 2)
    loss.backward()
    assert torch.equal(residual.grad != 0, valid)
    assert land_mse(residual, today, target, valid & False).item() == 0.0


def test_training_learns_the_law_of_the_toy_world(tmp_path):
    schedule = replace(SCHEDULE, steps=120, days=8, tiles=2, warm_up=20, learning_rate=3e-3, validate=120)
    run = trainer(tmp_path, schedule=schedule)
    rmse = [event for event in run.run(examples(0), examples(0)) if isinstance(event, Validated)][-1].rmse
    assert rmse[1][0] < 0.8 * rmse[1][1]
    assert rmse[2][0] < 0.95 * rmse[2][1]


def test_an_untrained_network_scores_as_persistence(tmp_path):
    run = trainer(tmp_path)
    for model, still in validate(run.average, examples(), run.recipe.validation, half=False).rmse().values():
        assert model == pytest.approx(still) and still > 1


def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path):
    whole = trainer(tmp_path / "whole")
    events = list(whole.run(examples(), examples(1)))
    assert [event.step for event in events if isinstance(event, Stepped)] == [1, 2, 3, 4, 5, 6]
    killed = trainer(tmp_path / "killed")
    list(islice(killed.run(examples(), examples(1)), 7))  # stops after step 5; step 4 was saved
    resumed = trainer(tmp_path / "killed")
    resumed.resume()
    assert resumed.progress.step == 4
    list(resumed.run(examples(), examples(1)))
    one, two = (read_checkpoint(tmp_path / name / "checkpoint") for name in ("whole", "killed"))
    assert one.hash == two.hash
    for part in ("network", "average"):  # the best checkpoint may be older than the resumption
        ends = (getattr(run, part).state_dict() for run in (whole, resumed))
        assert all(torch.equal(a, b) for a, b in zip(*(end.values() for end in ends), strict=True))
    assert not (tmp_path / "killed" / RESUME).exists()
    steps = [entry["step"] for entry in json.loads((tmp_path / "killed" / "history.json").read_text())]
    assert steps == [2, 4, 6]


def test_another_seed_gives_other_weights(tmp_path):
    for seed in (0, 1):
        list(trainer(tmp_path / str(seed), seed=seed).run(examples(), examples(1)))
    assert read_checkpoint(tmp_path / "0" / "checkpoint").hash != read_checkpoint(tmp_path / "1" / "checkpoint").hash


def test_a_run_is_resumed_with_its_own_recipe_and_seed_only(tmp_path):
    list(islice(trainer(tmp_path).run(examples(), examples(1)), 3))
    with pytest.raises(CranpmError, match="another recipe or seed"):
        trainer(tmp_path, key="recipe 123, seed 0").resume()
    with pytest.raises(CranpmError, match="no unfinished run"):
        trainer(tmp_path / "empty").resume()


def test_the_checkpoint_says_how_it_was_made(tmp_path):
    run = trainer(tmp_path)
    list(run.run(examples(), examples(1)))
    read = read_checkpoint(tmp_path / "checkpoint")
    assert (read.region, read.simulated, read.trained_leads) == ("toyland", True, (1, 2))
    assert read.provenance["step"] == run.progress.best_step and read.provenance["seed"] == 0
    assert set(read.provenance["validation_rmse"]) == {"1", "2"}
    assert read.statistics == run.about.statistics
    loaded, kept = read.network(), run.about.config
    assert loaded.config == kept


def test_training_stops_when_it_stops_improving(tmp_path):
    schedule = replace(SCHEDULE, steps=400, validate=2, patience=3, learning_rate=0.2, warm_up=1, average=0.0)
    run = trainer(tmp_path, schedule=schedule)
    list(run.run(examples(), examples(1)))
    assert run.progress.step < 400
    assert run.progress.step == run.progress.best_step + 3 * 2


def test_each_day_is_encoded_once_for_all_its_tiles(tmp_path, monkeypatch):
    run = trainer(tmp_path)
    encoded, tiles = [], []
    encode, forward = run.network.encode_day, run.network.forward_tiles
    monkeypatch.setattr(run.network, "encode_day", lambda c, e: (encoded.append(len(c)), encode(c, e))[1])
    monkeypatch.setattr(run.network, "forward_tiles", lambda s, *t: (tiles.append(len(t[0])), forward(s, *t))[1])
    next(iter(run.run(examples(), examples(1))))
    assert (encoded, tiles) == ([2], [6])


def test_sharing_a_day_gives_the_gradient_of_encoding_it_for_every_tile(tmp_path):
    run = trainer(tmp_path)
    torch.nn.init.normal_(run.network.decoder.head.weight)
    batch = run._batch(examples(), 0)
    gradients = []
    for repeats in (1, 3):
        coarse, elevation = (part.repeat_interleave(repeats, dim=0) for part in batch.day)
        residual = run.network.eval().forward_tiles(run.network.encode_day(coarse, elevation), *batch.tiles)
        run.network.zero_grad()
        land_mse(residual, batch.pm[:, 0], batch.target, batch.valid).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in run.network.parameters()]))
    assert (gradients[0] - gradients[1]).norm() < 1e-5 * gradients[0].norm()


def test_physics_parameters_do_not_decay(tmp_path):
    run = trainer(tmp_path)
    free = {id(p) for p in run.optimiser.param_groups[1]["params"]}
    assert run.optimiser.param_groups[1]["weight_decay"] == 0.0
    names = {name for name, p in run.network.named_parameters() if id(p) in free}
    assert {"bridge.layers.0.beta", "global_branch.elevation.elevation.free", "local_branch.lead.weight"} <= names
    assert "bridge.project.weight" not in names and "local_branch.swin.0.table" in names


def test_the_learning_rate_warms_up_and_ends_low():
    rates = [learning_rate(SCHEDULE, step) for step in range(7)]
    assert rates[:3] == pytest.approx([1e-3, 2e-3, 2e-3])
    assert rates[2:] == sorted(rates[2:], reverse=True) and rates[-1] == pytest.approx(1e-5)
