"""What is exported is the network: held against torch, with adapters, in a bundle or not at all."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("onnxscript")
torch = pytest.importorskip("torch")

import cranpm.export.bundle as making  # noqa: E402
from cranpm.data.progress import silent  # noqa: E402
from cranpm.errors import CranpmError  # noqa: E402
from cranpm.export.bundle import Proof, drawn_last_layer, export_bundle  # noqa: E402
from cranpm.export.cases import drawn_case  # noqa: E402
from cranpm.export.contents import Order, Parts, bundle_files  # noqa: E402
from cranpm.export.parity import check, compare  # noqa: E402
from cranpm.forecast.bundle import open_bundle  # noqa: E402
from cranpm.forecast.engine import Engine  # noqa: E402
from cranpm.forecast.onnx_engine import OnnxEngine  # noqa: E402
from cranpm.forecast.run import assemble_map, forecast  # noqa: E402
from cranpm.forecast.torch_engine import TorchEngine  # noqa: E402
from cranpm.model.checkpoint import Checkpoint  # noqa: E402
from cranpm.model.statistics import nominal  # noqa: E402
from cranpm.region import load_region  # noqa: E402
from tests.forecast.fake_store import FIRST, ConstantEngine, make_store  # noqa: E402
from tests.model.adapters import write_adapter, write_base  # noqa: E402
from tests.model.examples import TINY  # noqa: E402

pytestmark = pytest.mark.slow
DAY = FIRST + dt.timedelta(days=3)
SHAPE = (16, 20)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A base that reads forecasts and scales three maps, as europe-sample does."""
    return write_base(tmp_path_factory.mktemp("base") / "tiny")


@pytest.fixture(scope="module")
def graphs(base):
    """Graphs hold no weights, so they are made once for all that is exported of this base in 32 bits."""
    return making._graphs(base.network(), [SHAPE], silent)


@pytest.fixture
def known_graphs(graphs, monkeypatch):
    monkeypatch.setattr(making, "_graphs", lambda *_: graphs)


@pytest.fixture(scope="module")
def bundle(base, graphs, tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(making, "_graphs", lambda *_: graphs)
        return export_bundle(Order(base, windows=[SHAPE]), tmp_path_factory.mktemp("bundle") / "tiny.bundle")


@pytest.fixture(scope="module")
def store():
    return make_store()


def map_of(engine: Engine, store) -> np.ndarray:
    (lead,) = forecast(engine, store, DAY, [1])
    return assemble_map(lead.strips, store.fine.shape)[0]


def assert_same(exported: Engine, reference: Engine, store) -> None:
    """Whole maps, strip by strip blended, within the gate: 1e-4 of the change's standard deviation."""
    wanted = map_of(reference, store)
    change = np.nanstd(wanted - map_of(ConstantEngine(tile=64), store))
    assert change > 0.5
    np.testing.assert_allclose(map_of(exported, store), wanted, atol=1e-4 * change)


def test_both_engines_make_the_same_map(base, bundle, store):
    assert_same(OnnxEngine(bundle, device="cpu"), TorchEngine(base, device="cpu"), store)


def test_the_parity_stands_in_the_manifest(bundle):
    (entry,) = bundle.manifest["parity"]
    assert entry["rms"] <= 1e-4 and entry["deviation"] > 0.1 and entry["case"] == "drawn, 16 x 20 nodes"


def test_adapters_take_turns_on_one_bundle(base, bundle, store, tmp_path):
    ours, reference = OnnxEngine(bundle, device="cpu"), TorchEngine(base, device="cpu")
    plain = map_of(ours, store)
    for seed in (1, 2):
        adapter = write_adapter(tmp_path / f"a{seed}", base, seed=seed)
        ours.wear(adapter)
        reference.wear(adapter)
        assert_same(ours, reference, store)
        assert np.nanstd(map_of(ours, store) - plain) > 0.1
        assert ours.spec.adapter.name == f"a{seed}" and ours.spec.detail == reference.spec.detail
    with pytest.raises(CranpmError, match="was trained on 'tiny'"):
        ours.wear(replace(adapter, base_hash="77" * 32))
    assert ours.spec.adapter.name == "a2"
    ours.wear(None)
    np.testing.assert_array_equal(map_of(ours, store), plain)


def test_an_adapter_merged_at_export_is_worn_for_good(base, store, tmp_path, known_graphs):
    adapter = write_adapter(tmp_path / "monsoon", base, seed=1)
    merged = export_bundle(Order(base, adapter=adapter, windows=[SHAPE]), tmp_path / "monsoon.bundle")
    ours, reference = OnnxEngine(merged, device="cpu"), TorchEngine(base, device="cpu")
    reference.wear(adapter)
    assert_same(ours, reference, store)
    inside = replace(adapter, folder=None)  # a bundle has no folder of it
    assert ours.spec == replace(reference.spec, device=ours.spec.device, bundle=merged.hash, adapter=inside)
    with pytest.raises(CranpmError, match="'monsoon' is merged into it"):
        ours.wear(adapter)


def test_half_precision_passes_its_own_gate(base, tmp_path):
    half = export_bundle(Order(base, precision="fp16", windows=[SHAPE]), tmp_path / "half.bundle")
    (entry,) = half.manifest["parity"]
    assert 1e-5 < entry["rms"] <= 1e-2
    sizes = {str(values.dtype) for values in half.weights("tile").values()}
    assert sizes == {"float16", "float32"}


def test_eight_bits_come_with_their_loss(base, store, tmp_path, known_graphs):
    days = [FIRST + dt.timedelta(days=k) for k in (1, 2, 3)]
    eight = export_bundle(
        Order(base, precision="int8", windows=[SHAPE]), tmp_path / "int8.bundle", proof=Proof(store, days[:1], days[1:])
    )
    assert [entry["lead"] for entry in eight.manifest["loss"]] == [1, 2, 3]
    assert all(entry["days"] == 2 and entry["rmse"] != entry["rmse_exact"] > 0 for entry in eight.manifest["loss"])
    assert 1e-4 < max(entry["rms"] for entry in eight.manifest["parity"]) < 0.5
    assert not eight.weights("tile") and eight.weights("day")
    engine = OnnxEngine(eight, device="cpu")
    assert engine.spec.device.endswith("int8") and np.isfinite(map_of(engine, store)[store.land]).all()
    with pytest.raises(CranpmError, match="its weights are of 8 bits"):
        engine.wear(write_adapter(tmp_path / "monsoon", base))


def test_eight_bits_need_days(base, tmp_path):
    with pytest.raises(CranpmError, match="no day to calibrate on"):
        export_bundle(Order(base, precision="int8", windows=[SHAPE]), tmp_path / "int8.bundle")


def test_beyond_the_gate_nothing_is_written(base, tmp_path, monkeypatch, known_graphs):
    monkeypatch.setattr(making, "compare", lambda *_: [{"case": "x", "lead": 1, "rms": 2e-4, "largest": 1.0}])
    with pytest.raises(CranpmError, match=r"2\.0e-04 of the residual's .* at most 1e-04 .*nothing was written"):
        export_bundle(Order(base, windows=[SHAPE]), tmp_path / "no.bundle")
    assert list(tmp_path.iterdir()) == []


def test_random_weights_are_tested_with_a_drawn_last_layer(tmp_path):
    untrained = Checkpoint(name="tiny", config=TINY, statistics=nominal())
    bundle = export_bundle(Order(untrained, windows=[(28, 56)]), tmp_path / "tiny.bundle")
    (entry,) = bundle.manifest["parity"]
    assert entry["deviation"] > 0.01 and entry["rms"] <= 1e-4
    ours = OnnxEngine(open_bundle(bundle.path), device="cpu")
    assert ours.spec.random_weights and ours.spec.trained_leads == TINY.leads
    case = drawn_case(ours.spec, nominal(), (28, 56), 1)
    drawn = TorchEngine(untrained, device="cpu", network=drawn_last_layer(untrained, untrained.network()))
    (apart,) = compare(drawn, ours, [case])
    assert apart["rms"] > 0.5, "the last layer of the bundle is the checkpoint's own: zero"
    assert not ours.forecast_tiles(ours.encode_day(case.day, 1), case.tiles, 1).any()


def test_what_is_not_a_number_does_not_pass():
    with pytest.raises(CranpmError, match="parity"):
        check([{"case": "x", "lead": 1, "rms": float("nan"), "largest": 0.0}], "fp32")


def test_an_export_needs_a_window(base, tmp_path):
    with pytest.raises(CranpmError, match="--region"):
        export_bundle(Order(base), tmp_path / "no.bundle")


def test_the_ground_of_a_store_travels_with_the_first_pack(base, graphs):
    network = base.network()
    order = Order(base, [load_region("india"), load_region("europe")], windows=[SHAPE], static=make_store())
    made, plain = (bundle_files(one, Parts(graphs), network) for one in (order, replace(order, static=None)))
    assert made.keys() - plain.keys() == {"india.static.safetensors"}
    packs = json.loads(made["manifest.json"])["packs"]
    assert packs["india"]["static"] == "india.static.safetensors" and "static" not in packs["europe"]
