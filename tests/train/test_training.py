"""Training as Lightning runs it: it learns, it can be killed, and what it leaves are checkpoints."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from cranpm.errors import CranpmError
from cranpm.model.checkpoint import read_checkpoint
from cranpm.model.network import CranPM
from cranpm.model.statistics import nominal
from cranpm.train.keeper import CHECKPOINT, LAST, RESUME, Event, Stepped, Validated, read_steps
from cranpm.train.objective import Weights
from cranpm.train.optimiser import learning_rate, make_optimiser
from cranpm.train.validation import Scores, validate
from tests.train.toy import BATCH, CONFIG, SCHEDULE, Run, examples, recipe


class KilledError(RuntimeError):
    """Stands for the end of the process."""


def killed_at(step: int):
    """What tells nobody and dies at a step, after its lines are written and before its state is saved."""

    def tell(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == step:
            raise KilledError

    return tell


def weights(module) -> list[torch.Tensor]:
    return list(module.state_dict().values())


def test_training_learns_the_law_of_the_toy_world(tmp_path):
    schedule = replace(SCHEDULE, length=120, warm_up=20, learning_rate=3e-3, validate=120, save=120)
    run = Run(tmp_path, recipe(schedule, replace(BATCH, days=8, tiles_per_day=2)), held_out=0)
    run.fit()
    rmse = [event for event in run.told if isinstance(event, Validated)][-1].rmse
    assert rmse[1][0] < 0.8 * rmse[1][1]
    assert rmse[2][0] < 0.95 * rmse[2][1]


def test_an_untrained_network_scores_as_persistence():
    made = examples()
    network = CranPM(CONFIG, nominal()).eval()
    for model, still in validate(network, made, recipe().validation, half=False).rmse().values():
        assert model == pytest.approx(still) and still > 1


@pytest.mark.parametrize("step", [1, 3, 4, 6])
def test_a_killed_run_goes_on_as_if_it_had_not_been(tmp_path, step):
    schedule = replace(SCHEDULE, save=2, validate=3)
    whole = Run(tmp_path / "whole", recipe(schedule))
    expected = weights(whole.fit())
    killed = Run(tmp_path / "killed", recipe(schedule))
    with pytest.raises(KilledError):
        killed.fit(tell=killed_at(step))
    assert (tmp_path / "killed" / RESUME).exists()
    again = Run(tmp_path / "killed", recipe(schedule))
    found = weights(again.fit(resume=True))
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
    for name in (CHECKPOINT, LAST):
        one, two = (read_checkpoint(run.folder / name) for run in (whole, again))
        assert one.hash == two.hash and one.provenance == two.provenance
    lines = [[(line["step"], line["loss"]) for line in read_steps(run.folder)] for run in (whole, again)]
    assert lines[0] == lines[1] and [number for number, _ in lines[0]] == [1, 2, 3, 4, 5, 6]
    scores = [json.loads((run.folder / "history.json").read_text()) for run in (whole, again)]
    assert [{**entry, "seconds": 0} for entry in scores[0]] == [{**entry, "seconds": 0} for entry in scores[1]]


def test_a_run_killed_after_its_last_save_has_nothing_left_to_do(tmp_path):
    expected = weights(Run(tmp_path).fit())
    again = Run(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(expected, weights(again.fit(resume=True)), strict=True))
    assert again.told == []


def test_a_run_killed_at_its_first_validation_can_go_on(tmp_path):
    """The weights are there before the state of that step is: what is saved is the state before the first step."""
    schedule = replace(SCHEDULE, validate=2, save=6)
    expected = weights(Run(tmp_path / "whole", recipe(schedule)).fit())

    def die(event: Event) -> None:
        if isinstance(event, Validated):
            raise KilledError

    with pytest.raises(KilledError):
        Run(tmp_path / "killed", recipe(schedule)).fit(tell=die)
    assert (tmp_path / "killed" / CHECKPOINT).exists()
    found = weights(Run(tmp_path / "killed", recipe(schedule)).fit(resume=True))
    assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))


def test_a_state_is_written_beside_the_last_one(tmp_path, monkeypatch):
    """Not through the temporary folder, which may be of another file system; the last one stays until it is whole."""
    run, seen = Run(tmp_path), []
    write = torch.save

    def noting(state, path) -> None:
        seen.append(Path(path))
        assert not (tmp_path / RESUME).exists() or torch.load(tmp_path / RESUME, weights_only=True)["key"] == "toy"
        write(state, path)

    monkeypatch.setattr(torch, "save", noting)
    run.fit()
    assert len(seen) == 7 and {path.parent for path in seen} == {tmp_path} and RESUME not in {p.name for p in seen}
    assert not (tmp_path / f".{RESUME}.part").exists()


def test_a_run_goes_on_with_its_own_days_only(tmp_path):
    with pytest.raises(KilledError):
        Run(tmp_path).fit(tell=killed_at(3))
    with pytest.raises(CranpmError, match="changed since this run began"):
        Run(tmp_path, days=30).fit(resume=True)


def test_a_run_that_diverges_ends_with_an_error(tmp_path):
    schedule = replace(SCHEDULE, length=40, learning_rate=1e30, warm_up=0, average=0.0)
    with pytest.raises(CranpmError, match="not finite, the run diverged"):
        Run(tmp_path, recipe(schedule)).fit()


def test_a_gradient_longer_than_clip_is_shortened(tmp_path):
    """AdamW forgets the scale of gradients, but not their ratio from step to step."""
    hashes = set()
    for clip in (0.01, 1e9):
        Run(tmp_path / str(clip), recipe(replace(SCHEDULE, clip=clip))).fit()
        hashes.add(read_checkpoint(tmp_path / str(clip) / LAST).hash)
    assert len(hashes) == 2


def test_groups_of_a_step_drop_different_tokens(tmp_path, monkeypatch):
    seeds = []
    monkeypatch.setattr(torch, "manual_seed", lambda seed: seeds.append(seed))
    Run(tmp_path, recipe(replace(SCHEDULE, length=2), replace(BATCH, groups=3, days=1))).fit()
    drawn = [seed for seed in seeds if seed != 0 or seeds.index(seed) > 0]
    assert len(set(seeds[1:])) == 6, drawn


def test_the_average_follows_closely_at_first(tmp_path):
    """With a decay of .999 and no ramp, six steps would leave it where it began."""
    module = Run(tmp_path, recipe(replace(SCHEDULE, average=0.999))).fit()
    torch.manual_seed(0)
    start = CranPM(CONFIG, nominal())

    def apart(a: CranPM, b: CranPM) -> float:
        return sum(float((p - q).detach().square().sum()) for p, q in zip(a.parameters(), b.parameters(), strict=True))

    assert apart(module.average, start) > 0.05 * apart(module.network, start)


def test_the_best_weights_are_best_over_all_leads():
    scores = Scores({1: 81.0, 2: 4.0}, {1: 100.0, 2: 16.0}, {1: 1, 2: 1})
    assert scores.ratio == pytest.approx((0.9 + 0.5) / 2)


def test_nothing_is_dropped_in_validation():
    made = examples()
    torch.manual_seed(1)
    network = CranPM(replace(CONFIG, dropout=0.5), nominal())
    torch.nn.init.normal_(network.decoder.head.weight)
    first, second = (validate(network.train(), made, recipe().validation, half=False).rmse() for _ in range(2))
    assert first == second and network.training


def test_another_seed_gives_other_weights(tmp_path):
    for seed in (0, 1):
        Run(tmp_path / str(seed), seed=seed).fit()
    assert read_checkpoint(tmp_path / "0" / LAST).hash != read_checkpoint(tmp_path / "1" / LAST).hash


def test_the_checkpoints_say_how_they_were_made(tmp_path):
    run = Run(tmp_path)
    run.fit()
    best, last = (read_checkpoint(tmp_path / name) for name in (CHECKPOINT, LAST))
    assert (best.region, best.simulated, best.trained_leads) == ("toyland", True, (1, 2))
    assert best.provenance["step"] == run.keeper.best_step and best.provenance["seed"] == 0
    assert last.provenance["step"] == 6
    assert set(best.provenance["validation_rmse"]) == {"1", "2"}
    assert best.network().config == CONFIG


def test_without_an_average_the_network_itself_is_kept(tmp_path):
    run = Run(tmp_path, recipe(replace(SCHEDULE, average=0.0)))
    module = run.fit()
    kept = read_checkpoint(tmp_path / LAST).network()
    assert all(torch.equal(a, b) for a, b in zip(kept.parameters(), module.network.parameters(), strict=True))
    assert not any(name.startswith("average") for name in module.state_dict())


def test_an_average_moves_more_slowly_than_the_network(tmp_path):
    module = Run(tmp_path, recipe(replace(SCHEDULE, average=0.9))).fit()
    torch.manual_seed(0)
    start = CranPM(CONFIG, nominal())

    def moved(network: CranPM) -> float:
        pairs = zip(network.parameters(), start.parameters(), strict=True)
        return sum(float((a - b).detach().square().sum()) for a, b in pairs)

    assert 0 < moved(module.average) < moved(module.network)


def test_training_stops_when_it_stops_improving(tmp_path):
    schedule = replace(SCHEDULE, length=400, validate=2, save=50, patience=3, learning_rate=0.2, warm_up=1, average=0.0)
    run = Run(tmp_path, recipe(schedule))
    run.fit()
    last = max(event.step for event in run.told if isinstance(event, Stepped))
    assert last < 400 and last == run.keeper.best_step + 3 * 2


def test_the_terms_of_the_objective_are_logged_and_add_up(tmp_path):
    weighted = Weights(pixel=1.0, frequency=0.1, station=0.2)
    Run(tmp_path, recipe(objective=weighted)).fit()
    for line in read_steps(tmp_path):
        assert line["pixel"] > 0 and line["frequency"] > 0 and line["station"] > 0
        total = line["pixel"] + 0.1 * line["frequency"] + 0.2 * line["station"]
        assert line["loss"] == pytest.approx(total, rel=1e-5)


def test_the_weights_of_the_terms_change_what_is_learnt(tmp_path):
    made = {"pixel": Weights(), "all": Weights(pixel=1.0, frequency=0.5, station=0.5)}
    hashes = set()
    for name, objective in made.items():
        Run(tmp_path / name, recipe(objective=objective)).fit()
        hashes.add(read_checkpoint(tmp_path / name / LAST).hash)
    assert len(hashes) == 2


def test_passes_and_groups_of_any_size_make_the_same_step(tmp_path):
    """One group of two days, its tiles at once or one by one: the same losses but for rounding."""
    losses, objective = [], Weights(1, 0.1, 0.1)
    for at_once in (3, 1):
        run = Run(tmp_path / str(at_once), recipe(batch=replace(BATCH, at_once=at_once), objective=objective))
        run.fit()
        losses.append([line["loss"] for line in read_steps(run.folder)])
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)
    split = Run(tmp_path / "split", recipe(batch=replace(BATCH, groups=2, days=1), objective=objective))
    split.fit()
    assert [line["loss"] for line in read_steps(split.folder)] == pytest.approx(losses[0], rel=2e-3)


def test_physics_parameters_do_not_decay():
    network = CranPM(CONFIG, nominal())
    free_group = make_optimiser(network, SCHEDULE).param_groups[1]
    free = {id(p) for p in free_group["params"]}
    assert free_group["weight_decay"] == 0.0
    names = {name for name, p in network.named_parameters() if id(p) in free}
    assert {"bridge.layers.0.beta", "global_branch.elevation.elevation.free", "local_branch.lead.weight"} <= names
    assert "bridge.project.weight" not in names and "local_branch.swin.0.table" in names


def test_the_learning_rate_warms_up_and_ends_low():
    rates = [learning_rate(SCHEDULE, step) for step in range(7)]
    assert rates[:3] == pytest.approx([1e-3, 2e-3, 2e-3])
    assert all(a >= b for a, b in pairwise(rates[2:])) and rates[-1] == pytest.approx(1e-5)


def test_epochs_are_counted_in_steps():
    paper = replace(SCHEDULE, unit="epoch", length=30, warm_up=5, validate=1, save=1)
    counted = paper.in_steps(1479)
    assert (counted.length, counted.warm_up, counted.validate, counted.unit) == (
        44370,
        7395,
        1479,
        "step",
    )
    assert counted.save == paper.save  # counted in steps always
    assert SCHEDULE.in_steps(1479) == SCHEDULE
