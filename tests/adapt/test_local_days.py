"""Local days: chosen, divided, and the past kept apart from what it helps to forecast."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cranpm.adapt.local_days import LEAST_PAST, choose_days, divide, folds, spread
from cranpm.adapt.settings import Blocks
from cranpm.data.days import ONE_DAY, day_range, format_days
from cranpm.errors import CranpmError
from cranpm.region import load_region

FIRST = date(2021, 1, 1)
LEADS = (1, 2, 3)
BLOCKS = Blocks(train=33, held_out=12)


def some_days(count: int) -> list[date]:
    return [FIRST + k * ONE_DAY for k in range(count)]


def seen(days: tuple[date, ...]) -> set[date]:
    """Every day that some example of a part reads or is to forecast."""
    offsets = (-1, 0, *LEADS)
    starts = [day for day in days if all(day + k * ONE_DAY in days for k in offsets)]
    return {day + k * ONE_DAY for day in starts for k in offsets}


@given(st.integers(14, 400), st.integers(5, 60), st.integers(5, 30))
def test_no_day_of_a_training_example_is_a_day_of_a_held_out_one(count: int, train: int, held_out: int):
    try:
        local = divide(some_days(count), Blocks(train, held_out), LEADS)
    except CranpmError:
        assert train < 10 or count < 20  # too short for an example of each kind
        return
    assert seen(local.train) and seen(local.held_out)
    assert not seen(local.train) & seen(local.held_out)
    assert sorted((*local.train, *local.held_out)) == some_days(count) == list(local.all)


def test_half_a_year_is_four_cycles_of_33_and_12_days():
    local = divide(some_days(180), BLOCKS, LEADS)
    assert (len(local.train), len(local.held_out)) == (132, 48)
    assert local.held_out[:12] == tuple(some_days(45)[33:])


def test_days_that_hold_no_example_are_refused():
    with pytest.raises(CranpmError, match=r"8 local days .*at least 10 days in a row are needed"):
        divide(some_days(8), BLOCKS, LEADS)
    holes = [day for day in some_days(60) if day.toordinal() % 3]
    with pytest.raises(CranpmError, match="no training block has a day with the day before"):
        divide(holes, BLOCKS, LEADS)


@pytest.mark.parametrize("count", (90, 180, 365))
def test_no_past_holds_what_its_days_are_to_forecast(count: int):
    local = divide(some_days(count), BLOCKS, LEADS)
    pairs = folds(local, LEADS)
    assert sorted(day for days, _ in pairs for day in days) == list(local.all)
    for days, past in pairs:
        assert len(past) >= LEAST_PAST
        part = local.held_out if set(days) <= set(local.held_out) else local.train
        forecast_from = [day for day in days if all(day + k * ONE_DAY in part for k in LEADS)]
        assert not {day + k * ONE_DAY for day in forecast_from for k in (0, *LEADS)} & set(past)
        assert not set(past) & set(local.held_out)


def test_few_days_have_no_past():
    assert folds(divide(some_days(60), BLOCKS, LEADS), LEADS) == []


def test_months_are_spread_over_the_latest_year_before_the_test_year():
    region = load_region("india")
    held = day_range(date(2020, 12, 1), date(2022, 3, 1))
    chosen = choose_days(held, region, 2, ())
    assert (len(chosen), chosen[-1]) == (60, date(2021, 12, 31))
    assert format_days(chosen).count(",") == 3 and min(chosen).year == 2021  # a stretch for each season
    assert choose_days(held, region, None, ())[0] == date(2020, 12, 1)
    asked = day_range(date(2022, 1, 5), date(2022, 2, 5))  # a person may decide otherwise
    assert choose_days(held, region, 2, asked) == list(asked)


def test_days_that_are_not_there_or_are_kept_for_scoring_are_refused():
    region = load_region("india")
    with pytest.raises(CranpmError, match=r"--days: the store lacks 2021-01-03; it holds 2021-01-01..2021-01-02"):
        choose_days(some_days(2), region, None, [FIRST + timedelta(days=2)])
    with pytest.raises(CranpmError, match=r"lie in 2022, which pack 'india' keeps for scoring"):
        choose_days(day_range(date(2022, 1, 1), date(2022, 2, 1)), region, 3, ())


@given(st.integers(1, 400), st.integers(20, 365))
def test_spread_days_are_as_many_as_asked_for_and_end_with_the_last(count: int, held: int):
    days = some_days(held)
    chosen = spread(days, count)
    assert len(chosen) == min(count, held) and chosen == sorted(set(chosen)) and chosen[-1] == days[-1]


def test_half_a_year_of_spread_days_is_a_cycle_in_each_season():
    local = divide(spread(some_days(365), 180), BLOCKS, LEADS)
    assert format_days(local.train).count("..") == format_days(local.held_out).count("..") == 4
    assert (len(local.train), len(local.held_out)) == (132, 48)
