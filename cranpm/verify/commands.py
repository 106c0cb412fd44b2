"""`cranpm region eval`, `cranpm region fit` and `cranpm intervene`."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cranpm.options import (
    AdapterOption,
    BaselinesOption,
    BundleOption,
    DataOption,
    DeviceOption,
    KeyOption,
    LeadsOption,
    ModelOption,
    RandomOption,
    RegionArgument,
    RuntimeOption,
    leaf,
    parse_leads,
    plain_warnings,
)

if TYPE_CHECKING:
    from cranpm.forecast.engine import EngineSpec


def run_fit(
    region: RegionArgument,
    years: Annotated[str, typer.Option(help="Years such as 2017,2018; without, the pack's training years.")] = "",
    data: Annotated[Path | None, typer.Option(help="A prepared store; without it the sample world.")] = None,
    out: Annotated[Path | None, typer.Option(help="The file; without it <name>.baselines.nc beside the pack.")] = None,
) -> None:
    """Fit a pack's baselines (climatology, damping, CAMS correction, blend) on years before those it is scored on.

    Example: cranpm region fit india --data india.zarr --out ours.baselines.nc
    """
    from cranpm.data.progress import progress_bar
    from cranpm.data.store import Store
    from cranpm.errors import CranpmError
    from cranpm.region import load_region
    from cranpm.verify.baselines import write_fitted
    from cranpm.verify.fitting import baselines_path, check_years, fit_sample, fit_store

    pack = load_region(region)
    try:
        wanted = tuple(int(year) for year in years.split(",")) if years else pack.split.train
    except ValueError as error:
        raise CranpmError(f"--years {years}: years with commas are expected, such as 2017,2018") from error
    check_years(pack, wanted)
    path = out or baselines_path(pack)
    with progress_bar() as progress:
        if data is None:
            fitted = fit_sample(pack, wanted, progress)
        else:
            fitted = fit_store(Store.open(data, pack.given), wanted, progress)
    write_fitted(path, fitted)
    print(f"Baselines {path} ({path.stat().st_size / 1e6:.2f} MB, {fitted.about['fitted_days']} days)")


fit = leaf(run_fit)


def run_evaluate(
    region: RegionArgument,
    model: ModelOption = None,
    bundle: BundleOption = None,
    data: DataOption = None,
    days: Annotated[
        list[str] | None, typer.Option(help="Issue days: dates, A..B, months; without, the pack's days.")
    ] = None,
    leads: LeadsOption = ["1", "2", "3"],  # noqa: B006
    out: Annotated[Path | None, typer.Option(help="Folder of the report; without, reports/<region>.")] = None,
    baselines: BaselinesOption = None,
    random_weights: RandomOption = False,
    device: RuntimeOption = "auto",
    adapter: AdapterOption = None,
    require_key: KeyOption = None,
    composition: Annotated[
        str | None,
        typer.Option(
            help="raw or sharpened: score on coarse composition prepared that way. forecast: beside the store's own "
            "forecast composition, score with that of --composition-from."
        ),
    ] = None,
    composition_from: Annotated[
        Path | None, typer.Option(help="Folder of what `cranpm composition forecast` wrote.")
    ] = None,
) -> None:
    """How good a model is in a region: report.html, report.json and figures, beside what it must beat.

    Example: cranpm region eval india --days 2022-01 --leads 1 2

    With an adapter: cranpm region eval india --days 2022-01 --adapter adapters/india

    Without torch: cranpm region eval india --days 2022-01 --bundle base.bundle

    What sharpening is worth: --composition raw --data STORE, then --composition sharpened with a store of that kind

    With what `cranpm composition forecast` wrote into a folder, beside the store's own forecast composition:
    cranpm region eval europe --days 2022-01 --composition forecast --composition-from FOLDER
    """
    from cranpm.data.progress import progress_bar
    from cranpm.data.store import Store
    from cranpm.errors import require
    from cranpm.forecast.commands import open_adapter
    from cranpm.forecast.engine import check_leads
    from cranpm.forecast.files import check_folder
    from cranpm.forecast.inputs import WITHOUT_PAST
    from cranpm.forecast.load import choose
    from cranpm.forecast.source import issue_days, open_store
    from cranpm.verify.baselines import read_fitted
    from cranpm.verify.composition import PREPARED, check_composition, score_beside
    from cranpm.verify.evaluate import evaluate as score
    from cranpm.verify.fitting import find_fitted
    from cranpm.verify.report import band_edges, write_report

    plain_warnings()
    for module in ("scores.continuous", "skimage.metrics"):
        require(module, extra="verify")
    made_from = check_composition(composition, composition_from)
    chosen = choose(model, bundle, require_key, random_weights, device)
    pack, ahead = chosen.region(region), parse_leads(leads)
    folder = out or Path("reports") / pack.name
    check_folder(folder)
    if baselines is not None:
        read_fitted(baselines)  # a wrong name should not cost minutes
    worn = open_adapter(adapter, pack)
    engine = chosen.engine(worn)
    check_leads(engine.spec, ahead)
    wanted = issue_days(pack, None if data is None else Store.open(data, pack.given).days, days or [])
    spare = worn.baselines if worn is not None and engine.spec.reads_past else None
    with progress_bar() as progress:
        store = open_store(pack, data, wanted, ahead, progress, composition=made_from)
        fitted, note = find_fitted(pack, store, baselines, spare)
        ground = chosen.ground(store)
        told = (
            note, shared_days(engine.spec, wanted, ahead), PREPARED.get(made_from or "", ""),
            WITHOUT_PAST if engine.spec.reads_past and fitted is None else "",
            f"the store's ground is {ground}" if ground else "",
        )  # fmt: skip
        notes = [text for text in told if text]
        scored = partial(
            score, engine, days=wanted, leads=ahead, fitted=fitted, edges=band_edges(pack), progress=progress
        )
        gained: list[str] = []
        if composition is None or composition_from is None:
            found = scored(store, notes=notes)
        else:
            found, store, gained = score_beside(scored, store, composition, composition_from, notes)
        report = write_report(folder, pack, engine, store, found, fitted, progress)
    for sentence in (*report.verdict, *gained):
        print(sentence)
    print(f"Report    {report.path}")


evaluate = leaf(run_evaluate)


def shared_days(spec: EngineSpec, days: Sequence[dt.date], leads: Sequence[int]) -> str:
    """A warning where issue days share maps with those that the adapter was trained or chosen on; else empty."""
    from cranpm.data.days import needed_days

    if spec.adapter is None:
        return ""
    seen = spec.adapter.seen
    shared = sum(not seen.isdisjoint(needed_days([day], leads)) for day in days)
    if not shared:
        return ""
    return (
        f"{shared} of the {len(days)} days share maps with the days that adapter '{spec.adapter.name}' was trained and "
        "chosen on: their scores flatter it"
    )


def run_intervene(
    model: Annotated[str, typer.Argument(help="A registered model or a checkpoint folder.")],
    region: Annotated[str, typer.Option(help="A shipped region or the path of a pack.")] = "europe",
    data: DataOption = None,
    days: Annotated[
        list[str] | None, typer.Option(help="Issue days: dates, A..B, months; without, the pack's days.")
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Take every N-th of the days.")] = 1,
    leads: LeadsOption = ["1", "2", "3"],  # noqa: B006
    out: Annotated[Path, typer.Option(help="Folder of the days' lines, the table and the picture.")] = Path(
        "docs/ablations"
    ),
    baselines: BaselinesOption = None,
    random_weights: RandomOption = False,
    device: DeviceOption = "auto",
) -> None:
    """What a trained model does with its inputs: turn the wind, flatten the terrain, take inputs away, and score.

    Only what the network is fed is altered, not today's map that it adds to, nor the truth. A row is the change of the
    RMSE on the same days and pixels, with an interval; exactly 0 means that the model does not use what was altered.

    Every finished day is a line of OUT/interventions.jsonl; a day that is there is not made again, so the command may
    be stopped at any time. A row takes as long as a forecast of each day and lead.

    Example: cranpm intervene europe-sample --days 2022 --every 12 --leads 1 --out runs/interventions
    """
    from cranpm.data.progress import progress_bar
    from cranpm.data.store import Store
    from cranpm.forecast.engine import check_leads
    from cranpm.forecast.files import check_folder
    from cranpm.forecast.inputs import WITHOUT_PAST
    from cranpm.forecast.load import load_engine
    from cranpm.forecast.source import issue_days, open_store
    from cranpm.model.registry import load
    from cranpm.region import load_region
    from cranpm.verify.fitting import find_fitted
    from cranpm.verify.intervene import LINES, measure
    from cranpm.verify.intervention_report import markdown, write_report

    plain_warnings()
    pack, ahead = load_region(region), parse_leads(leads)
    check_folder(out)
    engine = load_engine(model, random_weights, device)
    check_leads(engine.spec, ahead)
    statistics = load(model, random_weights=random_weights).statistics
    wanted = issue_days(pack, None if data is None else Store.open(data, pack.given).days, days or [])[::every]
    with progress_bar() as progress:
        store = open_store(pack, data, wanted, ahead, progress)
        fitted = find_fitted(pack, store, baselines)[0] if engine.spec.reads_past else None
        notes = [WITHOUT_PAST] if engine.spec.reads_past and fitted is None else []
        found = measure(
            engine, statistics, store, wanted, ahead, out / LINES, fitted=fitted, notes=notes, progress=progress
        )
    written = write_report(found, out)
    print(markdown(found))
    print(f"{', '.join(map(str, written))}{'  (simulated)' if found.simulated else ''}")


intervene = leaf(run_intervene)
