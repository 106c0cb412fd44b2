"""`cranpm model list | show`: which networks there are, and what they are made of."""

from __future__ import annotations

import typer

app = typer.Typer(
    help="Checkpoints and configurations.", no_args_is_help=True, add_completion=False, rich_markup_mode=None
)


@app.command("list")
def list_models() -> None:
    """The registered networks."""
    from rich.table import Table

    from cranpm.model import registry
    from cranpm.model.config import CONFIGS

    table = Table("name", "tile", "coarse window", "leads", "weights")
    for name in registry.names():
        checkpoint = registry.load(name, random_weights=name in CONFIGS)
        config = checkpoint.config
        trained = f"trained on {'simulated ' if checkpoint.simulated else ''}{checkpoint.region}"
        table.add_row(
            name,
            f"{config.tile} px",
            f"{config.coarse_shape[0]} x {config.coarse_shape[1]}",
            ", ".join(str(lead) for lead in checkpoint.trained_leads) or "-",
            "none (--random-weights)" if checkpoint.random_weights else trained,
        )
    _print(table)


@app.command("show")
def show(
    name: str = typer.Argument(help="A registered name or a checkpoint folder."),
) -> None:
    """Parameters and arithmetic of each part of a network.

    Example: cranpm model show europe-sample
    """
    from rich.table import Table

    from cranpm.errors import require
    from cranpm.model import registry
    from cranpm.model.config import CONFIGS

    require("torch", extra="train")
    from cranpm.model.parts import parts

    checkpoint = registry.load(name, random_weights=name in CONFIGS)
    rows = parts(checkpoint.config)
    table = Table("part", "parameters", "GFLOP", "per", title=_title(name, checkpoint.config.name))
    for column in table.columns[1:3]:
        column.justify = "right"
    for part in rows:
        table.add_row(part.name, f"{part.parameters:,}", f"{part.gflop:.2f}", part.per)
    per = {kind: sum(part.gflop for part in rows if part.per == kind) for kind in ("day", "tile")}
    table.add_section()
    table.add_row(
        "total", f"{sum(part.parameters for part in rows):,}", f"{per['day']:.2f} + {per['tile']:.2f}", "day + tile"
    )
    _print(table)
    for line in _facts(checkpoint.trained_leads, checkpoint.region, checkpoint.simulated, checkpoint.hash):
        typer.echo(line)


def _title(name: str, config: str) -> str:
    return name if name == config else f"{name} ({config})"


def _facts(leads: tuple[int, ...], region: str, simulated: bool, digest: str) -> list[str]:
    if not digest:
        return ["no trained weights: commands that run it need --random-weights"]
    trained = f"trained on {'simulated ' if simulated else ''}{region} for leads {', '.join(map(str, leads))} (days)"
    return [trained, f"weights SHA-256 {digest}"]


def _print(table: object) -> None:
    from rich.console import Console

    Console().print(table)
