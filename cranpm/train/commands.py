"""`cranpm train`: a checkpoint from a recipe. `cranpm ablate`: which mechanisms earn their place."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    pass


def train(
    name: str = typer.Argument(help="A shipped recipe (europe-sample, europe-paper) or the path of one."),
    data: Path | None = typer.Option(None, "--data", help="A prepared store, for recipes of real days."),
    quick: bool = typer.Option(False, "--quick", help="The recipe's short variant: minutes, for tests."),
    seed: int = typer.Option(0, min=0, help="Of the weights, the examples and the dropout."),
    out: Path | None = typer.Option(None, help="The run's folder. [default: runs/NAME-sSEED]"),
    resume: bool = typer.Option(False, "--resume", help="Go on with the run in that folder."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
    devices: int | None = typer.Option(None, min=1, help="Devices on this node. [default: 1, or as launched]"),
    workers: int | None = typer.Option(None, min=0, help="Reading processes a device. [default: by cores]"),
    dry_run: bool = typer.Option(False, "--dry-run", help="Only say how many steps, memory and data it takes."),
) -> None:
    """Train a checkpoint: on simulated days of a region, or on a prepared store.

    Simulated days are made once and kept in the cache folder for every seed. The run's folder holds the weights that
    validated best (`checkpoint/`), the last ones (`last/`), the scores (`history.json`), the terms of the objective
    (`steps.jsonl`) and what --resume needs. A run that was killed goes on as if it had not been. Ctrl-C, SIGTERM and
    SIGUSR1 end it after the step; SIGUSR1 in a SLURM job asks for the job to be started again.

    Several GPUs: --devices 8, `torchrun --nproc-per-node 8 -m cranpm train ...`, or srun: see docs/training.md.

    Example: cranpm train europe-sample --quick --out runs/try

    Example: cranpm train europe-paper --dry-run
    """
    from cranpm.errors import require

    require("torch", extra="train")
    if dry_run:
        from cranpm.train.dry_run import describe

        _print_rows(describe(name, quick=quick, data=data, devices=devices))
        return
    require("lightning", extra="train")
    from cranpm.train.display import ending, shown
    from cranpm.train.session import plan

    made = plan(
        name, quick=quick, seed=seed, out=out, data=data, device=device, devices=devices, workers=workers
    )  # fmt: skip
    made.prepare_folder(resume=resume)
    with shown(made) as (prepared, tell):
        made.run(resume=resume, prepared=prepared, tell=tell)
    if made.first:
        typer.echo(ending(made))


def ablate(
    only: str = typer.Option("", help="Keys or tables, with commas: R2,iv or c. [default: all]"),
    seeds: int = typer.Option(8, help="Runs of each; a variant and the full network share seeds."),
    out: Path = typer.Option(Path("docs/ablations"), help="Folder of the runs' lines, the table and the picture."),
    recipe: str = typer.Option("ablation", help="A shipped recipe or the path of one, on simulated days."),
    processes: int = typer.Option(2, help="Runs at a time, one core each."),
    report: bool = typer.Option(False, "--report", help="Only make table and picture of what is there."),
) -> None:
    """Train and score the full network and what is left when something is taken out (the paper's Table 3).

    a: other ways of fusion. b: the training built up. c: removals R1 to R8. d: plus without what it adds (with
    --recipe ablation-plus). e: fewer years to train on. Every finished run is a line of OUT/runs.jsonl; a run that is
    there is not made again, so the command may be stopped at any time.

    Example: cranpm ablate --only R2,R3 --seeds 3 --out runs/ablations
    """
    from cranpm.errors import CranpmError, require

    require("torch", extra="train")
    require("lightning", extra="train")
    from cranpm.data.progress import progress_bar
    from cranpm.folders import cache_folder
    from cranpm.train import ablation, ablation_report
    from cranpm.train.recipe import read_recipe, recipe_hash, recipe_path

    path, lines = recipe_path(recipe), out / "runs.jsonl"
    made, _ = read_recipe(path)
    variants = ablation.find_variants([key.strip() for key in only.split(",") if key.strip()], made.config)
    if not report:
        with progress_bar() as tell:
            ablation.prepare(path, cache_folder(), tell)
            runs = ablation.ablate(path, variants, seeds, lines, cache_folder(), processes=processes)
            for done, wanted, result in runs:
                tell("runs", done, wanted)
                if result is not None:
                    rmse = ", ".join(f"T+{lead} {result.rmse(lead):.2f}" for lead in result.squared)
                    typer.echo(
                        f"{result.variant} seed {result.seed}: {rmse} ({result.cpu_seconds:.0f} CPU s)", err=True
                    )
    results = ablation.read_results(lines, recipe_hash(path))
    if not any(result.variant == ablation.FULL for result in results):
        raise CranpmError(f"{lines}: no run of the full network with this recipe yet; leave --report out")
    table, picture = out / f"{made.name}.md", out / f"{made.name}.png"
    text = ablation_report.table(results)
    table.write_text(text, encoding="utf-8")
    ablation_report.picture(results, picture)
    typer.echo(text)
    typer.echo(f"{table}, {picture}  (simulated)")


def _print_rows(rows: list[tuple[str, str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for row in rows:
        table.add_row(*row)
    Console(highlight=False).print(table)
