"""`cranpm data`: look into products, and prepare them as a store."""

from __future__ import annotations

from pathlib import Path

import typer

app = typer.Typer(no_args_is_help=True, add_completion=False, rich_markup_mode=None)


@app.callback()
def _data() -> None:
    """Look into products and prepare them as a store."""


@app.command()
def inspect(path: Path = typer.Argument(help="A file or a folder of products.")) -> None:
    """Say what a file is, in our terms: product, variables, days, grid, and what to know about it.

    Example: cranpm data inspect downloads
    """
    from cranpm.data.inspect import report

    for line in report(path):
        typer.echo(line)


@app.command()
def prepare(
    region: str = typer.Argument(help="A shipped region or the path of a pack."),
    source: Path = typer.Option(..., "--from", help="Folder of products, in any arrangement."),
    out: Path = typer.Option(..., "--out", help="The store: a new folder, or one to add days to."),
    days: str | None = typer.Option(
        None, "--days", help="2022-01-10..2022-01-17, 2022-01; without, every complete day."
    ),
    sample_window: bool = typer.Option(False, "--sample-window", help="Only the pack's sample window, not all of it."),
    composition: str = typer.Option("pack", help="CAMS analyses raw or sharpened; pack: as it says for each year."),
) -> None:
    """Make a store from a folder of products, or add days to one.

    Finished days are never lost or made again.

    Example: cranpm data prepare india --from downloads --out india.zarr
    """
    from typing import get_args

    from cranpm.data.composition import Composition
    from cranpm.data.days import format_days, parse_days
    from cranpm.data.prepare import prepare as prepare_store
    from cranpm.data.progress import progress_bar
    from cranpm.data.store import Store
    from cranpm.errors import CranpmError
    from cranpm.region import load_region

    chosen: Composition | None = next((known for known in get_args(Composition) if known == composition), None)
    if chosen is None:
        raise CranpmError(f"--composition {composition}: expected raw, sharpened or pack")
    pack, wanted = load_region(region), parse_days(days) if days else None
    window = pack.window(full=False) if sample_window else None
    before = len(Store.open(out).days) if (out / "zarr.json").exists() else 0
    with progress_bar() as tell:
        prepare_store(pack, source, out, days=wanted, window=window, composition=chosen, progress=tell)
    store = Store.open(out)
    kind = "simulated days" if store.simulated else "days"
    typer.echo(f"{out}: {len(store.days)} {kind} of {store.region}, {len(store.days) - before} of them new")
    typer.echo(f"ready: {format_days(store.days)}; use it with --data {out}")
