"""Days as people write them."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cranpm.data.days import format_days, needed_days, parse_days
from cranpm.errors import CranpmError

DAYS = st.dates(min_value=date(1980, 1, 1), max_value=date(2060, 12, 31))


@given(st.sets(DAYS, min_size=1, max_size=12), st.integers(0, 40))
def test_days_written_as_text_are_read_back(starts: set[date], length: int) -> None:
    days = {start + timedelta(days=i) for start in starts for i in range(length + 1)}
    assert parse_days(format_days(days)) == tuple(sorted(days))


@given(DAYS, DAYS)
def test_range_holds_every_day_between_its_ends(a: date, b: date) -> None:
    first, last = min(a, b), max(a, b)
    days = parse_days(f"{first}..{last}")
    assert (days[0], days[-1], len(days)) == (first, last, (last - first).days + 1)


def test_year_and_month_name_all_their_days() -> None:
    assert len(parse_days("2020")) == 366
    assert parse_days("2021-12") == parse_days("2021-12-01..2021-12-31")
    assert len(parse_days("2020..2021")) == 366 + 365


def test_pieces_are_sorted_and_counted_once() -> None:
    assert parse_days("2022-03-02, 2022-03-01..2022-03-02") == (date(2022, 3, 1), date(2022, 3, 2))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("2022-02-30", "the calendar has no 2022-02-30"),
        ("2022-13", "no 2022-13"),
        ("2022-00-01", "no 2022-00-01"),
        ("2022-1-1", "not understood"),
        ("tomorrow", "not understood"),
        ("2022-01-17..2022-01-10", "write 2022-01-10..2022-01-17"),
        ("2022-01-17...2022-01-19", "not understood"),
        ("2022-01-17,", "empty piece"),
        ("", "empty piece"),
        ("0000", "no 0000"),
    ],
)
def test_what_is_no_day_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(CranpmError, match=says) as error:
        parse_days(text)
    assert "\n" not in str(error.value)


def test_forecast_needs_the_day_before_and_the_valid_days() -> None:
    assert needed_days([date(2022, 3, 1)]) == parse_days("2022-02-28..2022-03-04")
    assert needed_days([date(2022, 3, 1)], leads=(3,)) == parse_days("2022-02-28..2022-03-01,2022-03-04")
