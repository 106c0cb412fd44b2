"""Scores whose value is known beforehand."""

import numpy as np
import pytest

from cranpm.grid import block_mean
from cranpm.verify.metrics import Sums, local_ssim, map_sums, pooled, scores_of

RANGE = 50.0
LATS = np.linspace(60, 30, 100)


@pytest.fixture
def truth():
    return np.random.default_rng(0).gamma(3.0, 5.0, size=(100, 75))


@pytest.fixture
def valid():
    return np.random.default_rng(1).random((100, 75)) < 0.8


def fine(forecast, truth, valid):
    return scores_of(map_sums(forecast, truth, valid, LATS, data_range=RANGE).fine)


def test_perfect_forecast(truth, valid):
    scores = fine(truth, truth, valid)
    assert scores.rmse == scores.mae == scores.bias == 0
    assert scores.r2 == pytest.approx(1) and scores.slope == pytest.approx(1) and scores.ssim == pytest.approx(1)
    assert scores.n == valid.sum()


def test_constant_bias(truth, valid):
    scores = fine(truth + 3, truth, valid)
    assert (scores.rmse, scores.mae, scores.bias) == pytest.approx((3, 3, 3))
    assert scores.r2 == pytest.approx(1) and scores.slope == pytest.approx(1) and scores.ssim < 1


def test_known_slope_and_sign_of_the_bias(truth, valid):
    scores = fine(0.5 * truth + 2, truth, valid)
    assert scores.slope == pytest.approx(0.5) and scores.r2 == pytest.approx(1)
    assert scores.bias == pytest.approx(2 - 0.5 * truth[valid].mean())


def test_noise_lowers_r2_but_not_slope():
    rng = np.random.default_rng(2)
    o = rng.normal(20, 10, size=(500, 400))
    scores = scores_of(map_sums(o + rng.normal(0, 10, o.shape), o, o > -1e9, np.full(500, 45.0), data_range=RANGE).fine)
    assert scores.r2 == pytest.approx(0.5, abs=0.01) and scores.slope == pytest.approx(1, abs=0.01)


def test_what_lies_under_an_invalid_pixel_does_not_matter(truth, valid):
    forecast = truth + np.random.default_rng(3).normal(size=truth.shape)
    spoilt_f, spoilt_o = np.where(valid, forecast, 1e6), np.where(valid, truth, np.nan)
    assert map_sums(spoilt_f, spoilt_o, valid, LATS, data_range=RANGE) == map_sums(
        forecast, truth, valid, LATS, data_range=RANGE
    )


def test_pooling_days_equals_one_computation_over_all_pixels(truth, valid):
    rng = np.random.default_rng(4)
    days = [
        (truth + rng.normal(k, 2, truth.shape), truth * (1 + 0.1 * k), rng.random(truth.shape) < 0.5) for k in range(4)
    ]
    scores = pooled(map_sums(*day, LATS, data_range=RANGE).fine for day in days)
    f = np.concatenate([d[0][d[2]] for d in days])
    o = np.concatenate([d[1][d[2]] for d in days])
    assert scores.rmse == pytest.approx(np.sqrt(((f - o) ** 2).mean()))
    assert scores.mae == pytest.approx(abs(f - o).mean()) and scores.bias == pytest.approx((f - o).mean())
    assert scores.r2 == pytest.approx(np.corrcoef(f, o)[0, 1] ** 2)
    assert scores.slope == pytest.approx(np.polyfit(o, f, 1)[0]) and scores.n == f.size
    daily = [scores_of(map_sums(*day, LATS, data_range=RANGE).fine).rmse for day in days]
    assert scores.rmse != pytest.approx(np.mean(daily), rel=1e-3)


def test_weighted_scores_weigh_by_the_cosine_of_latitude(truth, valid):
    forecast = truth + np.linspace(0, 4, 100)[:, None]
    w = np.broadcast_to(np.cos(np.radians(LATS))[:, None], truth.shape)[valid]
    error = (forecast - truth)[valid]
    scores = scores_of(map_sums(forecast, truth, valid, LATS, data_range=RANGE).fine_w)
    assert scores.bias == pytest.approx((w * error).sum() / w.sum())
    assert scores.rmse == pytest.approx(np.sqrt((w * error**2).sum() / w.sum()))
    assert scores.slope == pytest.approx(np.polyfit(truth[valid], forecast[valid], 1, w=np.sqrt(w))[0])


def test_25_km_scores_are_those_of_block_means_kept_at_half(truth):
    valid = np.ones(truth.shape, bool)
    valid[:25, :13] = False  # the first block keeps 12 of its 25 columns: below half, dropped
    valid[25:50, :12] = False  # the one below it keeps 13
    forecast = truth + np.random.default_rng(5).normal(size=truth.shape)
    sums = map_sums(forecast, truth, valid, LATS, data_range=RANGE)
    scores = scores_of(sums.blocks)
    assert scores.n == 4 * 3 - 1
    f, kept = block_mean(forecast, valid)
    o, _ = block_mean(truth, valid)
    assert scores.rmse == pytest.approx(np.sqrt(((f - o)[kept] ** 2).mean()))
    assert scores.rmse < scores_of(sums.fine).rmse
    block_weights, _ = block_mean(np.broadcast_to(np.cos(np.radians(LATS))[:, None], truth.shape), valid)
    weighted = np.average((f - o)[kept] ** 2, weights=block_weights[kept])
    assert scores_of(sums.blocks_w).rmse == pytest.approx(np.sqrt(weighted))
    assert scores.ssim is None  # 4 x 3 blocks are smaller than a window


def test_ssim_falls_with_noise_and_is_the_same_for_every_place(truth, valid):
    rng = np.random.default_rng(6)
    noise = rng.normal(size=truth.shape)
    values = [fine(truth + s * noise, truth, valid).ssim for s in (0, 1, 3, 9)]
    assert values[0] == pytest.approx(1) and values == sorted(values, reverse=True)
    assert local_ssim(truth, truth, valid, data_range=RANGE).min() == pytest.approx(1)


def test_ssim_of_two_flat_maps_follows_from_the_data_range_that_is_given():
    valid, o, f, constant = np.ones((30, 30), bool), 20.0, 10.0, (0.01 * RANGE) ** 2
    found = local_ssim(np.full(valid.shape, f), np.full(valid.shape, o), valid, data_range=RANGE)
    np.testing.assert_allclose(found, (2 * f * o + constant) / (f**2 + o**2 + constant), rtol=1e-4)


def test_undefined_scores_are_none_not_nan(truth, valid):
    flat = np.full_like(truth, 7.0)
    scores = fine(flat, truth, valid)
    assert scores.r2 is None and scores.slope == pytest.approx(0, abs=1e-9)
    assert fine(truth, flat, valid).slope is None
    nothing = scores_of(Sums())
    assert nothing.rmse is None and nothing.n == 0
    assert fine(truth, truth, np.zeros_like(valid)).n == 0
