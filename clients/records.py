"""Orders and replies as Flower's records, and back; what comes back is looked at before numpy reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict

from cranpm.clients.message import Order, Reply, Tensors
from cranpm.errors import CranpmError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ARRAYS, CONFIG, METRICS = "arrays", "config", "metrics"
LONGEST = 300
"""Characters of a reason that an agency gives."""


def to_arrays(tensors: Tensors) -> ArrayRecord:
    """Tensors for the wire, in the order of their names."""
    return ArrayRecord({name: Array(np.ascontiguousarray(tensors[name], np.float32)) for name in sorted(tensors)})


def from_arrays(record: ArrayRecord) -> dict[str, NDArray[np.float32]]:
    """Tensors from the wire; nothing is unpickled.

    Raises:
        CranpmError: an array is not plain float32 numbers of the length that its shape tells.
    """
    out = {}
    for name, array in record.items():
        if array.stype != "numpy.ndarray" or array.dtype != "float32":
            raise CranpmError(f"dtype of '{name}': {array.dtype[:20]} as {array.stype[:20]}, expected float32")
        try:
            values = array.numpy()
        except Exception as error:  # whatever numpy says of bytes from outside
            raise CranpmError(f"'{name}' cannot be read as an array ({type(error).__name__})") from error
        if not isinstance(values, np.ndarray):  # numpy opens zip files, too
            raise CranpmError(f"'{name}' cannot be read as an array ({type(values).__name__})")
        out[name] = values
    return out


def shown(text: str) -> str:
    """Text from outside as a record keeps it and a terminal shows it: printable characters, one line, the end of it."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[-LONGEST:]


def order_of(message: Message) -> tuple[Order, dict[str, NDArray[np.float32]]]:
    """What a coordinator sent.

    Raises:
        CranpmError: it is no order of ours.
    """
    content = message.content
    if ARRAYS not in content.array_records or CONFIG not in content.config_records:
        raise CranpmError("the coordinator's message holds no order; ask which cranpm it runs")
    return Order.from_config(dict(content.config_records[CONFIG])), from_arrays(content.array_records[ARRAYS])


def reply_record(reply: Reply) -> RecordDict:
    """All that leaves an agency."""
    return RecordDict(
        {
            ARRAYS: to_arrays(reply.tensors),
            METRICS: MetricRecord(dict(reply.scalars)),
            CONFIG: ConfigRecord({"base_hash": reply.base_hash}),
        }
    )


def reply_of(message: Message) -> Reply:
    """What an agency answered.

    Raises:
        CranpmError: it answered with an error, or its message is not built as ours are.
    """
    if message.has_error():
        raise CranpmError(f"no answer: {shown(message.error.reason or 'no reason')}")
    content = message.content
    if set(content) != {ARRAYS, METRICS, CONFIG} or not (
        ARRAYS in content.array_records and METRICS in content.metric_records and CONFIG in content.config_records
    ):
        raise CranpmError(f"records {sorted(content)[:5]}, expected {ARRAYS}, {CONFIG} and {METRICS}")
    scalars = dict(content.metric_records[METRICS])
    if lists := [name for name, value in scalars.items() if isinstance(value, list)]:
        raise CranpmError(f"scalar '{lists[0][:40]}' is a list")
    config = dict(content.config_records[CONFIG])
    if set(config) != {"base_hash"} or not isinstance(config["base_hash"], str):
        raise CranpmError("the record 'config' must hold base_hash and nothing else")
    return Reply(from_arrays(content.array_records[ARRAYS]), scalars, config["base_hash"])  # type: ignore[arg-type]
