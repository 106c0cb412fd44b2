"""The scoring loop, on a small made-up store."""

import datetime as dt
import tracemalloc

import numpy as np
import pytest

from cranpm.errors import CranpmError
from cranpm.forecast.inputs import day_inputs, fill_today
from cranpm.tiles import plan_tiles
from cranpm.verify.evaluate import DAY_BEFORE, TWO_DAY_MEAN, YARDSTICKS, band_sums, evaluate
from cranpm.verify.fit import fit
from cranpm.verify.metrics import local_ssim
from cranpm.verify.past import PastDay
from cranpm.verify.seams import seam_ratio
from cranpm.verify.spectrum import Spectrum, land_windows, spectra
from tests.forecast.fake_store import FIRST, ConstantEngine, make_store

DAYS = [FIRST + dt.timedelta(days=k) for k in range(1, 5)]


@pytest.fixture(scope="module")
def fitted():
    store = make_store()
    past = []
    for k in range(100):
        day = dt.date(2017, 1, 1) + dt.timedelta(days=k)
        pm = store.pm_maps[FIRST + dt.timedelta(days=k % 8)]
        cams = np.full((3, *store.coarse.shape), 12.0 + k % 5, np.float32)
        past.append(PastDay(day, pm, cams, cams[0]))
    return fit(lambda: past, store.fine, store.coarse, store.land, {"world": "sample"})


def test_untrained_network_scores_what_persistence_scores(fitted):
    result = evaluate(ConstantEngine(0.0), make_store(), DAYS, (1, 2), fitted=fitted)
    for lead in (1, 2):
        for part in ("fine", "fine_w", "blocks", "blocks_w"):
            model, persistence = (result.scores(lead, row, part) for row in ("model", "persistence"))
            assert model.rmse == pytest.approx(persistence.rmse, abs=1e-5) and model.n == persistence.n


def test_every_row_is_scored_on_the_same_pixels_by_hand(fitted):
    store = make_store()
    result = evaluate(ConstantEngine(0.05), store, DAYS, (2,), fitted=fitted)
    assert result.rows == ("model", "persistence", "damped", "climatology", "cams", "cams_corrected", "blend")
    assert len({result.scores(2, row).n for row in result.rows}) == 1
    errors = []
    for day in DAYS:
        today, _ = fill_today(store, day_inputs(store, day), slice(None), slice(None))
        truth = store.pm_maps[day + dt.timedelta(days=2)]
        valid = store.land & np.isfinite(truth)
        errors.append((np.maximum(today + 20 * 0.05 * 2, 0) - truth)[valid])
    errors = np.concatenate(errors)
    scores = result.scores(2, "model")
    assert scores.rmse == pytest.approx(np.sqrt((errors.astype(float) ** 2).mean()), rel=1e-5)
    assert scores.bias == pytest.approx(errors.mean(), rel=1e-4) and scores.n == errors.size


def test_every_row_is_the_map_that_its_name_says(fitted):
    """Issue day, lead, valid day and land of each row, put together here from the store and the fit."""
    store, lead = make_store(), 2
    for truth in store.pm_maps.values():
        truth[:, 30:37] = 99.0  # a retrieval over the sea as well: it must not count
    result = evaluate(ConstantEngine(0.05), store, DAYS, (lead,), fitted=fitted)
    squares = {row: [] for row in result.rows}
    for day in DAYS:
        valid_day = day + dt.timedelta(days=lead)
        truth, (today, _) = store.pm(valid_day), fill_today(store, day_inputs(store, day), slice(None), slice(None))
        cams = store.forecast(day, lead, ("pm2p5",))[0]
        maps = {
            "model": today + 20 * 0.05 * lead,
            "persistence": today,
            "damped": fitted.damped(today, day, lead),
            "climatology": fitted.climatology(valid_day),
            "cams": np.full(store.fine.shape, cams[0, 0]),
            "cams_corrected": fitted.cams_corrected(cams, lead),
        }
        (u, v, w), c = fitted.weights[fitted.leads.index(lead)], fitted.constant[fitted.leads.index(lead)]
        maps["blend"] = np.maximum(u * today + v * maps["climatology"] + w * maps["cams_corrected"] + c, 0)
        valid = store.land & np.isfinite(truth)
        for row, values in maps.items():
            squares[row].append(((values - truth)[valid].astype(float)) ** 2)
    expected = {row: np.sqrt(np.concatenate(parts).mean()) for row, parts in squares.items()}
    found = {row: result.scores(lead, row).rmse for row in result.rows}
    assert found == pytest.approx(expected, rel=1e-5)


def test_day_without_truth_is_left_out_counted_and_named(fitted):
    store = make_store()
    store.pm_maps[DAYS[1] + dt.timedelta(days=1)][:] = np.nan
    late = FIRST + dt.timedelta(days=7)  # its truth lies beyond the store
    result = evaluate(ConstantEngine(), store, [FIRST, *DAYS, late], (1,), fitted=fitted)
    assert result.days == (DAYS[0], *DAYS[2:])
    assert {day: reason for day, _, reason in result.skipped} == {
        FIRST: "inputs of the day before missing in the store",
        DAYS[1]: "truth has no valid pixel",
        late: "truth missing in the store",
    }


def test_day_without_cams_forecast_is_left_out_for_every_row(fitted):
    store = make_store()
    store.without_cams = {DAYS[2]}
    result = evaluate(ConstantEngine(), store, DAYS, (1,), fitted=fitted)
    assert DAYS[2] not in result.days and "cams" in result.rows


def test_store_without_any_cams_forecast_or_fit_loses_rows_not_days():
    store = make_store()
    store.without_cams = set(store.days)
    result = evaluate(ConstantEngine(), store, DAYS, (1,), fitted=None)
    assert result.rows == ("model", "persistence") and len(result.days) == 4
    assert any("CAMS" in note for note in result.notes)
    assert "scored days" in result.data_range[1]


def test_nothing_to_score_is_refused_with_the_reason():
    with pytest.raises(CranpmError, match="none of the 1 days could be scored: truth missing"):
        evaluate(ConstantEngine(), make_store(), [FIRST + dt.timedelta(days=7)], (1,), fitted=None)


def test_period_means_are_over_scored_pixels(fitted):
    store = make_store()
    result = evaluate(ConstantEngine(0.05), store, DAYS, (1,), fitted=fitted)
    truths = np.stack([store.pm_maps[day + dt.timedelta(days=1)] for day in DAYS])
    with np.errstate(all="ignore"):
        expected = np.where(store.land, np.nanmean(np.where(store.land, truths, np.nan), axis=0), np.nan)
    np.testing.assert_allclose(result.period.truth, expected, rtol=1e-5)
    difference = (result.period.model - result.period.persistence)[store.land]
    np.testing.assert_allclose(difference[np.isfinite(difference)], 1.0, atol=1e-4)


def test_period_is_that_of_the_first_lead_with_truth():
    store = make_store()
    day = FIRST + dt.timedelta(days=4)
    store.days = tuple(held for held in store.days if held != day + dt.timedelta(days=1))
    result = evaluate(ConstantEngine(), store, [day], (1, 2), fitted=None)
    assert result.period.lead == 2 and np.isfinite(result.period.truth).any()
    assert [lead for _, lead, _ in result.skipped] == [1]


def test_memory_does_not_grow_with_the_days():
    store = make_store(days=14)

    def peak(days: int) -> int:
        chosen = [FIRST + dt.timedelta(days=k) for k in range(1, 1 + days)]
        tracemalloc.start()
        evaluate(ConstantEngine(0.01), store, chosen, (1,), fitted=None)
        top = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return top

    peak(12)  # what is imported or kept on first use does not count
    assert peak(12) < 1.15 * peak(3)


def test_spectra_are_held_against_the_truth_averaged_with_its_own_day_before():
    store, lead = make_store(), 2
    result = evaluate(ConstantEngine(0.0), store, DAYS, (lead,), fitted=None)
    by_hand, likeness, pixels = Spectrum(), 0.0, 0
    for day in DAYS:
        truth, before = (store.pm_maps[day + dt.timedelta(days=k)] for k in (lead, lead - 1))
        both = store.land & np.isfinite(truth) & np.isfinite(before)
        mean, windows = (truth + before) / 2, land_windows(store.fine, store.land)
        by_hand += spectra({"mean": mean}, truth, both, windows)["mean"]
        likeness += local_ssim(before, truth, both, data_range=result.data_range[0])[both].sum()
        pixels += both.sum()
    found = result.spectrum(lead, TWO_DAY_MEAN)
    assert found.ratio == pytest.approx(by_hand.ratio) and found.weight == pytest.approx(by_hand.weight)
    assert result.ssim(lead, DAY_BEFORE) == pytest.approx(likeness / pixels)
    assert result.ssim(lead, TWO_DAY_MEAN) > result.ssim(lead, DAY_BEFORE)
    # single pixels of noise, new each day, lose half their power in the mean of two and double it in the difference
    assert found.ratio[1] == pytest.approx(0.5, abs=0.1)
    assert result.spectrum(lead, DAY_BEFORE).error_ratio[1] == pytest.approx(2, abs=0.2)
    model, persistence = (result.spectrum(lead, row) for row in ("model", "persistence"))
    assert model.ratio[:6] == pytest.approx(persistence.ratio[:6])
    assert found.ratio[-1] is None  # so small a map holds no wave of 256 km


def test_day_whose_day_before_is_not_held_has_spectra_but_no_yardstick():
    store = make_store()
    gone = DAYS[1] + dt.timedelta(days=1)  # before the valid day of T+2, and neither it nor an issue day here
    store.days = tuple(day for day in store.days if day != gone)
    (result,) = (found := evaluate(ConstantEngine(), store, [DAYS[1]], (2,), fitted=None)).of(2)
    assert set(result.spectra) == set(found.rows) and not result.likeness
    assert found.spectrum(2, "model").detail is not None and found.spectrum(2, TWO_DAY_MEAN).detail is None
    assert [found.ssim(2, name) for name in YARDSTICKS] == [None, None]


def test_bands_are_those_of_the_truth():
    truth, forecast = np.array([10.0, 20.0, 50.0, 60.0]), np.array([11.0, 20.0, 40.0, 40.0])
    n, error, squared = band_sums(forecast, truth, (15, 40))
    assert n.tolist() == [1, 1, 2] and error.tolist() == [1, 0, -30] and squared.tolist() == [1, 0, 500]


def test_steps_at_tile_edges_are_seen():
    plan = plan_tiles(60, 60, size=32, overlap=4)
    valid = np.ones((60, 60), bool)
    smooth = np.add.outer(np.arange(60.0), np.arange(60.0))
    assert seam_ratio(smooth, valid, plan) == pytest.approx(1)
    edge = plan.columns[1]
    stepped = smooth + 20 * (np.arange(60) >= edge)
    assert seam_ratio(stepped, valid, plan) > 3
    assert seam_ratio(np.zeros((60, 60)), valid, plan) is None
