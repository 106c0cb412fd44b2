"""`cranpm composition forecast | couple | score-coupling | show-coupling`: composition from any weather forecast."""

from __future__ import annotations

from pathlib import Path

import typer


def forecast(
    init: str = typer.Option(..., "--init", help="Days whose 00 UTC forecasts start from: a date, A..B, a month."),
    out: Path = typer.Option(..., "--out", help="Folder for the files, one a day."),
    composition: Path | None = typer.Option(
        None, "--composition", help="Folder with CAMS analyses of those days and the ones before."
    ),
    driver: str | None = typer.Option(
        None,
        "--driver",
        help="Weather issued those days: era5:FOLDER, ifs:FOLDER, aifs:FOLDER or fuxi:FOLDER; a bare folder: NetCDF as "
        "the Climate Data Store gives it.",
    ),
    model: str = typer.Option("sample-coupling", "--model", help="A trained coupling network: its folder, or a name."),
) -> None:
    """Forecast the composition of five days, 12 h at a time, driven by a given weather forecast.

    Without --composition and --driver, those of the sample world are simulated. A file is one as CAMS delivers it, and
    cranpm reads it as one: with --from in `cranpm data prepare`, where the forecast of CAMS is late, or with
    --composition forecast in `cranpm region eval`. It says in its history what it was made of.

    IFS and AIFS are ECMWF's open data of 00 UTC (GRIB), FuXi what its published code writes, ERA5 GRIB or NetCDF. GRIB
    needs the extra "grib".

    Example: cranpm composition forecast --init 2026-07-02 --driver ifs:downloads --composition cams --model
    runs/c/checkpoint --out cams_forecast

    On the sample world: cranpm composition forecast --init 2022-07-02 --out cams_forecast
    """
    from cranpm.errors import CranpmError, require

    require("torch", extra="train")
    from cranpm.composition.coupling.checkpoint import read_coupling
    from cranpm.composition.coupling.drivers import parse_driver
    from cranpm.composition.coupling.forecast import forecast_composition
    from cranpm.composition.coupling.places import places_of
    from cranpm.composition.coupling.sample import sample_starts
    from cranpm.data.days import parse_days
    from cranpm.data.progress import progress_bar

    if (composition is None) != (driver is None):
        raise CranpmError("--composition and --driver go together: give both folders, or none for the sample world")
    form, folder = (None, None) if driver is None else parse_driver(driver)
    days, checkpoint = parse_days(init), read_coupling(model)
    with progress_bar() as tell:
        starts = {} if folder is not None else sample_starts(checkpoint, days, tell=tell)
        places = places_of(checkpoint)
        for done, day in enumerate(days):
            cams, weather = composition or starts[day] / "cams", folder or starts[day] / "driver"
            tell("forecasting", done, len(days))
            made = forecast_composition(checkpoint, day, cams, weather, out, places=places, form=form)
            typer.echo(f"{made.path}  ({'simulated; ' if made.simulated else ''}driven by {made.driver})")
        tell("forecasting", len(days), len(days))


def couple(
    name: str = typer.Argument("coupling-sample", help="A shipped recipe or the path of one."),
    seed: int = typer.Option(0, min=0, help="Of the weights and the examples."),
    fusion: str | None = typer.Option(None, help="Another fusion than the recipe's: bilinear, concat or none."),
    out: Path | None = typer.Option(None, help="The run's folder. [default: runs/NAME-sSEED]"),
    resume: bool = typer.Option(False, "--resume", help="Go on with the run in that folder."),
    device: str = typer.Option("auto", help="auto, cpu or cuda."),
) -> None:
    """Train a coupling network in stages: a reanalysis, then the analysis, one step of 12 h, then more and more.

    Simulated days are made once and kept in the cache folder. The run's folder holds what a `cranpm train` run's does,
    and a run that was killed goes on with --resume.

    Example: cranpm composition couple coupling-sample --seed 0
    """
    from cranpm.errors import require

    require("torch", extra="train")
    require("lightning", extra="train")
    from cranpm.composition.coupling.run import line, plan
    from cranpm.train.display import ending, shown

    made = plan(name, seed=seed, fusion=fusion, out=out, device=device)
    made.prepare_folder(resume=resume)
    with shown(made, line) as (prepared, tell):
        made.run(resume=resume, prepared=prepared, tell=tell)
    typer.echo(ending(made))


def score_coupling(
    models: list[str] = typer.Argument(
        help="Trained coupling networks: folders or names; the first is compared to the others."
    ),
    days: str = typer.Option("2022-01-09..2022-01-21", help="Simulated days whose 00 UTC forecasts start from."),
    every: int = typer.Option(2, min=1, help="Each n-th of those days."),
    realisation: int = typer.Option(0, help="Which course of the sample world; none that was trained on."),
    perfect: bool = typer.Option(False, "--perfect", help="Drive with what the weather was, not with forecasts of it."),
    out: Path | None = typer.Option(None, help="Write the tables there, too (Markdown)."),
) -> None:
    """Score five-day forecasts by lead and species, beside persistence and the sample world's CAMS-like forecast.

    Example: cranpm composition score-coupling runs/coupling-sample-s0/checkpoint --days 2022-01-09..2022-01-21
    """
    from cranpm.errors import require

    require("torch", extra="train")
    from cranpm.composition.coupling.report import report
    from cranpm.data.progress import progress_bar
    from cranpm.folders import cache_folder, write_whole

    with progress_bar() as tell:
        text = report(
            models, days=days, every=every, realisation=realisation, perfect=perfect, cache=cache_folder(), tell=tell
        )
    typer.echo(text)
    if out is not None:
        write_whole(out, (text + "\n").encode())


def show_coupling(model: str = typer.Argument("paper", help="paper or small.")) -> None:
    """The parameters of the coupling network by part.

    Example: cranpm composition show-coupling paper
    """
    from cranpm.errors import require

    torch = require("torch", extra="train")
    from rich.console import Console
    from rich.table import Table

    from cranpm.composition.coupling.config import coupling_config
    from cranpm.composition.coupling.network import Coupling
    from cranpm.composition.coupling.scales import Scales
    from cranpm.composition.coupling.table import parameter_table

    config = coupling_config(model)
    with torch.device("meta"):
        rows = parameter_table(Coupling(config, Scales.unit(config)))
    table = Table("part", "parameters")
    for part, count in rows:
        table.add_row(part, f"{count:,}")
    Console().print(table)
