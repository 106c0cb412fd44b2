"""Grids: coordinates, windows, bilinear interpolation, blocks, the date line."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cranpm.errors import CranpmError
from cranpm.grid import (
    Grid,
    bilinear,
    block_mean,
    coarse_grid,
    fine_grid,
    sample_points,
    tangent_plane,
    wrap_longitude,
)

quarter = st.integers(-160, 160).map(lambda n: n * 0.25)


@st.composite
def coarse_grids(draw) -> Grid:
    """Coarse grids anywhere on Earth, across the date line too."""
    height, width = draw(st.integers(2, 60)), draw(st.integers(2, 90))
    north = draw(st.integers(-360 + height - 1, 360)) * 0.25
    return coarse_grid(north, draw(st.integers(-720, 719)) * 0.25, height, width)


def test_europes_grids_are_those_of_the_paper_notes():
    coarse, fine = coarse_grid(72, -25, 168, 280), fine_grid(72, -25, 4192, 6992)
    assert (coarse.lats[0], coarse.lats[-1], coarse.lons[0], coarse.lons[-1]) == (72.0, 30.25, -25.0, 44.75)
    assert (fine.lats[0], fine.lons[0]) == (71.995, -24.995)
    assert fine.edges == (-25.0, 30.08, 44.92, 72.0)


@pytest.mark.parametrize(
    ("values", "reason"),
    [((91, 0, 1, 2, 2), "leave the Earth"), ((-89, 0, 1, 3, 2), "leave the Earth"), ((0, 0, 1, 0, 2), "positive"),
     ((0, 0, 1, 2, 361), "more than once"), ((0, 0, -1, 2, 2), "positive")],
)  # fmt: skip
def test_an_impossible_grid_is_refused(values, reason):
    with pytest.raises(CranpmError, match=reason):
        Grid(*values)


@given(coarse_grids())
def test_a_grid_finds_its_own_points_whatever_the_turn(grid):
    np.testing.assert_allclose(grid.rows(grid.lats), np.arange(grid.height), atol=1e-6)
    for turn in (-360.0, 0.0, 360.0):
        np.testing.assert_allclose(grid.columns(grid.lons + turn), np.arange(grid.width), atol=1e-6)
    np.testing.assert_allclose(grid.columns(wrap_longitude(grid.lons)), np.arange(grid.width), atol=1e-6)


@given(coarse_grids(), st.data())
def test_a_window_is_located_where_it_was_cut(grid, data):
    row, column = data.draw(st.integers(0, grid.height - 1)), data.draw(st.integers(0, grid.width - 1))
    part = grid.window(row, column, grid.height - row, grid.width - column)
    assert grid.locate(part) == (row, column)
    assert grid.covers(part)
    turned = Grid(part.north, part.west + 360, part.step, *part.shape)
    assert grid.locate(turned) == (row, column)


def test_grids_that_share_no_points_are_not_located():
    grid = coarse_grid(10, 0, 20, 20)
    with pytest.raises(CranpmError, match="do not share points"):
        grid.locate(Grid(9.9, 0, 0.25, 2, 2))
    with pytest.raises(CranpmError, match="do not share points"):
        grid.locate(Grid(9.75, 0, 0.5, 2, 2))
    with pytest.raises(CranpmError, match="leaves a grid"):
        grid.locate(coarse_grid(9.75, 4.5, 2, 4))


@given(coarse_grids(), st.floats(-5, 5), st.floats(-5, 5), st.floats(-50, 50), st.data())
def test_bilinear_reproduces_a_linear_field(grid, down, across, level, data):
    lats = data.draw(st.lists(st.floats(grid.south, grid.north), min_size=1, max_size=6))
    lons = data.draw(st.lists(st.floats(grid.west, grid.east), min_size=1, max_size=6))
    field = level + down * (grid.lats[:, None] - grid.north) + across * (grid.lons - grid.west)
    expected = level + down * (np.array(lats)[:, None] - grid.north) + across * (np.array(lons) - grid.west)
    np.testing.assert_allclose(bilinear(field, grid, lats, lons), expected, atol=1e-6)
    np.testing.assert_allclose(bilinear(field, grid, lats, np.array(lons) + 360), expected, atol=1e-6)
    points = sample_points(field, grid, np.repeat(lats, len(lons)), np.tile(lons, len(lats)))
    np.testing.assert_allclose(points, expected.ravel(), atol=1e-6)


def test_bilinear_keeps_leading_axes_and_the_dtype():
    grid = coarse_grid(10, 170, 5, 60)  # 170..184.75, across the date line
    field = np.broadcast_to(grid.lons, (3, 5, 60)).astype(np.float32)
    out = bilinear(field, grid, [9.9, 9.1], [179.9, -179.9])
    assert out.shape == (3, 2, 2) and out.dtype == np.float32
    np.testing.assert_allclose(out[2, 1], [179.9, 180.1], atol=1e-4)


def test_bilinear_takes_the_edge_value_up_to_one_step_outside_and_refuses_more():
    grid = coarse_grid(10, 0, 5, 5)
    field = grid.lats[:, None] + 0 * grid.lons
    assert bilinear(field, grid, [10.2], [0.5])[0, 0] == 10.0
    with pytest.raises(CranpmError, match="latitude outside"):
        bilinear(field, grid, [10.3], [0.5])
    with pytest.raises(CranpmError, match="longitude outside"):
        bilinear(field, grid, [9.9], [1.5])


def test_blocks_of_25_km_average_valid_pixels_only():
    field = np.zeros((60, 60))
    field[:25, :25] = 2.0
    field[:25, 25:50] = np.arange(25)[:, None]
    valid = np.ones((60, 60), dtype=bool)
    valid[:10, :25] = False  # 15 of 25 rows remain: kept
    valid[:13, 25:50] = False  # 12 of 25 rows remain: dropped
    field[~valid] = np.nan
    means, kept = block_mean(field, valid)
    assert means.shape == (2, 2)
    assert kept.tolist() == [[True, False], [True, True]]
    assert means.tolist() == [[2.0, 0.0], [0.0, 0.0]]


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 9))
def test_blocks_drop_what_does_not_fill_one(rows, columns, rest):
    size = 10
    field = np.full((rows * size + rest, columns * size + rest), 7.0)
    means, kept = block_mean(field, np.ones(field.shape, dtype=bool), size=size)
    assert means.shape == (rows, columns)
    assert kept.all() and (means == 7.0).all()


def test_the_tangent_plane_measures_kilometres_across_the_date_line():
    plane = tangent_plane([60.0, 61.0], [-179.5, 179.5], 60.0, 179.5)
    np.testing.assert_allclose(plane[0], [111.195 * 0.5, 0], rtol=1e-3)
    np.testing.assert_allclose(plane[1], [0, 111.195], rtol=1e-3)
