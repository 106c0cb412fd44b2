"""What training days know of the past: it is of other years, is fitted once, and reaches the tiles."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from cranpm.data.dataset import Draw, TrainingStore
from cranpm.data.layout import STORE_CHANNELS, DayRecord, Fixed, Header, StationTable
from cranpm.data.progress import Progress, silent
from cranpm.data.store import Store
from cranpm.data.writer import open_writer
from cranpm.errors import CranpmError
from cranpm.model.checkpoint import Checkpoint
from cranpm.model.config import ModelConfig, plus
from cranpm.region import Region, Window, load_region
from cranpm.tiles import Tile
from cranpm.train import pasts
from cranpm.train.days import Days
from cranpm.train.interruption import Interruption
from cranpm.train.keeper import Keeper
from cranpm.train.module import Training
from cranpm.train.pasts import prepared_pasts, simulated_pasts
from cranpm.train.place import Place as Machine
from cranpm.train.recipe import FOLDER, Corner, Past, Place, Recipe, Simulated, read_recipe
from cranpm.train.session import make_trainer
from cranpm.train.stores import store_path
from cranpm.variables import COARSE, CORRECTED_MAP, USUAL_MAP
from cranpm.verify import fit as fitting
from cranpm.verify.baselines import Fitted
from tests.train.toy import CONFIG, SCHEDULE, recipe

PLUS = plus(CONFIG, "plus-toy")
NO_STATIONS = StationTable((), (), (), (), (), ())
WINDOWS = {
    "south": Place(Corner(46.0, 19.0), Corner(45.0, 20.0)),
    "north": Place(Corner(52.0, 19.0), Corner(51.0, 20.0)),
}


def winter(year: int) -> str:
    return f"{year}-01-01..{year}-01-12"


TRAIN = (
    Past("south", 1, winter(2017)), Past("south", 2, winter(2018)),
    Past("north", 3, winter(2018)), Past("north", 4, winter(2019)),
)  # fmt: skip
VALIDATE = (Past("south", 5, winter(2021)),)
LEVELS = {1: 10.0, 2: 20.0, 3: 50.0, 4: 70.0, 5: 90.0}
"""PM2.5 of each realisation, ug m-3: it tells whose past is whose."""


@dataclass(frozen=True)
class PlusRecipe(Recipe):
    """A recipe of a small network that reads the past."""

    @property
    def config(self) -> ModelConfig:
        return PLUS


def plus_recipe(train: tuple[Past, ...] = TRAIN, *, simulated: bool = True) -> Recipe:
    made = Simulated(0, 64, WINDOWS, train, VALIDATE) if simulated else None
    return PlusRecipe(**{**vars(recipe(replace(SCHEDULE, length=2))), "simulated": made, "leads": (1, 2)})


def write(path: Path, window: Window, levels: Mapping[date, float]) -> None:
    """A store of days on which PM2.5 is at a level all over, and the forecasts are of 10 ug m-3 more."""
    days = sorted(levels)
    header = Header("europe", "sample", window.coarse, window.fine, window.overlap, {"seed": 0})
    place = STORE_CHANNELS.index("pm2p5")

    def fixed() -> Fixed:
        land = np.ones(window.fine.shape, bool)
        return Fixed(np.zeros(window.coarse.shape, np.float32), np.zeros(land.shape, np.float32), land, NO_STATIONS)

    with open_writer(path, header, fixed, days[0], days[-1]) as writer:
        for day in days:
            rng = np.random.default_rng(day.toordinal())
            coarse = np.full((len(STORE_CHANNELS), *window.coarse.shape), np.nan, np.float32)
            for k, variable in enumerate(COARSE.values()):
                coarse[k] = rng.uniform(max(variable.low, -5), min(variable.high, max(variable.low, -5) + 5))
            coarse[place] = levels[day]
            issued = np.stack([coarse] * 3)
            issued[:, place] += 10 + rng.normal()
            pm = np.full(window.fine.shape, levels[day] + rng.normal(), np.float32)
            writer.write_day(DayRecord(day, coarse, pm, issued, None))


@pytest.fixture(autouse=True)
def few_days_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (pasts, fitting):
        monkeypatch.setattr(module, "MIN_DAYS", 10)


@pytest.fixture(scope="module")
def region() -> Region:
    return load_region("europe")


@pytest.fixture(scope="module")
def cache(region: Region, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stores of the recipe, as if they had been simulated; a test that fits in it leaves its fits to the next."""
    folder, made = tmp_path_factory.mktemp("cache"), plus_recipe()
    for past in (*TRAIN, *VALIDATE):
        window = made.window(past.window, region.sample.overlap)
        write(store_path(made, region, past, folder), window, dict.fromkeys(past.dates, LEVELS[past.realisation]))
    return folder


@pytest.fixture(scope="module")
def prepared(region: Region, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store of the same winters, with the last days of 2017 too."""
    path, window = tmp_path_factory.mktemp("data") / "store.zarr", plus_recipe().window("south", 8)
    levels = {day: LEVELS[past.realisation] for past in (*TRAIN[:2], *VALIDATE) for day in past.dates}
    write(path, window, levels | {date(2017, 12, day): 10.0 for day in (29, 30, 31)})
    return path


def days_of(made: Recipe, cache: Path, folder: Path, data: Path | None = None, tell: Progress = silent) -> Days:
    """Prepared and set up."""
    region = load_region("europe")
    days = Days(made, region, seed=0, data=data, cache=cache, folder=folder, workers=0, tell=tell)
    days.prepare_data()
    days.setup("fit")
    return days


def levels_of(store: object) -> dict[int, float]:
    """The mean of each year's past, to the next ten ug m-3."""
    return {day.year: round(float(past.mean.mean()), -1) for day, past in store.pasts.items()}  # type: ignore[attr-defined]


def past_in(store: TrainingStore, year: int) -> Fitted:
    """What the days of a year know."""
    (past,) = {id(past): past for day, past in store.pasts.items() if day.year == year}.values()
    assert isinstance(past, Fitted)
    return past


def test_a_store_knows_the_other_training_stores_of_its_window(cache: Path, tmp_path: Path):
    days = days_of(plus_recipe(), cache, tmp_path)
    assert list(map(levels_of, days.train.stores)) == [{2017: 20}, {2018: 10}, {2018: 70}, {2019: 50}]
    (held_out,) = days.held_out.stores
    assert past_in(held_out, 2021).mean.mean() == pytest.approx(15, abs=1)
    assert not list(tmp_path.iterdir())  # the fits lie in the cache folder, for every run


def test_a_tile_of_a_training_day_holds_its_past(cache: Path, tmp_path: Path):
    days = days_of(plus_recipe(), cache, tmp_path)
    store, day, tile = days.train.stores[0], date(2017, 1, 5), Tile((0, 0), 8, 16, 32)
    batch = days.train.batch([Draw(0, day, (tile,), (2,))])
    past, issued = past_in(store, 2017), store.forecast(day, 2, ("pm2p5",))[0]
    maps = dict(zip(PLUS.maps, batch.pm[0].numpy(), strict=True))
    assert np.allclose(maps[USUAL_MAP], past.climatology(date(2017, 1, 7))[tile.window], atol=1e-3)
    assert np.allclose(maps[CORRECTED_MAP], past.cams_corrected(issued, 2)[tile.window], atol=1e-3)
    assert abs(maps["pm2p5_t"].mean() - 10) < 4 and abs(maps[USUAL_MAP].mean() - 20) < 4


def test_the_past_is_fitted_once_and_told_of(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for kept in (cache / "training").glob("*past*"):
        kept.unlink()
    told: list[tuple[str, int, int]] = []
    days_of(plus_recipe(), cache, tmp_path, tell=lambda *event: told.append(event))
    fitting = [event[1:] for event in told if event[0] == "fitting the past"]
    total = 12 * (1 + 1 + 1 + 1 + 2)
    assert fitting == [(done, total) for done in range(1, total + 1)]
    monkeypatch.setattr(pasts, "fit_places", lambda *_: pytest.fail("fitted again"))
    days_of(plus_recipe(), cache, tmp_path)
    others = plus_recipe(TRAIN[:2])  # of another recipe with the same days
    assert past_in(days_of(others, cache, tmp_path).held_out.stores[0], 2021).data_range > 0


@pytest.mark.parametrize("damage", ["cut off", "overwritten", "another version"])
def test_a_damaged_fit_is_made_again(cache: Path, tmp_path: Path, damage: str):
    made = plus_recipe()
    days_of(made, cache, tmp_path)
    path = simulated_pasts(made, load_region("europe"), cache)[0][2017].path
    whole = path.read_bytes()
    if damage == "cut off":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "overwritten":
        middle = len(whole) // 2  # among compressed values
        path.write_bytes(whole[:middle] + b"\xff" * 40 + whole[middle + 40 :])
    else:
        import netCDF4

        with netCDF4.Dataset(path, "a") as file:
            file.schema_version = 1
    assert levels_of(days_of(made, cache, tmp_path).train.stores[0]) == {2017: 20}


def test_a_fits_name_tells_what_it_was_fitted_on(cache: Path, region: Region, monkeypatch: pytest.MonkeyPatch):
    path = simulated_pasts(plus_recipe(), region, cache)[0][2017].path
    assert simulated_pasts(plus_recipe(TRAIN[:2]), region, cache)[0][2017].path == path
    more = (*TRAIN, Past("south", 9, winter(2020)))
    assert simulated_pasts(plus_recipe(more), region, cache)[0][2017].path != path
    monkeypatch.setattr(pasts, "SCHEMA_VERSION", 99)
    assert simulated_pasts(plus_recipe(), region, cache)[0][2017].path != path


def test_the_same_days_of_the_same_realisation_are_nobodys_past():
    first, again, later = Past("south", 1, "2017"), Past("south", 1, "2017-06..2018-02"), Past("south", 1, "2018-03")
    made = Simulated(0, 64, WINDOWS, (first, again, later, Past("south", 2, "2017")), ())
    assert made.others(first) == (later, Past("south", 2, "2017"))


def test_days_of_a_prepared_store_know_the_other_training_years(prepared: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(Store, "require", lambda *_: None)  # the toy window is no pack's
    made = plus_recipe(simulated=False)
    days = days_of(made, tmp_path / "cache", tmp_path, prepared)
    assert levels_of(days.train.stores[0]) == {2017: 20, 2018: 10}
    (held_out,) = days.held_out.stores
    assert list(levels_of(held_out)) == [2021]
    assert past_in(held_out, 2021).mean.mean() == pytest.approx(14.4, abs=1)
    assert len(list(tmp_path.glob("past-of-*.nc"))) == 3 and not (tmp_path / "cache").exists()
    monkeypatch.setattr(pasts, "fit_places", lambda *_: pytest.fail("fitted again"))
    days_of(made, tmp_path / "cache", tmp_path, prepared)


def test_what_the_last_days_of_a_year_forecast_is_not_in_their_past():
    train = [date(2017, 12, day) for day in range(1, 32)]
    train += [day for past in (Past("", 0, "2018-01..2018-03"), Past("", 0, "2019-01..2019-03")) for day in past.dates]
    stores = SimpleNamespace(days=train), SimpleNamespace(days=[date(2021, 1, 1)])
    made = prepared_pasts(Path("store.zarr"), *stores, leads=(1, 2), folder=Path())  # type: ignore[arg-type]
    ((_, known),) = made[2017].parts
    assert known[0] == date(2018, 1, 3) and len(known) == 2 * 90 - 2
    ((_, known),) = made[2018].parts
    assert {day.year for day in known} == {2017, 2019}
    ((_, known),) = made[2021].parts
    assert list(known) == train


def test_a_single_training_year_is_refused_before_any_work(prepared: Path, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(Store, "require", lambda *_: None)
    region = load_region("europe")
    region = replace(region, split=replace(region.split, train=(2018, 2020)))
    days = Days(
        plus_recipe(simulated=False), region, seed=0, data=prepared, cache=tmp_path, folder=tmp_path, workers=0,
        tell=lambda *_: pytest.fail("work was done"),
    )  # fmt: skip
    with pytest.raises(CranpmError, match=r"0 days of training years other than 2018.*at least 10.*prepare another"):
        days.prepare_data()


def test_a_recipe_whose_window_has_no_other_year_is_refused(tmp_path: Path):
    text = (FOLDER / "europe-sample.yaml").read_text()
    read_recipe(FOLDER / "europe-sample.yaml")
    entry = '    - {window: silesia, realisation: 9, days: "2019"}\n'
    for instead in ("", entry.replace('"2019"', '"2019-01-01..2019-01-09"')):
        path = tmp_path / "mine.yaml"
        path.write_text(text.replace(entry, instead))
        with pytest.raises(CranpmError, match=r"mine.yaml: 'plus-small' reads .* window 'silesia' has (0|9) training"):
            read_recipe(path)
        path.write_text(text.replace(entry, instead).replace("model: plus-small", "model: small"))
        read_recipe(path)  # it reads none


def test_a_network_that_reads_no_past_has_none_fitted(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pasts, "fit_places", lambda *_: pytest.fail("fitted"))
    (tmp_path / "training").symlink_to(cache / "training")
    plain = recipe()
    made = type(plain)(**{**vars(plain), "simulated": Simulated(0, 64, WINDOWS, TRAIN[:1], VALIDATE)})
    assert days_of(made, tmp_path, tmp_path).train.stores[0].pasts == {}


def test_a_run_trains_on_days_that_know_their_past(cache: Path, tmp_path: Path):
    days = Days(
        plus_recipe(), load_region("europe"), seed=0, data=None, cache=cache, folder=tmp_path, workers=0, tell=silent
    )
    keeper = Keeper(
        tmp_path, lambda days: Checkpoint("toy", PLUS, days.statistics, (1, 2), "europe", True, {}),
        lambda event: None, half=False, interruption=Interruption(),
    )  # fmt: skip
    module = Training(plus_recipe(), seed=0, key="toy")
    make_trainer(Machine("cpu"), tmp_path, keeper, half=False).fit(module, days)
    blend = module.network.output.blend.detach()
    assert blend.shape[1] == 4 and np.isfinite(blend.numpy()).all() and (tmp_path / "checkpoint").is_dir()


def test_training_days_of_one_date_in_two_realisations_are_refused(tmp_path: Path):
    text = (FOLDER / "europe-sample.yaml").read_text()
    path = tmp_path / "mine.yaml"
    path.write_text(text.replace('realisation: 2, days: "2018"', 'realisation: 2, days: "2017"'))
    with pytest.raises(CranpmError, match=r"'po_valley' has training days of one date in two realisations.*different"):
        read_recipe(path)
