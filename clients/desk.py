"""A round on the coordinator's desk: whom it asked, which replies count, and what becomes of the aggregate."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cranpm.clients.aggregate import aggregation_error, clipped_to_median, distance
from cranpm.clients.book import Answer, Book, Line
from cranpm.clients.check import problem_of, too_far
from cranpm.clients.federation import Federation
from cranpm.clients.message import Order, Reply, Tensors
from cranpm.clients.records import shown
from cranpm.errors import CranpmError

Judge = Callable[[Tensors], float | None]
Received = Reply | str
"""What came from a node: a reply, or why none can be read."""


class Desk:
    """Orders, checks and the book of one federation; knows nothing of how messages travel.

    Args:
        plan: the federation.
        order: of any round; the round's number is put in.
        book: where rounds are kept.
        config: peft's configuration of the adapter.
        judge: RMSE over persistence on public days.
        simulated: whether base or public days are of the sample world.
        tell: called with every line that is kept.
    """

    def __init__(
        self, plan: Federation, order: Order, book: Book, config: Mapping[str, Any], judge: Judge, simulated: bool,
        tell: Callable[[Line], None],
    ) -> None:  # fmt: skip
        self.plan, self.order, self.book, self.config = plan, order, book, dict(config)
        self.judge, self.simulated, self.tell = judge, simulated, tell
        self.present: dict[str, NDArray[np.float32]] = {}
        self.names: Mapping[int, str] = {}
        self._answers: dict[int, Answer] = {}
        self._parts: dict[int, Reply] = {}
        self._began = 0.0

    def open_book(self, first: Tensors) -> int:
        """Begin with the tensors given, or go on where the book ends.

        Returns:
            The number of the last round that is done.
        """
        lines = self.book.lines
        if lines:
            self.present = self.book.tensors(lines[-1].round)
            return lines[-1].round
        self.present = dict(first)
        self._write(0, True, "", self.judge(first), None)
        return 0

    def begin(self, number: int, nodes: Sequence[int]) -> Order:
        """Ask nodes in a round."""
        self.order = replace(self.order, round=number)
        size = sum(values.nbytes for values in self.present.values())
        self._answers = {node: Answer(self.name_of(node), False, bytes_down=size) for node in nodes}
        self._parts, self._began = {}, time.monotonic()
        return self.order

    def check(self, received: Mapping[int, Received]) -> dict[int, Reply]:
        """The replies that count, clipped where that was asked for, by node and in the order of the agencies' names."""
        good: dict[int, Reply] = {}
        for node in sorted(received, key=self.name_of):
            reply = received[node]
            if node not in self._answers:
                continue
            if isinstance(reply, str):
                self._reject(node, reply)
            elif problem := problem_of(reply, self.order, self.present):
                self._reject(node, problem)
            else:
                good[node] = reply
        for node, reason in too_far(good, self.present).items():
            self._reject(node, reason, good.pop(node))
        factors: dict[int, float] = {}
        lengths = {node: distance(reply.tensors, self.present) for node, reply in good.items()}
        for node in self._answers.keys() - received.keys():
            self._reject(node, f"no answer after {time.monotonic() - self._began:.0f} s")
        if self.plan.robust == "clip":
            clipped, factors = clipped_to_median({n: reply.tensors for n, reply in good.items()}, self.present)
            good = {node: replace(reply, tensors=clipped[node]) for node, reply in good.items()}
        for node, reply in good.items():
            self._answers[node] = replace(
                self._answers[node], accepted=True, reason="", scalars=dict(reply.scalars), norm=lengths[node],
                clipped=factors.get(node, 1.0), bytes_up=_size(reply),
            )  # fmt: skip
        self._parts = good
        return good

    def close(self, aggregate: Tensors | None) -> Tensors | None:
        """Keep the aggregate as the federation's adapter, or leave the present one, and write the round's line.

        Returns:
            The whole adapter where it changed.
        """
        reason, public, error = "", None, None
        if aggregate is None:
            reason = f"{len(self._parts)} answers counted, at least {self.plan.least} are needed"
        else:
            made = {**self.present, **aggregate}
            weights = [reply.scalars["examples"] for reply in self._parts.values()]
            error = aggregation_error([{**self.present, **r.tensors} for r in self._parts.values()], weights, made)
            public = self.judge(made)
            reason = self._worse(public)
            if not all(np.isfinite(values).all() for values in made.values()):
                reason = "the aggregate is not finite"
        if not reason:
            self.present = made
        self._write(self.order.round, not reason, reason, public, error)
        return None if reason else made

    def name_of(self, node: int) -> str:
        """What the coordinator calls a node: as it was admitted, not as it calls itself."""
        return self.names.get(node, f"node {node}")

    def _worse(self, public: float | None) -> str:
        best = min((line.public for line in self.book.lines if line.accepted and line.public is not None), default=None)
        if public is None or best is None or public <= best * (1 + self.plan.tolerance):
            return ""
        return (
            f"public days: RMSE {public:.3f} of persistence's, the best so far is {best:.3f}, "
            f"{self.plan.tolerance:.0%} more is allowed"
        )

    def _reject(self, node: int, reason: str, reply: Reply | None = None) -> None:
        told = {} if reply is None else {"scalars": dict(reply.scalars), "bytes_up": _size(reply)}
        length = None if reply is None else distance(reply.tensors, self.present)
        said = shown(reason)  # may quote what an agency sent
        self._answers[node] = replace(self._answers[node], reason=said, norm=length, **told)  # type: ignore[arg-type]

    def _write(self, number: int, accepted: bool, reason: str, public: float | None, error: float | None) -> None:
        answers = tuple(sorted(self._answers.values(), key=lambda answer: answer.agency))
        seconds = round(time.monotonic() - self._began, 1) if number else 0.0
        line = Line(number, accepted, reason, answers, public, error, "", seconds, self.simulated)
        self.tell(self.book.write(line, self.present, self.config))


def _size(reply: Reply) -> int:
    return sum(values.nbytes for values in reply.tensors.values())


def enough(plan: Federation, good: Mapping[int, Reply]) -> bool:
    """Whether so many answers count that they are aggregated."""
    return len(good) >= plan.least


def read(make: Callable[[], Reply]) -> Received:
    """A reply, or why it cannot be read."""
    try:
        return make()
    except CranpmError as error:
        return str(error)
