"""What the coordinator runs: all rounds, from its folder."""

from __future__ import annotations

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from cranpm.clients.app import coordinate

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the rounds."""
    coordinate(grid, context)
