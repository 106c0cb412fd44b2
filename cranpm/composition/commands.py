"""`cranpm composition`: train, score, show, sharpen, stations: the reanalysis three times finer (DeepCAMS)."""

from __future__ import annotations

from pathlib import Path

import typer

from cranpm.composition.coupling import commands as coupling

app = typer.Typer(
    help="The coarse composition: sharpen the reanalysis (DeepCAMS), forecast it with any weather (offline coupling).",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command("train")
def train(
    name: str = typer.Argument(help="sample-time, sample-space, paper-time, paper-space, or a recipe's path."),
    data: Path | None = typer.Option(None, "--data", help="A folder of GEOS-CF files, for recipes of real years."),
    seed: int = typer.Option(0, min=0, help="Of the weights and the examples."),
    out: Path | None = typer.Option(None, help="The run's folder. [default: runs/NAME-sSEED]"),
    resume: bool = typer.Option(False, "--resume", help="Go on with the run in that folder."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
) -> None:
    """Train the network that fills in hours (time) or the one that refines the grid (space).

    Simulated hours are made once and kept in the cache folder. The run's folder holds what a `cranpm train` run's does,
    and a run that was killed goes on with --resume.

    Example: cranpm composition train sample-time
    """
    from cranpm.errors import require

    require("torch", extra="train")
    require("lightning", extra="train")
    from cranpm.composition.deepcams.run import line, plan
    from cranpm.train.display import ending, shown

    made = plan(name, seed=seed, out=out, data=data, device=device)
    made.prepare_folder(resume=resume)
    with shown(made, line) as (prepared, tell):
        made.run(resume=resume, prepared=prepared, tell=tell)
    typer.echo(ending(made))


@app.command("score")
def score(
    model: Path = typer.Argument(help="A trained network: its folder, or sample-time, sample-space."),
    days: str = typer.Option("2022", help="Simulated days to score on; with --data, years of the files."),
    of_month: str = typer.Option("1-10", "--of-month", help="First and last day of each month that counts."),
    realisation: int = typer.Option(0, help="Which course of the sample world; none that was trained on."),
    data: Path | None = typer.Option(None, "--data", help="A folder of GEOS-CF files instead of simulated days."),
    every: int = typer.Option(1, min=1, help="Each n-th hour (space) or interval of a day (time)."),
    out: Path | None = typer.Option(None, help="Write the table there, too (Markdown)."),
) -> None:
    """Score a trained network beside interpolation, month by month: the paper's Tables 2 and 3.

    Example: cranpm composition score sample-time --days 2022
    """
    from cranpm.errors import require

    require("torch", extra="train")
    from cranpm.composition.deepcams.table import make_table
    from cranpm.data.progress import progress_bar
    from cranpm.folders import write_whole

    with progress_bar() as tell:
        text = make_table(
            model, days=days, of_month=of_month, realisation=realisation, data=data, every=every, tell=tell
        )
    typer.echo(text)
    if out is not None:
        write_whole(out, (text + "\n").encode())


@app.command("show")
def show(model: str = typer.Argument("paper", help="paper or small.")) -> None:
    """The parameters of both networks by part.

    Example: cranpm composition show paper
    """
    from cranpm.errors import require

    require("torch", extra="train")
    from rich.console import Console
    from rich.table import Table

    from cranpm.composition.deepcams.config import temporal_config
    from cranpm.composition.deepcams.describe import rows

    temporal_config(model)
    table = Table("network", "part", "parameters")
    for task, part, count in rows(model):
        table.add_row(task, part, f"{count:,}")
    Console().print(table)


@app.command("sharpen")
def sharpen(
    inputs: list[Path] = typer.Argument(help="EAC4 files, zips, or folders of them."),
    out: Path = typer.Option(..., "--out", help="The NetCDF file to write."),
    species: list[str] = typer.Option([], "--species", help="Which, repeated or with commas. [default: all]"),
    time: str = typer.Option("sample-time", "--time", help="A trained temporal network: a name, a folder, or linear."),
    space: str = typer.Option(
        "sample-space", "--space", help="A trained spatial network: a name, a folder, or bicubic."
    ),
    interpolate: bool = typer.Option(False, "--interpolate", help="The same as --time linear --space bicubic."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
) -> None:
    """Sharpen EAC4 from 0.75 degrees, every 3 hours, to 0.25 degrees, every hour, as one CF NetCDF file.

    Particles and gases come out in ug m-3, total columns in kg m-2. Give the first file of the next day, too, or the
    hours after 21 UTC are left out.

    Example: cranpm composition sharpen eac4_2018-01.nc --species pm2p5 --out sharp.nc
    """
    from cranpm.errors import require

    require("torch", extra="train")
    from cranpm.composition.deepcams.checkpoint import read_sharpener
    from cranpm.composition.deepcams.files import sharpen_file
    from cranpm.composition.deepcams.reanalysis import open_reanalysis
    from cranpm.composition.deepcams.sharpen import Engine
    from cranpm.data.progress import progress_bar
    from cranpm.forecast.torch_engine import pick_device

    reanalysis = open_reanalysis(inputs)
    hours = None if interpolate or time == "linear" else read_sharpener(time, "time")
    detail = None if interpolate or space == "bicubic" else read_sharpener(space, "space")
    engine = Engine.of(hours, detail, pick_device(device))
    names = [name.strip() for text in species for name in text.split(",") if name.strip()]
    with progress_bar() as tell:
        kept = sharpen_file(reanalysis, engine, out, species=names, tell=tell)
    for name, one in kept.items():
        typer.echo(
            f"{name}: {one.hours} hours; mean {one.before:.6g} -> {one.after:.6g} {reanalysis.species[name]} "
            f"({100 * one.change:+.3f}%); block means within {100 * one.blocks:.2f}% (rms) of the reanalysis; "
            f"{one.clipped} values raised to 0"
        )
    trained = "; the networks were trained on SIMULATED PM2.5" if engine.simulated else ""
    typer.echo(f"{out}{trained}")


@app.command("sample")
def sample(
    region: str = typer.Argument(help="A pack: its name or its file."),
    kind: str = typer.Option(..., "--kind", help="raw: as EAC4 has it; sharpened: by the networks that ship."),
    days: str = typer.Option(..., "--days", help="Issue days, such as 2022-01-05..2022-01-20."),
    leads: list[int] = typer.Option([1, 2, 3], "--leads", help="Days ahead that are to be scored."),
) -> None:
    """Make a simulated store whose composition came by way of EAC4's grid and hours, and print its folder.

    The sample itself has its composition at 0.25 degrees. Kept in the cache folder, where it grows.

    Example: cranpm composition sample india --kind sharpened --days 2022-01-05..2022-01-20
    """
    from cranpm.composition.simulated import KINDS, composition_store
    from cranpm.data.days import needed_days, parse_days
    from cranpm.data.progress import progress_bar
    from cranpm.errors import CranpmError, require
    from cranpm.region import load_region

    if kind not in KINDS:
        raise CranpmError(f"--kind {kind}: expected {' or '.join(KINDS)}")
    if kind == "sharpened":
        require("torch", extra="train")
    with progress_bar() as tell:
        made = composition_store(load_region(region), needed_days(parse_days(days), leads), kind, progress=tell)
    typer.echo(made)


@app.command("stations")
def stations(
    raw: list[Path] = typer.Option(..., "--raw", help="The reanalysis as delivered, repeated for several."),
    sharpened: list[Path] = typer.Option(..., "--sharpened", help="What `sharpen` wrote."),
    measured: list[Path] = typer.Option(..., "--stations", help="Station tables or folders of them."),
) -> None:
    """Compare PM2.5 with stations before and after sharpening: daily means, the same days and stations for both.

    Example: cranpm composition stations --raw eac4 --sharpened sharp.nc --stations openaq
    """
    from rich.console import Console
    from rich.table import Table

    from cranpm.composition.stations import compare_at_stations

    table = Table("PM2.5 at stations", "R", "RMSE", "bias", "daily means", "stations")
    for name, one in zip(("raw", "sharpened"), compare_at_stations([raw, sharpened], measured), strict=True):
        table.add_row(name, f"{one.r:.4f}", f"{one.rmse:.3f}", f"{one.bias:+.3f}", str(one.pairs), str(one.stations))
    Console().print(table)


app.command("forecast")(coupling.forecast)
app.command("couple")(coupling.couple)
app.command("score-coupling")(coupling.score_coupling)
app.command("show-coupling")(coupling.show_coupling)
