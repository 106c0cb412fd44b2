"""Every question that a reply must answer, asked with replies that answer one of them wrongly."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from cranpm.clients.check import problem_of, too_far
from cranpm.clients.closing import _told
from cranpm.clients.grid import InProcessGrid
from cranpm.clients.message import LAST_SCALARS, SCALARS, Order, Reply, four_digits, in_months
from cranpm.clients.records import from_arrays, order_of, reply_of, reply_record, shown, to_arrays
from cranpm.errors import CranpmError

A, B = "base_model.model.x.lora_A.weight", "base_model.model.x.lora_B.weight"
PRESENT = {A: np.ones((2, 3), np.float32), B: np.zeros((4, 2), np.float32)}
ORDER = Order(1, 3, 5, 2, "fedavg", 0.0, 0, "ab" * 32, 2)
SCALARS_OF = {**dict.fromkeys(SCALARS, 1.0), "rank": 2, "examples": 30}
GOOD = Reply({A: PRESENT[A] + 0.1, B: PRESENT[B] + 0.1}, SCALARS_OF, ORDER.base_hash)


def with_tensor(name: str, values: np.ndarray) -> Reply:
    return replace(GOOD, tensors={**GOOD.tensors, name: values})


def test_a_good_reply_has_no_problem():
    assert problem_of(GOOD, ORDER, PRESENT) == ""


@pytest.mark.parametrize(
    ("reply", "problem"),
    [
        (replace(GOOD, tensors={A: GOOD.tensors[A]}), f"keys: '{B}' missing"),
        (with_tensor("head.weight", np.ones(2, np.float32)), "keys: 'head.weight' unknown"),
        (with_tensor(A, np.ones((3, 3), np.float32)), f"shape of '{A}': (3, 3), expected (2, 3)"),
        (with_tensor(A, np.ones((2, 3))), f"dtype of '{A}': float64"),
        (with_tensor(B, np.full((4, 2), np.nan, np.float32)), f"'{B}' is not finite"),
        (with_tensor(B, np.full((4, 2), np.inf, np.float32)), f"'{B}' is not finite"),
        (replace(GOOD, base_hash="cd" * 32), "base cdcdcdcdcdcd"),
        (replace(GOOD, scalars={**SCALARS_OF, "rank": 3}), "rank 3, expected 2"),
        (replace(GOOD, scalars={**SCALARS_OF, "examples": 1e9}), "scalar 'examples'"),
        (replace(GOOD, scalars={**SCALARS_OF, "loss": float("nan")}), "scalar 'loss'"),
        (replace(GOOD, scalars={"rank": 2}), "scalar 'examples' missing"),
    ],
)
def test_a_bad_reply_is_told_what_is_wrong(reply: Reply, problem: str):
    assert problem_of(reply, ORDER, PRESENT).startswith(problem)


def test_an_update_ten_times_as_long_as_the_others_is_left_out():
    far = replace(GOOD, tensors={name: PRESENT[name] - 1.0 for name in PRESENT})
    assert list(too_far({1: GOOD, 2: GOOD, 3: far}, PRESENT)) == [3]
    assert too_far({1: GOOD, 3: far}, PRESENT) == {}, "of two nobody can tell which is wrong"


def test_a_scalar_that_is_not_listed_cannot_be_put_into_a_reply():
    with pytest.raises(CranpmError, match="scalar 'station_rmse' is not in the list"):
        Reply({}, {"station_rmse": 1.0}, "")


def test_what_is_told_is_coarse():
    assert [in_months(days) for days in (3, 44, 46, 4000)] == [30, 30, 60, 360]
    assert four_digits(12.345678) == 12.35


def test_every_scalar_that_leaves_is_documented():
    assert all(len(text) > 10 for text in (*SCALARS.values(), *LAST_SCALARS.values()))


@pytest.fixture
def message() -> Message:
    InProcessGrid(lambda message, context: message, {}, {})
    content = RecordDict({"arrays": to_arrays(PRESENT), "config": ConfigRecord(dict(ORDER.to_config()))})
    return Message(content, dst_node_id=1, message_type="train")


def test_orders_and_replies_survive_flowers_records(message: Message):
    order, tensors = order_of(message)
    assert order == ORDER and all((tensors[name] == PRESENT[name]).all() for name in PRESENT)
    back = reply_of(Message(reply_record(GOOD), reply_to=message))
    assert back.base_hash == GOOD.base_hash and dict(back.scalars) == dict(GOOD.scalars)
    assert all((back.tensors[name] == GOOD.tensors[name]).all() for name in PRESENT)


def test_only_tensors_scalars_and_the_bases_hash_leave():
    """The payload, opened: records by name, keys by name, and nothing with more than adapters hold."""
    record = reply_record(GOOD)
    assert set(record) == {"arrays", "metrics", "config"}
    assert set(record["arrays"]) == set(PRESENT) and all(".lora_" in name for name in record["arrays"])
    assert set(record["metrics"]) == set(SCALARS) and set(record["config"]) == {"base_hash"}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"tiles": MetricRecord({"x": 1.0})}, "records"),
        ({"metrics": MetricRecord({"loss": [1.0, 2.0]})}, "scalar 'loss' is a list"),
        ({"config": ConfigRecord({"base_hash": "x", "more": "y"})}, "the record 'config'"),
    ],
)
def test_messages_that_are_not_built_as_ours_are_refused(message: Message, change: dict, problem: str):
    record = reply_record(GOOD)
    for name, value in change.items():
        record[name] = value
    with pytest.raises(CranpmError, match=problem):
        reply_of(Message(record, reply_to=message))


def test_bytes_from_outside_are_never_unpickled():
    pickled = Array("float32", (1,), "pickle", b"\x80\x04.")
    with pytest.raises(CranpmError, match="dtype of 'x': float32 as pickle"):
        from_arrays(ArrayRecord({"x": pickled}))
    objects = np.array([{"a": 1}], dtype=object)
    held = io.BytesIO()
    np.save(held, objects, allow_pickle=True)
    zipped = io.BytesIO()
    np.savez(zipped, x=np.ones(1, np.float32))
    for content in (held.getvalue(), zipped.getvalue(), b"", b"x" * 100):
        with pytest.raises(CranpmError, match="'x' cannot be read as an array"):
            from_arrays(ArrayRecord({"x": Array("float32", (1,), "numpy.ndarray", content)}))


def test_what_an_agency_says_cannot_write_on_the_coordinators_terminal():
    assert shown("disk\x1b[2J full\r\n\u202eonce") == "disk [2J full once"
    assert len(shown("x" * 10_000)) == 300


@pytest.mark.parametrize(
    ("change", "problem"),
    [({}, None), ({"chosen": 7}, "scalars"), ({"chosen": 0.5}, "scalars"), ({"local": float("nan")}, "scalars"),
     ({"delhi": 1.0}, "scalars")],
)  # fmt: skip
def test_what_comes_after_the_last_round_is_checked_too(message: Message, change: dict, problem: str | None):
    told = {**dict.fromkeys(LAST_SCALARS, 1.0), "chosen": 2, **change}
    found = _told(Message(RecordDict({"metrics": MetricRecord(told)}), reply_to=message))
    assert found == told if problem is None else found["problem"].startswith(problem)


def test_an_agency_may_keep_its_scores_to_itself(message: Message):
    assert _told(Message(RecordDict({"metrics": MetricRecord()}), reply_to=message)) == {}


@pytest.mark.parametrize("change", [{"steps": 0}, {"round": 4}, {"method": "other"}, {"seed": "0"}, {"proximal": -1.0}])
def test_an_order_that_cannot_be_meant_is_refused_by_the_agency(change: dict):
    with pytest.raises(CranpmError, match="order"):
        Order.from_config({**ORDER.to_config(), **change})
