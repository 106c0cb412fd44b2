"""Real adapters, written by peft on a base small enough for a test."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch

from cranpm.model.adapter import Adapter, read_adapter, write_manifest
from cranpm.model.checkpoint import Checkpoint, file_hash, read_checkpoint, write_checkpoint
from cranpm.model.config import ModelConfig
from cranpm.model.network import CranPM
from cranpm.model.statistics import nominal
from cranpm.variables import CHANNELS, CORRECTED_MAP, FORECAST_CHANNELS, USUAL_MAP
from tests.model.examples import TINY, network

PLUS = replace(
    TINY, name="tiny-plus", channels=(*CHANNELS, *FORECAST_CHANNELS), distance_bias=True, output="scale",
    local_channels=("pm2p5_t", "pm2p5_t-1", CORRECTED_MAP, USUAL_MAP, "elevation"),
)  # fmt: skip
TARGETS = r"(global_branch|local_branch|bridge)\..*(qkv|query|project|key_value\.\d|mlp\.[02])"
WHOLE = ("output", "decoder")


def write_base(folder: Path, config: ModelConfig = PLUS) -> Checkpoint:
    """A trained base."""
    about = Checkpoint(
        name=folder.name, config=config, statistics=nominal(), trained_leads=(1, 2, 3), region="europe", simulated=True,
        detail={1: 0.4, 2: 0.7}, provenance={"seed": 1},
    )  # fmt: skip
    write_checkpoint(folder, about, network(config))
    return read_checkpoint(folder)


def write_adapter(
    folder: Path, base: Checkpoint, *, seed: int = 0, rank: int = 4, whole: tuple[str, ...] = WHOLE, **said: object
) -> Adapter:
    """An adapter as training leaves it: peft's files and the manifest; everything drawn, so that all of it counts."""
    from peft import LoraConfig, get_peft_model

    lora = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=TARGETS, modules_to_save=list(whole) or None)
    wrapped = get_peft_model(base.network(), lora)
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.normal_(0, 0.1, generator=draw)
            elif parameter.requires_grad:
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=draw))
    wrapped.save_pretrained(folder)
    write_manifest(folder, replace(about(base), **said))
    return read_adapter(folder)


def about(base: Checkpoint) -> Adapter:
    """What an adapter on a base says of itself."""
    return Adapter(
        name="", base=base.name, base_hash=base.hash, region="india", channels=base.config.channels,
        maps=base.config.maps, leads=(1, 2, 3), simulated=True, detail={2: 0.9}, scores={"rmse": 12.5},
        days={"train": "2021-07-01..2021-08-10", "validate": "2021-08-15..2021-08-20"}, provenance={"seed": 0},
    )  # fmt: skip


def as_peft_runs_it(adapter: Adapter, base: Checkpoint) -> CranPM:
    """The base with peft's own adapter on it, not merged."""
    from peft import PeftModel

    return PeftModel.from_pretrained(base.network(), adapter.home).eval()


def edit_manifest(folder: Path, change) -> None:
    manifest = json.loads((folder / "cranpm.json").read_text())
    change(manifest)
    (folder / "cranpm.json").write_text(json.dumps(manifest))


def sign(folder: Path) -> None:
    """Let the manifest say what the files are now: what is refused then, is refused for what it is."""
    edit_manifest(folder, lambda m: m.update(files={name: file_hash(folder / name) for name in m["files"]}))
