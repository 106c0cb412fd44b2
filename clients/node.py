"""A SuperNode that runs the approved app only: `python -m cranpm.clients.node SHA256 FLOWER-ARGUMENTS`."""

from __future__ import annotations

import sys


def main() -> None:
    """Check, then hand over to Flower."""
    approved, *arguments = sys.argv[1:]
    from cranpm.clients.approval import run_approved_only

    run_approved_only(approved)
    from flwr.supernode.cli.flower_supernode import flower_supernode

    sys.argv = ["flower-supernode", *arguments]
    flower_supernode()


if __name__ == "__main__":
    main()
