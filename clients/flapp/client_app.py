"""What a node runs: an agency's part of a round, and of the exchange after the last one."""

from __future__ import annotations

from flwr.app import Context, Message
from flwr.clientapp import ClientApp

from cranpm.clients.app import answer, close

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Train the adapter received on local days."""
    return answer(message, context)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Make the final adapter one's own, and choose."""
    return close(message, context)
