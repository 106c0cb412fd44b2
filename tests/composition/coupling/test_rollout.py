"""Forecasts of several days."""

from __future__ import annotations

import datetime as dt
import weakref
from collections.abc import Iterator

import pytest
import torch

from cranpm.composition.coupling.rollout import clock, roll_out
from cranpm.errors import CranpmError
from tests.composition.coupling.tiny import inputs, network

START = dt.datetime(2022, 2, 28, 12)


def maps(number: int, taken: list[int] | None = None) -> Iterator[torch.Tensor]:
    torch.manual_seed(2)
    for index in range(number):
        if taken is not None:
            taken.append(index)
        yield torch.randn(1, 3, 13, 24)


def test_five_days_are_ten_steps_of_twelve_hours():
    given = inputs()
    steps = list(roll_out(network(), given["before"], given["now"], maps(11), given["ground"], START))
    assert [step.lead for step in steps] == list(range(12, 121, 12))
    assert steps[0].valid == dt.datetime(2022, 3, 1, 0) and steps[-1].valid == dt.datetime(2022, 3, 5, 12)
    assert all((step.fields >= 0).all() and step.fields.isfinite().all() for step in steps)


def test_an_untrained_forecast_repeats_the_last_map_or_the_last_day():
    given = inputs()
    before, now = given["before"].abs() + 0.1, given["now"].abs() + 0.1
    steps = list(roll_out(network(trained=False), before, now, maps(5), given["ground"], START))
    for number, step in enumerate(steps):
        assert torch.allclose(step.fields[:, [0, 2]], now[:, [0, 2]], rtol=1e-4)
        assert torch.allclose(step.fields[:, 1], (before if number % 2 == 0 else now)[:, 1], rtol=1e-4)


def test_a_step_depends_on_the_one_before():
    given = inputs()
    made = network()
    two = [step.fields for step in roll_out(made, given["before"], given["now"], maps(3), given["ground"], START)]
    _, second, third = maps(3)
    again = next(
        roll_out(made, given["now"], two[0], iter([second, third]), given["ground"], START + dt.timedelta(hours=12))
    )
    assert torch.allclose(again.fields, two[1], rtol=1e-3, atol=1e-4)


def test_weather_is_read_as_it_is_needed_and_old_steps_are_let_go():
    given, taken = inputs(), []
    forecast = roll_out(network(), given["before"], given["now"], maps(11, taken), given["ground"], START)
    next(forecast)
    assert taken == [0, 1]
    held = [weakref.ref(step.fields) for step in forecast]
    assert sum(field() is not None for field in held) <= 1


def test_a_gap_in_the_weather_is_refused_with_its_instant():
    given = inputs()
    gap = torch.full((1, 3, 13, 24), float("nan"))
    with pytest.raises(CranpmError, match="weather of 2022-03-01 00:00:00 has 936 missing"):
        list(roll_out(network(), given["before"], given["now"], iter([*maps(1), gap]), given["ground"], START))


def test_the_clock_is_that_of_the_instant():
    assert clock(dt.datetime(2022, 2, 1, 18), 2).tolist() == [[32.0, 18.0]] * 2
