"""A whole federation in this process, with agencies that may misbehave."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from flwr.app import Context, Message

from cranpm.clients.coordinator import Coordinator
from cranpm.clients.flapp.client_app import app
from cranpm.clients.grid import InProcessGrid

Change = Callable[[Message, Message], Message]
"""What a bad agency makes of what it received and of its honest answer."""


def run(
    folder: Path, bad: Mapping[str, Change] | None = None, *, resume: bool = False, tell=lambda line: None
) -> Coordinator:
    """Run the rounds of `toy.write_federation` in this process.

    Args:
        folder: of the federation.
        bad: by agency, what it answers instead.
        resume: go on with the book.
        tell: called with every line.
    """
    places = sorted(path for path in (folder / "agencies").iterdir() if path.is_dir())
    names = {number: place.name for number, place in enumerate(places, start=1)}

    def answer(message: Message, context: Context) -> Message:
        reply = app(message, context)
        change = (bad or {}).get(names[context.node_id])
        return reply if change is None or message.metadata.message_type != "train" else change(message, reply)

    nodes = {number: {"agency": str(places[number - 1])} for number in names}
    coordinator = Coordinator(folder / "coordinator", tell)
    coordinator.run(InProcessGrid(answer, nodes, {}), names, resume=resume)
    return coordinator
