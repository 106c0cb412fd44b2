"""Ablations: runs that can be resumed, compared in pairs, and told apart from chance."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from cranpm.errors import CranpmError
from cranpm.model.config import PLUS_SMALL, SMALL
from cranpm.options import leaf
from cranpm.region import load_region
from cranpm.train import ablation
from cranpm.train.ablation import FULL, VARIANTS, Result, Variant, find_variants, read_results
from cranpm.train.ablation_report import difference, picture, table
from cranpm.train.commands import ablate
from cranpm.train.recipe import FOLDER, Past, Simulated, read_recipe, recipe_hash, recipe_path
from tests.train.toy import BATCH, SCHEDULE, ToyRecipe, held, recipe

DAYS = 40


def result(variant: str, seed: int, factor: float = 1.0, recipe: str = "x") -> Result:
    """Errors that differ from day to day, the same for all variants of a seed but for a factor."""
    rng = np.random.default_rng(seed)
    squared = (1000 * rng.gamma(2, 1, DAYS)).round(1)
    what = next(v.digest for v in VARIANTS if v.key == variant)
    return Result(
        variant, seed, recipe, what, 10, 5.0, tuple(f"2021-01-{k}" for k in range(DAYS)),
        {1: (factor * squared).tolist()}, {1: (2 * squared).tolist()}, {1: [100] * DAYS},
    )  # fmt: skip


def test_variants_are_configurations_of_the_small_networks():
    keys = [variant.key for variant in VARIANTS]
    assert len(set(keys)) == len(keys) and keys[0] == FULL
    assert {v.key for v in VARIANTS if v.table == "c"} == {f"R{k}" for k in range(1, 9)}
    assert len({v.digest for v in VARIANTS}) == len(VARIANTS)  # nothing is run twice
    for config in (SMALL, PLUS_SMALL):
        for variant in find_variants([], config):
            altered = replace(config, **variant.config)
            changes_nothing = altered == config and not variant.objective and variant.share == 1 and not variant.years
            assert changes_nothing == (variant.key == FULL)


def test_a_network_has_the_tables_that_are_about_it():
    assert {v.table for v in find_variants([], SMALL)} == {"", "a", "b", "c", "e"}
    assert {v.table for v in find_variants([], PLUS_SMALL)} == {"", "d"}
    with pytest.raises(CranpmError, match=r"no ablation 'd' of 'small'.*--recipe ablation-plus"):
        find_variants(["d"], SMALL)
    assert read_recipe(FOLDER / "ablation-plus.yaml")[0].config == PLUS_SMALL


def test_the_shipped_recipe_has_the_papers_objective_and_leaves_the_scored_world_alone():
    recipe, region = read_recipe(FOLDER / "ablation.yaml")
    assert (recipe.objective.pixel, recipe.objective.frequency, recipe.objective.station) == (1.0, 0.1, 0.1)
    made = recipe.simulated
    assert made and all(past.realisation != 0 for past in (*made.train, *made.validate))
    assert {d.year for past in made.validate for d in past.dates} <= set(region.split.validate)


def test_variants_are_found_by_key_and_by_table():
    assert [v.key for v in find_variants(["R2"], SMALL)] == [FULL, "R2"]
    assert len(find_variants(["c"], SMALL)) == 9
    with pytest.raises(CranpmError, match="no ablation 'R9'"):
        find_variants(["R9"], SMALL)


def test_a_difference_is_paired_and_settled_only_beyond_chance():
    full = [result(FULL, seed) for seed in range(4)]
    worse = [result("R1", seed, factor=1.21) for seed in range(4)]
    found = difference(worse, full, 1)
    expected = np.mean([0.1 * r.rmse(1) for r in full])
    assert found.mean == pytest.approx(expected, rel=1e-3) and found.settled and 0 < found.low < found.mean < found.high
    same = difference([result("R2", seed) for seed in range(4)], full, 1)
    assert same.mean == 0 and not same.settled
    mixed = [result("R3", seed, factor=1.2 if seed % 2 else 0.8) for seed in range(4)]
    assert not difference(mixed, full, 1).settled  # the seeds disagree
    assert difference([result("R4", 9)], full, 1) is None
    two = difference(worse[:2], full, 1)
    assert two.low > 0 and not two.settled  # too few seeds to claim anything


def test_few_seeds_widen_the_interval():
    """Of seeds that scatter normally around no effect, about one in twenty intervals misses it, not one in four."""
    rng, missed = np.random.default_rng(0), 0
    for _ in range(150):
        factors = 1 + 0.05 * rng.normal(size=3)
        full = [replace(result(FULL, s), squared={1: [100.0] * DAYS}) for s in range(3)]
        own = [replace(one, squared={1: [100.0 * f] * DAYS}) for one, f in zip(full, factors, strict=True)]
        found = difference(own, full, 1, draws=200)
        missed += not found.low <= 0 <= found.high
    assert missed / 150 < 0.12


def test_only_seeds_that_both_have_are_compared():
    full = [result(FULL, seed) for seed in range(3)]
    found = difference([result("R1", seed, 1.21) for seed in (1, 2, 7)], full, 1)
    assert found.seeds == 2


def test_finished_runs_are_kept_by_line_and_half_written_ones_dropped(tmp_path: Path):
    path = tmp_path / "runs.jsonl"
    for one in (result(FULL, 0), result("R1", 0), result(FULL, 1, recipe="another")):
        ablation._append(path, one.line())
    path.write_text(path.read_text() + '{"variant": "R2", "se')
    assert [r.variant for r in read_results(path, "x")] == [FULL, "R1"]
    assert read_results(path, "x")[0] == result(FULL, 0)
    ablation._append(path, result("R2", 0).line())
    assert [r.variant for r in read_results(path, "x")] == [FULL, "R1", "R2"]
    ablation._append(path, replace(result("R3", 0), what="something it was before").line())
    assert [r.variant for r in read_results(path, "x")] == [FULL, "R1", "R2"]


def test_table_and_picture_tell_what_was_found(tmp_path: Path):
    results = [result(FULL, s) for s in range(3)] + [result("R1", s, 1.21) for s in range(3)]
    made = table(results)
    assert "**Removals**" in made and "| R1 | no coarse branch | +" in made and "]*" in made and "simulated" in made
    picture(results, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 5000


def test_a_run_trains_the_altered_network_and_is_the_same_again(monkeypatch):
    toy = recipe(SCHEDULE, BATCH)
    past = (Past("toy", 1, "2017-03"),)
    made = ToyRecipe(**{**vars(toy), "simulated": Simulated(0, 64, {}, past, past)})
    monkeypatch.setattr(ablation, "_HELD", [held(0), held(1)])
    monkeypatch.setattr(ablation, "_STATISTICS", [])
    region = load_region("europe")
    full = ablation._run(made, region, "x", Variant(FULL, "", ""), 0)
    blind = ablation._run(made, region, "x", Variant("R1", "c", "", {"fusion": "off"}), 0)
    again = ablation._run(made, region, "x", Variant(FULL, "", ""), 0)
    assert full.squared == again.squared != blind.squared
    assert full.still == blind.still and full.pixels == blind.pixels and full.days == blind.days
    assert full.steps == 6 and full.cpu_seconds > 0


def test_the_command_reports_what_is_there(tmp_path: Path):
    digest = recipe_hash(recipe_path("ablation"))
    nothing = CliRunner().invoke(leaf(ablate), ["--report", "--out", str(tmp_path)])
    assert nothing.exit_code != 0 and "no run of the full network" in str(nothing.exception)
    for seed in range(2):
        for key, factor in ((FULL, 1.0), ("R2", 1.1)):
            ablation._append(tmp_path / "runs.jsonl", result(key, seed, factor, recipe=digest).line())
    made = CliRunner().invoke(leaf(ablate), ["--report", "--out", str(tmp_path)])
    assert made.exit_code == 0, made.output
    assert "| R2 | no elevation bias | +" in made.output and "(simulated)" in made.output
    assert (tmp_path / "ablation.md").read_text().startswith("The full network, 2 seeds")
    assert (tmp_path / "ablation.png").exists()
    digest = recipe_hash(recipe_path("ablation-plus"))
    for key in (FULL, "P2"):
        ablation._append(tmp_path / "runs.jsonl", result(key, 0, recipe=digest).line())
    words = ["--report", "--recipe", "ablation-plus", "--out", str(tmp_path)]
    made = CliRunner().invoke(leaf(ablate), words)
    assert made.exit_code == 0 and "| P2 | " in made.output and "R2" not in made.output
    assert (tmp_path / "ablation-plus.md").exists()
    wrong = CliRunner().invoke(leaf(ablate), ["--only", "R99", "--out", str(tmp_path)])
    assert "no ablation 'R99'" in str(wrong.exception)
