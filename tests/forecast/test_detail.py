"""Fine detail: what it is, what of today's a forecast takes over, and that only known pixels take part."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from cranpm.forecast.detail import SIDE, around, coverage, fine_part, give_back, todays_detail
from cranpm.forecast.run import assemble_map, forecast
from tests.forecast.fake_store import FIRST, PlaceEngine, make_store

ALL = np.ones((40, 50), bool)


def checkerboard(amplitude: float, level: float = 20.0, shape: tuple[int, int] = (40, 50)) -> np.ndarray:
    rows, columns = np.indices(shape)
    return level + amplitude * (1 - 2 * ((rows + columns) % 2))


def test_a_mean_is_over_the_known_pixels_of_the_square():
    rng = np.random.default_rng(0)
    field, known = rng.normal(size=(40, 50)), rng.random((40, 50)) < 0.7
    found = around(field, known)
    for row, column in ((0, 0), (3, 48), (20, 25), (39, 10)):
        rows, columns = slice(max(row - 8, 0), row + 9), slice(max(column - 8, 0), column + 9)
        assert found[row, column] == pytest.approx(field[rows, columns][known[rows, columns]].mean())
        inside = known[rows, columns].sum() / SIDE**2
        assert coverage(known)[row, column] == pytest.approx(inside)


def test_a_plane_has_no_detail_and_a_checkerboard_is_all_detail():
    rows, columns = np.indices((40, 50))
    inner = slice(8, -8), slice(8, -8)
    assert np.abs(fine_part(3.0 * rows - 2.0 * columns, ALL)[inner]).max() < 1e-9
    assert fine_part(checkerboard(2.0), ALL)[inner] == pytest.approx(checkerboard(2.0, 0.0)[inner], abs=0.01)


@pytest.mark.parametrize(("level", "growth"), [(10.0, 0.5), (40.0, 2.0), (200.0, 3.0), (-5.0, 0.0)])
def test_todays_detail_grows_with_the_level_at_most_threefold(level, growth):
    today = checkerboard(2.0)
    found = todays_detail(np.full_like(today, level), today, ALL)
    assert found == pytest.approx(growth * fine_part(today, ALL), rel=1e-2, abs=1e-2)


def test_a_share_of_the_detail_is_exchanged():
    today, flat = checkerboard(2.0), np.full((40, 50), 20.0)
    assert give_back(flat, today, ALL, 0.5) == pytest.approx(20.0 + 0.5 * fine_part(today, ALL), abs=0.01)
    assert give_back(today, today, ALL, 1.0) == pytest.approx(today)
    assert np.array_equal(give_back(flat, today, ALL, 0.0), flat)


def test_what_fills_the_sea_and_gaps_leaves_no_trace():
    known = ALL.copy()
    known[:, 30:] = False
    flat = np.full((40, 50), 20.0)
    today = np.where(known, 20.0, 90.0)  # a step at the coast
    assert np.allclose(give_back(flat, today, known, 1.0), flat)
    rough = np.where(known, checkerboard(2.0), 90.0)
    made = give_back(flat, rough, known, 1.0)
    assert np.array_equal(made[:, 30:], flat[:, 30:])
    assert np.allclose(made[known], checkerboard(2.0)[known], atol=0.3)


def test_a_forecast_takes_over_the_share_of_its_lead():
    store, day = make_store(), FIRST + dt.timedelta(days=3)
    plain, shared = PlaceEngine(), PlaceEngine(detail={1: 0.7})
    first, second = (list(_maps(engine, store, day)) for engine in (plain, shared))
    assert np.nanmax(np.abs(first[0] - second[0])) > 0.01
    assert np.array_equal(first[1], second[1], equal_nan=True)


def _maps(engine, store, day):
    for lead in forecast(engine, store, day, (1, 2)):
        yield assemble_map(lead.strips, store.fine.shape)[0]
