"""True to the node, without a seam: grids, what lies beyond an edge, tiles that go round."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from cranpm.composition.deepcams.degrade import enlarge
from cranpm.composition.deepcams.geometry import Tiling, area_mean, finer, surrounded
from cranpm.grid import Grid
from cranpm.sample.globe import GLOBE, globe_map

SMALL_GLOBE = Grid(90.0, 0.0, 4.5, 41, 80)
REGION = Grid(60.0, -10.0, 0.75, 20, 30)


def bicubic(tiles: np.ndarray) -> np.ndarray:
    return enlarge(torch.from_numpy(tiles)[:, None])[:, 0].numpy()


def uneasy(tiles: np.ndarray) -> np.ndarray:
    """A network whose results depend on where in its tile a pixel lies."""
    size = 3 * tiles.shape[-1]
    return bicubic(tiles) * (1 + 0.1 * np.sin(np.arange(size) / 7)).astype(np.float32)


def test_the_finer_grid_of_the_reanalysis_is_that_of_0_25_degrees():
    grid = finer(GLOBE, periodic=True)
    assert grid == Grid(90.0, 0.0, 0.25, 721, 1440)
    assert grid.lats[::3].tolist() == GLOBE.lats.tolist() and grid.lons[::3].tolist() == GLOBE.lons.tolist()
    assert finer(REGION, periodic=False).shape == (58, 88)


@pytest.mark.parametrize("grid, periodic", [(SMALL_GLOBE, True), (REGION, False)])
def test_a_node_of_both_grids_keeps_its_value(grid, periodic):
    map = np.random.default_rng(0).random(grid.shape, np.float32)
    fine = Tiling(grid, periodic, size=24, overlap=8, margin=4).refine(map, bicubic)
    assert fine.shape == finer(grid, periodic=periodic).shape
    np.testing.assert_allclose(fine[::3, ::3], map, atol=1e-5)


@pytest.mark.parametrize("grid, periodic", [(SMALL_GLOBE, True), (REGION, False)])
def test_an_even_map_stays_even(grid, periodic):
    fine = Tiling(grid, periodic, size=24, overlap=8, margin=4).refine(np.full(grid.shape, 7, np.float32), bicubic)
    np.testing.assert_allclose(fine, 7, rtol=1e-6)


def test_turning_the_globe_by_a_tile_turns_the_result():
    map = np.random.default_rng(1).random(SMALL_GLOBE.shape, np.float32)
    tiling = Tiling(SMALL_GLOBE, True, size=24, overlap=8, margin=4)
    np.testing.assert_array_equal(
        tiling.refine(np.roll(map, 16, axis=1), uneasy), np.roll(tiling.refine(map, uneasy), 48, axis=1)
    )


def test_the_date_line_is_a_place_like_any_other():
    """The error of interpolation where the columns begin is that of anywhere else."""
    fine_grid = finer(GLOBE, periodic=True)
    made = Tiling(GLOBE, True).refine(globe_map(GLOBE, 0.0, plumes=150), bicubic)
    error = np.abs(made - globe_map(fine_grid, 0.0, plumes=150))[120:600]
    seam = error[:, [*range(-4, 4)]].mean()
    others = [np.roll(error, -turn, axis=1)[:, [*range(-4, 4)]].mean() for turn in range(40, 1440, 40)]
    assert seam < np.max(others)
    step = np.abs(made[:, 0] - made[:, -1]).max()
    assert step < 1.5 * np.abs(np.diff(made, axis=1)).max()


def test_beyond_a_pole_lies_the_other_side_of_the_globe():
    map = np.random.default_rng(2).random(SMALL_GLOBE.shape, np.float32)
    around = surrounded(map, SMALL_GLOBE, 2, periodic=True)
    assert around.shape == (45, 84)
    np.testing.assert_array_equal(around[1, 2:-2], np.roll(map[1], 40))
    np.testing.assert_array_equal(around[-1, 2:-2], np.roll(map[-3], 40))
    np.testing.assert_array_equal(around[5, :2], map[3, -2:])


def test_a_region_goes_on_with_its_edge():
    map = np.random.default_rng(3).random(REGION.shape, np.float32)
    around = surrounded(map, REGION, 3, periodic=False)
    np.testing.assert_array_equal(around[0, 3:-3], map[0])
    np.testing.assert_array_equal(around[3:-3, -1], map[:, -1])


def test_a_region_smaller_than_a_tile_is_one_tile():
    grid = Grid(23.75, -163.0, 0.75, 10, 18)
    map = np.random.default_rng(4).random(grid.shape, np.float32)
    fine = Tiling(grid, False).refine(map, bicubic)
    assert fine.shape == (28, 52)
    np.testing.assert_allclose(fine[::3, ::3], map, atol=1e-5)


def test_the_mean_over_the_globe_weighs_cells_by_their_area():
    sine = np.sin(np.radians(SMALL_GLOBE.lats))[:, None] * np.ones(80)
    assert area_mean(np.ones(SMALL_GLOBE.shape, np.float32), SMALL_GLOBE) == pytest.approx(1.0)
    assert area_mean((sine**2).astype(np.float32), SMALL_GLOBE) == pytest.approx(1 / 3, rel=2e-3)
