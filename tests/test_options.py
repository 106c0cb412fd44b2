"""Options with several values."""

import pytest

from cranpm.errors import CranpmError
from cranpm.options import parse_leads, spread


def test_values_with_spaces_belong_to_the_option_before_them():
    assert spread(["india", "--leads", "1", "2", "3", "--out", "7"]) == [
        "india", "--leads", "1", "--leads", "2", "--leads", "3", "--out", "7",
    ]  # fmt: skip
    assert spread(["--days", "2022-01-01..2022-01-03", "2022-02", "x"]) == [
        "--days", "2022-01-01..2022-01-03", "--days", "2022-02", "x",
    ]  # fmt: skip
    assert spread(["--leads", "1", "india", "2"]) == ["--leads", "1", "india", "2"]


def test_every_way_of_giving_leads_is_understood():
    assert parse_leads(["1", "3", "2", "3"]) == parse_leads(["1,2", "3"]) == (1, 2, 3)


@pytest.mark.parametrize("wrong", [["x"], ["0"], [""], ["1.5"]])
def test_a_lead_that_is_no_whole_number_of_days_is_refused(wrong):
    with pytest.raises(CranpmError, match="whole days ahead"):
        parse_leads(wrong)
