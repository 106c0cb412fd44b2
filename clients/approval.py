"""The app's fingerprint, and a SuperNode that runs no app with another one.

Flower's own `--trusted-entities` needs a platform that signs apps. Here the agency builds the app from the package that
it installed itself; what the coordinator sends must be the same bytes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cranpm.errors import CranpmError

KNOWN = ("1.41.",)
"""Versions of Flower whose two private functions are known to be as we use them."""


def app_folder() -> Path:
    """Where the Flower app lies: this package."""
    return Path(__file__).parent


def fingerprint(folder: Path | None = None) -> str:
    """SHA-256 of the app as Flower packs it; the same source gives the same bytes."""
    from flwr.cli.build import build_fab_from_disk

    return hashlib.sha256(build_fab_from_disk(folder or app_folder())).hexdigest()


def run_approved_only(approved: str) -> None:
    """Let the SuperNode of this process refuse any app but one; call it before it starts.

    An app that is refused is neither stored nor run, and the coordinator gets Flower's "could not be verified".

    Args:
        approved: SHA-256, hexadecimal.

    Raises:
        CranpmError: this version of Flower was not looked at.
    """
    from importlib.metadata import version

    from flwr.supernode import start_client_internal as supernode

    found = version("flwr")
    if not found.startswith(KNOWN) or not all(
        hasattr(supernode, name) for name in ("_pull_and_store_message", "_verify_fab")
    ):
        raise CranpmError(f"flwr {found}: the check of the app is known to hold in {KNOWN[0]}x only; install that one")
    pull = supernode._pull_and_store_message

    def checked_pull(**given: Any) -> Any:  # the private function's arguments, handed on
        return pull(**{**given, "get_fab": _marked(given["get_fab"]), "trusted_entities": {"approved": approved}})

    def verify(fab: Any, trusted: dict[str, str]) -> bool:
        return hashlib.sha256(fab.content).hexdigest() == approved == trusted.get("approved")

    supernode._pull_and_store_message = checked_pull  # type: ignore[assignment]
    supernode._verify_fab = verify  # type: ignore[assignment]


def _marked(get_fab: Callable[[str, int], Any]) -> Callable[[str, int], Any]:
    """Without the mark Flower refuses before it asks `_verify_fab`."""

    def marked(digest: str, run: int) -> Any:
        fab = get_fab(digest, run)
        fab.verifications["valid_license"] = "approved by the agency"
        return fab

    return marked
