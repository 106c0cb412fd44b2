"""A federation between machines: the coordinator's folder, admission, and the commands of Flower behind ours.

FOLDER/coordinator.json    addresses and ports
FOLDER/secrets/            authority and server, private keys 0600
FOLDER/gateway/            nginx.conf and its logs
FOLDER/flower/             Flower's own: connection, state.db
FOLDER/nodes.json          node ids and the names they were admitted under
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cranpm.clients.agency_name import check_name
from cranpm.clients.approval import app_folder, fingerprint
from cranpm.clients.federation import FILE as FEDERATION
from cranpm.clients.federation import SETTINGS, Federation, read_federation
from cranpm.clients.gateway import command as gateway_command
from cranpm.clients.gateway import write_configuration
from cranpm.clients.invitation import Invitation, host_of, write_invitation
from cranpm.clients.keys import NODE_KEY, check_private, make_certificates
from cranpm.clients.processes import call, home_of, program
from cranpm.errors import CranpmError
from cranpm.folders import write_whole

FILE, NODES, AUTHORITY = "coordinator.json", "nodes.json", "ca.crt"
_PLAIN = re.compile(r"[\w/.-]+")


@dataclass(frozen=True)
class Addresses:
    """Where a coordinator is found.

    Attributes:
        address: host:port that agencies reach.
        listen: address:port that the gateway listens on.
        superlink: port of the SuperLink on loopback.
    """

    address: str
    listen: str
    superlink: int


def make_coordinator(folder: Path, places: Addresses) -> None:
    """Make a coordinator's folder: certificates, gateway, connection, and a federation.yaml where there is none.

    Raises:
        CranpmError: there is a coordinator already, or a name cannot stand in the configuration of nginx or Flower.
    """
    if (folder / FILE).exists():
        raise CranpmError(f"{folder}: holds a coordinator already")
    host = host_of(places.address)
    if not host or not host_of(places.listen):
        raise CranpmError(f"--address {places.address}, --listen {places.listen}: host:port is expected of both")
    if not _PLAIN.fullmatch(str(folder.resolve())):
        raise CranpmError(
            f"{folder.resolve()}: the gateway's configuration cannot hold this path; letters, digits, / . _ - can"
        )
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)
    make_certificates(folder / "secrets", [host])
    write_configuration(folder, places.listen, places.superlink)
    authority = folder.resolve() / "secrets" / AUTHORITY
    connection = f'address = "127.0.0.1:{places.superlink}"\nroot-certificates = "{authority}"\n'
    text = f'[superlink]\ndefault = "federation"\n\n[superlink.federation]\n{connection}'
    write_whole(home_of(folder) / "config.toml", text.encode())
    if not (folder / FEDERATION).exists():
        write_whole(folder / FEDERATION, _template().encode())
    write_whole(folder / FILE, (json.dumps(asdict(places), indent=1) + "\n").encode())


def addresses(folder: Path) -> Addresses:
    """Of a coordinator's folder.

    Raises:
        CranpmError: there is none.
    """
    path = folder / FILE
    if not path.is_file():
        raise CranpmError(f"{folder}: no coordinator there; make one with `cranpm federate init {folder}`")
    return Addresses(**json.loads(path.read_text(encoding="utf-8")))


def serving_commands(folder: Path) -> list[list[str]]:
    """SuperLink on loopback, and the gateway before it."""
    secrets, port = folder.resolve() / "secrets", addresses(folder).superlink
    for name in ("ca.key", "server.key"):
        check_private(secrets / name)
    link = [
        program("flower-superlink"), "--host", "127.0.0.1", "--port", str(port),
        "--ssl-ca-certfile", str(secrets / AUTHORITY), "--ssl-certfile", str(secrets / "server.crt"),
        "--ssl-keyfile", str(secrets / "server.key"), "--enable-supernode-auth",
        "--database", str(home_of(folder) / "state.db"), "--disable-runtime-dependency-installation",
    ]  # fmt: skip
    return [link, gateway_command(folder)]


def admit(folder: Path, key: Path, name: str, out: Path) -> Invitation:
    """Register an agency's public key at the running SuperLink, and write its invitation.

    Raises:
        CranpmError: the name is taken, the SuperLink does not run, or it refuses the key.
    """
    from cranpm.model.registry import load

    check_name(name)
    places, plan = addresses(folder), read_federation(folder)
    known = nodes(folder)
    if name in known.values():
        raise CranpmError(f"agency '{name}' was admitted already; give another name")
    if not key.is_file() or not key.read_bytes().startswith(b"ecdsa-sha2-"):
        raise CranpmError(f"{key}: not a public key of `cranpm federate request`")
    base = load(str(folder / plan.base) if "/" in plan.base else plan.base)
    settings = folder / plan.settings if plan.settings else SETTINGS
    made = Invitation(
        agency=name,
        address=places.address,
        authority=(folder / "secrets" / AUTHORITY).read_text(encoding="utf-8"),
        app_sha256=fingerprint(),
        base=base.name if "/" in plan.base else plan.base,
        base_sha256=base.hash,
        settings=settings.read_text(encoding="utf-8"),
    )
    said = call([program("flwr"), "supernode", "register", str(key), "--name", name, "--format", "json"], folder)
    number = _json(said).get("node-id")
    if number is None:
        why = str(_json(said).get("error-message", said)).strip()[-300:]
        raise CranpmError(f"the SuperLink did not register '{name}': {why}")
    write_whole(folder / NODES, (json.dumps({**known, str(number): name}, indent=1) + "\n").encode())
    write_invitation(out, made)
    return made


def nodes(folder: Path) -> dict[str, str]:
    """By node id, the name that an agency was admitted under."""
    path = folder / NODES
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}


def run_command(folder: Path, *, resume: bool, app: Path | None = None) -> list[str]:
    """Submit the app to the SuperLink and follow it."""
    config = f'coordinator="{folder.resolve()}" resume={"true" if resume else "false"}'
    return [program("flwr"), "run", str(app or app_folder()), "federation", "--stream", "-c", config]


def node_command(folder: Path, invitation: Invitation, port: int) -> list[str]:
    """The agency's SuperNode, which runs the approved app only.

    Raises:
        CranpmError: the key is missing or others can read it.
    """
    check_private(folder / NODE_KEY)
    home = folder.resolve()
    return [
        sys.executable, "-m", "cranpm.clients.node", invitation.app_sha256, "--superlink", invitation.address,
        "--root-certificates", str(home / AUTHORITY), "--auth-supernode-private-key", str(home / NODE_KEY),
        "--host", "127.0.0.1", "--port", str(port), "--node-config", f'agency="{home}"',
    ]  # fmt: skip


def _template() -> str:
    plan = Federation()
    return f"""# What the coordinator decides before the first round; see docs/federation.md.
base: {plan.base}
method: {plan.method}  # fedavg, fedprox, ffa-lora, fedsa-lora
robust: {plan.robust}  # clip, none, trimmed, krum
rounds: {plan.rounds}
steps: {plan.steps}  # of each agency in a round
personal: {plan.personal}  # of each agency alone, after the last round
least: {plan.least}  # agencies without which no round begins
timeout: {plan.timeout:g}  # seconds
tolerance: {plan.tolerance}  # rise of the RMSE on public days that is allowed
# public:  # days that anyone may see, by which an aggregate is judged
#   - {{region: europe, data: public.zarr, days: 2021-07}}
"""


def _json(text: str) -> dict[str, Any]:
    """The JSON object in what a program printed."""
    try:
        return json.loads(text[text.index("{") : text.rindex("}") + 1])
    except ValueError:
        return {}
