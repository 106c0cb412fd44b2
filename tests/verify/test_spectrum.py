"""Spectra whose value is known beforehand."""

import numpy as np
import pytest

from cranpm.grid import fine_grid
from cranpm.verify.spectrum import (
    DETAIL,
    EDGES_KM,
    MOST,
    SIDE,
    Spectrum,
    Window,
    land_windows,
    no_more_blur,
    soft_weights,
    spectra,
)

TALL, WIDE = 1.11195, 1.11195 * np.cos(np.radians(50))
"""Height and width of a pixel at 50 degrees north, km."""
WINDOW = Window(slice(0, 448), slice(0, 448), (TALL, WIDE))
EVERYWHERE = np.ones((448, 448), bool)


def band_of(km: float) -> int:
    return int(np.digitize(km, EDGES_KM))


def spectrum(values: np.ndarray, truth: np.ndarray, valid: np.ndarray = EVERYWHERE) -> Spectrum:
    return spectra({"map": values}, truth, valid, (WINDOW,))["map"]


def power(values: np.ndarray, valid: np.ndarray = EVERYWHERE) -> np.ndarray:
    """Variance by band."""
    found = spectrum(values, values, valid)
    return found.power / found.weight


def waves(km: float, towards_degrees: float) -> np.ndarray:
    """Waves of 3 ug m-3 on 20, of a length in km, that run towards a direction from north."""
    row, column = np.mgrid[:448, :448]
    way = row * TALL * np.cos(np.radians(towards_degrees)) + column * WIDE * np.sin(np.radians(towards_degrees))
    return 20 + 3 * np.sin(2 * np.pi * way / km + 0.4)


def red(slope: float, seed: int, side: int = 1024) -> tuple[np.ndarray, np.ndarray]:
    """A field whose power falls with the wavenumber, cut from a larger one, and the same smoothed over 2 km."""
    cycles = np.hypot(np.fft.fftfreq(side, TALL)[:, None], np.fft.rfftfreq(side, WIDE))
    steep = np.maximum(cycles, 1 / 500) ** (-slope / 2)
    modes = np.fft.rfft2(np.random.default_rng(seed).normal(size=(side, side))) * steep
    smooth = modes * np.exp(-2 * (np.pi * 2.0 * cycles) ** 2)
    fields = [np.fft.irfft2(part, (side, side))[:448, :448] for part in (modes, smooth)]
    return fields[0] / fields[0].std() * 10, fields[1] / fields[0].std() * 10


def left_by_smoothing(slope: float, band: int) -> float:
    """What a Gaussian of 2 km leaves of a band whose power per wave falls with that slope."""
    cycles = np.linspace(1 / EDGES_KM[band], 1 / EDGES_KM[band - 1], 2000)
    per_ring = cycles ** (1 - slope)
    return float((per_ring * np.exp(-4 * (np.pi * 2.0 * cycles) ** 2)).sum() / per_ring.sum())


@pytest.mark.parametrize("km", [3, 6, 11, 22, 45, 90])
@pytest.mark.parametrize("towards", [0, 60, 90])
def test_waves_put_half_their_squared_height_into_their_band_and_nothing_elsewhere(km, towards):
    found = power(waves(km, towards))
    near = 0.01 if km < 16 else 0.06  # long waves spill a little where the running mean meets the window's edge
    assert found[band_of(km)] == pytest.approx(4.5, rel=near)
    assert found.sum() == pytest.approx(4.5, rel=1.6 * near)  # Parseval: the bands share out the variance


def test_waves_that_cross_as_many_pixels_are_shorter_from_east_to_west():
    pixels = 11
    row, column = np.mgrid[:448, :448]
    assert power(np.sin(2 * np.pi * row / pixels)).argmax() == band_of(pixels * TALL) == band_of(12)
    assert power(np.sin(2 * np.pi * column / pixels)).argmax() == band_of(pixels * WIDE) == band_of(7.9)


def test_white_noise_has_the_same_power_per_wave_in_all_bands():
    found = power(np.random.default_rng(0).normal(20, 2, (448, 448)))
    for band in range(2, 6):  # rings that lie within all that a grid of 1.1 km can hold
        ring = np.pi * (EDGES_KM[band - 1] ** -2 - EDGES_KM[band] ** -2) * TALL * WIDE
        assert found[band] == pytest.approx(4 * ring, rel=0.1)
    assert found.sum() == pytest.approx(4, rel=0.02)


def test_smoothed_map_keeps_what_its_kernel_lets_through():
    for slope in (0, 3):
        parts = [spectrum(smooth, sharp) for sharp, smooth in (red(slope, seed) for seed in range(3))]
        ratio = sum(parts, Spectrum()).ratio
        for band in range(2, 6):
            assert ratio[band] == pytest.approx(left_by_smoothing(slope, band), abs=0.03)


def coast_and_gaps() -> np.ndarray:
    """A wavy coast, five retrieval gaps and single missing pixels."""
    row, column = np.mgrid[:448, :448]
    valid = column > 110 + 40 * np.sin(row / 25)
    for y, x in ((60, 300), (200, 350), (330, 220), (400, 400), (120, 210)):
        valid &= np.hypot(row - y, column - x) > 14
    return valid & (np.random.default_rng(1).random(valid.shape) > 0.002)


def test_coast_and_gaps_do_not_look_like_detail():
    """Set to the mean instead, they would turn the 3 % of power that smoothing leaves at 4 to 8 km into half."""
    valid, band, slope = coast_and_gaps(), band_of(6), 3.5
    fields = [red(slope, seed) for seed in range(3)]
    ratio = sum((spectrum(smooth, sharp, valid) for sharp, smooth in fields), Spectrum()).ratio
    filled = [[np.where(valid, part, part[valid].mean()) for part in pair] for pair in fields]
    naive = sum((spectrum(smooth, sharp) for sharp, smooth in filled), Spectrum()).ratio
    assert ratio[band] == pytest.approx(left_by_smoothing(slope, band), abs=0.02)
    assert left_by_smoothing(slope, band) < 0.03 and naive[band] > 0.5
    for other in range(3, 6):
        assert ratio[other] == pytest.approx(left_by_smoothing(slope, other), abs=0.03)


def test_what_lies_under_an_invalid_pixel_does_not_matter():
    valid = coast_and_gaps()
    sharp, smooth = red(3, 0)
    clean = spectrum(smooth, sharp, valid)
    spoilt = spectrum(np.where(valid, smooth, 1e6), np.where(valid, sharp, np.nan), valid)
    np.testing.assert_array_equal(spoilt.power, clean.power)
    np.testing.assert_array_equal(spoilt.error, clean.error)


def test_detail_that_is_not_in_the_truth_has_power_and_as_much_error():
    truth, _ = red(2, 0)
    other, _ = red(2, 1)
    found = spectrum(other, truth)
    for band in range(2, 5):
        assert found.error_ratio[band] == pytest.approx(1 + found.ratio[band], rel=0.1)
    assert max(spectrum(truth, truth).error_ratio) == 0
    assert spectrum(truth, truth).ratio == [1] * (len(EDGES_KM) + 1)


def test_bias_is_not_blur():
    truth, _ = red(3, 0)
    found = spectrum(truth + 5, truth)
    np.testing.assert_allclose(found.ratio, 1, rtol=1e-3)
    assert max(found.error_ratio) < 1e-3


def test_half_the_contrast_is_a_quarter_of_the_power():
    truth, _ = red(3, 0)
    half = spectrum(truth / 2, truth)
    np.testing.assert_allclose(half.ratio, 0.25, rtol=1e-3)
    assert half.detail == pytest.approx(0.25, rel=1e-3)
    assert no_more_blur(half, spectrum(truth * 0.4, truth)) is True
    assert no_more_blur(half, spectrum(truth * 0.6, truth)) is False
    assert no_more_blur(half, Spectrum()) is None


def test_one_band_that_is_smoother_is_blur():
    ones = np.ones(len(EDGES_KM) + 1)
    worse = ones.copy()
    worse[DETAIL.start] = 0.9
    even = Spectrum(1, ones, ones, ones)
    assert no_more_blur(Spectrum(1, worse, ones, ones), even) is False
    worse = ones.copy()
    worse[DETAIL.stop] = 0.9  # 16 to 32 km
    assert no_more_blur(Spectrum(1, worse, ones, ones), even) is True


def test_weights_are_zero_where_invalid_and_at_the_edge_and_one_far_inside():
    valid = np.ones((80, 90), bool)
    valid[:, :20] = False
    weights = soft_weights(valid)
    assert weights[~valid].max() == 0 and weights[[0, -1]].max() == 0 and weights[:, -1].max() == 0
    assert weights[40, 60] == pytest.approx(1)
    assert (np.diff(weights[40, 19:38]) >= -1e-6).all()


def test_windows_of_a_large_domain_are_few_small_and_spread_over_its_land():
    grid = fine_grid(66.0, -130.0, 4192, 6992)
    land = np.ones(grid.shape, bool)
    land[:, :2500] = False
    windows = land_windows(grid, land)
    assert len(windows) == MOST and {window.shape for window in windows} == {(SIDE, SIDE)}
    assert all(land[window.rows, window.columns].mean() >= 0.5 for window in windows)
    tops = [window.rows.start for window in windows]
    assert min(tops) == 0 and max(tops) == grid.height - SIDE
    north, south = windows[0].pixel_km, windows[-1].pixel_km
    assert north[0] == south[0] == pytest.approx(1.112, abs=1e-3) and north[1] < 0.6 * south[1]


def test_islands_have_a_window_and_thumbnails_have_none():
    grid = fine_grid(45.0, 10.0, 700, 448)
    land = np.zeros(grid.shape, bool)
    assert land_windows(grid, land) == ()
    land[600:650, 100:150] = True
    (window,) = land_windows(grid, land)
    assert window.rows == slice(700 - SIDE, 700)
    assert land_windows(fine_grid(45.0, 10.0, 20, 448), np.ones((20, 448), bool)) == ()


def test_windows_and_days_pool_by_their_sums():
    truth, smooth = red(3, 0)
    parts = [Window(slice(0, 224), slice(0, 448), (TALL, WIDE)), Window(slice(224, 448), slice(0, 448), (TALL, WIDE))]
    both = spectra({"map": smooth}, truth, EVERYWHERE, tuple(parts))["map"]
    one, other = (spectra({"map": smooth}, truth, EVERYWHERE, (part,))["map"] for part in parts)
    np.testing.assert_allclose((one + other).power, both.power)
    assert one.weight + other.weight == both.weight


def test_nothing_is_said_where_no_land_is_wide_enough():
    stripes = np.zeros((448, 448), bool)
    stripes[:, ::20] = True
    assert spectra({"map": np.zeros((448, 448))}, np.zeros((448, 448)), stripes, (WINDOW,)) == {}
    assert Spectrum().ratio == [None] * (len(EDGES_KM) + 1) and Spectrum().detail is None
