"""The tile plan and streamed blending."""

from __future__ import annotations

import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cranpm.errors import CranpmError
from cranpm.tiles import TilePlan, assemble, blend, plan_tiles

EUROPE = (4192, 6992)


@st.composite
def plans(draw) -> TilePlan:
    size = draw(st.integers(2, 24))
    overlap = draw(st.integers(0, size - 1))
    height, width = draw(st.integers(size, 4 * size)), draw(st.integers(size, 4 * size))
    return plan_tiles(height, width, size=size, overlap=overlap)


def blended(plan: TilePlan, field: np.ndarray, land: np.ndarray | None = None) -> np.ndarray:
    return assemble(plan, blend(plan, ((tile, field[tile.window]) for tile in plan.tiles(land))))


def test_europe_takes_ten_by_sixteen_tiles():
    plan = plan_tiles(*EUROPE, size=512, overlap=64)
    assert (len(plan.rows), len(plan.columns), len(plan.tiles())) == (10, 16, 160)


@given(st.integers(2, 64), st.data())
def test_a_plan_reaches_both_ends_with_the_fewest_tiles_and_enough_overlap(size, data):
    overlap = data.draw(st.integers(0, size - 1))
    length = data.draw(st.integers(size, 10 * size))
    starts = plan_tiles(length, size, size=size, overlap=overlap).rows
    assert starts[0] == 0 and starts[-1] == length - size
    assert all(a + size - b >= overlap for a, b in pairwise(starts))
    fewer = len(starts) - 1
    assert fewer == 0 or fewer * size - (fewer - 1) * overlap < length


@pytest.mark.parametrize(
    ("height", "width", "size", "overlap", "reason"),
    [(100, 100, 128, 16, "cannot hold a tile"), (200, 200, 128, 128, "overlap of 128"), (200, 200, 128, -1, "overlap")],
)
def test_an_impossible_plan_is_refused(height, width, size, overlap, reason):
    with pytest.raises(CranpmError, match=reason):
        plan_tiles(height, width, size=size, overlap=overlap)


@given(plans(), st.floats(-500, 500, width=32))
def test_a_constant_field_stays_constant(plan, value):
    out = blended(plan, np.full((plan.height, plan.width), value, dtype=np.float32))
    np.testing.assert_allclose(out, value, rtol=1e-6, atol=1e-6)


@given(st.integers(2, 16), st.integers(2, 16), st.integers(0, 8))
def test_the_weights_of_a_pixels_tiles_sum_to_one(below, beside, overlap):
    """One tile at a time, the others zero: the shares of all tiles add up to one everywhere."""
    plan = plan_tiles(16 + below, 16 + beside, size=16, overlap=overlap)
    tiles = plan.tiles()
    total = np.zeros((plan.height, plan.width))
    for chosen in tiles:
        values = ((tile, np.full((plan.size,) * 2, float(tile is chosen), dtype=np.float32)) for tile in tiles)
        total += assemble(plan, blend(plan, values))
    np.testing.assert_allclose(total, 1.0, atol=1e-6)


@given(plans(), st.integers(0, 2**32 - 1))
def test_blending_tiles_of_one_field_gives_the_field_back(plan, seed):
    field = np.random.default_rng(seed).normal(size=(plan.height, plan.width)).astype(np.float32)
    np.testing.assert_allclose(blended(plan, field), field, atol=1e-5)


@given(plans(), st.integers(0, 2**32 - 1))
def test_skipping_sea_tiles_leaves_land_as_it_was(plan, seed):
    rng = np.random.default_rng(seed)
    land = np.zeros((plan.height, plan.width), dtype=bool)
    land[rng.integers(plan.height), rng.integers(plan.width)] = True
    noise = {tile.index: rng.normal(size=(plan.size,) * 2).astype(np.float32) for tile in plan.tiles()}
    every = assemble(plan, blend(plan, ((tile, noise[tile.index]) for tile in plan.tiles())))
    some = assemble(plan, blend(plan, ((tile, noise[tile.index]) for tile in plan.tiles(land))))
    np.testing.assert_allclose(some[land], every[land], atol=1e-6)


def test_pixels_without_a_tile_are_missing():
    plan = plan_tiles(64, 256, size=64, overlap=8)
    land = np.zeros((64, 256), dtype=bool)
    land[:, :10] = True
    out = blended(plan, np.ones((64, 256), dtype=np.float32), land)
    assert (out[:, :10] == 1).all() and np.isnan(out[:, 200:]).all()
    np.testing.assert_allclose(out[:, :64], 1, rtol=1e-6)  # also where the neighbour that was left out had a share


def test_two_tiles_meet_in_a_raised_cosine():
    plan = plan_tiles(64, 64 + 64 - 16, size=64, overlap=16)
    left, right = plan.tiles()
    values = [(left, np.zeros((64, 64), np.float32)), (right, np.ones((64, 64), np.float32))]
    row = assemble(plan, blend(plan, values))[30]
    ramp = np.sin(0.5 * np.pi * (np.arange(16) + 0.5) / 16) ** 2
    np.testing.assert_allclose(row, [0] * 48 + list(ramp) + [1] * 48, atol=1e-6)


@given(plans())
def test_strips_cover_every_row_once_from_north_to_south(plan):
    tiles = ((tile, np.zeros((plan.size,) * 2, np.float32)) for tile in plan.tiles())
    rows = [(row, len(strip)) for row, strip in blend(plan, tiles)]
    assert [row for row, _ in rows] == [sum(n for _, n in rows[:i]) for i in range(len(rows))]
    assert sum(n for _, n in rows) == plan.height


def test_tiles_out_of_order_or_of_another_shape_are_refused():
    plan = plan_tiles(64, 128, size=64, overlap=0)
    left, right = plan.tiles()
    good = np.zeros((64, 64), np.float32)
    with pytest.raises(CranpmError, match="row-major order"):
        list(blend(plan, [(right, good), (left, good)]))
    with pytest.raises(CranpmError, match="of shape"):
        list(blend(plan, [(left, good[:10])]))


def test_blending_all_of_europe_takes_the_memory_of_a_strip():
    plan = plan_tiles(*EUROPE, size=512, overlap=64)
    pixels = np.ones((512, 512), dtype=np.float32)
    tracemalloc.start()
    worst = 0.0
    for _, strip in blend(plan, ((tile, pixels) for tile in plan.tiles())):
        worst = max(worst, float(np.abs(strip - 1).max()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    strip_bytes = 512 * EUROPE[1] * 4
    assert worst <= 1e-6
    assert peak < 6 * strip_bytes  # value, weight, the strip that leaves, and numpy's temporaries
    assert peak < 0.75 * EUROPE[0] * EUROPE[1] * 4  # well below the map, let alone its tiles
