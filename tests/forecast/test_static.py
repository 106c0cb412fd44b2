"""The ground that travels with a bundle tells a site that its own is another."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save

pytest.importorskip("onnx")
pytest.importorskip("torch")

from cranpm.errors import CranpmError
from cranpm.forecast.bundle import open_bundle
from cranpm.forecast.load import Choice
from cranpm.forecast.static import Static, difference, static_of, static_tensors
from cranpm.grid import Grid
from tests.forecast.bundles import parts, write_bundle
from tests.forecast.fake_store import FakeStore, make_store


@pytest.fixture
def store() -> FakeStore:
    made = make_store()
    rows, columns = np.indices(made.fine.shape)
    made.elevation = (3.0 * rows + 20 * np.sin(columns)).astype(np.float32)
    return made


def carried(folder, tensors):
    """A bundle that holds these tensors for 'testland'."""
    packs = {"testland": {"pack": "testland.yaml", "static": "testland.static.safetensors"}}
    files = {**parts(), "testland.yaml": b"name: testland\n", "testland.static.safetensors": save(tensors)}
    return open_bundle(write_bundle(folder / "ground.bundle", files, lambda manifest: manifest.update(packs=packs)))


@pytest.fixture
def bundle(tmp_path, store):
    return carried(tmp_path, static_tensors(store))


def part(grid: Grid, rows: slice, columns: slice) -> Grid:
    lats, lons = grid.lats[rows], grid.lons[columns]
    return Grid(float(lats[0]), float(lons[0]), grid.step, len(lats), len(lons))


def test_the_ground_comes_back_to_the_metre(bundle, store):
    found = static_of(bundle, "testland")
    assert isinstance(found, Static) and found.fine == store.fine and found.coarse == store.coarse
    assert np.array_equal(found.land, store.land) and np.abs(found.elevation - store.elevation).max() <= 0.5
    assert difference(found, store) == "" and Choice(None, bundle).ground(store) == ""


def test_another_ground_is_told_in_words(bundle, store):
    store.elevation = store.elevation.copy()
    store.elevation[4, 7] += 812
    store.land[:2, :2] = True
    told = Choice(None, bundle).ground(store)
    assert "0.0093 % of the pixels, by at most 812 m" in told and "the land mask of 0.037 %" in told
    assert "coarse" not in told
    store.coarse_elevation = store.coarse_elevation + 9
    assert "the coarse terrain, by at most 9 m" in Choice(None, bundle).ground(store)


@pytest.mark.parametrize("rows, columns", [(slice(10, 40), slice(20, 60)), (slice(0, 96), slice(50, 112))])
def test_a_window_of_the_region_is_compared_where_it_lies(bundle, store, rows, columns):
    small = replace(store, fine=part(store.fine, rows, columns), land=store.land[rows, columns])
    small.coarse_elevation, small.elevation = store.coarse_elevation, store.elevation[rows, columns]
    assert Choice(None, bundle).ground(small) == ""
    small.elevation = np.roll(small.elevation, 1, axis=0)
    assert "the terrain of" in Choice(None, bundle).ground(small)


def test_a_store_beyond_it_is_compared_where_both_have_ground(tmp_path, store):
    small = replace(store, fine=part(store.fine, slice(30, 70), slice(8, 90)), land=store.land[30:70, 8:90])
    small.coarse_elevation, small.elevation = store.coarse_elevation, store.elevation[30:70, 8:90]
    assert Choice(None, carried(tmp_path, static_tensors(small))).ground(store) == ""
    assert Choice(None, carried(tmp_path, static_tensors(make_store(west=80.0)))).ground(store) == ""  # nowhere


def test_without_ground_in_the_bundle_nothing_is_said(tmp_path, store):
    assert Choice(None, open_bundle(write_bundle(tmp_path / "few.bundle"))).ground(store) == ""
    assert Choice("europe-sample", None).ground(store) == ""


@pytest.mark.parametrize("change", [{"land": np.zeros((2, 2), np.uint8)}, {"grids": np.zeros((2, 3), np.int64)}])
def test_what_is_no_ground_is_refused(tmp_path, store, change):
    with pytest.raises(CranpmError, match=r"testland\.static\.safetensors|grid of"):
        static_of(carried(tmp_path, static_tensors(store) | change), "testland")
