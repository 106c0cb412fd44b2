"""`cranpm adapt`: a base model and an agency's own days make an adapter."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cranpm.options import DeviceOption, RegionArgument, leaf, plain_warnings


def run_adapt(
    region: RegionArgument,
    data: Annotated[Path | None, typer.Option(help="A prepared store; without it simulated days of the pack.")] = None,
    base: Annotated[str, typer.Option(help="A registered model or a checkpoint folder.")] = "europe-sample",
    months: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="So many months of 30 days, spread over the latest year before the pack's test years. [all days]",
        ),
    ] = None,
    days: Annotated[list[str] | None, typer.Option(help="The local days instead: dates, A..B, months, years.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The adapter's folder; the run's is beside it. [adapters/REGION-lora-sSEED]")
    ] = None,
    settings: Annotated[
        Path | None, typer.Option(help="Rank, targets, schedule, ...: your copy of adapt/configs/default.yaml.")
    ] = None,
    parts: Annotated[
        str,
        typer.Option(help="Trained whole besides: decoder, embeddings; or none. [the settings']"),
    ] = "",
    full: Annotated[bool, typer.Option("--full", help="Fine-tune everything, for comparison: a checkpoint.")] = False,
    baselines: Annotated[Path | None, typer.Option(help="A past fitted on other years than the local days.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of the updates and of the examples.")] = 0,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run beside --out.")] = False,
    random_weights: Annotated[bool, typer.Option("--random-weights", help="Adapt a base without training.")] = False,
    device: DeviceOption = "auto",
) -> None:
    """Adapt a model to a region's own days: low-rank updates (LoRA), and the parts of the settings; all else frozen.

    The local days are cut into blocks: some are trained on, the others decide which weights are kept and when to
    stop. What is kept is a small folder, to be used with --adapter by `cranpm forecast` and `cranpm region eval` and
    judged by `cranpm adapter compare`. A run that was killed goes on with --resume.

    Example: cranpm adapt india --data india.zarr --months 3

    Example: cranpm adapt india --data india.zarr --days 2021-07..2021-12 --full --out runs/india-full
    """
    from cranpm.data.progress import progress_bar
    from cranpm.errors import require

    plain_warnings()
    for module in ("torch", "lightning", "peft"):
        require(module, extra="adapt")
    from cranpm.adapt.finetune import trained_numbers
    from cranpm.adapt.plan import Asked, plan
    from cranpm.train.display import ending, shown

    named = tuple(part.strip() for part in parts.split(",") if part.strip())
    asked = Asked(
        region, data, base, months, tuple(days or ()), settings, named, full, seed, out, baselines, device,
        random_weights, resume,
    )  # fmt: skip
    with progress_bar() as tell:
        made, notes = plan(asked, tell)
    made.prepare_folder(resume=resume)
    _say_what_is_trained(*trained_numbers(made.adaptation))
    held = f"{len(made.local.train)} days to train on, {len(made.local.held_out)} held out"
    for note in (f"local days: {held}", *notes):
        typer.echo(note, err=True)
    with shown(made) as (prepared, told):
        made.run(resume=resume, prepared=prepared, tell=told)
    ending(made)
    typer.echo(f"{made.out}{'  (simulated)' if made.simulated else ''}")


adapt = leaf(run_adapt)


def _say_what_is_trained(parts: dict[str, int], total: int) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("part", "numbers trained")
    table.columns[1].justify = "right"
    for part, count in parts.items():
        table.add_row(part, f"{count:,}" if count else "frozen")
    trained = sum(parts.values())
    table.add_row("all", f"{trained:,} of {total:,} ({100 * trained / total:.1f} %)")
    Console(stderr=True, highlight=False).print(table)
