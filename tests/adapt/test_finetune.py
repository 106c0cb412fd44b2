"""A run that adapts a base to local days: what it writes, what it leaves alone, and that it survives being killed."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
import torch

from cranpm.adapt import finetune
from cranpm.adapt.finetune import Adapted, Adapting
from cranpm.adapt.local_days import divide
from cranpm.adapt.settings import DEFAULT, Settings, adaptation, read_settings
from cranpm.data.layout import STORE_CHANNELS, DayRecord, Fixed, Header, StationTable
from cranpm.data.writer import open_writer
from cranpm.errors import CranpmError
from cranpm.folders import swap_folder
from cranpm.forecast.torch_engine import TorchEngine
from cranpm.grid import coarse_grid, fine_grid
from cranpm.model.adapter import read_adapter
from cranpm.model.adapter_tensors import merged
from cranpm.model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from cranpm.model.statistics import nominal
from cranpm.region import load_region
from cranpm.train.keeper import RESUME, STEPS, Event, Stepped
from cranpm.train.place import Place
from cranpm.variables import COARSE
from tests.model.examples import TINY, network

CONFIG = replace(TINY, tile=32, coarse_shape=(16, 20), dropout=0.0, drop_path=0.0)
HEADER = Header("toyland", "sample", coarse_grid(46.0, 19.0, 16, 20), fine_grid(45.0, 20.0, 64, 72), 8, {"seed": 0})
FIRST, DAYS = date(2021, 1, 1), 26
LEVEL = 90.0
"""What PM2.5 is every day, ug m-3: a base that forecasts a change is wrong here, and can be taught."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("toyland") / "store.zarr"
    days = [date.fromordinal(FIRST.toordinal() + k) for k in range(DAYS)]
    no_stations = StationTable((), (), (), (), (), ())
    ground = Fixed(
        np.full(HEADER.coarse.shape, 100.0, np.float32), np.full(HEADER.fine.shape, 120.0, np.float32),
        np.ones(HEADER.fine.shape, bool), no_stations,
    )  # fmt: skip
    middle = np.array([(max(v.low, -20) + v.high) / 2 for v in COARSE.values()], np.float32)
    with open_writer(path, HEADER, lambda: ground, days[0], days[-1]) as writer:
        for k, day in enumerate(days):
            rng = np.random.default_rng(k)
            wiggle = rng.uniform(0.9, 1.1, (len(STORE_CHANNELS), *HEADER.coarse.shape)).astype(np.float32)
            pm = (LEVEL + rng.normal(0, 1, HEADER.fine.shape)).astype(np.float32)
            writer.write_day(DayRecord(day, wiggle * middle[:, None, None], pm, None, np.empty(0, np.float32)))
    return path


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("base") / "europe"
    about = Checkpoint("europe", CONFIG, nominal(), (1, 2), "europe", True, {"seed": 0})
    write_checkpoint(folder, about, network(CONFIG))
    return read_checkpoint(folder)


def settings(**changed: int) -> Settings:
    plain = read_settings(DEFAULT)
    steps = {"length": 12, "warm_up": 1, "validate": 4, "save": 1, "patience": 9, "average": 0.5, **changed}
    return replace(
        plain,
        schedule=replace(plain.schedule, learning_rate=5e-3, **steps),
        batch=replace(plain.batch, days=2, tiles_per_day=2),
        whole_rate=2e-3,
    )


def run_of(store: Path, base: Checkpoint, out: Path, *, full: bool = False, made: Settings | None = None) -> Adapting:
    made = made or settings()
    recipe = adaptation("toyland", "europe", base, made, full=full)
    days = [date.fromordinal(FIRST.toordinal() + k) for k in range(DAYS)]
    local = divide(days, made.blocks, recipe.leads)
    return Adapting(
        recipe, load_region("europe"), 0, store, Place("cpu"), out.with_name(f"{out.name}.run"), "cranpm adapt", "0",
        out.parent, 0, "again", local=local, baselines=None, out=out,
    )  # fmt: skip


def adapt(made: Adapting, *, resume: bool = False, tell=None) -> None:
    made.prepare_folder(resume=resume)
    made.run(resume=resume, tell=tell)


def test_an_adapter_does_better_on_held_out_days_than_its_base(store: Path, base: Checkpoint, tmp_path: Path):
    out = tmp_path / "toyland"
    adapt(run_of(store, base, out))
    adapter = read_adapter(out)
    assert (adapter.base_hash, adapter.region, adapter.simulated) == (base.hash, "europe", True)
    scores = adapter.scores
    assert all(scores["validation_rmse"][k] < scores["validation_rmse_zero_shot"][k] for k in ("1", "2"))
    assert adapter.days == {"train": "2021-01-01..2021-01-19", "validate": "2021-01-20..2021-01-26"}
    engine = TorchEngine(base, device="cpu")
    engine.wear(adapter)
    assert engine.spec.adapter.name == "toyland"
    assert sorted(p.name for p in out.iterdir()) == ["adapter_config.json", "adapter_model.safetensors", "cranpm.json"]
    assert not (tmp_path / "toyland.run" / RESUME).exists()


def test_training_leaves_every_tensor_of_the_base_as_it_is(store: Path, base: Checkpoint, tmp_path: Path):
    kept: list[Adapted] = []

    class Watched(Adapting):
        def make_module(self) -> Adapted:
            kept.append(Adapted(self.adaptation, seed=self.seed, key=self.key))
            return kept[0]

    made = run_of(store, base, tmp_path / "a")
    adapt(Watched(**{name: value for name, value in vars(made).items() if name != "examples"}))
    state = kept[0].network.state_dict()
    after = {name.replace(".base_layer", "").replace(".original_module", ""): state[name] for name in state}
    before = base.network().state_dict()
    assert all(torch.equal(tensor, after[name]) for name, tensor in before.items())
    assert any("lora_B" in name and tensor.abs().max() > 0 for name, tensor in after.items())


def test_full_fine_tuning_is_an_ordinary_checkpoint_that_names_its_base(store: Path, base: Checkpoint, tmp_path: Path):
    adapt(run_of(store, base, tmp_path / "full", full=True))
    made = read_checkpoint(tmp_path / "full")
    assert made.provenance["base_hash"] == base.hash != made.hash
    assert made.provenance["adapted"]["train"] == "2021-01-01..2021-01-19"
    scores = made.provenance
    assert scores["validation_rmse"]["1"] < scores["validation_rmse_zero_shot"]["1"]
    changed = [
        not torch.equal(a, b) for a, b in zip(made.network().parameters(), base.network().parameters(), strict=True)
    ]
    assert sum(changed) > len(changed) / 2


def test_a_run_that_was_killed_ends_with_the_same_adapter(store: Path, base: Checkpoint, tmp_path: Path):
    class Killed(Exception):
        pass

    def die(event: Event) -> None:
        if isinstance(event, Stepped) and event.step == 7:
            raise Killed

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    adapt(run_of(store, base, whole))
    with pytest.raises(Killed):
        adapt(run_of(store, base, broken), tell=die)
    assert not broken.exists()
    adapt(run_of(store, base, broken), resume=True)
    assert read_adapter(whole).hash == read_adapter(broken).hash
    steps = [json.loads(line)["step"] for line in (tmp_path / "broken.run" / STEPS).read_text().splitlines()]
    assert steps == list(range(1, 13))


def test_a_run_that_was_killed_after_its_last_step_is_finished_by_resuming(
    store: Path, base: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    adapt(run_of(store, base, whole))

    def swap(new: Path, folder: Path) -> None:
        if folder == broken:  # killed where the adapter was about to be put in its place
            raise KeyboardInterrupt
        swap_folder(new, folder)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(finetune, "swap_folder", swap)
        adapt(run_of(store, base, broken))
    assert not broken.exists() and (tmp_path / "broken.run" / RESUME).exists()
    adapt(run_of(store, base, broken), resume=True)
    one, other = read_adapter(whole), read_adapter(broken)
    assert (one.hash, one.scores, one.detail) == (other.hash, other.scores, other.detail)


def test_what_is_kept_is_the_running_average(store: Path, base: Checkpoint, tmp_path: Path):
    hashes = set()
    for average in (0.0, 0.9):
        out = tmp_path / f"a{average}"
        adapt(run_of(store, base, out, made=settings(length=4, average=average)))
        steps = [json.loads(line)["loss"] for line in (tmp_path / f"{out.name}.run" / STEPS).read_text().splitlines()]
        hashes.add((read_adapter(out).hash, tuple(steps)))
    assert len({digest for digest, _ in hashes}) == 2 and len({losses for _, losses in hashes}) == 1


def test_a_run_stops_early_when_held_out_days_stop_getting_better(store: Path, base: Checkpoint, tmp_path: Path):
    made = settings(length=60, validate=2, patience=2)
    made = replace(made, schedule=replace(made.schedule, learning_rate=0.1))  # soon far off
    adapt(run_of(store, base, tmp_path / "a", made=made))
    steps = len((tmp_path / "a.run" / STEPS).read_text().splitlines())
    assert steps < 60
    assert read_adapter(tmp_path / "a").scores["step"] <= steps - 4


def test_a_place_that_is_taken_is_refused(store: Path, base: Checkpoint, tmp_path: Path):
    (tmp_path / "a").mkdir()
    with pytest.raises(CranpmError, match=r"a: is there already; give another place with --out"):
        adapt(run_of(store, base, tmp_path / "a"))
    adapt(run_of(store, base, tmp_path / "b", made=settings(length=1)))
    with pytest.raises(CranpmError, match="b: is there already"):
        adapt(run_of(store, base, tmp_path / "b"))
    with pytest.raises(CranpmError, match="no unfinished run there"):
        adapt(run_of(store, base, tmp_path / "c"), resume=True)


def test_parts_trained_whole_take_the_steps_of_full_fine_tuning(store: Path, base: Checkpoint, tmp_path: Path):
    """With a rate of nearly nothing for them, the decoder stays where it is while the updates move."""
    made = replace(settings(length=4), parts=("decoder",), whole_rate=1e-12)
    adapt(run_of(store, base, tmp_path / "a", made=made))
    engine, adapter = TorchEngine(base, device="cpu"), read_adapter(tmp_path / "a")
    state = {name: tensor.numpy() for name, tensor in base.network().state_dict().items()}
    changed = merged(adapter, state)
    decoder = [name for name in changed if name.startswith("decoder")]
    assert decoder and all(np.allclose(changed[name], state[name], atol=1e-9) for name in decoder)
    assert max(np.abs(changed[name] - state[name]).max() for name in changed) > 1e-4
    engine.wear(adapter)  # and it can be worn
