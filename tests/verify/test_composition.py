"""What another forecast composition is worth."""

from __future__ import annotations

import datetime as dt
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cranpm.errors import CranpmError
from cranpm.verify.composition import KINDS, check_composition, score_beside, worth
from cranpm.verify.evaluate import evaluate
from tests.forecast.fake_store import FIRST, ConstantEngine, FakeStore, make_store

DAYS = [FIRST + dt.timedelta(days=k) for k in range(1, 5)]


class Knowing(FakeStore):
    """A store whose forecast composition is the mean of what comes."""

    def forecast(self, day: dt.date, lead: int, channels: tuple[str, ...] | None = None) -> np.ndarray:
        fields = super().forecast(day, lead, channels)
        return np.full_like(fields, np.nanmean(self.pm_maps[day + dt.timedelta(days=lead)]))


def test_a_better_composition_shows_in_its_own_row_and_not_in_a_model_that_does_not_read_it(
    monkeypatch, tmp_path: Path
):
    store = make_store()
    better = Knowing(**{name: value for name, value in vars(store).items() if name in FakeStore.__dataclass_fields__})
    monkeypatch.setitem(KINDS, "better", lambda store, folder: (better, "known"))  # type: ignore[arg-type]
    scored = partial(evaluate, ConstantEngine(0.05), days=DAYS, leads=(1, 2), fitted=None)
    found, used, lines = score_beside(scored, store, "better", tmp_path, ["a note"])
    assert used is better and found.notes[:2] == ("a note", "known") and found.notes[-len(lines) :] == tuple(lines)
    by_row = {line.partition(":")[0]: line for line in lines}
    assert set(by_row) == {f"T+{n}, {row}" for n in (1, 2) for row in ("the model", "the forecast composition itself")}
    assert "+0.0 % (+0.0 to +0.0)" in by_row["T+1, the model"]
    change = float(re.search(r", ([+-][\d.]+) %", by_row["T+2, the forecast composition itself"])[1])
    rmse = [scored(one).scores(2, "cams").rmse for one in (store, better)]
    assert change == pytest.approx(100 * (rmse[1] / rmse[0] - 1), abs=0.06) and change < 0


def test_only_days_that_both_could_be_scored_on_count():
    scored = partial(evaluate, ConstantEngine(0.05), leads=(1,), fitted=None)
    all_days, fewer = scored(make_store(), DAYS), scored(make_store(), DAYS[:2])
    assert worth(all_days, fewer) == worth(fewer, fewer)


@pytest.mark.parametrize(
    ("kind", "folder", "message"),
    [
        ("forcast", Path(), "--composition forcast .*forecast"),
        ("forecast", None, "give the folder of its files with --composition-from"),
        ("forecast", Path("nowhere"), "nowhere: no such folder"),
        (None, Path(), "--composition-from .*goes with --composition forecast"),
        ("raw", Path(), "--composition-from .*goes with --composition forecast"),
        ("sharp", None, "--composition sharp .*sharpened"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_any_work(kind: str | None, folder: Path | None, message: str):
    with pytest.raises(CranpmError, match=message):
        check_composition(kind, folder)


def test_two_kinds_say_what_the_store_is_prepared_from():
    assert [check_composition(kind, None) for kind in (None, "raw", "sharpened")] == [None, "raw", "sharpened"]
    assert check_composition("forecast", Path()) is None
