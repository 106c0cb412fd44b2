"""`cranpm bundle`: what it tells of a bundle, and what it predicts and measures."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

pytest.importorskip("onnx")
pytest.importorskip("torch")

from cranpm.errors import CranpmError
from cranpm.export.budget import advice, budget, megabytes
from cranpm.export.bundle_commands import app
from cranpm.forecast.bundle import open_bundle
from tests.forecast.bundles import write_bundle
from tests.forecast.test_bundle import keys


@pytest.fixture
def path(tmp_path):
    return write_bundle(tmp_path / "few.bundle", change=lambda m: m.update(parity=[{"rms": 2e-6, "largest": 1e-5}]))


def call(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False, env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    return done.output


def test_info_tells_what_the_administrator_asks(path):
    table = call("info", path)
    for words in (
        "few",
        "simulated europe",
        "1, 2, 3",
        "fp32",
        "rms 2e-06",
        "Apache-2.0",
        "nobody",
        "base for adapters",
    ):
        assert words in table
    assert json.loads(call("info", path, "--json"))["parity"] == {"cases": 1, "rms": 2e-6, "largest": 1e-5}


def test_verify_tells_whole_from_signed(path, tmp_path):
    private, public = keys(tmp_path)
    assert "5 files as they were made; not signed" in call("verify", path)
    with pytest.raises(CranpmError, match="signed by nobody"):
        call("verify", path, "--require-key", public)
    assert "Signed" in call("sign", path, "--key", private)
    assert "signed by the key" in call("verify", path, "--require-key", public)


def test_bench_measures_and_predicts(path):
    found = json.loads(call("bench", path, "--device", "cpu", "--repeats", "2", "--json"))
    assert found["precision"] == "fp32" and found["tile_s"] > 0 and found["batch"] == 1 and found["cores"] >= 1
    assert found["predicted"]["peak_mb"] > 100
    assert "tile_s" in call("bench", path, "--device", "cpu", "--repeats", "1", "--batch", "2")


def test_more_tiles_at_a_time_take_more_memory_and_a_limit_picks_the_batch(path):
    bundle = open_bundle(path)
    peaks = {batch: budget(bundle, device="cuda", batch=batch).peak for batch in (1, 2, 4, 8)}
    assert sorted(peaks.values()) == list(peaks.values())
    found, words = advice(bundle, device="cuda", limit=peaks[4])
    assert found is not None and found.batch == 4 and "4 tiles at a time" in words
    none, words = advice(bundle, device="cuda", limit=peaks[1] - 1)
    assert none is None and "--precision fp16" in words
    printed = call("budget", path, "--gpu", "4GB")
    assert "Fits: 8 tiles at a time in fp32" in printed and "tiles: fields" in printed
    assert json.loads(call("budget", path, "--ram", "100MB", "--json"))["fits"] is False


def test_sizes_are_read_as_people_write_them():
    assert [megabytes(text) for text in ("4GB", "0.5 GB", "800MB", "1GiB")] == [4000, 500, 800, 2**30 / 1e6]
    for wrong in ("", "4", "GB", "-1GB", "4 TB"):
        with pytest.raises(CranpmError, match="a size such as 4GB"):
            megabytes(wrong)


def test_the_budget_is_for_one_thing(path):
    for words in ((), ("--gpu", "4GB", "--ram", "8GB")):
        with pytest.raises(CranpmError, match="--gpu 4GB or --ram 8GB"):
            call("budget", path, *words)


def test_an_export_is_refused_before_any_work(tmp_path):
    pytest.importorskip("onnxscript")
    from cranpm.export.commands import export

    with pytest.raises(CranpmError, match="a folder; name a file in it"):
        export("europe-sample", tmp_path)
    with pytest.raises(CranpmError, match="no region 'indya'"):
        export("europe-sample", tmp_path / "a.bundle", region=["indya"])
    with pytest.raises(CranpmError, match="add --random-weights"):
        export("paper-96m", tmp_path / "a.bundle")
    with pytest.raises(CranpmError, match="no day to calibrate on"):
        export("europe-sample", tmp_path / "a.bundle", region=["india"], precision="int8", drawn_only=True)
    assert list(tmp_path.iterdir()) == []
