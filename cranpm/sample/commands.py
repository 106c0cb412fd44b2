"""`cranpm sample`: simulated days of a region in the providers' own file formats."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import typer

if TYPE_CHECKING:
    from datetime import date

    from cranpm.region import Region


def sample(
    region: str = typer.Argument(help="A shipped region or the path of a pack."),
    days: str = typer.Option("30", "--days", help="How many days, or which: 2022-01-10..2022-01-17."),
    out: Path = typer.Option(..., "--out", help="Folder for the files."),
    start: str | None = typer.Option(
        None, "--from", help="First day, with a number of days; without, the pack's first sample day."
    ),
    seed: int = typer.Option(0, help="Which sample world."),
    realisation: int = typer.Option(0, help="Which course of weather and emissions in that world."),
    full: bool = typer.Option(False, "--full", help="The pack's whole domain; slow and large."),
    era5: str = typer.Option("new", help="Files as the CDS makes them today (new) or made them (legacy)."),
) -> None:
    """Write simulated days of a region in the providers' formats; never to be taken for data.

    Example: cranpm sample india --days 30 --out simulated
    """
    from cranpm.data.progress import progress_bar
    from cranpm.errors import CranpmError, require
    from cranpm.region import load_region
    from cranpm.sample.files import write_files

    pack = load_region(region)
    wanted = sample_days(pack, days, start)
    dialect: Literal["new", "legacy"] = "legacy" if era5 == "legacy" else "new"
    if era5 != dialect:
        raise CranpmError(f"--era5 {era5}: expected new or legacy")
    require("rasterio", extra="terrain")
    with progress_bar() as tell:
        tell("making the world", 0, 1)
        from cranpm.sample.world import World

        world = World(pack, seed=seed, realisation=realisation, full=full)
        tell("making the world", 1, 1)
        write_files(world, wanted, out, era5=dialect, progress=tell)
    typer.echo(f"{len(wanted)} simulated days of {pack.name} ({wanted[0]} to {wanted[-1]}) in {out}")
    typer.echo(f"prepare them: cranpm data prepare {region} --from {out} --out {out.with_name(out.name + '.zarr')}")


command = sample


def sample_days(region: Region, text: str, start: str | None = None) -> tuple[date, ...]:
    """The days meant by `--days` and `--from`.

    Args:
        region: the pack, whose sample days give the first day where none is named.
        text: a number of days (up to three digits), or days as `parse_days` reads them.
        start: the first day, only with a number.

    Raises:
        CranpmError: not understood, or a first day together with named days.
    """
    from datetime import timedelta

    from cranpm.data.days import day_range, parse_days
    from cranpm.errors import CranpmError

    if not (text.isascii() and text.isdigit() and len(text) <= 3):
        if start is not None:
            raise CranpmError(f"--from {start} goes with a number of days, not with --days {text}; leave one out")
        return parse_days(text)
    if int(text) < 1:
        raise CranpmError(f"--days {text}: at least one day")
    first = parse_days(start or region.sample.days[0])[0]
    return day_range(first, first + timedelta(days=int(text) - 1))
