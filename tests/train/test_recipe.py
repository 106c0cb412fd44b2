"""Recipes: what ships is right, and what would not be honest is refused."""

from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from cranpm.errors import CranpmError
from cranpm.options import leaf
from cranpm.train.commands import train
from cranpm.train.dry_run import describe
from cranpm.train.recipe import FOLDER, read_recipe, recipe_path
from cranpm.train.session import plan

SHIPPED = sorted(FOLDER.glob("*.yaml"))
SIMULATED = [path for path in SHIPPED if path.stem != "europe-paper"]


@pytest.mark.parametrize("path", SIMULATED, ids=lambda path: path.stem)
def test_shipped_recipes_never_touch_what_is_scored(path):
    recipe, region = read_recipe(path)
    made = recipe.simulated
    assert all(past.realisation != 0 for past in (*made.train, *made.validate))
    seen = {day.year for past in (*made.train, *made.validate) for day in past.dates}
    assert not seen & set(region.split.test)
    assert not {p.realisation for p in made.train} & {p.realisation for p in made.validate}


@pytest.mark.parametrize("path", SIMULATED, ids=lambda path: path.stem)
def test_windows_lie_inside_each_other_and_on_the_region(path):
    recipe, region = read_recipe(path)
    for name in recipe.simulated.windows:
        window = recipe.window(name, 16)
        assert region.coarse.covers(window.coarse) and window.coarse.covers(window.fine)
        region.fine.locate(window.fine)
        region.coarse.locate(window.coarse)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (
            'days: "2017-01-01..2017-03-01"',
            'days: "2022-01"',
            ["train", "2022-01-01..2022-01-31", "2017, 2018, 2019, 2020"],
        ),
        ('days: "2021-01-10..2021-02-09"', 'days: "2020-01"', ["validate", "2020-01-01..2020-01-31", "(2021)"]),
        ("window: po_valley, realisation: 1", "window: po_vally, realisation: 1", ["'po_vally'", "'po_valley'"]),
        ("model: plus-small", "model: plus-smal", ["'plus-smal'", "'plus-small'"]),
        ("leads: [1, 2, 3]", "leads: [1, 5]", ["lead 5"]),
        ("lead_shares: [2, 1, 1]", "lead_shares: [2, 1]", ["lead_shares", "[1, 2, 3]"]),
        ("warm_up: 10", "warmup: 10", ["'warmup'", "'warm_up'"]),
        ("groups: 1", "groups: 0", ["batch.groups 0", "at least 1"]),
        ("clip: 1.0", "clip: 0.0", ["schedule.clip 0", "more than 0"]),
        ("warm_up: 10", "warm_up: 1000", ["schedule.warm_up 1000", "0 to 60"]),
        ("every: 3", "every: 0", ["validation.every 0", "at least 1"]),
        ("pixel: 1.0", "pixel: -1.0", ["objective.pixel -1", "at least 0"]),
        ("leads: [1, 2, 3]", "leads: []", ["one or more"]),
        ("save: 10", "save: 0", ["schedule.save 0", "at least 1"]),
        ("average: 0.95", "average: 1.95", ["schedule.average 1.95", "0 to 0.999999"]),
        ("objective: {pixel: 1.0}", "objective: {pixl: 1.0}", ["'pixl'", "'pixel'"]),
    ],
)
def test_a_wrong_recipe_is_refused_in_one_line(tmp_path: Path, old, new, words):
    text = (FOLDER / "europe-sample-quick.yaml").read_text()
    assert old in text
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace(old, new))
    with pytest.raises(CranpmError) as error:
        read_recipe(path)
    assert all(word in str(error.value) for word in words) and "\n" not in str(error.value)


def test_a_wrong_device_is_found_before_anything_is_simulated():
    with pytest.raises(CranpmError, match="device 'tpu' unknown"):
        plan("europe-sample", quick=True, seed=0, out=None, device="tpu")


def test_unknown_recipes_name_the_known_ones(tmp_path):
    with pytest.raises(CranpmError, match="europe-sample"):
        recipe_path("europe-smaple")
    lonely = tmp_path / "mine.yaml"
    lonely.write_text("")
    with pytest.raises(CranpmError, match="no quick variant"):
        recipe_path(str(lonely), quick=True)


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    made = plan("europe-sample", quick=True, seed=0, out=tmp_path / "run", device="cpu")
    made.prepare_folder(resume=False)
    (tmp_path / "run" / "history.json").write_text("[]")
    with pytest.raises(CranpmError, match="finished run"):
        made.prepare_folder(resume=False)
    with pytest.raises(CranpmError, match="no unfinished run"):
        made.prepare_folder(resume=True)
    state = tmp_path / "run" / "resume.ckpt"
    state.write_bytes(b"")
    with pytest.raises(CranpmError, match="add --resume"):
        made.prepare_folder(resume=False)
    with pytest.raises(CranpmError, match="cannot be read as the state of a run"):
        made.prepare_folder(resume=True)
    torch.save({"key": "recipe 123, seed 0"}, state)
    with pytest.raises(CranpmError, match="another recipe or seed"):
        made.prepare_folder(resume=True)
    torch.save({"key": made.key}, state)
    made.prepare_folder(resume=True)


def test_resuming_takes_up_its_own_leftovers_and_nothing_else(tmp_path):
    made = plan("europe-sample", quick=True, seed=0, out=tmp_path, device="cpu")
    torch.save({"key": made.key}, tmp_path / "resume.ckpt")
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git" / "config").write_text("mine")
    (tmp_path / ".env").write_text("mine")
    for name in (".checkpoint.17.old", ".last.ab12.new"):  # killed while checkpoint/ was being replaced
        (tmp_path / name).mkdir()
        (tmp_path / name / "weights.safetensors").write_text(name)
    (tmp_path / ".resume.ckpt.part").write_text("half")
    made.prepare_folder(resume=True)
    assert sorted(p.name for p in tmp_path.iterdir()) == [".env", ".git", "checkpoint", "resume.ckpt"]
    assert (tmp_path / "checkpoint" / "weights.safetensors").read_text() == ".checkpoint.17.old"


def test_a_run_killed_before_its_first_save_is_begun_again(tmp_path):
    made = plan("europe-sample", quick=True, seed=0, out=tmp_path, device="cpu")
    (tmp_path / "steps.jsonl").write_text('{"step": 1}')
    (tmp_path / "statistics.json").write_text("{}")
    made.prepare_folder(resume=False)
    assert not list(tmp_path.iterdir())


def test_a_state_that_would_run_code_is_refused(tmp_path):
    made = plan("europe-sample", quick=True, seed=0, out=tmp_path, device="cpu")

    class Trap:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "sprung",))

    torch.save({"key": made.key, "trap": Trap()}, tmp_path / "resume.ckpt")
    with pytest.raises(CranpmError, match="cannot be read"):
        made.prepare_folder(resume=True)
    assert not (tmp_path / "sprung").exists()


def test_the_papers_recipe_is_the_papers():
    """Section 4.2 and Table S3."""
    recipe, region = read_recipe(FOLDER / "europe-paper.yaml")
    schedule = recipe.schedule
    assert recipe.model == "paper-96m" and recipe.simulated is None and recipe.leads == (1, 2, 3)
    assert recipe.tiles_per_step == 128 and recipe.batch.tiles_per_day == 2 and recipe.batch.hotspot_ratio == 0.5
    assert (recipe.objective.pixel, recipe.objective.frequency, recipe.objective.station) == (1.0, 0.1, 0.1)
    assert (schedule.unit, schedule.length, schedule.warm_up, schedule.clip) == ("epoch", 30, 5, 1.0)
    assert (schedule.learning_rate, schedule.final_learning_rate, schedule.weight_decay) == (5e-5, 1e-6, 0.05)
    assert schedule.average == 0.0 and schedule.patience is None
    assert region.split.train == (2017, 2018, 2019, 2020) and region.split.validate == (2021,)


def test_recipes_and_stores_belong_together(tmp_path):
    with pytest.raises(CranpmError, match=r"trains on a prepared store: name it with --data"):
        plan("europe-paper")
    with pytest.raises(CranpmError, match="leave --data out"):
        plan("europe-sample", data=tmp_path)
    with pytest.raises(CranpmError, match=r"batch\.groups 1 cannot be shared by 2 devices"):
        plan("europe-sample", devices=2, device="cpu")


def test_a_dry_run_counts_what_the_run_will_take():
    rows = dict(describe("europe-paper", devices=64))
    assert "1,457 days x 160 tiles" in rows["epoch"] and "233,120 tiles, 1,821 steps" in rows["epoch"]
    assert rows["run"].startswith("54,630 steps, 9,105 to warm up")
    assert rows["on each device"].startswith("1 group a step (64 devices): 1 day encoded, 2 tiles in passes of 2")
    assert "1,826 days" in rows["data"] and "--days 2017-01-01..2021-12-31" in rows["to prepare it"]
    assert "4,018 simulated days" in dict(describe("europe-sample"))["data"]
    with pytest.raises(CranpmError, match="cannot be shared by 3 devices"):
        describe("europe-paper", devices=3)


@pytest.mark.slow
def test_the_quick_recipe_trains_a_checkpoint_from_nothing(tmp_path, monkeypatch):
    from cranpm.model.checkpoint import read_checkpoint

    monkeypatch.setenv("CRANPM_CACHE", str(tmp_path / "cache"))
    result = CliRunner().invoke(leaf(train), ["europe-sample", "--quick", "--out", str(tmp_path / "run")])
    assert result.exit_code == 0, result.output
    made = read_checkpoint(tmp_path / "run" / "checkpoint")
    assert made.provenance["command"] == "cranpm train europe-sample --quick --seed 0"
    assert made.simulated and made.trained_leads == (1, 2, 3)
    for lead, model in made.provenance["validation_rmse"].items():
        assert model < 1.5 * made.provenance["validation_rmse_persistence"][lead]
