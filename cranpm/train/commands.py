"""`cranpm train`: a checkpoint from a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from cranpm.train.loop import Trainer
    from cranpm.train.session import Plan


def train(
    name: str = typer.Argument(help="A shipped recipe (europe-sample) or the path of one."),
    quick: bool = typer.Option(False, "--quick", help="The recipe's short variant: minutes, for tests."),
    seed: int = typer.Option(0, help="Of the weights, the examples and the dropout."),
    out: Path | None = typer.Option(None, help="The run's folder. [default: runs/NAME-sSEED]"),
    resume: bool = typer.Option(False, "--resume", help="Go on with the run in that folder."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
) -> None:
    """Train a checkpoint on simulated days of a region.

    The simulated days are made once and kept in the cache folder for every seed. The run's folder holds the best
    weights so far (`checkpoint/`), the scores (`history.json`) and what --resume needs.

    Example: cranpm train europe-sample --quick --out runs/try
    """
    from cranpm.errors import require

    require("torch", extra="train")
    from cranpm.train.session import plan

    made = plan(name, quick=quick, seed=seed, out=out, device=device)
    made.prepare_folder(resume=resume)
    _simulate(made)
    trainer = _load(made, resume)
    _train(made, trainer)


def _simulate(made: Plan) -> None:
    from cranpm.data.progress import progress_bar

    with progress_bar() as tell:
        for ready, total in made.simulate():
            tell("simulated days", ready, total)


def _load(made: Plan, resume: bool) -> Trainer:
    from cranpm.data.progress import progress_bar

    with progress_bar() as tell:
        trainer = made.load(tell)
    if resume:
        trainer.resume()
        typer.echo(f"resumed at step {trainer.progress.step} of {made.recipe.schedule.steps}", err=True)
    return trainer


def _train(made: Plan, trainer: Trainer) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    from cranpm.train.loop import Stepped

    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, TimeRemainingColumn(), console=console) as bars:
        bar = bars.add_task("training", total=made.recipe.schedule.steps, completed=trainer.progress.step)
        for event in trainer.run(*made.examples):
            if isinstance(event, Stepped):
                bars.update(bar, completed=event.step, description=f"training, loss {event.loss:.3f}")
            else:
                bars.console.print(f"step {event.step}: {_line(event.rmse)}{'  (best so far)' if event.best else ''}")
    best = trainer.progress.history and trainer.progress.best_step
    typer.echo(f"{made.folder / 'checkpoint'}  (simulated; weights of step {best})")


def _line(rmse: dict[int, tuple[float, float]]) -> str:
    """Validation RMSE beside persistence, e.g. `T+1 4.41 against 4.95 (-11%)`."""
    parts = [
        f"T+{lead} {model:.2f} against {still:.2f} ({100 * (model / still - 1):+.1f}%)"
        for lead, (model, still) in rmse.items()
    ]
    return "RMSE " + ", ".join(parts) + " of persistence, ug/m3"
