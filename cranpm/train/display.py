"""What a person sees of a run while it goes on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

from cranpm.train.interruption import Interruption, requeue
from cranpm.train.keeper import CHECKPOINT, LAST, Event, Rmse, Stepped, Validating
from cranpm.train.session import Folder


class Run(Protocol):
    """What `ending` reads of a run."""

    folder: Path
    again: str
    interruption: Interruption

    @property
    def simulated(self) -> bool: ...


@contextmanager
def shown(
    made: Folder, line: Callable[[Rmse], str] | None = None
) -> Iterator[tuple[Callable[[str, int, int], None], Callable[[Event], None]]]:
    """Bars for the preparations and for the steps, and a line for each validation; the first process only.

    Args:
        made: the run.
        line: the scores of a validation as text; without, beside those of persistence.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, TimeRemainingColumn(), console=Console(stderr=True), disable=not made.first) as bars:
        lines: dict[str, int] = {}

        def show(what: str, done: int, total: int, text: str = "") -> None:
            if what not in lines:
                lines[what] = bars.add_task(what, total=total)
            bars.update(lines[what], completed=done, total=total, description=text or what)  # type: ignore[arg-type]

        def tell(event: Event) -> None:
            if isinstance(event, Stepped):
                show("training", event.step, event.total, f"training, loss {event.terms['loss']:.3f}")
            elif isinstance(event, Validating):
                show("validating", event.done, event.total)
            else:
                bars.console.print(
                    f"step {event.step}: {(line or _line)(event.rmse)}{'  (best so far)' if event.best else ''}"
                )

        yield show, tell


def _line(rmse: Rmse) -> str:
    """Validation RMSE beside persistence, e.g. `T+1 4.41 against 4.95 (-11%)`."""
    parts = [
        f"T+{lead} {model:.2f} against {still:.2f} ({100 * (model / still - 1):+.1f}%)"
        for lead, (model, still) in rmse.items()
    ]
    return "RMSE " + ", ".join(parts) + " of persistence, ug/m3"


def ending(made: Run) -> str:
    """Where the weights of a run lie. After a signal, how to go on is said and the command ends.

    Raises:
        typer.Exit: the run was stopped; a job of SLURM that ran out of time is put back into the queue.
    """
    stopped = made.interruption
    if stopped.stopped_at is None:
        simulated = "simulated; " if made.simulated else ""
        return f"{made.folder / CHECKPOINT}  ({simulated}the last weights: {made.folder / LAST})"
    typer.echo(f"stopped after step {stopped.stopped_at}; go on with: {made.again}", err=True)
    if stopped.asks_for_more_time and (job := requeue()):
        typer.echo(f"SLURM will start job {job} again", err=True)
    raise typer.Exit(stopped.exit_code)
