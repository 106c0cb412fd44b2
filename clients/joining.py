"""An agency takes part: its file from the invitation, the check of the app, and its SuperNode."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import yaml

from cranpm.clients.agency import FILE, Agency
from cranpm.clients.approval import fingerprint
from cranpm.clients.deploy import AUTHORITY, node_command
from cranpm.clients.invitation import Invitation, read_invitation
from cranpm.clients.keys import NODE_KEY, check_private
from cranpm.clients.processes import free_port, surroundings
from cranpm.errors import CranpmError
from cranpm.folders import write_whole
from cranpm.model.registry import load


def join(
    path: Path, folder: Path, region: str, data: Path, days: str, base: str, approve: str, tell_scores: bool
) -> NoReturn:
    """Take part until a person ends it; arguments as on the command line.

    This process becomes the SuperNode: nothing of what was loaded to look at the store stays in memory.

    Raises:
        CranpmError: the invitation, the app, the base or the store cannot serve.
    """
    invitation = read_invitation(path)
    check_app(invitation, approve)
    check_private(folder / NODE_KEY)
    chosen = base or invitation.base
    found = load(chosen)
    if found.hash != invitation.base_sha256:
        raise CranpmError(
            f"base '{chosen}' has SHA-256 {found.hash[:12]}…, the federation adapts {invitation.base_sha256[:12]}…: "
            "get that base, and name it with --base"
        )
    write_whole(folder / AUTHORITY, invitation.authority.encode())
    write_whole(folder / "settings.yaml", invitation.settings.encode())
    values = {
        "name": invitation.agency,
        "region": region,
        "data": str(data.resolve()),
        "base": str(Path(chosen).resolve()) if "/" in chosen else chosen,
        "settings": "settings.yaml",
        "tell_scores": tell_scores,
        **({"days": days} if days else {}),
    }
    write_whole(folder / FILE, yaml.safe_dump(values, sort_keys=False).encode())
    _ = Agency(folder).shares  # a store without the days is refused here, not in the first round
    command = node_command(folder, invitation, free_port())
    os.execve(command[0], command, surroundings(folder))


def check_app(invitation: Invitation, approve: str) -> None:
    """Refuse an app that is neither the one installed here nor approved by its fingerprint.

    Raises:
        CranpmError: both fingerprints, and the ways out.
    """
    own = fingerprint()
    if invitation.app_sha256 not in (own, approve):
        raise CranpmError(
            f"the federation runs app {invitation.app_sha256}, installed here is {own}: install the coordinator's "
            "version of cranpm, or read its app and approve it with --approve FINGERPRINT"
        )
