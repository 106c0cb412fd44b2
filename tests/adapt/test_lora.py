"""Low-rank updates: where they stand, that they begin as nothing, and that all else stays as it is."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cranpm.adapt.lora import attach, target_names, trainable_by_part, whole_names, write_peft_files
from cranpm.adapt.settings import DEFAULT, Lora, read_settings
from cranpm.model.adapter import Adapter, read_adapter, write_manifest
from cranpm.model.adapter_tensors import merged
from cranpm.model.config import PAPER_96M, plus
from cranpm.model.network import CranPM
from cranpm.model.statistics import nominal
from tests.model.examples import TINY, coarse_inputs, network, tile_inputs

PLUS = plus(TINY, "tiny-plus")
LORA = Lora(rank=2, alpha=4.0, dropout=0.0, targets=("attention", "mlp"))


def forecast(made: CranPM, config=TINY) -> torch.Tensor:
    with torch.inference_mode():
        return made(*coarse_inputs(config), *tile_inputs(config))


def test_every_linear_layer_of_branches_and_bridge_has_an_update_and_nothing_else():
    made = network()
    linear = {name for name, module in made.named_modules() if isinstance(module, nn.Linear)}
    both = set(target_names(made, ("attention", "mlp")))
    assert linear - both == {"global_branch.embed.linear", "local_branch.embed.linear"}
    attention, mlp = set(target_names(made, ("attention",))), set(target_names(made, ("mlp",)))
    assert attention | mlp == both and not attention & mlp
    assert {"bridge.project", "bridge.key_value.0", "bridge.layers.1.query"} <= attention
    assert {"global_branch.elevation.mlp.0", "local_branch.swin.1.mlp.2"} <= mlp


def test_a_fresh_update_changes_no_forecast():
    before = forecast(network())
    made = network()
    attach(made, LORA, (), seed=0)
    assert torch.equal(forecast(made), before)


def test_only_updates_are_trained_and_they_change_the_forecast():
    """Frozen means frozen: after steps with weight decay every tensor of the base is what it was, bit for bit."""
    made, config = network(PLUS), PLUS
    base = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    before = forecast(made, config)
    wrapped = attach(made, LORA, (), seed=0)
    optimiser = torch.optim.AdamW([p for p in made.parameters() if p.requires_grad], lr=1e-2, weight_decay=0.1)
    for _ in range(3):
        optimiser.zero_grad()
        made.train()(*coarse_inputs(config), *tile_inputs(config)).square().mean().backward()
        optimiser.step()
    made.eval()
    after = {name.replace(".base_layer", ""): tensor for name, tensor in made.state_dict().items()}
    assert base.keys() <= after.keys()
    assert all(torch.equal(tensor, after[name]) for name, tensor in base.items())
    assert not torch.allclose(forecast(made, config), before, atol=1e-4)
    with wrapped.disable_adapter():
        assert torch.equal(forecast(made, config), before)


def test_parts_are_trained_whole():
    made = network(PLUS)
    assert whole_names(made, ("decoder",)) == ["decoder"]
    attach(made, LORA, ("embeddings",), seed=0)
    counts = trainable_by_part(made)
    assert counts["output"] == counts["decoder"] == 0
    plain = network(PLUS)
    attach(plain, LORA, (), seed=0)
    embeddings = [plain.global_branch.embed.linear, plain.local_branch.embed.linear, plain.local_branch.lead]
    whole = sum(p.numel() for module in embeddings for p in module.parameters())
    assert sum(counts.values()) == sum(trainable_by_part(plain).values()) + whole


def test_a_network_without_coarse_branch_has_one_embedding_less():
    blind = network(replace(TINY, fusion="off"))
    assert whole_names(blind, ("embeddings",)) == ["local_branch.embed.linear", "local_branch.lead"]


def test_the_same_seed_draws_the_same_update(tmp_path: Path):
    files = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        (tmp_path / name).mkdir()
        write_peft_files(tmp_path / name, attach(network(), LORA, (), seed=seed))
        files.append((tmp_path / name / "adapter_model.safetensors").read_bytes())
    assert files[0] == files[1] != files[2]


def test_peft_reads_what_is_written(tmp_path: Path):
    from peft import PeftModel

    made = network(PLUS)
    wrapped = attach(made, LORA, ("embeddings",), seed=0)
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if parameter.requires_grad:
                drawn = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name)))
                parameter.copy_((parameter + 0.1 * drawn).half().float())  # as the file holds it
    write_peft_files(tmp_path, wrapped)
    again = network(PLUS)
    PeftModel.from_pretrained(again, str(tmp_path))  # type: ignore[arg-type]
    assert torch.equal(forecast(again.eval(), PLUS), forecast(made.eval(), PLUS))
    config = json.loads((tmp_path / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] is None and str(tmp_path) not in json.dumps(config)


@pytest.mark.slow
def test_an_adapter_of_the_papers_network_at_rank_8_takes_no_more_than_5_megabytes(tmp_path: Path):
    made = CranPM(PAPER_96M, nominal())
    write_peft_files(tmp_path, attach(made, read_settings(DEFAULT).lora, (), seed=0))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 5_000_000


def test_half_the_strength_is_half_the_way_from_the_base(tmp_path: Path):
    """In every tensor: of updates by alpha, of parts trained whole by their own numbers."""
    made, base = network(PLUS), network(PLUS)
    wrapped = attach(made, LORA, ("decoder",), seed=0)
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.requires_grad:
                parameter.copy_((parameter + 0.05).half().float())
    changed = {}
    for name, strength in (("whole", 1.0), ("half", 0.5)):
        (tmp_path / name).mkdir()
        write_peft_files(tmp_path / name, wrapped, None, base, strength)
        write_manifest(tmp_path / name, about())
        state = {key: tensor.numpy() for key, tensor in base.state_dict().items()}
        changed[name] = {
            key: values - state[key] for key, values in merged(read_adapter(tmp_path / name), state).items()
        }
    assert changed["whole"].keys() == changed["half"].keys() and len(changed["whole"]) > 20
    for key, whole in changed["whole"].items():
        assert np.abs(whole).max() > 0 and np.allclose(changed["half"][key], 0.5 * whole, atol=1e-6)


def about() -> Adapter:
    return Adapter("a", "tiny-plus", "0" * 64, "india", PLUS.channels, PLUS.maps, (1, 2, 3), {"train": "2021-01-01"})
