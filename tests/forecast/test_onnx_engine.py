"""The engine that runs bundles: what it computes, where, and what it does when something is missing."""

from __future__ import annotations

import datetime as dt
import os
import random
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import netCDF4
import numpy as np
import onnxruntime
import pytest

pytest.importorskip("onnx")
pytest.importorskip("torch")

import cranpm.forecast.onnx_engine as module
from cranpm.errors import CranpmError, MissingExtra
from cranpm.forecast.bundle import TILE_GRAPH, open_bundle
from cranpm.forecast.inputs import day_inputs, tile_inputs
from cranpm.forecast.load import choose, load_engine
from cranpm.forecast.onnx_engine import OnnxEngine
from cranpm.forecast.onnx_session import Session
from cranpm.forecast.run import assemble_map, forecast
from cranpm.tiles import Tile
from tests.forecast.bundles import SIDE, parts, residual, tile_graph, write_bundle
from tests.forecast.fake_store import FIRST, make_store

DAY = FIRST + dt.timedelta(days=3)
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    return write_bundle(tmp_path_factory.mktemp("bundle") / "few.bundle")


@pytest.fixture(scope="module")
def store():
    return make_store()


@pytest.fixture
def engine(path) -> OnnxEngine:
    return OnnxEngine(open_bundle(path), device="cpu")


def inputs(store, *corners: tuple[int, int]):
    day = day_inputs(store, DAY)
    tiles = [Tile((0, k), row, column, SIDE) for k, (row, column) in enumerate(corners)]
    return day, tile_inputs(store, day, tiles, patch=8, coarse_patch=4)


def test_it_computes_what_the_graphs_say(engine, store):
    day, tiles = inputs(store, (0, 0), (20, 40))
    found = engine.forecast_tiles(engine.encode_day(day, 1), tiles, 2)
    np.testing.assert_allclose(found, residual(day.coarse, tiles.lats, 2), atol=1e-5)
    assert found.dtype == np.float32


def test_a_day_is_encoded_once_for_all_leads(engine, store):
    day, _ = inputs(store, (0, 0))
    assert engine.encode_day(day, 1) is engine.encode_day(day, 3)


def test_the_engine_says_what_it_is(engine, path):
    spec = engine.spec
    assert (spec.name, spec.hash, spec.trained_leads, spec.tile) == ("few", "ab" * 32, (1, 2, 3), SIDE)
    assert spec.device == f"cpu, ONNX Runtime {onnxruntime.__version__}, fp32"
    assert spec.bundle == open_bundle(path).hash and not spec.random_weights


class SmallMemory:
    """A session of ONNX Runtime that has room for so many tiles."""

    def __init__(self, run, room: int) -> None:
        self.run, self.room, self.asked = run, room, []
        self.get_inputs, self.get_outputs = run.get_inputs, run.get_outputs

    def run_with_ort_values(self, outputs, feeds):
        self.asked.append(feeds["lead"].shape()[0])
        if self.asked[-1] > self.room:
            raise RuntimeError("Failed to allocate memory for requested buffer of size 104857600")
        return self.run.run_with_ort_values(outputs, feeds)


def test_out_of_memory_means_a_smaller_batch_and_one_line(path, store):
    engine = OnnxEngine(open_bundle(path), device="cpu", batch=4)
    day, tiles = inputs(store, (0, 0), (0, 20), (20, 0), (20, 20), (40, 40))
    state = engine.encode_day(day, 1)
    full = SmallMemory(engine._session(TILE_GRAPH).run, room=1)
    engine._sessions[TILE_GRAPH] = Session(full, 0)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        found = engine.forecast_tiles(state, tiles, 1)
    assert full.asked == [4, 2, 1, 1, 1, 1, 1]
    assert [str(line.message) for line in told] == [
        "out of memory with 4 tiles at a time: going on with 2",
        "out of memory with 2 tiles at a time: going on with 1",
    ]
    np.testing.assert_allclose(found, residual(day.coarse, tiles.lats, 1), atol=1e-5)


def test_no_room_for_one_tile_is_said_in_one_line(engine, store):
    day, tiles = inputs(store, (0, 0))
    state = engine.encode_day(day, 1)
    engine._sessions[TILE_GRAPH] = Session(SmallMemory(engine._session(TILE_GRAPH).run, room=0), 0)
    with pytest.raises(CranpmError, match=r"a tile cannot be computed: out of memory; .*bundle budget"):
        engine.forecast_tiles(state, tiles, 1)


def test_other_errors_are_not_taken_for_want_of_memory(path, store, monkeypatch):
    engine = OnnxEngine(open_bundle(path), device="cpu", batch=2)
    day, tiles = inputs(store, (0, 0), (0, 20))
    state = engine.encode_day(day, 1)
    monkeypatch.setattr(OnnxEngine, "_tiles", lambda *_: (_ for _ in ()).throw(RuntimeError("a bug\nand more")))
    with pytest.raises(CranpmError, match=r"few\.bundle: a tile cannot be computed: ONNX Runtime says: a bug;"):
        engine.forecast_tiles(state, tiles, 1)


def test_a_graph_that_cannot_be_loaded_is_an_error_in_one_line(tmp_path, store):
    """Its weights have another shape than the graph says: only ONNX Runtime notices."""
    model = tile_graph()
    model.graph.initializer[0].dims[:] = [2]
    path = write_bundle(tmp_path / "odd.bundle", parts(tile=model))
    engine = OnnxEngine(open_bundle(path), device="cpu")
    day, tiles = inputs(store, (0, 0))
    with pytest.raises(CranpmError, match=r"device 'cpu': the network cannot be loaded: ONNX Runtime says: "):
        engine.forecast_tiles(engine.encode_day(day, 1), tiles, 1)


def test_a_provider_that_is_not_here_is_an_error_unless_auto(path, monkeypatch):
    with pytest.raises(CranpmError, match="device 'gpu' unknown: choose auto, cpu, cuda"):
        OnnxEngine(open_bundle(path), device="gpu")
    monkeypatch.setattr(onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    for device in ("cuda", "tensorrt", "openvino"):
        with pytest.raises(CranpmError, match=rf"device '{device}': .*\(found: cpu\)"):
            OnnxEngine(open_bundle(path), device=device)
    assert OnnxEngine(open_bundle(path), device="auto").spec.device.startswith("cpu")


def test_a_provider_that_does_not_start_is_an_error_unless_auto(path, store, monkeypatch):
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    day, _ = inputs(store, (0, 0))
    with pytest.warns(UserWarning, match="the CPU takes over"):
        engine = OnnxEngine(open_bundle(path), device="auto")
        engine.encode_day(day, 1)
    with warnings.catch_warnings(), pytest.raises(CranpmError, match="does not start here"):
        warnings.simplefilter("ignore")
        OnnxEngine(open_bundle(path), device="cuda").encode_day(day, 1)


def test_a_window_without_a_graph_is_refused(engine):
    other = make_store(height=256)
    with pytest.raises(CranpmError, match=r"no graph for a coarse window of 40 x 20: few\.bundle has 16 x 20"):
        engine.encode_day(day_inputs(other, DAY), 1)


def test_the_command_line_takes_a_model_or_a_bundle(path):
    with pytest.raises(CranpmError, match="the bundle is the model"):
        choose("europe-sample", path)
    with pytest.raises(CranpmError, match="--random-weights"):
        choose(None, path, random_weights=True)
    with pytest.raises(CranpmError, match="models are not signed"):
        choose(None, None, key=path)
    assert choose(None, path, device="cpu").engine(None).spec.name == "few"


def test_without_torch_the_bundle_that_ships_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtra, match=r"cranpm\[train\].*or run it without torch: --bundle europe-sample"):
        load_engine("europe-sample")


SCRIPT = """
import sys
class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "lightning", "peft", "onnx", "onnxscript", "scores"):
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
import cranpm.forecast.source
from cranpm.cli import main
sys.path.insert(0, "{root}")
from tests.forecast.fake_store import make_store
store = make_store()
{more}
cranpm.forecast.source.open_store = lambda *_: store
main(["forecast", "india", "--date", "{day}", "--leads", "1,2", "--bundle", "{bundle}", "--device", "cpu"])
"""


def without_torch(folder: Path, path: Path, more: str = "") -> subprocess.Popen[str]:
    code = SCRIPT.format(root=ROOT, day=DAY, bundle=path, more=more)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=folder, env=environment, text=True, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.slow
def test_a_bundle_makes_a_forecast_where_torch_cannot_be_imported(path, store, tmp_path):
    child = without_torch(tmp_path, path)
    said, _ = child.communicate(timeout=300)
    assert child.returncode == 0, said
    with netCDF4.Dataset(tmp_path / "forecasts" / f"cranpm_india_{DAY:%Y%m%d}.nc") as file:
        written = file["pm2p5"][0, 0].filled(np.nan)
        assert file.getncattr("bundle_hash") == open_bundle(path).hash
    (lead,) = forecast(OnnxEngine(open_bundle(path), device="cpu"), store, DAY, [1])
    expected = assemble_map(lead.strips, store.fine.shape)[0]
    np.testing.assert_allclose(written, expected, atol=1 / 128)


@pytest.mark.slow
def test_a_forecast_that_is_killed_leaves_nothing_half_written(path, tmp_path):
    """Killed at ten points of its work, drawn; the next run completes and clears up."""
    slowed = (
        "import time\nread = store.pm\nstore.pm = lambda *a: (print('.', flush=True), time.sleep(0.02), read(*a))[2]"
    )
    target = tmp_path / "forecasts" / f"cranpm_india_{DAY:%Y%m%d}.nc"
    draw = random.Random(7)
    for _ in range(10):
        child = without_torch(tmp_path, path, slowed)
        assert child.stdout is not None
        for _ in range(draw.randrange(1, 30)):
            child.stdout.readline()
        time.sleep(draw.uniform(0, 0.05))
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=60)
        assert child.returncode == -signal.SIGKILL and not target.exists()
    child = without_torch(tmp_path, path)
    said, _ = child.communicate(timeout=300)
    assert child.returncode == 0, said
    assert {path.suffix for path in target.parent.iterdir()} == {".nc", ".png"}


def test_batches_follow_the_device():
    assert module.BATCH["cpu"] == 1 and module.BATCH["cuda"] == 8
