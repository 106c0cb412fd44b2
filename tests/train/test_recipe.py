"""Recipes: what ships is right, and what would not be honest is refused."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cranpm.errors import CranpmError
from cranpm.options import leaf
from cranpm.train.commands import train
from cranpm.train.recipe import FOLDER, read_recipe, recipe_path
from cranpm.train.session import plan

SHIPPED = sorted(FOLDER.glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_recipes_never_touch_what_is_scored(path):
    recipe, region = read_recipe(path)
    assert all(past.realisation != 0 for past in (*recipe.train, *recipe.validate))
    seen = {day.year for past in (*recipe.train, *recipe.validate) for day in past.dates}
    assert not seen & set(region.split.test)
    assert not {p.realisation for p in recipe.train} & {p.realisation for p in recipe.validate}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_windows_lie_inside_each_other_and_on_the_region(path):
    recipe, region = read_recipe(path)
    for name in recipe.windows:
        window = recipe.window(name, 16)
        assert region.coarse.covers(window.coarse) and window.coarse.covers(window.fine)
        region.fine.locate(window.fine)
        region.coarse.locate(window.coarse)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('days: "2017-01..2017-02"', 'days: "2022-01"', ["train", "2022-01-01..2022-01-31", "2017, 2018, 2019, 2020"]),
        ('days: "2021-01-10..2021-02-09"', 'days: "2020-01"', ["validate", "2020-01-01..2020-01-31", "(2021)"]),
        ("window: po_valley, realisation: 1", "window: po_vally, realisation: 1", ["'po_vally'", "'po_valley'"]),
        ("model: small", "model: smal", ["'smal'", "'small'"]),
        ("leads: [1, 2, 3]", "leads: [1, 5]", ["lead 5"]),
        ("lead_shares: [2, 1, 1]", "lead_shares: [2, 1]", ["lead_shares", "[1, 2, 3]"]),
        ("warm_up: 10", "warmup: 10", ["'warmup'", "'warm_up'"]),
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
    (tmp_path / "run" / "resume.pt").write_bytes(b"")
    with pytest.raises(CranpmError, match="add --resume"):
        made.prepare_folder(resume=False)
    made.prepare_folder(resume=True)


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
