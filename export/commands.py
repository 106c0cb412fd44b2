"""`cranpm export`: a model becomes one file that runs without torch."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cranpm.options import plain_warnings

if TYPE_CHECKING:
    from cranpm.data.progress import Progress
    from cranpm.export.bundle import Cases
    from cranpm.region import Region

Precision = Literal["fp32", "fp16", "int8"]


def export(
    model: Annotated[str, typer.Argument(help="A registered model or a checkpoint folder.")],
    out: Annotated[Path, typer.Option(help="The bundle, such as europe.bundle.")],
    region: Annotated[
        list[str] | None, typer.Option(help="A pack that travels along; repeat for several. [all shipped packs]")
    ] = None,
    adapter: Annotated[Path | None, typer.Option(help="An adapter folder, to merge into the weights.")] = None,
    precision: Annotated[Precision, typer.Option(help="fp32, fp16 or int8.")] = "fp32",
    data: Annotated[
        Path | None, typer.Option(help="A prepared store of the first region, to test on; else its simulated sample.")
    ] = None,
    drawn_only: Annotated[bool, typer.Option("--drawn-only", help="Test on drawn inputs alone: quicker.")] = False,
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
    from cranpm.region import list_regions, load_region

    plain_warnings()
    for module in ("torch", "onnx", "onnxscript"):
        require(module, extra="export")
    from cranpm.export.bundle import Order, export_bundle
    from cranpm.model.registry import load

    if out.is_dir():
        raise CranpmError(f"--out {out}: a folder; name a file in it, such as {out / 'europe.bundle'}")
    check_folder(out.absolute().parent)
    checkpoint = load(model, random_weights=random_weights)
    packs = [load_region(name) for name in region or list_regions()]
    worn = None if adapter is None else open_adapter(adapter, packs[0])
    order = Order(checkpoint, packs, precision, worn)
    with progress_bar() as progress:
        cases = None if drawn_only else _stored(packs[0], data, progress)
        bundle = export_bundle(order, out, more_cases=cases, progress=progress)
    worst = max(entry["rms"] for entry in bundle.manifest["parity"])
    size = bundle.path.stat().st_size / 1e6
    print(f"Bundle    {bundle.path} ({size:.1f} MB, {bundle.precision})")
    print(f"Parity    {len(bundle.manifest['parity'])} cases, at most {worst:.1e} of the residual's standard deviation")
    print("Not signed; to sign it: cranpm bundle sign BUNDLE --key site.key")
    if checkpoint.random_weights:
        print("UNTRAINED: random weights, not a forecast.")


def _stored(region: Region, data: Path | None, progress: Progress) -> Cases:
    """The first days of a store, simulated where none is given, as further cases of the parity gate."""
    from cranpm.export.cases import stored_cases
    from cranpm.forecast.source import issue_days, open_store
    from cranpm.verify.fitting import find_fitted

    first = issue_days(region, None, [])[:1] if data is None else ()
    store = open_store(region, data, first, (), progress)
    days = first or issue_days(region, store.days, [])[:1]
    fitted, _ = find_fitted(region, store)
    return lambda spec: stored_cases(spec, store, days, spec.trained_leads, fitted)
