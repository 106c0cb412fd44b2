"""Counts, categorical scores and percentiles whose values are known beforehand."""

import numpy as np
import pytest

from cranpm.verify.exceedance import (
    BIN,
    BINS,
    Contingency,
    contingency,
    exceedance_of,
    histogram,
    percentile,
    percentile_ratio,
)

TRUTH = np.random.default_rng(0).gamma(2.0, 30.0, size=(80, 90))


def test_counts_of_a_small_map_by_hand():
    truth = np.array([[10.0, 60.0, 70.0], [59.9, 80.0, 20.0]])
    forecast = np.array([[61.0, 60.0, 50.0], [10.0, 90.0, 30.0]])
    assert contingency(forecast, truth, 60.0) == Contingency(hits=2, misses=1, false_alarms=1, correct_negatives=2)


def test_scores_of_known_counts():
    scores = exceedance_of(Contingency(hits=30, misses=10, false_alarms=20, correct_negatives=40))
    chance = 40 * 50 / 100
    assert scores.frequency_bias == pytest.approx(50 / 40)
    assert scores.csi == pytest.approx(30 / 60)
    assert scores.pod == pytest.approx(30 / 40)
    assert scores.far == pytest.approx(20 / 50)
    assert scores.ets == pytest.approx((30 - chance) / (60 - chance))


def test_perfect_forecast_has_frequency_bias_and_csi_of_one():
    scores = exceedance_of(contingency(TRUTH, TRUTH, 60.0))
    assert (scores.frequency_bias, scores.csi, scores.pod, scores.far, scores.ets) == (1, 1, 1, 0, 1)


def test_random_forecast_of_the_right_frequency_has_no_equitable_score():
    shuffled = np.random.default_rng(1).permutation(TRUTH.ravel()).reshape(TRUTH.shape)
    scores = exceedance_of(contingency(shuffled, TRUTH, 60.0))
    assert scores.frequency_bias == 1 and scores.csi > 0.2 and scores.ets == pytest.approx(0, abs=0.02)


def test_forecast_that_is_too_low_warns_too_rarely():
    low = exceedance_of(contingency(0.7 * TRUTH, TRUTH, 60.0))
    high = exceedance_of(contingency(1.3 * TRUTH, TRUTH, 60.0))
    assert low.frequency_bias < 1 < high.frequency_bias
    assert low.far == 0 and low.csi == low.frequency_bias and high.pod == 1


def test_threshold_that_is_never_reached_has_no_scores():
    scores = exceedance_of(contingency(TRUTH, TRUTH, 1e6))
    assert (scores.frequency_bias, scores.csi, scores.pod, scores.far) == (None, None, None, None)
    assert exceedance_of(Contingency()).csi is None and Contingency().base_rate == 0


def test_days_pool_exactly():
    forecast = TRUTH * 0.9 + 5
    parts = contingency(forecast[:30], TRUTH[:30], 60.0) + contingency(forecast[30:], TRUTH[30:], 60.0)
    whole = contingency(forecast, TRUTH, 60.0)
    assert parts == whole and whole.total == TRUTH.size and whole.base_rate == (TRUTH >= 60).mean()
    np.testing.assert_array_equal(histogram(TRUTH[:30]) + histogram(TRUTH[30:]), histogram(TRUTH))


@pytest.mark.parametrize("percent", [5, 50, 95, 99])
def test_percentile_of_a_histogram_is_that_of_the_values_within_a_bin(percent):
    assert percentile(histogram(TRUTH), percent) == pytest.approx(np.percentile(TRUTH, percent), abs=BIN)


def test_percentiles_of_evenly_spread_values_are_exact():
    counts = histogram((np.arange(200) + 0.5) * BIN)  # one value to a bin up to 100
    assert [percentile(counts, percent) for percent in (0, 50, 95, 100)] == [0, 50, 95, 100]


def test_percentile_lies_where_the_values_are_even_with_empty_bins_around():
    counts = histogram(np.array([20.2, 20.3, 80.1, 80.2]))
    assert 20 <= percentile(counts, 0) <= 20.5 and percentile(counts, 50) == 20.5
    assert percentile(counts, 75) == 80.25 and percentile(counts, 100) == 80.5


def test_values_beyond_the_last_bin_count_as_the_last():
    assert histogram(np.array([1e9]))[-1] == 1 and histogram(np.array([-1.0]))[0] == 1
    assert percentile(histogram(np.array([1e9])), 95) == pytest.approx(BIN * BINS, abs=BIN)


def test_ratio_of_percentiles_is_the_factor_that_a_forecast_is_too_low():
    assert percentile_ratio(histogram(0.8 * TRUTH), histogram(TRUTH)) == pytest.approx(0.8, abs=0.005)
    assert percentile_ratio(histogram(TRUTH), histogram(TRUTH)) == 1
    nothing = np.zeros(BINS, np.int64)
    assert percentile(nothing, 95) is None and percentile_ratio(nothing, histogram(TRUTH)) is None
    assert percentile_ratio(histogram(TRUTH), nothing) is None
