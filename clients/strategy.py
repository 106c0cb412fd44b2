"""Flower's strategies behind our checks: a mean, a trimmed mean, or Krum, of replies that count."""

from __future__ import annotations

from collections.abc import Iterable

from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg, FedTrimmedAvg, Krum

from cranpm.clients.desk import Desk, enough, read
from cranpm.clients.federation import Robust
from cranpm.clients.records import ARRAYS, CONFIG, from_arrays, reply_of, to_arrays

WEIGHT = "examples"


class _Checked(FedAvg):
    """What is between Flower's loop and its aggregation: orders, checks, and whether the aggregate counts."""

    desk: Desk
    after: int = 0
    """Rounds done before this run began."""

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """The round's order, to every agency that is there."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        order = self.desk.begin(self.after + server_round, [message.metadata.dst_node_id for message in messages])
        config.update(order.to_config())
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Check, clip, aggregate as Flower does, judge, keep."""
        messages = {message.metadata.src_node_id: message for message in replies}
        good = self.desk.check({node: read(lambda m=m: reply_of(m)) for node, m in messages.items()})  # type: ignore[misc]
        made = None
        if enough(self.desk.plan, good):
            for node, reply in good.items():
                messages[node].content[ARRAYS] = to_arrays(reply.tensors)
            self.prepare(len(good))
            made, _ = super().aggregate_train(server_round, [messages[node] for node in good])
        kept = self.desk.close(None if made is None else from_arrays(made))
        return None if kept is None else to_arrays(kept), None

    def prepare(self, answers: int) -> None:
        """Before so many answers are aggregated."""


class Averaging(_Checked):
    """The mean, weighted by months of days."""


class Trimmed(_Checked, FedTrimmedAvg):
    """The mean of each number without its extremes: of at least one agency on both sides."""

    def prepare(self, answers: int) -> None:
        """Flower's share of 0.2 cuts nothing of fewer than five answers."""
        self.beta = max(0.2, min(1 / answers + 1e-9, 0.49))


class Closest(_Checked, Krum):
    """The one adapter that is nearest to its neighbours."""


def make_strategy(robust: Robust, desk: Desk, after: int) -> _Checked:
    """The strategy that the federation asks for; replies carry their scores, so no evaluation round follows."""
    kinds: dict[Robust, type[_Checked]] = {"krum": Closest, "trimmed": Trimmed}
    made = kinds.get(robust, Averaging)(
        fraction_evaluate=0.0, min_train_nodes=desk.plan.least, min_available_nodes=desk.plan.least,
        weighted_by_key=WEIGHT, arrayrecord_key=ARRAYS, configrecord_key=CONFIG,
    )  # fmt: skip
    if isinstance(made, Closest):
        made.num_malicious_nodes = 1
    made.desk, made.after = desk, after
    return made
