"""One contract, run over every engine."""

import dataclasses
import datetime as dt
from pathlib import Path

import numpy as np
import pytest

from cranpm.errors import CranpmError
from cranpm.forecast.engine import Engine
from cranpm.forecast.inputs import day_inputs, tile_inputs
from cranpm.forecast.load import load_engine
from cranpm.forecast.run import assemble_map, forecast
from cranpm.model.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from cranpm.model.statistics import nominal
from cranpm.tiles import Tile
from tests.forecast.fake_store import FIRST, PlaceEngine, make_store

DAY = FIRST + dt.timedelta(days=3)
TILE = 128


@pytest.fixture(scope="module")
def store():
    return make_store(height=160, width=200)


def torch_engine() -> Engine:
    """The small network with weights that are not zero at the end, so that its residual is not either."""
    torch = pytest.importorskip("torch")
    engine = load_engine("small", random_weights=True, device="cpu")
    with torch.no_grad():
        for parameter in list(engine._network.decoder.parameters())[-2:]:
            parameter.normal_(0, 0.05, generator=torch.Generator().manual_seed(3))
    return engine


def onnx_engine(folder: Path) -> Engine:
    """The same network from a bundle."""
    pytest.importorskip("onnxscript")
    from cranpm.export.bundle import export_bundle
    from cranpm.export.contents import Order
    from cranpm.forecast.onnx_engine import OnnxEngine

    network = torch_engine()._network
    about = Checkpoint("small", network.config, nominal(), trained_leads=(1, 2, 3), region="europe")
    write_checkpoint(folder / "small", about, network)
    order = Order(read_checkpoint(folder / "small"), windows=[(16, 20)])
    return OnnxEngine(export_bundle(order, folder / "small.bundle"), device="cpu")


@pytest.fixture(scope="module", params=["numpy", "torch", pytest.param("onnx", marks=pytest.mark.slow)])
def engine(request, tmp_path_factory) -> Engine:
    if request.param == "onnx":
        return onnx_engine(tmp_path_factory.mktemp("onnx"))
    return PlaceEngine(tile=TILE) if request.param == "numpy" else torch_engine()


@pytest.mark.parametrize("engine", [pytest.param("onnx", marks=pytest.mark.slow)], indirect=True)
def test_both_engines_make_the_same_strips(engine, store):
    """Whole strips of the map, blended, clipped and masked, within 1e-4 of the change's standard deviation."""
    pairs = zip(forecast(engine, store, DAY, [1, 3]), forecast(torch_engine(), store, DAY, [1, 3]), strict=True)
    for exported, reference in pairs:
        for ours, theirs in zip(exported.strips, reference.strips, strict=True):
            change = 20 * engine.forecast_tiles(*whole(engine, store, reference.lead)).std()
            np.testing.assert_allclose(ours.pm, theirs.pm, atol=1e-4 * change)
            assert ours.row == theirs.row and np.array_equal(np.isnan(ours.pm), np.isnan(theirs.pm))


def whole(engine, store, lead):
    """Arguments of `forecast_tiles` for one tile."""
    day, tiles = batch(engine, store, Tile((0, 0), 0, 0, TILE))
    return engine.encode_day(day, lead), tiles, lead


def batch(engine, store, *tiles):
    spec = engine.spec
    day = day_inputs(store, DAY, spec.channels)
    return day, tile_inputs(store, day, tiles, patch=spec.patch, coarse_patch=spec.coarse_patch, maps=spec.maps)


def test_residuals_have_the_shape_of_the_tiles_and_are_finite(engine, store):
    day, tiles = batch(engine, store, Tile((0, 0), 0, 0, TILE), Tile((0, 1), 0, 72, TILE))
    residual = engine.forecast_tiles(engine.encode_day(day, 1), tiles, 1)
    assert residual.shape == (2, TILE, TILE) and residual.dtype == np.float32
    assert np.isfinite(residual).all() and residual.std() > 0


def test_a_tile_does_not_depend_on_its_batch(engine, store):
    pair = Tile((0, 0), 0, 0, TILE), Tile((0, 1), 32, 72, TILE)
    day, both = batch(engine, store, *pair)
    state = engine.encode_day(day, 2)
    together = engine.forecast_tiles(state, both, 2)
    for k, tile in enumerate(pair):
        alone = engine.forecast_tiles(state, batch(engine, store, tile)[1], 2)
        np.testing.assert_allclose(alone[0], together[k], atol=1e-4 * together.std())


def test_running_twice_gives_the_same(engine, store):
    maps = []
    for _ in range(2):
        (lead,) = forecast(engine, store, DAY, [1])
        maps.append(assemble_map(lead.strips, store.fine.shape)[0])
    np.testing.assert_array_equal(*maps)


def test_inputs_are_left_as_they_are(engine, store):
    day, tiles = batch(engine, store, Tile((0, 0), 0, 0, TILE))
    before = dataclasses.replace(tiles, pm=tiles.pm.copy()), day.coarse.copy()
    engine.forecast_tiles(engine.encode_day(day, 1), tiles, 1)
    np.testing.assert_array_equal(before[0].pm, tiles.pm)
    np.testing.assert_array_equal(before[1], day.coarse)


def test_day_state_is_shared_by_leads_but_not_by_days(store):
    engine = torch_engine()
    one, other = day_inputs(store, DAY), day_inputs(store, DAY + dt.timedelta(days=1))
    assert engine.encode_day(one, 1) is engine.encode_day(one, 3)
    assert not np.array_equal(engine.encode_day(one, 1).numpy(), engine.encode_day(other, 1).numpy())


def test_torch_engine_tells_leads_apart(store):
    engine = torch_engine()
    day, tiles = batch(engine, store, Tile((0, 0), 0, 0, TILE))
    state = engine.encode_day(day, 1)
    assert not np.array_equal(engine.forecast_tiles(state, tiles, 1), engine.forecast_tiles(state, tiles, 3))


def test_missing_device_and_missing_weights_are_refused():
    torch = pytest.importorskip("torch")
    if not torch.cuda.is_available():
        with pytest.raises(CranpmError, match="no GPU"):
            load_engine("small", random_weights=True, device="cuda")
    with pytest.raises(CranpmError, match="device 'gpu' unknown"):
        load_engine("small", random_weights=True, device="gpu")
    with pytest.raises(CranpmError, match="random-weights"):
        load_engine("paper-96m")
