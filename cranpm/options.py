"""Options that several commands share, and those that take several values: `--leads 1 2 3`, `1,2,3` or repeated."""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import click
import typer
from typer.core import TyperCommand

from cranpm.errors import CranpmError

RegionArgument = Annotated[str, typer.Argument(help="A shipped region or the path of a pack.")]
DataOption = Annotated[Path | None, typer.Option(help="A prepared store; without it the pack's simulated sample.")]
LeadsOption = Annotated[list[str], typer.Option(help="Days ahead, such as 1 2 3 or 1,2,3.")]
ModelOption = Annotated[str | None, typer.Option(help="A registered model or a checkpoint folder. [europe-sample]")]
BundleOption = Annotated[Path | None, typer.Option(help="A bundle instead of a model: runs without torch.")]
KeyOption = Annotated[Path | None, typer.Option(help="A public key that must have signed the bundle.")]
AdapterOption = Annotated[Path | None, typer.Option(help="An adapter folder, to put on the model.")]
BaselinesOption = Annotated[Path | None, typer.Option(help="Fitted baselines other than the pack's.")]
RandomOption = Annotated[bool, typer.Option("--random-weights", help="Run a network without training.")]
DeviceOption = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
RuntimeOption = Annotated[str, typer.Option(help="auto, cpu, cuda; with a bundle tensorrt, openvino.")]

SPREAD = {
    "--leads": re.compile(r"\d+(,\d+)*,?"),
    "--days": re.compile(r"\d{4}(-\d\d){0,2}(\.\.\d{4}(-\d\d){0,2})?,?"),
    "--thresholds": re.compile(r"\d+(\.\d+)?(,\d+(\.\d+)?)*,?"),
    "--adapters": re.compile(r"[^-].*"),
}
"""Options that may be followed by several values, and what such a value looks like."""


class SpreadCommand(TyperCommand):
    """A command whose `SPREAD` options may be followed by several values with spaces between them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the option before each further value, then parse as usual."""
        return super().parse_args(ctx, spread(args))


def leaf(function: Callable[..., Any]) -> typer.Typer:
    """A command of its own that understands several values after the options of `SPREAD`."""
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(cls=SpreadCommand, help=function.__doc__)(function)
    return app


def spread(args: Sequence[str]) -> list[str]:
    """`--leads 1 2 3` as `--leads 1 --leads 2 --leads 3`; all else as it is."""
    out: list[str] = []
    option = ""
    for k, arg in enumerate(args):
        if option and SPREAD[option].fullmatch(arg) and args[k - 1] != option:
            out.append(option)
        elif arg in SPREAD:
            option = arg
        elif not (option and args[k - 1] == option):
            option = ""
        out.append(arg)
    return out


def plain_warnings() -> None:
    """Show warnings as one line for a person, not with the line of code that raised them."""
    warnings.showwarning = lambda message, *_: print(f"note: {message}", file=sys.stderr)


def parse_leads(values: Sequence[str]) -> tuple[int, ...]:
    """Leads from the values of `--leads`, ascending, each once.

    Raises:
        CranpmError: a value is not a positive whole number.
    """
    pieces = [piece.strip() for value in values for piece in value.split(",") if piece.strip()]
    if not pieces or not all(re.fullmatch(r"[1-9]\d?", piece, flags=re.ASCII) for piece in pieces):
        raise CranpmError(f"--leads {' '.join(values)}: whole days ahead are expected, such as 1 2 3")
    return tuple(sorted({int(piece) for piece in pieces}))
