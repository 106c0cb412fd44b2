"""A round on the desk, without networks: who counts, what is clipped, which strategy of Flower's aggregates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message
from flwr.serverapp.strategy import FedTrimmedAvg, Krum

from cranpm.clients.book import Book
from cranpm.clients.desk import Desk, Judge
from cranpm.clients.federation import Federation, Robust
from cranpm.clients.grid import InProcessGrid
from cranpm.clients.message import SCALARS, Order, Reply, Tensors
from cranpm.clients.records import reply_record
from cranpm.clients.strategy import make_strategy

A, B = "base_model.model.x.lora_A.weight", "base_model.model.x.lora_B.weight"
FIRST = {A: np.zeros((1, 1), np.float32), B: np.zeros((1, 1), np.float32)}
ORDER = Order(1, 3, 1, 0, "fedavg", 0.0, 0, "", 1)
NAMES = {1: "north", 2: "south", 3: "west", 4: "east", 5: "far"}


def nobody(tensors: Tensors) -> float | None:
    return None


def desk(folder: Path, judge: Judge = nobody, **changed: object) -> Desk:
    made = Desk(replace(Federation(), **changed), ORDER, Book(folder), {"r": 1}, judge, True, lambda line: None)  # type: ignore[arg-type]
    made.names = NAMES
    made.open_book(FIRST)
    return made


def reply(value: float, days: int = 30) -> Reply:
    scalars = {**dict.fromkeys(SCALARS, 1.0), "rank": 1, "examples": days}
    return Reply({A: np.full((1, 1), value, np.float32), B: np.zeros((1, 1), np.float32)}, scalars, "")


def aggregate(made: Desk, robust: Robust, values: dict[int, float]) -> float:
    """What becomes of A when agencies send these values of it."""
    InProcessGrid(lambda message, context: message, {}, {})
    strategy = make_strategy(robust, made, 0)
    made.begin(1, list(values))
    asked = {node: Message(reply_record(reply(0)), dst_node_id=node, message_type="train") for node in values}
    answers = [Message(reply_record(reply(value)), reply_to=asked[node]) for node, value in values.items()]
    strategy.aggregate_train(1, answers)
    return float(made.present[A].item())


def test_clipping_keeps_what_agrees_and_shortens_what_does_not(tmp_path: Path):
    made = desk(tmp_path)
    assert aggregate(made, "clip", {1: 1.0, 2: 1.0, 3: -3.0}) == pytest.approx(1 / 3)
    answers = {answer.agency: answer for answer in made.book.lines[1].answers}
    assert answers["west"].clipped == pytest.approx(1 / 3) and answers["north"].clipped == 1.0
    assert answers["west"].norm == pytest.approx(3.0), "the length that is told is the one that was sent"


def test_the_trimmed_mean_cuts_one_on_both_sides_even_of_three(tmp_path: Path):
    made = desk(tmp_path, robust="trimmed", least=3)
    assert aggregate(made, "trimmed", {1: 1.0, 2: 2.0, 3: 4.0}) == pytest.approx(2.0)
    strategy = make_strategy("trimmed", made, 0)
    assert isinstance(strategy, FedTrimmedAvg)
    for answers in (3, 4, 5, 10):
        strategy.prepare(answers)
        assert int(strategy.beta * answers) >= 1 and strategy.beta < 0.5


def test_krum_takes_one_of_those_that_stand_together(tmp_path: Path):
    made = desk(tmp_path, robust="krum", least=3)
    strategy = make_strategy("krum", made, 0)
    assert isinstance(strategy, Krum) and strategy.num_malicious_nodes == 1
    assert aggregate(made, "krum", {1: 1.0, 2: 1.1, 3: 1.2, 4: -4.0, 5: 1.05}) == pytest.approx(1.1, abs=0.11)


def test_weights_are_months_of_days(tmp_path: Path):
    made = desk(tmp_path, robust="none")
    made.begin(1, [1, 2])
    good = made.check({1: reply(1.0, 30), 2: reply(4.0, 60)})
    strategy = make_strategy("none", made, 0)
    InProcessGrid(lambda message, context: message, {}, {})
    messages = [Message(reply_record(r), dst_node_id=n, message_type="train") for n, r in good.items()]
    made.begin(1, [1, 2])
    strategy.aggregate_train(1, [Message(m.content, reply_to=m) for m in messages])
    assert made.present[A].item() == pytest.approx(3.0)


def test_an_agency_that_is_silent_is_named_and_the_round_goes_on(tmp_path: Path):
    made = desk(tmp_path, timeout=60.0)
    made.begin(1, [1, 2, 3])
    made.check({1: reply(1.0), 2: reply(1.0)})
    made.close({A: np.ones((1, 1), np.float32)})
    silent = [answer for answer in made.book.lines[1].answers if not answer.accepted]
    assert [(answer.agency, answer.reason) for answer in silent] == [("west", "no answer after 0 s")]
    assert made.book.lines[1].accepted


def test_a_node_that_was_not_asked_is_not_heard(tmp_path: Path):
    made = desk(tmp_path)
    made.begin(1, [1, 2])
    assert set(made.check({1: reply(1.0), 9: reply(50.0)})) == {1}


def test_the_best_so_far_is_what_an_aggregate_is_held_against(tmp_path: Path):
    scores = iter([1.0, 0.8, 0.81, 0.9, 0.95])
    made = desk(tmp_path, judge=lambda tensors: next(scores), tolerance=0.02)
    for number in (1, 2, 3, 4):
        made.begin(number, [1, 2])
        made.check({1: reply(number), 2: reply(number)})
        made.close({A: np.full((1, 1), number, np.float32)})
    assert [line.accepted for line in made.book.lines] == [True, True, True, False, False]
    assert made.present[A].item() == 2.0
    assert made.book.lines[3].reason == (
        "public days: RMSE 0.900 of persistence's, the best so far is 0.800, 2% more is allowed"
    )


def test_a_new_process_goes_on_where_the_book_ends(tmp_path: Path):
    made = desk(tmp_path)
    made.begin(1, [1, 2])
    made.check({1: reply(1.0), 2: reply(1.0)})
    made.close({A: np.full((1, 1), 7, np.float32)})
    again = Desk(Federation(), ORDER, Book(tmp_path), {"r": 1}, nobody, True, lambda line: None)
    assert again.open_book(FIRST) == 1 and again.present[A].item() == 7.0
