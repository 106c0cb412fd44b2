"""`cranpm forecast`: the maps of the days after a date."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from cranpm.options import (
    AdapterOption,
    BaselinesOption,
    BundleOption,
    DataOption,
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
    from cranpm.data.progress import Progress
    from cranpm.data.store import Store
    from cranpm.forecast.engine import Engine
    from cranpm.forecast.inputs import KnownPast
    from cranpm.forecast.maps import Thumbnail
    from cranpm.forecast.output import Written
    from cranpm.model.adapter import Adapter
    from cranpm.region import Region

Form = Literal["netcdf", "zarr"]


def run_forecast(
    region: RegionArgument,
    date: Annotated[str, typer.Option(help="Day t, the last day that is known: YYYY-MM-DD, UTC.")],
    leads: LeadsOption = ["1", "2", "3"],  # noqa: B006
    model: ModelOption = None,
    bundle: BundleOption = None,
    data: DataOption = None,
    out: Annotated[Path, typer.Option(help="Folder for the files.")] = Path("forecasts"),
    format: Annotated[Form, typer.Option(help="netcdf or zarr.")] = "netcdf",
    random_weights: RandomOption = False,
    device: RuntimeOption = "auto",
    baselines: BaselinesOption = None,
    adapter: AdapterOption = None,
    require_key: KeyOption = None,
) -> None:
    """Forecast the 1 km PM2.5 maps of the days after a date.

    Writes one CF file per issue day with all its leads, and a picture of the maps.

    Example: cranpm forecast india --date 2022-01-10

    With an adapter: cranpm forecast india --date 2022-01-10 --adapter adapters/india

    Without torch: cranpm forecast india --date 2022-01-10 --bundle base.bundle --data india.zarr
    """
    from cranpm.data.days import parse_days
    from cranpm.data.progress import progress_bar
    from cranpm.errors import CranpmError
    from cranpm.forecast.engine import check_leads
    from cranpm.forecast.files import check_folder
    from cranpm.forecast.inputs import WITHOUT_PAST
    from cranpm.forecast.load import choose

    plain_warnings()
    chosen = choose(model, bundle, require_key, random_weights, device)
    pack, days, ahead = chosen.region(region), parse_days(date), parse_leads(leads)
    if len(days) != 1:
        raise CranpmError(f"--date {date}: one day is expected, such as 2022-03-17")
    check_folder(out)
    worn = open_adapter(adapter, pack)
    engine = chosen.engine(worn)
    check_leads(engine.spec, ahead)
    if baselines is not None:
        _check_use(engine, baselines)  # a wrong name should not cost minutes
    with progress_bar() as progress:
        from cranpm.forecast.source import open_store

        store = open_store(pack, data, days, (), progress)
        past, note = _known_past(pack, engine, store, baselines, worn)
        remarks = []
        if engine.spec.reads_past and past is None:
            remarks.append(f"NO PAST: {WITHOUT_PAST} ({note})")
        if other := chosen.ground(store):
            remarks.append(f"OTHER GROUND: the store's is {other}")
        written, picture = write_day(pack, engine, store, days[0], ahead, out, format, progress, past, remarks)
    _report(written, picture, store.simulated, engine)
    print(*remarks, sep="\n", end="\n" if remarks else "")


forecast = leaf(run_forecast)


def write_day(
    pack: Region,
    engine: Engine,
    store: Store,
    day: dt.date,
    leads: tuple[int, ...],
    out: Path,
    form: Form,
    progress: Progress,
    past: KnownPast | None = None,
    remarks: Sequence[str] = (),
) -> tuple[Written, Path]:
    """Forecast one issue day into a file and a picture; see `run_forecast`. Remarks join the file's comment."""

    from cranpm.forecast.maps import Thumbnail
    from cranpm.forecast.output import provenance, write_forecast
    from cranpm.forecast.run import forecast as run
    from cranpm.forecast.run import tile_plan

    _, tiles = tile_plan(engine.spec, store)
    done, total = [0], len(tiles) * len(leads)

    def count(finished: int) -> None:
        done[0] += finished
        progress("forecasting tiles", done[0], total)

    small = {lead: Thumbnail(store.fine) for lead in leads}
    now = dt.datetime.now(dt.UTC)
    attributes = provenance(
        engine.spec,
        store,
        title=pack.title,
        licence=pack.licence,
        attribution=_attribution(pack, store.simulated),
        created=now,
    )
    attributes["comment"] = " ".join([str(attributes["comment"]), *(f"{remark}." for remark in remarks)])
    path = out / f"cranpm_{pack.name}_{day:%Y%m%d}{'.nc' if form == 'netcdf' else '.zarr'}"
    strips = run(engine, store, day, leads, past=past, progress=count)
    written = write_forecast(
        path, store, leads, strips, attributes, on_strip=lambda lead, strip: small[lead].add(strip)
    )
    return written, _draw(path.with_suffix(".png"), pack, engine, store, day, small)


def open_adapter(folder: Path | None, pack: Region) -> Adapter | None:
    """The adapter of `--adapter`, or None where none was asked for.

    Raises:
        CranpmError: it cannot be read, or is of another pack.
    """
    if folder is None:
        return None
    from cranpm.model.adapter import check_region, read_adapter

    adapter = read_adapter(folder)
    check_region(adapter, pack.name)
    return adapter


def _check_use(engine: Engine, baselines: Path) -> None:
    """Refuse fitted baselines that cannot be read, or that the network would not.

    Raises:
        CranpmError: says which.
    """
    from cranpm.errors import CranpmError
    from cranpm.verify.baselines import read_fitted

    read_fitted(baselines)
    if not engine.spec.reads_past:
        raise CranpmError(f"--baselines {baselines}: '{engine.spec.name}' reads nothing of the past; leave it out")


def _known_past(
    pack: Region, engine: Engine, store: Store, chosen: Path | None, adapter: Adapter | None
) -> tuple[KnownPast | None, str]:
    """What was fitted on the pack's past, for networks that read it, and what to say where nothing was."""
    if not engine.spec.reads_past:
        return None, ""
    from cranpm.verify.fitting import find_fitted

    return find_fitted(pack, store, chosen, None if adapter is None else adapter.baselines)


def _draw(path: Path, pack: Region, engine: Engine, store: Store, day: dt.date, small: Mapping[int, Thumbnail]) -> Path:
    from cranpm.forecast.maps import Bands, draw_forecast

    index = pack.index
    spec = engine.spec
    marks = [word for word, is_so in (("SIMULATED", store.simulated), ("UNTRAINED", spec.random_weights)) if is_so]
    maps = [(f"T+{lead}: {day + dt.timedelta(days=lead)}", part.values) for lead, part in small.items()]
    where = "simulated inputs, not measurements" if store.simulated else f"store of {store.region}"
    draw_forecast(
        path,
        store.fine,
        store.land,
        maps,
        Bands(index.name, index.bands, index.labels, index.hourly),
        title=" · ".join([*marks, f"PM2.5, daily mean, {pack.title}: forecast from {day}"]),
        note=f"Model {spec.name} ({spec.hash[:12] or 'random weights'}){_worn(engine)} · {where} · "
        "coast from the store's land mask",
    )
    return path


def _worn(engine: Engine) -> str:
    """The adapter in the small type of a picture."""
    spec = engine.spec
    if not spec.adapter:
        return ""
    return f" with adapter {spec.adapter.name} ({spec.adapter.hash[:12]}, trained on {spec.adapter.trained_on})"


def _attribution(pack: Region, simulated: bool) -> str:
    """What a publication must say; no provider's words over a map that holds nothing of theirs."""
    if simulated:
        return "Simulated by the sample world of cranpm; contains no provider's data"
    return "; ".join(dict.fromkeys(source.attribution for source in pack.sources.values()))


def _report(written: Written, picture: Path, simulated: bool, engine: Engine) -> None:
    for line in (f"Forecast  {written.path}", f"Picture   {picture}"):
        print(line)
    clipped = ", ".join(f"T+{lead}: {count}" for lead, count in written.clipped.items())
    print(f"Land pixels raised to 0: {clipped}; today's gaps filled: {written.filled}")
    if engine.spec.adapter:
        print(f"Adapter   {engine.spec.adapter.name}, trained on {engine.spec.adapter.trained_on}")
    if simulated:
        print("SIMULATED: made from the sample world, not from measurements.")
    if engine.spec.random_weights:
        print("UNTRAINED: random weights, not a forecast.")
