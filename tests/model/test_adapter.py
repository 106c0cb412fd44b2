"""Adapter folders: merged, they do what peft does; whatever does not belong to the base or the pack is refused."""

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from cranpm.errors import CranpmError
from cranpm.model.adapter import check_base, check_region, read_adapter, write_manifest
from cranpm.model.adapter_tensors import adapter_tensors, lora_of, merged
from cranpm.model.checkpoint import read_checkpoint, write_checkpoint
from tests.model.adapters import PLUS, about, as_peft_runs_it, edit_manifest, sign, write_adapter, write_base
from tests.model.examples import TINY, coarse_inputs, network, tile_inputs

pytest.importorskip("peft")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return write_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def made(base, tmp_path_factory):
    return write_adapter(tmp_path_factory.mktemp("adapters") / "monsoon", base)


@pytest.fixture
def folder(made, tmp_path):
    """A copy to spoil."""
    return shutil.copytree(made.home, tmp_path / "monsoon")


def tensors(net: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy() for name, tensor in net.state_dict().items()}


def refused(words: list[str], call) -> None:
    with pytest.raises(CranpmError) as error:
        call()
    assert all(word in str(error.value) for word in words), str(error.value)
    assert "\n" not in str(error.value)


def edit_config(folder: Path, **values: object) -> None:
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps(config | values))
    sign(folder)


def edit_tensors(folder: Path, change) -> None:
    found = load_file(folder / "adapter_model.safetensors")
    change(found)
    save_file({k: np.ascontiguousarray(v) for k, v in found.items()}, folder / "adapter_model.safetensors")
    sign(folder)


def test_what_is_written_is_read(made, base):
    assert (made.name, made.region, made.leads, made.simulated) == ("monsoon", "india", (1, 2, 3), True)
    assert (made.base, made.base_hash, made.detail) == ("tiny", base.hash, {2: 0.9})
    assert made.days["train"] == "2021-07-01..2021-08-10" and made.scores == {"rmse": 12.5}
    assert (made.channels, made.maps) == (base.config.channels, base.config.maps)
    assert lora_of(made).scale == 2 and made.baselines is None
    assert (made.home / "adapter_model.safetensors").stat().st_mode & 0o044 == 0o044


@pytest.mark.parametrize(
    ("config", "whole"),
    [(TINY, ()), (TINY, ("decoder", "lead")), (PLUS, ()), (PLUS, ("decoder", "lead")), (PLUS, ("output", "decoder"))],
    ids=["paper", "paper-lead", "plus", "plus-lead", "plus-output"],
)
def test_merged_it_forecasts_what_peft_forecasts(tmp_path, config, whole):
    base = write_base(tmp_path / "tiny", config)
    adapter = write_adapter(tmp_path / "monsoon", base, whole=whole)
    inputs = [*coarse_inputs(config), *tile_inputs(config)]
    net = base.network()
    with torch.no_grad():
        before = net(*inputs)
        net.load_state_dict({k: torch.from_numpy(v) for k, v in merged(adapter, tensors(net)).items()}, strict=False)
        ours, theirs = net(*inputs), as_peft_runs_it(adapter, base)(*inputs)
    assert (ours - before).std() > 0.05 * before.std()
    assert (ours - theirs).abs().max() < 2e-6 * theirs.abs().max()


def test_merged_tensors_are_those_of_peft(made, base):
    net = base.network()
    changed, theirs = merged(made, tensors(net)), as_peft_runs_it(made, base).merge_and_unload().state_dict()
    for name, tensor in net.state_dict().items():
        ours = changed.get(name, tensor.numpy())
        np.testing.assert_allclose(ours, theirs[name], rtol=0, atol=1e-6)
        assert (name in changed) == (not torch.equal(theirs[name], tensor)) and ours.dtype == np.float32
    assert "output.blend" in changed and "local_branch.lead.weight" not in changed


def test_it_is_w_plus_alpha_over_r_b_a(made, base):
    found, name = adapter_tensors(made), "bridge.project"
    before = tensors(base.network())[f"{name}.weight"]
    expected = before + 8 / 4 * found[f"{name}.lora_B.weight"] @ found[f"{name}.lora_A.weight"]
    np.testing.assert_allclose(merged(made, tensors(base.network()))[f"{name}.weight"], expected, atol=1e-6)


def test_the_base_is_left_as_it_is(made, base):
    net = base.network()
    merged(made, tensors(net))
    assert all(torch.equal(tensor, base.network().state_dict()[name]) for name, tensor in net.state_dict().items())


def test_it_is_read_and_merged_without_torch_and_peft(made, base):
    code = f"""
import sys
sys.modules["torch"] = sys.modules["peft"] = None
import numpy as np
from safetensors.numpy import load_file
from cranpm.model.adapter import read_adapter
from cranpm.model.adapter_tensors import merged
print(len(merged(read_adapter({str(made.home)!r}), load_file({str(base.folder / "weights.safetensors")!r}))))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(merged(made, tensors(base.network())))


@pytest.mark.parametrize("name", ["cranpm.json", "adapter_config.json", "adapter_model.safetensors"])
def test_missing_files_are_named(folder, name):
    (folder / name).unlink()
    refused([str(folder), name, "missing"], lambda: read_adapter(folder))


def test_no_folder_and_a_file_are_refused(tmp_path):
    refused(["no such adapter", "cranpm adapt"], lambda: read_adapter(tmp_path / "absent"))
    (tmp_path / "adapter.bin").write_bytes(b"x")
    refused(["an adapter is a folder"], lambda: read_adapter(tmp_path / "adapter.bin"))


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_altered_files_are_refused(folder, name):
    content = bytearray((folder / name).read_bytes())
    content[-9] ^= 1
    (folder / name).write_bytes(content)
    refused([name, "SHA-256", "damaged"], lambda: read_adapter(folder))


def test_tensors_swapped_after_opening_are_refused(folder, base):
    opened = read_adapter(folder)
    edit_tensors(folder, lambda t: t.update({name: 2 * values for name, values in t.items()}))
    refused(["changed on disk"], lambda: merged(opened, tensors(base.network())))


def test_local_baselines_belong_to_the_adapter_or_are_refused(folder):
    (folder / "baselines.nc").write_bytes(b"fitted")
    refused(["baselines.nc", "not named in cranpm.json"], lambda: read_adapter(folder))
    edit_manifest(folder, lambda m: m["files"].update({"baselines.nc": ""}))
    sign(folder)
    assert read_adapter(folder).baselines == folder / "baselines.nc"
    (folder / "baselines.nc").write_bytes(b"fitter")
    refused(["baselines.nc", "damaged"], lambda: read_adapter(folder))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.update(schema_version=7), ["schema_version 7", "reads 1"]),
        (lambda m: m.pop("region"), ["missing: region"]),
        (lambda m: m.update(regoin="india"), ["not known: regoin"]),
        (lambda m: m.update(simulated="no"), ["simulated", "true or false"]),
        (lambda m: m.update(base={"name": "tiny", "sha256": "77"}), ["base.sha256", "'77'"]),
        (lambda m: m.update(base="tiny"), ["cranpm.json"]),
        (lambda m: m.update(days={"train": "last summer"}), ["last summer"]),
        (lambda m: m.update(days={"validate": "2021"}), ["'train'"]),
        (lambda m: m.update(detail={"1": 1.5}), ["1.5", "0 to 1"]),
        (lambda m: m.update(leads=[1, True]), ["leads"]),
        (lambda m: m["files"].update({"../weights": "0" * 64}), ["'../weights'"]),
        (lambda m: m["files"].pop("adapter_config.json"), ["'adapter_config.json'"]),
    ],
)
def test_a_changed_manifest_is_refused(folder, change, words):
    edit_manifest(folder, change)
    refused([str(folder), *words], lambda: read_adapter(folder))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("peft_type", "LOHA"), ("bias", "all"), ("use_dora", True), ("use_rslora", True), ("rank_pattern", {"a": 2}),
        ("alpha_pattern", {"a": 2}), ("r", 0), ("lora_alpha", "8"), ("init_lora_weights", "pissa"),
        ("loftq_config", {"loftq_bits": 4}), ("target_parameters", ["blend"]),
    ],
)  # fmt: skip
def test_kinds_that_cannot_be_merged_are_refused(folder, key, value):
    edit_config(folder, **{key: value})
    refused(["adapter_config.json", key], lambda: read_adapter(folder))


def test_the_configuration_of_another_peft_is_read(folder):
    """Keys we know nothing of, and keys of ours that an older peft did not write, do not matter."""
    edit_config(folder, peft_version="0.31.0", a_new_switch=None, lora_dropout=0.3)
    config = json.loads((folder / "adapter_config.json").read_text())
    short = {key: config[key] for key in ("peft_type", "r", "lora_alpha")}
    (folder / "adapter_config.json").write_text(json.dumps(short))
    sign(folder)
    assert lora_of(read_adapter(folder)).rank == 4


A, B = "base_model.model.bridge.project.lora_A.weight", "base_model.model.bridge.project.lora_B.weight"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.pop(B), ["bridge.project.lora_A.weight", "without"]),
        (lambda t: t.pop(A), ["bridge.project.lora_B.weight", "without"]),
        (lambda t: t.update({A: np.full_like(t[A], np.inf)}), [A, "finite"]),
        (lambda t: t.update({A: t[A].astype(np.int32)}), [A, "int32"]),
        (lambda t: t.update({"bridge.project.weight": t[A]}), ["begin with"]),
        (lambda t: t.update({"base_model.model.bridge.project.weight": t[A]}), ["and the whole"]),
        (lambda t: t.clear(), ["no tensor"]),
    ],
    ids=["no B", "no A", "infinite", "whole numbers", "foreign", "twice", "none"],
)
def test_tensors_that_mean_nothing_are_refused(folder, change, words):
    edit_tensors(folder, change)
    refused(words, lambda: read_adapter(folder))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.update({A.replace("project", "p"): t[A], B.replace("project", "p"): t[B]}), ["bridge.p.weight"]),
        (lambda t: t.update({A: t[A][:, :-1]}), ["(4, 31)", "(4, 32)"]),
        (lambda t: t.update({B: t[B][:-1]}), ["(31, 4)", "(32, 4)"]),
        (lambda t: t.update({A: t[A][:2], B: t[B][:, :2]}), ["(2, 32)", "(4, 32)"]),
        (lambda t: t.update({"base_model.model.output.blend": np.zeros((1, 4), np.float32)}), ["(1, 4)", "(4, 4)"]),
        (lambda t: t.update({"base_model.model.output.bland": np.zeros((4, 4), np.float32)}), ["output.bland"]),
    ],
    ids=["no such layer", "inputs", "outputs", "rank", "whole part", "no such parameter"],
)
def test_tensors_that_do_not_fit_the_base_are_refused(folder, base, change, words):
    edit_tensors(folder, change)
    refused(words, lambda: merged(read_adapter(folder), tensors(base.network())))


def test_updates_of_what_is_no_matrix_are_refused(folder, base):
    name = "base_model.model.decoder.head.lora_{}.weight"
    update = {name.format("A"): np.zeros((4, 8), np.float32), name.format("B"): np.zeros((1, 4), np.float32)}
    edit_tensors(folder, lambda t: (t.pop("base_model.model.decoder.head.weight"), t.update(update)))
    refused(["decoder.head", "no matrix"], lambda: merged(read_adapter(folder), tensors(base.network())))


def test_another_base_is_refused_with_both_named(made, tmp_path, base):
    check_base(made, base)
    other = write_base(tmp_path / "tiny-too")
    net = network(PLUS)
    with torch.no_grad():
        net.output.blend.add_(1)
    write_checkpoint(other.folder, other, net)
    other = read_checkpoint(other.folder)
    words = ["'monsoon'", "'tiny'", base.hash[:12], "'tiny-too'", other.hash[:12]]
    refused(words, lambda: check_base(made, other))


def test_another_channel_or_map_list_is_refused_with_both_named(made, tmp_path, base):
    paper = write_base(tmp_path / "paper", TINY)
    refused(["105 coarse channels with 'u10_f'", "70 without 'u10_f'", "'paper'"], lambda: check_base(made, paper))
    turned = (base.config.maps[0], *base.config.maps[:0:-1])
    refused(["maps", "another order"], lambda: check_base(replace(made, maps=turned), base))


def test_another_pack_is_refused_with_both_named(made):
    check_region(made, "india")
    refused(["'india'", "'usa_canada'", "--adapter"], lambda: check_region(made, "usa_canada"))


def test_random_weights_take_only_an_adapter_that_was_made_on_them(made, base):
    drawn = replace(base, hash="", folder=None)
    refused(["random weights", base.hash[:12]], lambda: check_base(made, drawn))
    check_base(replace(made, base_hash=""), drawn)
    refused(["'tiny'", "'small'"], lambda: check_base(replace(made, base_hash=""), replace(drawn, name="small")))


def test_a_manifest_that_would_not_be_read_is_not_written(folder, base):
    before = (folder / "cranpm.json").read_text()
    for wrong in ({"region": ""}, {"days": {}}, {"base_hash": "77"}, {"detail": {1: 2.0}}):
        with pytest.raises(CranpmError):
            write_manifest(folder, replace(about(base), **wrong))
    assert (folder / "cranpm.json").read_text() == before
