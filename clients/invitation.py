"""An invitation: what an agency needs to know of a federation. It holds no secret; its key stays with the agency."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from cranpm.clients.agency_name import check_name
from cranpm.errors import CranpmError
from cranpm.folders import write_whole

SCHEMA_VERSION = 1
LIMIT = 200_000
"""Bytes."""
_ADDRESS = re.compile(r"(?P<host>[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}")


@dataclass(frozen=True)
class Invitation:
    """The file.

    Attributes:
        agency: the name that the agency was admitted under.
        address: host:port of the gateway.
        authority: the coordinator's certificate authority, PEM.
        app_sha256: fingerprint of the app that will run; nothing else may.
        base, base_sha256: the model that is adapted.
        settings: rank, targets and batch of all, YAML.
        schema_version: of this file.
    """

    agency: str
    address: str
    authority: str
    app_sha256: str
    base: str
    base_sha256: str
    settings: str
    schema_version: int = SCHEMA_VERSION


def write_invitation(path: Path, invitation: Invitation) -> None:
    """Write the file."""
    write_whole(path, (json.dumps(asdict(invitation), indent=1) + "\n").encode())


def read_invitation(path: Path) -> Invitation:
    """Read the file; it comes from outside.

    Raises:
        CranpmError: it is no invitation, or one of another version.
    """
    if not path.is_file():
        raise CranpmError(f"{path}: no such file; the coordinator's `cranpm federate admit` makes it")
    try:
        values = json.loads(path.read_bytes()[: LIMIT + 1].decode("utf-8")) if path.stat().st_size <= LIMIT else None
    except ValueError as error:
        raise CranpmError(f"{path}: not an invitation ({error}); ask for it again") from error
    names = {field.name for field in fields(Invitation)}
    if not isinstance(values, dict) or set(values) != names:
        raise CranpmError(f"{path}: not an invitation; ask the coordinator for it again")
    if values.pop("schema_version") != SCHEMA_VERSION or not all(isinstance(v, str) for v in values.values()):
        raise CranpmError(f"{path}: an invitation of another version; use the cranpm that the coordinator uses")
    invitation = Invitation(**values)
    check_name(invitation.agency)
    if not host_of(invitation.address):
        raise CranpmError(f"{path}: address '{invitation.address[:60]}', host:port is expected")
    if len(invitation.app_sha256) != 64 or not invitation.authority.startswith("-----BEGIN CERTIFICATE-----"):
        raise CranpmError(f"{path}: fingerprint or certificate are not what they should be; ask for it again")
    return invitation


def host_of(address: str) -> str:
    """The host of host:port; empty where it is none."""
    found = _ADDRESS.fullmatch(address)
    return found["host"] if found else ""
