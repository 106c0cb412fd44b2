"""Pictures of maps."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread

from cranpm.forecast.maps import Bands, Thumbnail, band_scale, draw_forecast, head_line, shrink
from cranpm.forecast.run import Strip
from cranpm.grid import fine_grid

BANDS = Bands("a made-up index", (30, 60, 90, 120, 250), ("a", "b", "c", "d", "e", "f"))


def test_thumbnail_of_strips_is_that_of_the_whole_map():
    grid = fine_grid(10, 20, 50, 70)
    pm = np.random.default_rng(0).random((50, 70)).astype(np.float32)
    pm[:7, :7] = np.nan
    small = Thumbnail(grid, side=20)
    for row in range(0, 50, 13):
        small.add(Strip(row, pm[row : row + 13], 0))
    assert small.factor == 4
    np.testing.assert_allclose(small.values, shrink(grid, pm, side=20))
    assert np.isnan(small.values[0, 0]) and small.values[3, 3] == pytest.approx(pm[12:16, 12:16].mean())


def test_scale_shows_the_bands_that_occur_and_rises_with_concentration():
    colours, norm, edges = band_scale(BANDS, 70, 183)
    assert edges == [60, 90, 120, 190]
    lightness = [sum(colours(float(norm(value)))[:3]) for value in (60, 80, 100, 150, 190)]
    assert lightness == sorted(lightness, reverse=True)
    assert band_scale(BANDS, 2, 12)[2] == [0, 12]
    assert BANDS.label(60) == "c" and BANDS.label(0) == "a" and BANDS.label(300) == "f"


@pytest.mark.parametrize("west", [20.0, 179.5])
def test_picture_is_written_whole_with_sea_and_coast(tmp_path, west):
    grid = fine_grid(10, west, 60, 80)
    land = np.ones(grid.shape, bool)
    land[:, :30] = False
    pm = np.where(land, 40.0, np.nan)
    draw_forecast(tmp_path / "map.png", grid, land, [("T+1", pm)], BANDS, title="SIMULATED", note="made up")
    assert [path.name for path in tmp_path.iterdir()] == ["map.png"]
    pixels = imread(tmp_path / "map.png")[..., :3].reshape(-1, 3)
    sea = np.array([0xE4, 0xEB, 0xF0]) / 255
    assert (abs(pixels - sea).max(axis=1) < 0.01).mean() > 0.05


@pytest.mark.parametrize("width", [3.9, 11.0])
def test_a_long_title_stays_inside_its_picture(width):
    figure = Figure(figsize=(width, 4), layout="constrained")
    head_line(figure, "SIMULATED · PM2.5, daily mean, USA and Canada: forecast from 2022-01-10")
    figure.draw_without_rendering()
    box = figure.texts[0].get_window_extent()
    assert box.x1 < figure.bbox.width and box.y0 > 0.8 * figure.bbox.height


def test_map_without_a_value_is_drawn():
    grid = fine_grid(10, 20, 20, 20)
    assert np.isnan(shrink(grid, np.full(grid.shape, np.nan))).all()
