"""`cranpm region`: list, show, check and write region packs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import typer

from cranpm.lazy import Entry, LazyGroup

if TYPE_CHECKING:
    from cranpm.region import Region, Window


class RegionGroup(LazyGroup):
    """The pack commands here, the scoring ones from where they live."""

    table: ClassVar = {
        "eval": Entry("cranpm.verify.commands:evaluate", "How good a model is in a region: a report."),
        "fit": Entry("cranpm.verify.commands:fit", "Fit a pack's baselines on years before those it is scored on."),
    }


app = typer.Typer(
    cls=RegionGroup,
    help="Region packs: the places cranpm knows, and how good a model is there.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.command("list")
def list_() -> None:
    """List the packs that ship with cranpm."""
    from rich.console import Console
    from rich.table import Table

    from cranpm.region import list_regions, load_region

    table = Table("region", "title", "latitudes", "longitudes", "1 km pixels", "stations")
    for name in list_regions():
        region = load_region(name)
        west, south, east, north = region.fine.edges
        pixels = f"{region.fine.height} x {region.fine.width}"
        table.add_row(
            name, region.title, f"{south:g}..{north:g}", f"{west:g}..{east:g}", pixels, region.stations.source
        )
    Console().print(table)


@app.command()
def show(region: str = typer.Argument(help="A shipped region or the path of a pack.")) -> None:
    """Show what a pack says.

    Example: cranpm region show india
    """
    from rich.console import Console
    from rich.table import Table

    from cranpm.region import load_region

    pack = load_region(region)
    console = Console()
    console.print(f"{pack.title} ({pack.name}), schema {pack.schema_version}: {pack.path}", highlight=False)
    table = Table(show_header=False)
    for key, value in _facts(pack):
        table.add_row(key, value)
    console.print(table)
    terms = "; ".join(dict.fromkeys(f"{source.attribution} ({source.licence})" for source in pack.sources.values()))
    console.print(f"Terms: {terms}", highlight=False)


@app.command()
def check(region: str = typer.Argument(help="A shipped region or the path of a pack.")) -> None:
    """Check a pack and print each check; a failed one names its line.

    Example: cranpm region check mumbai.yaml
    """
    from cranpm.errors import CranpmError
    from cranpm.region import check_region

    checks = check_region(region)
    for entry in checks:
        print(f"{'FAILED' if entry.problem else 'ok':6}  {entry.name}{': ' if entry.problem else ''}{entry.problem}")
    failed = sum(bool(entry.problem) for entry in checks)
    if failed:
        raise CranpmError(f"{region}: {failed} problem{'s' if failed > 1 else ''}; put right what is listed above")


@app.command()
def new(
    name: str = typer.Argument(help="Name of the new pack: lower-case letters, digits, underscores."),
    bbox: tuple[float, float, float, float] = typer.Option(
        ..., "--bbox", metavar="W S E N", help="The area to map, degrees; east < west crosses the date line."
    ),
    out: Path | None = typer.Option(None, "--out", help="File to write (default: NAME.yaml here)."),
    title: str | None = typer.Option(None, "--title", help="Name for people."),
) -> None:
    """Write a valid pack for any place on Earth, to be refined by hand.

    Example: cranpm region new mumbai --bbox 72 18 74 20
    """
    from cranpm.region import load_region
    from cranpm.regions.scaffold import write_pack

    path = write_pack(name, bbox, out or Path(f"{name}.yaml"), title=title)
    pack = load_region(path)
    print(f"{path}: fine domain {_extent(pack)}, {pack.fine.height} x {pack.fine.width} px")
    print(f"Try it on simulated days with: cranpm region eval {path}")


def _facts(pack: Region) -> list[tuple[str, str]]:
    window = pack.window(full=False)
    figures = [f"{k}: {v if isinstance(v, str) else f'{v:,.10g}'}" for k, v in pack.published.items()]
    return [
        ("fine domain", f"{_extent(pack)}, {pack.fine.height} x {pack.fine.width} px of 0.01 degrees"),
        (
            "coarse domain",
            f"{pack.coarse.height} x {pack.coarse.width} nodes of 0.25 degrees from "
            f"{pack.coarse.north:g}N {pack.coarse.west:g}E",
        ),
        ("tile overlap", f"at least {pack.overlap} px"),
        (
            "sample window",
            f"{window.fine.height} x {window.fine.width} px from {window.fine.edges[3]:g}N "
            f"{window.fine.edges[0]:g}E, climate {pack.sample.climate}",
        ),
        ("sample days", ", ".join(pack.sample.days)),
        ("hotspots", ", ".join(spot.name for spot in pack.hotspots) or "none"),
        (
            "years",
            f"train {_years(pack.split.train)}, choose {_years(pack.split.validate)}, score {_years(pack.split.test)}",
        ),
        ("thresholds", ", ".join(f"{value:g}" for value in pack.thresholds) + " ug m-3"),
        ("index", f"{pack.index.name}: {', '.join(f'{value:g}' for value in pack.index.bands)} ug m-3"),
        ("stations", f"{pack.stations.source}, {pack.stations.url} ({pack.stations.licence})"),
        ("sources", "; ".join(source.name for source in pack.sources.values())),
        ("published", "; ".join(figures) or "nothing"),
        *_published_window(pack),
        ("licence", f"{pack.licence}; {pack.attribution}"),
    ]


def _published_window(pack: Region) -> list[tuple[str, str]]:
    """The window of the published figures, where it is not the pack's."""
    return [("their window", _extent(pack.published_window))] if pack.published_window else []


def _extent(pack: Region | Window) -> str:
    west, south, east, north = pack.fine.edges
    return f"{south:g}..{north:g}N {west:g}..{east:g}E"


def _years(years: tuple[int, ...]) -> str:
    return ", ".join(map(str, years))
