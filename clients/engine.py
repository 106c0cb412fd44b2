"""The same app in Flower's simulation engine (Ray): agencies as virtual nodes, for many of them on many cores."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from cranpm.clients.agency import FILE
from cranpm.clients.book import Line
from cranpm.clients.quiet import quiet
from cranpm.errors import require

if TYPE_CHECKING:
    from flwr.app import Message
    from flwr.serverapp import Grid


def run_in_engine(
    coordinator: Path, agencies: Path, *, resume: bool, tell: Callable[[Line], None], cores: int = 1
) -> None:
    """Run the rounds; nodes have no names here, so the book calls them by number.

    Args:
        coordinator: with `federation.yaml`.
        agencies: the folder of all agencies' folders, which become the partitions in the order of their names.
        resume: go on with the book.
        tell: called with every line.
        cores: of each virtual node.
    """
    quiet()
    require("ray", extra="federate-simulation")
    _ask_no_cloud()
    from flwr.app import Context
    from flwr.clientapp import ClientApp
    from flwr.serverapp import ServerApp
    from flwr.simulation import run_simulation

    client, server, together = ClientApp(), ServerApp(), str(agencies.resolve())

    def handed_on(message: Message, context: Context) -> Message:
        from cranpm.clients.flapp.client_app import app

        own = Context(  # Flower refuses a context whose run_config was altered
            run_id=context.run_id, node_id=context.node_id, node_config=context.node_config, state=context.state,
            run_config={**context.run_config, "agencies": together},
        )  # fmt: skip
        return app(message, own)

    client.train()(handed_on)
    client.evaluate()(handed_on)

    @server.main()
    def main(grid: Grid, context: Context) -> None:
        from cranpm.clients.coordinator import Coordinator

        Coordinator(coordinator, tell).run(grid, {}, resume=resume)

    run_simulation(
        server, client, num_supernodes=len(list(agencies.glob(f"*/{FILE}"))),
        backend_config={
            "client_resources": {"num_cpus": cores, "num_gpus": 0.0},
            "init_args": {"include_dashboard": False, "log_to_driver": False},
        },
    )  # fmt: skip


def _ask_no_cloud() -> None:
    """Ray asks metadata services which cloud it runs in, even with its statistics off; a proxy that is none ends it."""
    from ray.util import get_node_ip_address

    for name in ("http_proxy", "https_proxy"):
        os.environ[name] = os.environ[name.upper()] = "http://127.0.0.1:9"
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = f"localhost,127.0.0.1,{get_node_ip_address()}"
