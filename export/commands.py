"""`cranpm export`: a model becomes one file that runs without torch."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cranpm.options import plain_warnings

if TYPE_CHECKING:
    from cranpm.data.progress import Progress
    from cranpm.export.bundle import Proof
    from cranpm.forecast.bundle import Bundle
    from cranpm.region import Region

Precision = Literal["fp32", "fp16", "int8"]
SEASONS = 4  # days on which 8 bits are calibrated, and as many others on which their loss is measured


def export(
    model: Annotated[str, typer.Argument(help="A registered model or a checkpoint folder.")],
    out: Annotated[Path, typer.Option(help="The bundle, such as europe.bundle.")],
    region: Annotated[
        list[str] | None, typer.Option(help="A pack that travels along; repeat for several. [all shipped packs]")
    ] = None,
    adapter: Annotated[Path | None, typer.Option(help="An adapter folder, to merge into the weights.")] = None,
    precision: Annotated[Precision, typer.Option(help="fp32, fp16 or int8.")] = "fp32",
    data: Annotated[
        Path | None,
        typer.Option(
            help="A prepared store of the first region: to test on, and its terrain and land mask travel along. "
            "Without one: the region's simulated sample, to test on only."
        ),
    ] = None,
    drawn_only: Annotated[bool, typer.Option("--drawn-only", help="Test on drawn inputs alone: quicker.")] = False,
    sample_windows: Annotated[
        bool,
        typer.Option("--sample-windows", help="For the packs' sample windows alone, and without packs."),
    ] = False,
    random_weights: Annotated[
        bool, typer.Option("--random-weights", help="Export a network without training.")
    ] = False,
) -> None:
    """Make a bundle: graphs, weights, packs and licence in one file that `--bundle` runs without torch.

    The bundle is held against torch, on drawn inputs and on days of a store: beyond 1e-4 (fp16: 1e-2) of the
    residual's standard deviation nothing is written. It serves every adapter of the model, so it need not be made
    again for another region; with --adapter the adapter is merged into it for good.

    Example: cranpm export europe-sample --out europe.bundle

    Example: cranpm export europe-sample --region india --adapter adapters/india --precision fp16 --out india.bundle
    """
    from cranpm.data.progress import progress_bar
    from cranpm.errors import CranpmError, require
    from cranpm.forecast.commands import open_adapter
    from cranpm.forecast.files import check_folder
    from cranpm.forecast.source import open_store
    from cranpm.region import list_regions, load_region

    plain_warnings()
    for module in ("torch", "onnx", "onnxscript"):
        require(module, extra="export")
    from cranpm.export.bundle import export_bundle
    from cranpm.export.contents import Order
    from cranpm.model.registry import load

    if out.is_dir():
        raise CranpmError(f"--out {out}: a folder; name a file in it, such as {out / 'europe.bundle'}")
    check_folder(out.absolute().parent)
    checkpoint = load(model, random_weights=random_weights)
    packs = [load_region(name) for name in region or list_regions()]
    worn = None if adapter is None else open_adapter(adapter, packs[0])
    order = Order(checkpoint, packs, precision, worn)
    if sample_windows:
        order = Order(checkpoint, (), precision, worn, [pack.sample.coarse.shape for pack in packs])
    with progress_bar() as progress:
        proof = None if drawn_only else _proof(packs[0], data, precision == "int8", progress)
        if data is not None:
            order = replace(order, static=open_store(packs[0], data, (), (), progress))
        bundle = export_bundle(order, out, proof=proof, progress=progress)
    _say(bundle)


def _say(bundle: Bundle) -> None:
    """What was written, and how near it is to torch."""
    worst = max(entry["rms"] for entry in bundle.manifest["parity"])
    size = bundle.path.stat().st_size / 1e6
    print(f"Bundle    {bundle.path} ({size:.1f} MB, {bundle.precision})")
    print(f"Parity    {len(bundle.manifest['parity'])} cases, at most {worst:.1e} of the residual's standard deviation")
    for lost in bundle.manifest["loss"]:
        exact, eight = lost["rmse_exact"], lost["rmse"]
        print(f"T+{lost['lead']}: RMSE {eight:.3f} in 8 bits, {exact:.3f} in 32 ({100 * (eight / exact - 1):+.2f} %)")
    print("Not signed; to sign it: cranpm bundle sign BUNDLE --key site.key")
    if bundle.manifest["random_weights"]:
        print("UNTRAINED: random weights, not a forecast.")


def _proof(region: Region, data: Path | None, eight: bool, progress: Progress) -> Proof:
    """Days of a store, simulated where none is given, on which the export is tried; spread over all that there are."""
    from cranpm.export.bundle import Proof
    from cranpm.forecast.source import issue_days, open_store
    from cranpm.verify.fitting import find_fitted

    count = 2 * SEASONS if eight else 1
    if data is None:
        days = _spread(issue_days(region, None, []), count)
        store = open_store(region, None, days, (1, 2, 3) if eight else (), progress)  # a score needs the truth
    else:
        store = open_store(region, data, (), (), progress)
        days = _spread(issue_days(region, store.days, []), count)
    return Proof(store, days[::2], days[1::2], find_fitted(region, store)[0])


def _spread(days: Sequence[dt.date], count: int) -> list[dt.date]:
    """So many of the days, evenly over all of them."""
    return [days[k * len(days) // count] for k in range(min(count, len(days)))]
