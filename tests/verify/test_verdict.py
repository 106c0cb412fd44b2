"""The words a report opens with."""

import datetime as dt
from dataclasses import replace

import numpy as np
import pytest

from cranpm.verify.evaluate import DayLead, Evaluation, PeriodMeans
from cranpm.verify.metrics import MapSums, Sums
from cranpm.verify.spectrum import Spectrum
from cranpm.verify.verdict import headline, number, skill, verdict

EDGES = (15.0, 40.0)
NO_MAP = np.zeros((1, 1), np.float32)


def sums(rmse: float, slope: float = 1.0, bias: float = 0.0) -> MapSums:
    """A thousand pixels of a truth of variance 100 around 50, with a given RMSE and slope."""
    n, mean, variance = 1000, 50.0, 100.0
    f = mean + bias
    one = Sums(
        n=n, weight=n, error=n * bias, absolute=n * rmse, squared=n * rmse**2, f=n * f, o=n * mean,
        ff=n * (f**2 + slope**2 * variance), oo=n * (mean**2 + variance), fo=n * (f * mean + slope * variance),
    )  # fmt: skip
    return MapSums(one, one, one, one)


def made(model, persistence, *, damped=(), blend=(), leads=(1,), slope=1.0, high_bias=0.0) -> Evaluation:
    """An evaluation with the given daily RMSE, the same at every lead."""
    results = []
    for lead in leads:
        for k, (m, p) in enumerate(zip(model, persistence, strict=True)):
            rows = {"model": sums(m, slope), "persistence": sums(p)}
            if len(damped):
                rows["damped"] = sums(damped[k])
            if len(blend):
                rows["blend"] = sums(blend[k])
            band = np.array([[0, 500, 500], [0, 0, 500 * high_bias], [0, 0, 0]])
            bands = {row: band * np.array([[1], [row == "model"], [1]]) for row in rows}
            results.append(DayLead(dt.date(2022, 1, 1) + dt.timedelta(days=k), lead, rows, bands, 0, 1.0))
    days = tuple(dict.fromkeys(result.day for result in results))
    period = PeriodMeans(leads[0], NO_MAP, NO_MAP, NO_MAP)
    return Evaluation(
        days, leads, tuple(results[0].sums), EDGES, (50.0, "made up"), tuple(results), (), period, 4, (), 1.0
    )  # fmt: skip


TEN = 10 + np.sin(np.arange(20))


def test_clear_gain_is_called_that_with_figures_and_interval():
    found = made(0.9 * TEN, TEN, leads=(1, 2, 3))
    assert headline(found) == "Beats persistence at every lead"
    text = verdict(found, simulated=False, random_weights=False)
    assert text[0].startswith("T+1: beats persistence, RMSE 9.0") and "10.0 % lower" in text[0]
    assert "95 % interval of the reduction 10.0 to 10.0 %" in text[0]
    assert not any("simulated" in sentence for sentence in text)


def test_maps_smoother_than_two_days_of_truth_are_called_blurred_and_no_others():
    found = made(0.9 * TEN, TEN)
    assert not any("Blurred" in sentence for sentence in verdict(found, simulated=False, random_weights=False))
    power = np.ones(9)
    for share, said in ((0.4, True), (0.8, False)):
        spectra = {
            "model": Spectrum(1.0, share * power, power, power),
            "two_day_mean": Spectrum(1.0, 0.7 * power, power, power),
        }
        held = replace(found, results=tuple(replace(result, spectra=spectra) for result in found.results))
        text = verdict(held, simulated=False, random_weights=False)
        sentence = (
            "Blurred at 2 to 16 km: of the truth's variance (mean of two days of truth) it holds 40 % at T+1 (70 %)."
        )
        assert (sentence in text) == said


def test_gain_within_the_scatter_of_days_is_not_a_win():
    found = made(TEN * (1 + 0.3 * (-1.0) ** np.arange(20)) * 0.95, TEN)
    assert skill(found.of(1)).low < 0 < skill(found.of(1)).high
    assert headline(found) == "Not told apart from persistence at T+1"
    further = replace(found, leads=(1, 2), results=(*found.results, *(replace(r, lead=2) for r in found.results)))
    assert headline(further) == "Not told apart from persistence at any lead"


def test_loss_and_mixed_leads_are_said():
    lost = made(1.2 * TEN, TEN)
    assert headline(lost) == "Worse than persistence at T+1"
    assert "20.0 % higher than persistence" in verdict(lost, simulated=False, random_weights=False)[0]
    both = replace(lost, leads=(1, 2), results=(*lost.results, *made(0.8 * TEN, TEN, leads=(2,)).results))
    assert headline(both) == "Beats persistence at T+2; worse than persistence at T+1"


def test_first_line_names_the_best_reference_and_how_the_model_stands_to_it():
    three = (1, 2, 3)
    found = made(0.9 * TEN, TEN, damped=0.95 * TEN, blend=0.8 * TEN, leads=three)
    assert headline(found) == (
        "Beats persistence at every lead; worse than the best reference at every lead (linear blend)"
    )
    found = made(0.7 * TEN, TEN, damped=0.95 * TEN, blend=0.8 * TEN, leads=three)
    assert headline(found) == "Beats persistence at every lead; beats the best reference at every lead (linear blend)"
    second = made(0.7 * TEN, TEN, damped=0.75 * TEN, blend=0.8 * TEN, leads=(2,)).results
    both = replace(found, leads=(1, 2), results=(*found.of(1), *second))
    assert headline(both) == (
        "Beats persistence at every lead; beats the best reference at every lead "
        "(linear blend at T+1; damped persistence at T+2)"
    )
    first = made(0.9 * TEN, TEN, damped=0.95 * TEN, blend=0.8 * TEN).results
    assert headline(replace(both, results=(*first, *second))) == (
        "Beats persistence at every lead; beats the best reference at T+2 (damped persistence); "
        "worse than the best reference at T+1 (linear blend)"
    )
    assert headline(made(0.9 * TEN, TEN, blend=1.1 * TEN)) == "Beats persistence, the best reference, at T+1"
    assert headline(made([5.0] * 3, [10.0] * 3, blend=[4.0] * 3)) == "Too few days to judge T+1"


def test_untrained_network_is_persistence_and_says_so():
    text = verdict(made(TEN, TEN), simulated=True, random_weights=True)
    assert text[0].startswith("The network is untrained")
    assert "the same as persistence" in text[1]
    assert text[-1].startswith("All of this is simulated")
    assert headline(made(TEN, TEN)) == "The same as persistence at T+1"


def test_a_simpler_method_that_wins_is_named():
    text = " ".join(verdict(made(0.9 * TEN, TEN, damped=0.8 * TEN), simulated=False, random_weights=False))
    assert "A simpler method is better still, by RMSE: damped persistence at T+1 (8.0" in text
    text = " ".join(verdict(made(0.7 * TEN, TEN, damped=0.8 * TEN), simulated=False, random_weights=False))
    assert "best of the other baselines is beaten" in text and "simpler" not in text


def test_failures_are_named_with_figures():
    text = " ".join(verdict(made(TEN, TEN, slope=0.6, high_bias=-12.0), simulated=False, random_weights=False))
    assert "Where the truth exceeds 40 µg/m³ it under-predicts at T+1 by 12.0 µg/m³" in text
    assert "Contrasts are too weak at T+1: slope of forecast on truth 0.60 (persistence 1.00)" in text
    assert f"issued on {dt.date(2022, 1, 1) + dt.timedelta(days=int(np.argmax(TEN)))}" in text


def test_few_days_give_no_interval_and_no_win():
    found = made([5.0] * 3, [10.0] * 3)
    assert skill(found.of(1)).low is None
    assert "too few days (3)" in verdict(found, simulated=False, random_weights=False)[0]
    assert headline(found) == "Too few days to judge T+1"


@pytest.mark.parametrize(("value", "text"), [(-1.25, "\u22121.2"), (-0.04, "0.0"), (0.04, "0.0"), (None, "\u2013")])
def test_figures_have_true_minus_signs_and_no_negative_zero(value, text):
    assert number(value, "+.1f") == text


def test_many_pixels_raised_to_zero_are_told():
    found = made(TEN, TEN)
    low = replace(found, results=tuple(replace(result, clipped=400) for result in found.results))
    few = replace(found, results=tuple(replace(result, clipped=40) for result in found.results))
    told = [sentence for sentence in verdict(low, simulated=False, random_weights=False) if "raised to 0" in sentence]
    assert told == [
        "40 % of its land pixels came out below zero at T+1 and were raised to 0: "
        "here it works far outside what it was trained on."
    ]
    assert not any("raised to 0" in sentence for sentence in verdict(few, simulated=False, random_weights=False))
