"""Days to train on, to choose by and to score on never meet."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cranpm.adapt.settings import Blocks
from cranpm.clients.share import share
from cranpm.errors import CranpmError

FIRST = date(2021, 1, 1)


def days(count: int) -> list[date]:
    return [FIRST + timedelta(days=k) for k in range(count)]


@given(st.integers(45, 400), st.integers(15, 40), st.integers(10, 20))
def test_no_day_is_in_two_parts(count: int, train: int, held_out: int):
    try:
        made = share(days(count), Blocks(train, held_out), (1, 2, 3))
    except CranpmError:
        return
    parts = [set(made.train), set(made.select), set(made.score)]
    assert sum(map(len, parts)) == len(set.union(*parts)) == count


def test_an_example_of_one_part_never_reads_or_scores_a_day_of_another():
    made = share(days(148), Blocks(24, 13), (1, 2, 3))
    parts = {"train": set(made.train), "select": set(made.select), "score": set(made.score)}
    for name, part in parts.items():
        starts = [d for d in part if all(d + timedelta(days=k) in part for k in (-1, 1, 2, 3))]
        seen = {d + timedelta(days=k) for d in starts for k in (-1, 0, 1, 2, 3)}
        assert starts and all(seen.isdisjoint(other) for key, other in parts.items() if key != name)


def test_a_single_held_out_block_is_halved():
    made = share(days(30), Blocks(18, 12), (1, 2))
    assert (len(made.train), len(made.select), len(made.score)) == (18, 6, 6)
    assert max(made.select) < min(made.score)


def test_too_few_days_are_refused():
    with pytest.raises(CranpmError, match="held-out blocks of at least 10 days are needed"):
        share(days(20), Blocks(12, 8), (1, 2, 3))
