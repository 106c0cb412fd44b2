"""Flower's grid in one process: messages go straight to the app, one agency after the other. For tests and `simulate`.

Of the interfaces that Flower does not promise, only `TaskIdentity` is used: messages read who sends them there.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.serverapp import Grid
from flwr.supercore.task_identity import TaskIdentity

App = Callable[[Message, Context], Message]
FAILED = 2
"""Flower's code for an app that raised."""


class InProcessGrid(Grid):
    """Nodes that answer in this process.

    Args:
        app: what every node runs.
        nodes: by node id, its configuration as `--node-config` gives it.
        run_config: of the run.
    """

    def __init__(self, app: App, nodes: Mapping[int, dict[str, Any]], run_config: dict[str, Any]) -> None:
        TaskIdentity.run_id, TaskIdentity.node_id, TaskIdentity.task_id = 1, 0, 1
        self.app = app
        self.contexts = {
            node: Context(run_id=1, node_id=node, node_config=config, state=RecordDict(), run_config=run_config)
            for node, config in nodes.items()
        }
        self._replies: dict[str, Message] = {}
        self._numbers = itertools.count(1)

    def set_run(self, run: Any) -> None:
        """There is one run."""

    @property
    def run(self) -> Any:
        """Nothing is known of it."""
        return None

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """As Flower makes it."""
        return Message(content, dst_node_id=dst_node_id, message_type=message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> list[int]:
        """All nodes."""
        return list(self.contexts)

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        """Let each node answer now."""
        ids = []
        for message in messages:
            ids.append(f"message-{next(self._numbers)}")
            self._replies[ids[-1]] = self._answer(message)
        return ids

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        """The answers."""
        return [self._replies.pop(number) for number in message_ids if number in self._replies]

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """Both in turn; there is nothing to wait for."""
        return self.pull_messages(self.push_messages(messages))

    def _answer(self, message: Message) -> Message:
        try:
            return self.app(message, self.contexts[message.metadata.dst_node_id])
        except Exception as error:  # an agency that fails must not end the round
            return Message(Error(code=FAILED, reason=f"{type(error).__name__}: {error}"), reply_to=message)
