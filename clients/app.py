"""What the Flower app does on either side; `flapp/` only names it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from flwr.app import Context, Message, MetricRecord, RecordDict

from cranpm.clients.agency import Agency
from cranpm.clients.deploy import nodes
from cranpm.clients.personal import personalise
from cranpm.clients.records import METRICS, order_of, reply_record
from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError

if TYPE_CHECKING:
    from flwr.serverapp import Grid

_OPEN: dict[Path, Agency] = {}


def answer(message: Message, context: Context) -> Message:
    """An agency's part of a round."""
    order, tensors = order_of(message)
    return Message(reply_record(open_agency(agency_folder(context)).answer(order, tensors)), reply_to=message)


def close(message: Message, context: Context) -> Message:
    """An agency's part after the last round."""
    order, tensors = order_of(message)
    agency = open_agency(agency_folder(context))
    choice = personalise(agency, order, tensors)
    told: Mapping[str, float] = choice.scalars() if agency.file.tell_scores else {}
    return Message(RecordDict({METRICS: MetricRecord(dict(told))}), reply_to=message)


def coordinate(grid: Grid, context: Context) -> None:
    """The coordinator's run."""
    from cranpm.clients.coordinator import Coordinator

    folder = Path(str(context.run_config["coordinator"]))
    names = {int(node): name for node, name in nodes(folder).items()}
    Coordinator(folder).run(grid, names, resume=bool(context.run_config.get("resume", False)))


def agency_folder(context: Context) -> Path:
    """The folder of a node's agency: named by the node itself, or, in Flower's simulation, by its partition.

    Raises:
        CranpmError: neither is said.
    """
    if named := context.node_config.get("agency"):
        return Path(str(named))
    together, place = context.run_config.get("agencies"), context.node_config.get("partition-id")
    if not together or place is None:
        raise CranpmError("this node does not know its agency: start it with `cranpm federate join`")
    folders = sorted(path.parent for path in Path(str(together)).glob("*/agency.yaml"))
    return folders[int(str(place))]


def open_agency(folder: Path, tell: Progress = silent) -> Agency:
    """An agency, opened once in a process."""
    key = folder.resolve()
    if key not in _OPEN:
        _OPEN[key] = Agency(folder, tell)
    return _OPEN[key]
