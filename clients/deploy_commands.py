"""`cranpm federate init, request, admit, serve, join, run`: a federation between machines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cranpm.options import plain_warnings

Coordinator = Annotated[Path, typer.Argument(help="The coordinator's folder.")]


def init(
    folder: Coordinator,
    address: Annotated[str, typer.Option(help="host:port by which agencies reach the gateway.")],
    listen: Annotated[str, typer.Option(help="address:port that the gateway listens on. [0.0.0.0:PORT]")] = "",
    superlink_port: Annotated[int, typer.Option(help="The SuperLink's port on loopback.")] = 8000,
) -> None:
    """Coordinator: make the folder with its own certificate authority, the gateway's configuration, federation.yaml.

    Example: cranpm federate init federation --address aq.example.org:8443
    """
    from cranpm.clients.deploy import Addresses, make_coordinator

    _ready()
    make_coordinator(folder, Addresses(address, listen or f"0.0.0.0:{address.rpartition(':')[2]}", superlink_port))
    typer.echo(f"{folder}: edit federation.yaml, then: cranpm federate serve {folder}")


def request(folder: Annotated[Path, typer.Argument(help="The agency's folder; it stays at home.")]) -> None:
    """Agency: make a key with mode 0600, which never leaves the folder; its public half goes to the coordinator.

    Example: cranpm federate request my-agency
    """
    from cranpm.clients.keys import make_node_key

    public = make_node_key(folder)
    typer.echo(f"{public}: send this file to the coordinator; tell its fingerprint by another way:")
    typer.echo(_fingerprint(public))


def admit(
    folder: Coordinator,
    key: Annotated[Path, typer.Argument(help="The agency's public key, KEY.pub.")],
    name: Annotated[str, typer.Option(help="What the agency is called in all records.")],
    out: Annotated[Path | None, typer.Option(help="The invitation. [NAME.invitation.json]")] = None,
) -> None:
    """Coordinator: let a key in, and write the agency's invitation; SuperLink must run (`serve`).

    Example: cranpm federate admit federation india.pub --name india
    """
    from cranpm.clients.deploy import admit as let_in

    _ready()
    typer.echo(_fingerprint(key))
    path = out or Path(f"{name}.invitation.json")
    made = let_in(folder, key, name, path)
    typer.echo(f"{path}: for '{name}'; the app's fingerprint is {made.app_sha256}")


def serve(folder: Coordinator) -> None:
    """Coordinator: start the SuperLink on loopback, and the gateway that agencies reach, until Ctrl-C.

    Example: cranpm federate serve federation
    """
    from cranpm.clients.deploy import addresses, serving_commands
    from cranpm.clients.processes import keep_running

    _ready()
    commands = serving_commands(folder)
    typer.echo(f"agencies reach {addresses(folder).address}; SuperLink listens on 127.0.0.1 only", err=True)
    raise typer.Exit(keep_running(commands, folder))


def join(
    invitation: Annotated[Path, typer.Argument(help="The coordinator's answer to your key.")],
    data: Annotated[Path, typer.Option(help="The prepared store, which stays here.")],
    folder: Annotated[Path, typer.Option(help="The agency's folder, with its key.")],
    region: Annotated[str, typer.Option(help="The pack of the store, by name or path.")],
    days: Annotated[str, typer.Option(help="The local days; without, those outside the pack's test years.")] = "",
    base: Annotated[str, typer.Option(help="Where the base lies here, if it is not a registered model.")] = "",
    approve: Annotated[str, typer.Option(help="Fingerprint of another app that you have read and accept.")] = "",
    tell_scores: Annotated[bool, typer.Option(help="Tell the coordinator the four scores at the end.")] = True,
) -> None:
    """Agency: take part until Ctrl-C. Only the app that is installed here runs, and tiles never leave.

    Example: cranpm federate join india.invitation.json --folder my-agency --region india --data india.zarr
    """
    from cranpm.clients.joining import join as take_part

    _ready()
    take_part(invitation, folder, region, data, days, base, approve, tell_scores)


def run(
    folder: Coordinator, resume: Annotated[bool, typer.Option("--resume", help="Go on after a stop.")] = False
) -> None:
    """Coordinator: start the rounds, or go on with them; agencies that are there take part.

    Example: cranpm federate run federation
    """
    from rich.console import Console

    from cranpm.clients.commands import show_status
    from cranpm.clients.deploy import run_command
    from cranpm.clients.processes import keep_running
    from cranpm.clients.report import write_report
    from cranpm.clients.running import check_run

    _ready()
    check_run(folder, resume=resume)
    code = keep_running([run_command(folder, resume=resume)], folder)
    show_status(folder, Console())
    typer.echo(str(write_report(folder)))
    raise typer.Exit(code)


def _ready() -> None:
    from cranpm.clients.quiet import quiet

    plain_warnings()
    quiet()


def _fingerprint(public: Path) -> str:
    import hashlib

    return f"SHA-256 {hashlib.sha256(public.read_bytes().strip()).hexdigest()}"
