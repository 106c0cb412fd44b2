"""`cranpm adapter compare`: what local days buy, on days that no adapter has seen."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cranpm.options import (
    BaselinesOption,
    DataOption,
    DeviceOption,
    LeadsOption,
    RegionArgument,
    leaf,
    parse_leads,
    plain_warnings,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cranpm.region import Region


def run_compare(
    region: RegionArgument,
    data: DataOption = None,
    adapters: Annotated[
        list[Path] | None, typer.Option(help="Folders of adapters, and of checkpoints made with adapt --full.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="A registered model or a checkpoint folder; without, the first adapter's.")
    ] = None,
    days: Annotated[
        list[str] | None,
        typer.Option(help="Issue days: dates, A..B, months; without, all that no adapter was trained on."),
    ] = None,
    every: Annotated[int, typer.Option(min=1, help="Take every N-th of the days.")] = 1,
    leads: LeadsOption = ["1", "2", "3"],  # noqa: B006
    thresholds: Annotated[
        list[str] | None, typer.Option(help="High days, ug/m3, such as 60 120; without, from the pack's index.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the report; without, reports/compare-<region>.")] = None,
    baselines: BaselinesOption = None,
    device: DeviceOption = "auto",
) -> None:
    """Zero-shot, adapters, full fine-tuning and baselines on the same held-out days, and which of them to use.

    Days that share a map with the days that an adapter was trained or chosen on are left out. Baselines are scored
    twice where possible: fitted on the pack's past, and on the days that the first adapter was trained on.

    Every finished day is a line of OUT/days.jsonl; a day that is there is not made again, so the command may be
    stopped at any time, and a further adapter costs only its own forecasts.

    Example: cranpm adapter compare india --data india.zarr --adapters adapters/a adapters/b --thresholds 60 120
    """
    from rich.console import Console

    from cranpm.adapt.compare import LINES, Bounds, compare
    from cranpm.adapt.compare_baselines import LOCAL, fit_local
    from cranpm.adapt.compare_models import give_pasts, open_models, scoring_days
    from cranpm.adapt.compare_report import show, write_report
    from cranpm.data.progress import progress_bar
    from cranpm.data.store import Store
    from cranpm.errors import require
    from cranpm.forecast.files import check_folder
    from cranpm.forecast.source import issue_days, open_store
    from cranpm.region import load_region
    from cranpm.verify.baselines import read_fitted
    from cranpm.verify.fitting import find_fitted
    from cranpm.verify.report import band_edges

    plain_warnings()
    for module in ("scores.continuous", "scores.categorical"):
        require(module, extra="verify")
    pack, ahead = load_region(region), parse_leads(leads)
    folder = out or Path("reports") / f"compare-{pack.name}"
    check_folder(folder)
    bounds = Bounds(band_edges(pack), _thresholds(pack, thresholds or []))
    if baselines is not None:
        read_fitted(baselines)  # a wrong name should not cost minutes
    models, notes = open_models(base, adapters or [], pack.name, device)
    candidates = issue_days(pack, None if data is None else Store.open(data, pack.given).days, days or [])
    wanted = scoring_days(models, candidates, bool(days), ahead)[::every]
    with progress_bar() as progress:
        store = open_store(pack, data, wanted, ahead, progress)
        known, unknown = find_fitted(pack, store, baselines)
        local, too_few = fit_local(store, next((model.period for model in models if model.period), ()), progress)
        models, lacking = give_pasts(models, known, local, store)
        fits = {ending: fitted for ending, fitted in (("", known), (LOCAL, local)) if fitted is not None}
        told = [*notes, *filter(None, (unknown, too_few, lacking))]
        result = compare(models, fits, store, wanted, ahead, bounds, folder / LINES, notes=told, progress=progress)
    written = write_report(result, folder)
    show(result, Console(highlight=False, markup=False))
    print(f"{', '.join(map(str, written))}{'  (simulated)' if result.simulated else ''}")


compare = leaf(run_compare)


def _thresholds(pack: Region, given: Sequence[str]) -> tuple[float, ...]:
    """The thresholds asked for, else the bounds of the pack's index from its highest daily limit on."""
    from cranpm.errors import CranpmError

    if not given:
        limit = max(pack.thresholds)
        return tuple(band for band in map(float, pack.index.bands) if band >= limit) or (float(limit),)
    try:
        values = sorted({float(piece) for text in given for piece in text.split(",") if piece.strip()})
    except ValueError:
        values = []
    if not values or values[0] <= 0:
        raise CranpmError(f"--thresholds {' '.join(given)}: values in ug/m3 above 0 are expected, such as 60 120")
    return tuple(values)
