"""Checkpoint folders: what is written is what is read, and everything else is refused in one line."""

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from cranpm.errors import CranpmError
from cranpm.model import checkpoint as module
from cranpm.model import registry
from cranpm.model.checkpoint import Checkpoint, file_hash, read_checkpoint, write_checkpoint
from cranpm.model.commands import app
from cranpm.model.statistics import Statistics, nominal
from tests.model.examples import TINY, coarse_inputs, network, tile_inputs

ABOUT = Checkpoint(
    name="tiny", config=TINY, statistics=nominal(), trained_leads=(1, 2, 3), region="europe", simulated=True,
    provenance={"command": "cranpm train tiny --seed 1", "seed": 1},
)  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_checkpoint(tmp_path / "tiny", ABOUT, network())
    return tmp_path / "tiny"


def edit(folder: Path, change) -> None:
    manifest = json.loads((folder / "checkpoint.json").read_text())
    change(manifest)
    (folder / "checkpoint.json").write_text(json.dumps(manifest))


def edit_weights(folder: Path, change) -> None:
    weights = load_file(folder / "weights.safetensors")
    change(weights)
    save_file(weights, folder / "weights.safetensors")
    edit(folder, lambda m: m.update(weights_sha256=file_hash(folder / "weights.safetensors")))


def test_what_is_written_is_read(folder):
    read = read_checkpoint(folder)
    assert (read.config, read.statistics, read.trained_leads) == (TINY, nominal(), (1, 2, 3))
    assert (read.region, read.simulated, read.provenance["seed"], read.licence) == ("europe", True, 1, "Apache-2.0")
    assert (folder / "weights.safetensors").stat().st_mode & 0o044 == 0o044  # others may read what is installed
    assert read.hash == file_hash(folder / "weights.safetensors") and not read.random_weights
    inputs = [*coarse_inputs(), *tile_inputs()]
    assert torch.equal(read.network()(*inputs), network()(*inputs))


def test_the_same_network_gives_the_same_hash(folder, tmp_path):
    assert write_checkpoint(tmp_path / "again", ABOUT, network()) == read_checkpoint(folder).hash


def test_rewriting_replaces_the_whole_folder_or_nothing(folder, monkeypatch):
    before = read_checkpoint(folder).hash
    with monkeypatch.context() as patch:
        patch.setattr(module.json, "dumps", lambda *a, **k: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            write_checkpoint(folder, ABOUT, network(trained=False))
    assert read_checkpoint(folder).hash == before
    after = write_checkpoint(folder, ABOUT, network(trained=False))
    assert after != before and read_checkpoint(folder).hash == after
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def test_a_swap_that_fails_leaves_what_was_there(folder, monkeypatch):
    before, move = read_checkpoint(folder).hash, Path.replace

    def full(self: Path, target: Path) -> Path:
        if self.suffix == ".new":
            raise OSError("disk quota exceeded")
        return move(self, target)

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OSError, match="quota"):
        write_checkpoint(folder, ABOUT, network(trained=False))
    assert read_checkpoint(folder).hash == before
    assert [path.name for path in folder.parent.iterdir()] == ["tiny"]


def rename_in_config(manifest):
    manifest["config"]["channels"][3] = "msl_t"


def rename_in_statistics(manifest):
    manifest["statistics"]["coarse"]["surface_pressure_t"] = manifest["statistics"]["coarse"].pop("sp_t")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (rename_in_config, ["'msl_t'", "'sp_t'"]),
        (rename_in_statistics, ["'sp_t'", "'surface_pressure_t'"]),
        (lambda m: m.update(schema_version=7), ["schema_version 7", "reads 1"]),
        (lambda m: m.pop("trained_leads"), ["'trained_leads' missing"]),
        (lambda m: m["config"].update(tiel=3), ["'tiel'", "'tile'"]),
        (lambda m: m["config"].pop("tile"), ["missing: tile"]),
        (lambda m: m.update(trained_leads=[1, 9]), ["lead 9"]),
        (lambda m: m["statistics"]["coarse"].update(tp_t=[0.0, 0.0]), ["'tp_t'", "deviation 0.0"]),
        (lambda m: m.update(weights_sha256="0" * 64), ["damaged"]),
    ],
)
def test_a_changed_manifest_is_refused(folder, change, words):
    edit(folder, change)
    with pytest.raises(CranpmError) as error:
        read_checkpoint(folder)
    message = str(error.value)
    assert all(word in message for word in [*words, str(folder)]) and "\n" not in message


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda w: w.pop("bridge.project.weight"), ["'bridge.project.weight'", "no tensor"]),
        (
            lambda w: w.update({"bridge.projection.weight": w.pop("bridge.project.weight")}),
            ["'bridge.project.weight'", "'bridge.projection.weight'"],
        ),
        (lambda w: w.update({"decoder.head.weight": torch.zeros(1, 9, 1, 1)}), ["(1, 9, 1, 1)", "(1, 8, 1, 1)"]),
    ],
    ids=["missing", "renamed", "shape"],
)
def test_weights_that_do_not_fit_are_refused(folder, change, words):
    edit_weights(folder, change)
    with pytest.raises(CranpmError) as error:
        read_checkpoint(folder).network()
    assert all(word in str(error.value) for word in words)


def test_damaged_weights_are_refused(folder):
    with (folder / "weights.safetensors").open("r+b") as stream:
        stream.seek(5000)
        stream.write(b"\x55")
    with pytest.raises(CranpmError, match="damaged"):
        read_checkpoint(folder)


def test_weights_swapped_after_opening_are_refused(folder):
    opened = read_checkpoint(folder)
    edit_weights(folder, lambda w: w["decoder.head.bias"].add_(1))
    with pytest.raises(CranpmError, match="changed on disk"):
        opened.network()


def test_pickles_and_other_folders_are_refused(tmp_path):
    torch.save({"weights": torch.zeros(1)}, tmp_path / "model.pt")
    with pytest.raises(CranpmError, match="never read"):
        read_checkpoint(tmp_path / "model.pt")
    with pytest.raises(CranpmError, match=r"checkpoint.json and weights.safetensors missing"):
        read_checkpoint(tmp_path)


def test_random_weights_must_be_asked_for_and_are_marked():
    with pytest.raises(CranpmError, match="--random-weights"):
        registry.load("paper-96m")
    loaded = registry.load("small", random_weights=True)
    assert loaded.random_weights and loaded.hash == "" and loaded.trained_leads == ()
    state = torch.get_rng_state()
    one, two = loaded.network().state_dict(), loaded.network().state_dict()
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert torch.equal(torch.get_rng_state(), state)


def test_unknown_names_and_trained_weights_with_the_flag_are_refused(folder):
    with pytest.raises(CranpmError, match=r"no model 'paper-97m' \(did you mean 'paper-96m'\?\)"):
        registry.load("paper-97m")
    with pytest.raises(CranpmError, match="known: paper-96m, small"):
        registry.load("mine")
    with pytest.raises(CranpmError, match="is trained"):
        registry.load(folder, random_weights=True)
    assert registry.load(folder).hash == read_checkpoint(folder).hash
    assert registry.load(folder.resolve()).name == "tiny", "a report must not tell where on a disk a model lies"


def test_statistics_survive_json():
    assert Statistics.from_dict(json.loads(json.dumps(nominal().to_dict()))) == nominal()


def test_show_prints_a_table_whose_parts_add_up(folder):
    result = CliRunner().invoke(app, ["show", "paper-96m"], env={"COLUMNS": "100"})
    assert result.exit_code == 0, result.output
    numbers = [int(n.replace(",", "")) for n in re.findall(r"\b\d{1,3}(?:,\d{3})+\b", result.output)]
    assert sum(numbers[:-1]) == numbers[-1] and 94e6 <= numbers[-1] <= 97e6
    assert "--random-weights" in result.output
    shown = CliRunner().invoke(app, ["show", str(folder)])
    assert "trained on simulated europe for leads 1, 2, 3" in shown.output


def test_list_names_every_network():
    result = CliRunner().invoke(app, ["list"], env={"COLUMNS": "120"})
    assert result.exit_code == 0 and all(name in result.output for name in registry.names())
