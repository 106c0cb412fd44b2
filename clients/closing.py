"""After the last round: every agency gets the adapter, makes it its own, chooses, and says only what it wants to."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

from flwr.app import ConfigRecord, Message, RecordDict

from cranpm.clients.book import CHOICES
from cranpm.clients.choice import KINDS
from cranpm.clients.message import LAST_SCALARS
from cranpm.clients.records import ARRAYS, CONFIG, METRICS, shown, to_arrays
from cranpm.folders import write_whole

if TYPE_CHECKING:
    from flwr.serverapp import Grid

    from cranpm.clients.coordinator import Coordinator


def close_federation(coordinator: Coordinator, grid: Grid) -> dict[str, Any]:
    """Send the final adapter and keep what comes back in `choices.json`, by agency."""
    from cranpm.clients.coordinator import last_order

    desk = coordinator.desk
    record = RecordDict(
        {ARRAYS: to_arrays(desk.present), CONFIG: ConfigRecord(dict(last_order(coordinator).to_config()))}
    )
    nodes = sorted(grid.get_node_ids(), key=desk.name_of)
    messages = [Message(record, dst_node_id=node, message_type="evaluate") for node in nodes]
    told: dict[str, Any] = {desk.name_of(node): {"problem": "no answer"} for node in nodes}
    timeout = coordinator.plan.timeout * (coordinator.plan.rounds + 1)  # each makes the steps of all rounds, alone
    for reply in grid.send_and_receive(messages, timeout=timeout):
        told[desk.name_of(reply.metadata.src_node_id)] = _told(reply)
    write_whole(coordinator.folder / CHOICES, (json.dumps(told, indent=1, sort_keys=True) + "\n").encode())
    return told


def _told(reply: Message) -> dict[str, Any]:
    if reply.has_error():
        return {"problem": shown(reply.error.reason or "no reason")}
    if set(reply.content) != {METRICS} or METRICS not in reply.content.metric_records:
        return {"problem": shown(f"records {sorted(reply.content)[:5]}, expected {METRICS}")}
    values = dict(reply.content.metric_records[METRICS])
    if not values:  # an agency that keeps its scores to itself
        return {}
    fine = all(isinstance(v, int | float) and math.isfinite(v) and v >= 0 for v in values.values())
    if set(values) != set(LAST_SCALARS) or not fine or values["chosen"] not in range(len(KINDS)):
        return {"problem": "scalars that are not those of the list"}
    return values
