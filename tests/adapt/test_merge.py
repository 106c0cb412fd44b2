"""Merging: the checkpoint forecasts what the adapter does, or is not written; and what is told of an adapter."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cranpm.adapt.adapter_commands import app, describe
from cranpm.errors import CranpmError
from cranpm.model.adapter import write_manifest
from cranpm.model.adapter_tensors import merged
from cranpm.model.checkpoint import read_checkpoint
from tests.model.adapters import PLUS, about, as_peft_runs_it, write_adapter, write_base
from tests.model.examples import coarse_inputs, tile_inputs

pytest.importorskip("peft")
import cranpm.adapt.merge as module
from cranpm.adapt.merge import Parity, measure_parity, merge, merged_network


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def adapter(base, tmp_path_factory):
    return write_adapter(tmp_path_factory.mktemp("adapters") / "monsoon", base)


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False, env={"COLUMNS": "160"})


def test_the_merged_checkpoint_forecasts_what_peft_forecasts(adapter, base, tmp_path):
    done = merge(adapter, base, tmp_path / "merged")
    found = read_checkpoint(tmp_path / "merged")
    inputs = [*coarse_inputs(PLUS), *tile_inputs(PLUS)]
    with torch.no_grad():
        ours, theirs, before = (
            net(*inputs) for net in (found.network(), as_peft_runs_it(adapter, base), base.network())
        )
    assert (ours - theirs).abs().max() < 1e-5 * theirs.std() < 1e-3 * (ours - before).std()
    assert found.hash == done.hash and 0 < done.parity.relative <= 1e-5


def test_the_merged_checkpoint_says_what_it_was_made_of(adapter, base, tmp_path):
    done = merge(adapter, base, tmp_path / "merged")
    found = read_checkpoint(tmp_path / "merged")
    said = found.provenance
    assert (said["base_hash"], said["adapter_hash"]) == (base.hash, adapter.hash)
    assert said["adapted"] == {"region": "india", "simulated": True, **adapter.days}
    assert said["parity"]["relative"] == done.parity.relative and said["base_provenance"] == {"seed": 1}
    assert found.detail == {1: 0.4, 2: 0.9} and found.config == base.config and found.simulated


def test_a_merge_that_forgets_a_part_is_not_written(adapter, base, tmp_path, monkeypatch):
    def forgetful(*of):
        changed = merged(*of)
        changed.pop("local_branch.swin.0.mlp.2.weight")
        return changed

    monkeypatch.setattr(module, "merged", forgetful)
    with pytest.raises(CranpmError, match="nothing was written"):
        merge(adapter, base, tmp_path / "merged")
    assert not list(tmp_path.iterdir())


def test_a_network_that_is_no_number_does_not_pass(adapter, base, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "merged", lambda *of: {n: v * np.float32(np.nan) for n, v in merged(*of).items()})
    with pytest.raises(CranpmError, match="nothing was written"):
        merge(adapter, base, tmp_path / "merged")
    assert not list(tmp_path.iterdir())


def test_parity_sees_a_thousandth_of_an_update(adapter, base):
    network = merged_network(adapter, base)
    assert measure_parity(adapter, base, network).relative <= 1e-5
    with torch.no_grad():
        weight, before = network.bridge.project.weight, base.network().bridge.project.weight
        weight.add_(1e-3 * (weight - before))
    assert measure_parity(adapter, base, network).relative > 1e-5


def test_a_tiny_residual_is_measured_in_normalised_units():
    assert Parity(1e-6, 0.5).relative == 2e-6
    assert Parity(1e-6, 1e-9).relative == 1e-6


def test_another_base_is_not_merged_into(adapter, tmp_path):
    with pytest.raises(CranpmError, match="'monsoon' was trained on 'tiny'"):
        merge(adapter, write_base(tmp_path / "other", replace(PLUS, leads=(1, 2, 3))), tmp_path)


def test_the_command_prints_the_parity_and_writes_a_checkpoint(adapter, base, tmp_path):
    done = run("merge", adapter.home, "--base", base.folder, "--out", tmp_path / "merged")
    assert done.exit_code == 0, done.output
    assert "of the residual's standard deviation" in done.output and "SIMULATED" in done.output
    assert read_checkpoint(tmp_path / "merged").hash[:16] in done.output


def test_the_command_says_how_to_name_a_base_that_is_not_here(adapter, tmp_path):
    with pytest.raises(CranpmError, match="base 'tiny' of 'monsoon' is not here: name it with --base"):
        run("merge", adapter.home, "--out", tmp_path / "merged")


def test_only_a_checkpoint_is_replaced(adapter, base, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    for out in (tmp_path, tmp_path / "thesis.txt", adapter.home):
        with pytest.raises(CranpmError, match="no checkpoint"):
            run("merge", adapter.home, "--base", base.folder, "--out", out)
    assert (tmp_path / "thesis.txt").is_file()
    for _ in range(2):
        assert run("merge", adapter.home, "--base", base.folder, "--out", tmp_path / "merged").exit_code == 0


def test_an_adapter_of_random_weights_is_not_merged(adapter, base, tmp_path):
    drawn = write_adapter(tmp_path / "drawn", base, base_hash="")
    with pytest.raises(CranpmError, match="random weights"):
        run("merge", drawn.home, "--out", tmp_path / "merged")


def test_info_counts_what_was_trained(adapter):
    facts = describe(adapter)
    trained = facts["trained"]
    decoder = sum(value.size for name, value in adapter_weights(adapter).items() if "decoder" in name)
    assert trained["decoder and output"] == decoder + 4 * 4
    dim, rank, hidden = PLUS.local_dim, 4, 4 * PLUS.local_dim
    per_block = rank * ((dim + 3 * dim) + (dim + dim) + 2 * (dim + hidden))
    assert trained["local: Swin blocks"] == PLUS.local_depth * per_block
    assert facts["trained_total"] == sum(value.size for value in adapter_weights(adapter).values())
    assert "local: embedding and lead" not in trained


def adapter_weights(adapter) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(Path(adapter.home) / "adapter_model.safetensors")


def test_info_shows_base_region_days_and_scores(adapter, base):
    printed = run("info", adapter.home).output
    for words in ("monsoon", base.hash, "india (simulated)", "41 (simulated): 2021-07-01..2021-08-10", "12.5"):
        assert words in printed
    assert "4, 8" in printed and "MB" in printed and "Apache-2.0" in printed


def test_info_as_json_is_what_the_folder_says(adapter, base):
    facts = json.loads(run("info", adapter.home, "--json").output)
    assert facts == json.loads(json.dumps(describe(adapter)))
    assert (facts["base"]["sha256"], facts["days"]["train"]["count"], facts["rank"]) == (base.hash, 41, 4)


def test_brackets_in_what_an_adapter_says_are_printed(base, tmp_path):
    write_adapter(tmp_path / "odd", base)
    write_manifest(tmp_path / "odd", replace(about(base), provenance={"note": "[red]day 1[/red]"}))
    assert "[red]day 1[/red]" in run("info", tmp_path / "odd").output
