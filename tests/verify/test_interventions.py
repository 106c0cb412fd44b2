"""Interventions: each alters what it says and nothing else, and what is made of the errors is what a hand gets."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import cranpm.forecast.load
import cranpm.forecast.source
from cranpm.errors import CranpmError
from cranpm.forecast.inputs import DayInputs, TileInputs, day_inputs, tile_inputs
from cranpm.forecast.run import assemble_map, forecast
from cranpm.model.config import FORECAST
from cranpm.model.statistics import nominal
from cranpm.tiles import Tile
from cranpm.variables import CHANNELS, COARSE, CORRECTED_MAP, FORECAST_MAP, USUAL_MAP
from cranpm.verify.commands import intervene
from cranpm.verify.evaluate import evaluate
from cranpm.verify.fit import fit
from cranpm.verify.intervene import LINES, PERSISTENCE, UNTOUCHED, DayErrors, Measured, identity, measure, read_days
from cranpm.verify.intervention_report import block_starts, change, markdown, rmse, summary, write_report
from cranpm.verify.interventions import INTERVENTIONS, WIND, AlteredEngine, Network, choose, split
from cranpm.verify.past import PastDay
from tests.forecast.fake_store import FIRST, SPEC, ConstantEngine, make_store

DAY = FIRST + dt.timedelta(days=3)
PLUS_CHANNELS = (*CHANNELS, *(f"{name}_f" for name in FORECAST))
PLUS_MAPS = ("pm2p5_t", "pm2p5_t-1", FORECAST_MAP, CORRECTED_MAP, USUAL_MAP)
PLUS = Network(PLUS_CHANNELS, PLUS_MAPS, nominal(), past=True)
BY_KEY = {item.key: item for item in INTERVENTIONS}
AIR = ("pm2p5", "pm10", "no2", "o3", "co")


class KnownPlace:
    """A past whose corrected forecast and climatology are easy to tell apart."""

    leads = (1, 2, 3)

    def climatology(self, day, rows=slice(None), columns=slice(None)):
        return np.full((rows.stop - rows.start, columns.stop - columns.start), 9.0, np.float32)

    def cams_corrected(self, cams, lead, rows=slice(None), columns=slice(None)):
        return np.full((rows.stop - rows.start, columns.stop - columns.start), 11.0 + lead, np.float32)


class Recorder:
    """An engine that keeps what it is fed and forecasts no change."""

    def __init__(self, **changes: object) -> None:
        self.spec = replace(SPEC, **changes)
        self.days: list[DayInputs] = []
        self.tiles: list[TileInputs] = []

    def encode_day(self, day: DayInputs, lead: int) -> object:
        self.days.append(day)
        return day if self.spec.state_per_lead else day.day

    def forecast_tiles(self, state: object, tiles: TileInputs, lead: int) -> np.ndarray:
        self.tiles.append(tiles)
        return np.zeros(tiles.filled.shape, np.float32)


class UpwindEngine(ConstantEngine):
    """Reads the wind of day t in the coarse channels and nothing else."""

    def encode_day(self, day: DayInputs, lead: int) -> object:
        return float(day.channel("u10_t").mean())

    def forecast_tiles(self, state: object, tiles: TileInputs, lead: int) -> np.ndarray:
        return np.full(tiles.filled.shape, 0.5 * state, np.float32)


@pytest.fixture(scope="module")
def fed():
    """A day and two tiles of it, as a network like `plus` is fed."""
    store = make_store()
    day = day_inputs(store, DAY, PLUS_CHANNELS, 2, KnownPlace())
    noise = np.random.default_rng(0).normal(size=day.coarse.shape).astype(np.float32)
    day = replace(day, coarse=day.coarse + noise)  # the made-up store's forecasts are calm
    tiles = (Tile((0, 0), 0, 0, 32), Tile((0, 1), 32, 40, 32))
    return day, tile_inputs(store, day, tiles, patch=8, coarse_patch=4, maps=PLUS_MAPS)


def altered(key: str, fed: tuple[DayInputs, TileInputs]) -> tuple[DayInputs, TileInputs]:
    """What reaches the engine behind an intervention."""
    inner = Recorder(channels=PLUS_CHANNELS, maps=PLUS_MAPS)
    engine = AlteredEngine(inner, BY_KEY[key], PLUS)
    engine.forecast_tiles(engine.encode_day(fed[0], 2), fed[1], 2)
    return inner.days[0], inner.tiles[0]


def differing(before: object, after: object, leave: tuple[str, ...] = ()) -> set[str]:
    """Names of the fields of two dataclasses that differ."""
    names = [field.name for field in fields(before) if field.name not in leave]
    return {name for name in names if not same(getattr(before, name), getattr(after, name))}


def same(one: object, other: object) -> bool:
    return np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other


def differing_channels(before: DayInputs, after: DayInputs) -> set[str]:
    return {name for name in before.channels if not np.array_equal(before.channel(name), after.channel(name))}


def differing_maps(before: TileInputs, after: TileInputs) -> set[str]:
    return {name for k, name in enumerate(PLUS_MAPS) if not np.array_equal(before.pm[:, k], after.pm[:, k])}


def channels_of(wanted, times=("t", "t-1", "f")) -> set[str]:
    return {name for name in PLUS_CHANNELS if split(name)[0] in wanted and split(name)[1] in times}


WEATHER = set(COARSE) - set(AIR)
SAYS = {
    "wind": (channels_of(WIND), {"wind"}, {"wind"}, set()),
    "bridge_wind": (set(), set(), {"wind"}, set()),
    "terrain": (set(), {"elevation"}, {"elevation"}, set()),
    "yesterday": (channels_of(set(COARSE), ("t-1",)), set(), set(), {"pm2p5_t-1"}),
    "composition": (channels_of(set(AIR)), set(), set(), {FORECAST_MAP, CORRECTED_MAP}),
    "weather": (channels_of(WEATHER), {"wind"}, {"wind"}, set()),
    "forecast_weather": (channels_of(WEATHER, ("f",)), set(), set(), set()),
    "past": (set(), set(), set(), {CORRECTED_MAP, USUAL_MAP}),
}
"""By intervention, what may differ: coarse channels, other fields of the day, of the tiles, and maps."""


@pytest.mark.parametrize("key", BY_KEY)
def test_each_intervention_alters_what_it_says_and_nothing_else(key, fed):
    channels, of_day, of_tiles, maps = SAYS[key]
    day, tiles = altered(key, fed)
    assert differing_channels(fed[0], day) == channels
    assert differing(fed[0], day, leave=("coarse",)) == of_day
    assert differing(fed[1], tiles, leave=("pm",)) == of_tiles
    assert differing_maps(fed[1], tiles) == maps
    assert tiles.pm.dtype == day.coarse.dtype == np.float32


@pytest.mark.parametrize("key", BY_KEY)
def test_what_the_caller_holds_stays_as_it_is(key, fed):
    day, tiles = fed
    kept = {name: np.array(getattr(part, name)) for part, name in ((day, "coarse"), (day, "wind"), (tiles, "pm"))}
    kept |= {"tile wind": tiles.wind.copy(), "elevation": tiles.elevation.copy()}
    altered(key, fed)
    found = {"coarse": day.coarse, "wind": day.wind, "pm": tiles.pm, "tile wind": tiles.wind}
    found["elevation"] = tiles.elevation
    assert all(np.array_equal(values, found[name]) for name, values in kept.items())


def test_values_are_those_that_the_words_promise(fed):
    day, tiles = altered("wind", fed)
    assert np.array_equal(day.channel("v_850_t-1"), -fed[0].channel("v_850_t-1"))
    assert np.array_equal(day.channel("u10_f"), -fed[0].channel("u10_f"))
    assert np.array_equal(tiles.wind, -fed[1].wind) and np.array_equal(day.wind, -fed[0].wind)
    day, tiles = altered("terrain", fed)
    assert not day.elevation.any() and not tiles.elevation.any()
    day, tiles = altered("yesterday", fed)
    assert np.array_equal(day.channel("q_925_t-1"), fed[0].channel("q_925_t"))
    assert np.array_equal(tiles.pm[:, 1], fed[1].pm[:, 0])
    day, tiles = altered("composition", fed)
    mean = nominal().coarse["no2_t"][0]
    assert (day.channel("no2_t") == mean).all() and (day.channel("no2_f") == mean).all()
    assert (tiles.pm[:, 2] == 15).all() and (tiles.pm[:, 3] == 9).all()  # mean; what is usual
    day, tiles = altered("weather", fed)
    assert (day.channel("t2m_t") == nominal().coarse["t2m_t"][0]).all() and not tiles.wind.any()
    day, tiles = altered("past", fed)
    assert np.array_equal(tiles.pm[:, 4], fed[1].pm[:, 0])
    np.testing.assert_allclose(tiles.pm[:, 3], fed[1].pm[:, 2], rtol=1e-5)  # as issued


def test_corrected_forecast_without_a_map_of_the_usual_is_put_at_the_mean(fed):
    maps = ("pm2p5_t", CORRECTED_MAP)
    tiles = replace(fed[1], pm=fed[1].pm[:, [0, 3]])
    found = BY_KEY["composition"].alter_tiles(tiles, fed[0], replace(PLUS, maps=maps))
    assert (found.pm[:, 1] == 15).all() and np.array_equal(found.pm[:, 0], tiles.pm[:, 0])


@pytest.mark.parametrize("key", ["wind", "bridge_wind"])
def test_the_wind_turned_twice_is_the_wind(key, fed):
    item = BY_KEY[key]
    twice = item.alter_day(item.alter_day(fed[0], PLUS), PLUS)
    assert not differing(fed[0], twice)
    assert not differing(fed[1], item.alter_tiles(item.alter_tiles(fed[1], fed[0], PLUS), fed[0], PLUS))


def test_an_intervention_without_anything_to_alter_is_left_out_and_said_so():
    chosen, left_out = choose(Network(CHANNELS, ("pm2p5_t", "pm2p5_t-1"), nominal()))
    assert [item.key for item in chosen] == ["wind", "bridge_wind", "terrain", "yesterday", "composition", "weather"]
    assert set(left_out) == {BY_KEY["forecast_weather"].label, BY_KEY["past"].label}
    assert [item.key for item in choose(PLUS)[0]] == list(BY_KEY)
    today = Network(CHANNELS[:35], ("pm2p5_t",), nominal())
    assert "it reads nothing of day t−1" in choose(today)[1].values()
    assert BY_KEY["past"].label in choose(replace(PLUS, past=False))[1]


def test_a_day_is_altered_once_and_the_day_state_shared_by_leads(fed):
    inner = Recorder()
    engine = AlteredEngine(inner, BY_KEY["wind"], Network(CHANNELS, SPEC.maps, nominal()))
    day, other = (day_inputs(make_store(), DAY + dt.timedelta(days=k)) for k in range(2))
    first = engine.encode_day(day, 1)
    assert engine.encode_day(day, 3) is first and inner.days[1] is inner.days[0]
    assert engine.encode_day(other, 1) is not first and inner.days[2] is not inner.days[0]
    with pytest.raises(TypeError, match="must come from this engine"):
        engine.forecast_tiles(inner.days[0], fed[1], 1)


def test_the_forecast_is_still_added_to_the_map_of_today(fed):
    """An intervention on an engine that adds nothing leaves persistence, whatever it alters."""
    store = make_store()
    changes = {"channels": PLUS_CHANNELS, "maps": PLUS_MAPS}
    (plain,) = forecast(Recorder(**changes), store, DAY, [1], past=KnownPlace())
    expected, _ = assemble_map(plain.strips, store.fine.shape)
    for item in INTERVENTIONS:
        (made,) = forecast(AlteredEngine(Recorder(**changes), item, PLUS), store, DAY, [1], past=KnownPlace())
        np.testing.assert_array_equal(assemble_map(made.strips, store.fine.shape)[0], expected)


def test_every_intervention_changes_what_a_real_network_forecasts(fed):
    """And only those that it reads: without its biases the bridge does not see the wind."""
    torch = pytest.importorskip("torch")
    from cranpm.forecast.torch_engine import TorchEngine
    from tests.model.examples import TINY, network

    config = replace(TINY, tile=32, channels=PLUS_CHANNELS, local_channels=(*PLUS_MAPS, "elevation"), output="scale")

    def residual(config, key=None):
        engine = object.__new__(TorchEngine)
        engine._device, engine._network, engine._state = torch.device("cpu"), network(config), None
        engine.spec = replace(SPEC, channels=config.channels, maps=config.maps)
        engine = engine if key is None else AlteredEngine(engine, BY_KEY[key], PLUS)
        return engine.forecast_tiles(engine.encode_day(fed[0], 2), fed[1], 2)

    untouched = residual(config)
    for key in BY_KEY:
        assert np.abs(residual(config, key) - untouched).max() > 1e-6, key
    deaf = replace(config, wind_bias=False)
    np.testing.assert_array_equal(residual(deaf, "bridge_wind"), residual(deaf))


def errors(days, untouched, key, values, pixels=100):
    """Days with given mean squared errors, ug2 m-6."""
    rows = zip(days, np.broadcast_to(untouched, len(days)), np.broadcast_to(values, len(days)), strict=True)
    return [DayErrors(day, {1: pixels}, {1: {UNTOUCHED: pixels * a, key: pixels * b}}) for day, a, b in rows]


def dates(count: int, step: int = 1) -> list[dt.date]:
    return [dt.date(2022, 1, 1) + dt.timedelta(days=step * k) for k in range(count)]


def test_a_change_that_is_the_same_every_day_has_an_interval_of_no_width():
    found = change(errors(dates(70), 4.0, "wind", 9.0), 1, "wind")
    assert (found.rmse, found.change, found.percent) == (3.0, 1.0, 50.0)
    assert found.interval == (1.0, 1.0) and found.percent_interval == (50.0, 50.0) and found.settled


def test_the_interval_is_that_of_the_central_limit():
    """Days far apart are independent: the standard error of a mean of squares, halved by the root (delta method)."""
    values = 4 + np.random.default_rng(1).normal(0, 0.4, 400)
    found = change(errors(dates(400, step=7), 4.0, "wind", values), 1, "wind")
    width = 2 * 1.96 * values.std() / np.sqrt(400) / (2 * np.sqrt(values.mean()))
    assert found.interval[1] - found.interval[0] == pytest.approx(width, rel=0.05)
    assert found.interval[0] < np.sqrt(values.mean()) - 2 < found.interval[1] and not found.settled


def test_days_that_follow_each_other_do_not_count_as_independent():
    weekly = 4 + np.random.default_rng(2).normal(0, 0.4, 60)
    alone = change(errors(dates(60, step=7), 4.0, "wind", weekly), 1, "wind")
    alike = change(errors(dates(420), 4.0, "wind", np.repeat(weekly, 7)), 1, "wind")
    assert alike.interval == pytest.approx(alone.interval, rel=1e-6)


def test_blocks_are_weeks_of_the_calendar_whatever_days_are_scored():
    assert block_starts(dates(15)) == [0, 7, 14]
    assert block_starts(dates(6, step=3)) == [0, 3]
    assert block_starts(dates(4, step=12)) == [0, 1, 2, 3]
    gap = [*dates(3), *(day + dt.timedelta(days=30) for day in dates(8))]
    assert block_starts(gap) == [0, 3, 10]


def test_errors_of_days_are_pooled_over_pixels():
    days = [DayErrors(day, {1: n}, {1: {UNTOUCHED: 1.0 * n, "wind": s * n}}) for day, n, s in
            zip(dates(2), (300, 100), (1.0, 5.0), strict=True)]  # fmt: skip
    found = change(days, 1, "wind")
    assert found.rmse == pytest.approx(np.sqrt(2.0)) and found.interval is None and not found.settled


def test_an_input_that_a_network_ignores_has_a_change_of_exactly_zero(tmp_path):
    store, days = make_store(days=60), [FIRST + dt.timedelta(days=k) for k in range(1, 58, 7)]
    found = measure(UpwindEngine(), nominal(), store, days, (1, 2), tmp_path / LINES, fitted=None)
    for item in found.chosen:
        for lead in (1, 2):
            result = change(found.of(lead), lead, item.key)
            if item.key in ("wind", "weather"):
                assert result.change != 0 and result.interval[0] < result.interval[1]
            else:
                assert result.change == 0 and result.interval == (0.0, 0.0) and not result.settled
    text = markdown(found)
    assert "| terrain flattened | 0 (no error changes) | 0 (no error changes) |" in text and "simulated" in text


def test_scores_are_those_made_by_hand(tmp_path):
    store, days = make_store(), [FIRST + dt.timedelta(days=k) for k in (1, 2)]
    found = measure(UpwindEngine(), nominal(), store, days, (1, 2), tmp_path / LINES, fitted=None)
    for scored in found.days:
        wind = float(day_inputs(store, scored.day).channel("u10_t").mean())
        today, yesterday = store.pm(scored.day), store.pm(scored.day - dt.timedelta(days=1))
        filled = np.where(np.isnan(today), yesterday, today)
        truth = store.pm(scored.day + dt.timedelta(days=2))
        valid = store.land & np.isfinite(truth) & np.isfinite(filled)
        assert scored.pixels[2] == pytest.approx(valid.sum(), abs=20)  # pixels missing on both days are filled too
        for row, sign in ((UNTOUCHED, 1), ("wind", -1), ("weather", None), (PERSISTENCE, 0)):
            residual = nominal().coarse["u10_t"][0] if sign is None else sign * wind
            error = np.maximum(filled + 20 * 0.5 * residual, 0) - truth
            expected = np.sqrt(np.mean(error[valid].astype(float) ** 2))
            assert np.sqrt(scored.squared[2][row] / scored.pixels[2]) == pytest.approx(expected, rel=5e-3)


def test_the_untouched_rows_are_those_of_the_evaluation(tmp_path):
    store, days = make_store(), [FIRST + dt.timedelta(days=k) for k in (1, 2, 3)]
    found = measure(UpwindEngine(), nominal(), store, days, (1, 2), tmp_path / LINES, fitted=None)
    scored = evaluate(UpwindEngine(), store, days, (1, 2), fitted=None)
    for lead in (1, 2):
        for row, name in ((UNTOUCHED, "model"), (PERSISTENCE, "persistence")):
            assert rmse(found, lead, row) == pytest.approx(scored.scores(lead, name).rmse, rel=1e-6)


def test_finished_days_are_not_made_again_and_others_are_not_mistaken_for_them(tmp_path):
    store, path, done = make_store(), tmp_path / LINES, []
    days = [FIRST + dt.timedelta(days=k) for k in range(1, 5)]

    def run(chosen, leads=(1,), **changes):
        engine = ConstantEngine(0.01, **changes)
        tell = lambda what, ready, total: done.append((ready, total))  # noqa: E731
        found = measure(engine, nominal(), store, chosen, leads, path, fitted=None, progress=tell)
        return found, len(engine.batches)

    first, work = run(days[:2])
    assert work and len(path.read_text().splitlines()) == 2
    path.write_text(path.read_text() + '{"version": 1, "day": "2022-0')  # killed while writing
    again, repeated = run(days[:2])
    assert repeated == 0 and again.days == first.days and done[-1] == (2, 2)
    more, extra = run(days)
    assert extra == work and [day.day for day in more.days] == days and more.days[:2] == first.days
    other, fresh = run(days[:2], hash="11" * 32)
    assert fresh == work and len(other.days) == 2
    _, both = run(days[:1], leads=(1, 2))
    assert both == work  # one day, two leads
    assert len(path.read_text().splitlines()) == 7 and all(map(json.loads, path.read_text().splitlines()))


def test_a_line_belongs_to_weights_a_world_and_a_past():
    store, past = make_store(days=8), []
    for k in range(60):
        pm = store.pm_maps[FIRST + dt.timedelta(days=k % 8)]
        cams = np.full((3, *store.coarse.shape), 12.0 + k % 5, np.float32)
        past.append(PastDay(dt.date(2017, 1, 1) + dt.timedelta(days=k), pm, cams, cams[0]))
    fitted = fit(lambda: past, store.fine, store.coarse, store.land, {"world": "sample"})
    same_again = identity(SPEC, make_store(), fitted)
    assert identity(SPEC, store, fitted) == same_again
    other_world = make_store()
    other_world.attrs = {"simulated": {"seed": 1}}
    different = [
        identity(replace(SPEC, hash="11" * 32), store, fitted),
        identity(replace(SPEC, hash="", name="small"), store, fitted),
        identity(SPEC, other_world, fitted),
        identity(SPEC, make_store(height=104), fitted),
        identity(SPEC, store, replace(fitted, mean=fitted.mean + 1)),
        identity(SPEC, store, None),
    ]
    texts = {json.dumps(about) for about in (same_again, *different)}
    assert len(texts) == 1 + len(different)
    assert read_days(Path("there is no such file"), same_again) == {}


def test_days_that_cannot_be_scored_are_named_with_the_reason(tmp_path):
    store = make_store()
    store.without_cams = {FIRST + dt.timedelta(days=2)}
    last = FIRST + dt.timedelta(days=7)
    days = [FIRST, FIRST + dt.timedelta(days=1), FIRST + dt.timedelta(days=2), last]
    engine = ConstantEngine(channels=PLUS_CHANNELS)
    found = measure(engine, nominal(), store, days, (1,), tmp_path / LINES, fitted=None)
    reasons = {day: reason for day, _, reason in found.skipped}
    assert reasons == {
        days[0]: "the day before is missing in the store",
        days[2]: "no forecast was issued",
        last: "the valid day is missing in the store",
    }
    with pytest.raises(CranpmError, match="none of the 1 days could be scored: the valid day is missing"):
        measure(engine, nominal(), store, [last], (1,), tmp_path / LINES, fitted=None)
    with pytest.raises(CranpmError, match="lead 4"):
        measure(engine, nominal(), store, days, (4,), tmp_path / LINES, fitted=None)


def made_up(**changes: object) -> Measured:
    """Twelve days on which the turned wind does harm, flat terrain does not matter, and little is known of t-1."""
    rng = np.random.default_rng(0)
    keys = ("wind", "terrain", "yesterday")
    days = []
    for day in dates(12, step=12):
        base, noise = 40 * rng.gamma(9, 1 / 9), rng.normal(0, 2)
        rows = {UNTOUCHED: base, PERSISTENCE: 50.0, "wind": 1.2 * base, "terrain": base, "yesterday": base + noise}
        squared = {row: 100 * value for row, value in rows.items()}
        days.append(DayErrors(day, {1: 100, 2: 100}, {1: squared, 2: squared}))
    values = Measured(
        SPEC, {"region": "testland", "simulated": None}, True, (1, 2), tuple(days), tuple(BY_KEY[key] for key in keys),
        {"only forecast meteorology blanked": "it reads no forecast meteorology"}, (), (),
    )  # fmt: skip
    return replace(values, **changes)


def test_the_table_claims_nothing_where_zero_lies_inside():
    text = markdown(made_up())
    rows = {line.split(" | ")[0].strip("| "): line for line in text.splitlines() if line.startswith("| ")}
    assert "]*, +9." in rows["wind turned by 180°"]
    assert "*" not in rows["t−1 removed"] and "[-" in rows["t−1 removed"]
    assert "0 (no error changes)" in rows["terrain flattened"]
    assert "Not for this network: only forecast meteorology blanked (it reads no forecast meteorology)." in text
    assert "worse" not in text and "better" not in text
    assert ", simulated." in text and "simulated" not in markdown(made_up(simulated=False))


def test_table_and_picture_are_written_as_json_and_png(tmp_path):
    table, drawn = write_report(made_up(), tmp_path)
    document = json.loads(table.read_text(encoding="utf-8"))
    assert document == json.loads(json.dumps(summary(made_up()))) and document["simulated"] is True
    wind = document["interventions"][0]["leads"]["1"]
    assert wind["interval"][0] <= wind["change"] <= wind["interval"][1] and document["blocks"] == {"1": 12, "2": 12}
    assert drawn.read_bytes()[:4] == b"\x89PNG" and drawn.stat().st_size > 5000


def test_the_command_goes_on_and_writes_lines_table_and_picture(monkeypatch, tmp_path):
    store = make_store(days=10)
    monkeypatch.setattr(cranpm.forecast.load, "load_engine", lambda *_: UpwindEngine())
    monkeypatch.setattr(cranpm.forecast.source, "open_store", lambda *_, **__: store)
    words = ["europe-sample", "--days", f"{FIRST + dt.timedelta(days=1)}..{FIRST + dt.timedelta(days=7)}"]
    words += ["--every", "3", "--leads", "1", "2", "--out", str(tmp_path / "out")]
    made = CliRunner().invoke(intervene, words, catch_exceptions=False)
    assert made.exit_code == 0, made.output
    assert "| wind turned by 180° | " in made.output and "(simulated)" in made.output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {LINES, "interventions.json", "interventions.png"}
    assert len((tmp_path / "out" / LINES).read_text().splitlines()) == 3
    again = CliRunner().invoke(intervene, words, catch_exceptions=False)
    assert again.stdout == made.stdout  # the progress bar tells seconds, on stderr
    assert len((tmp_path / "out" / LINES).read_text().splitlines()) == 3
    (tmp_path / "zarr.json").write_text("{}")
    with pytest.raises(CranpmError, match="a Zarr store"):
        CliRunner().invoke(intervene, [*words[:-1], str(tmp_path)], catch_exceptions=False)


@pytest.mark.slow
def test_the_shipped_model_on_simulated_days_end_to_end(monkeypatch, tmp_path):
    """From the shell to the picture, on two days of a small window, made by the sample world."""
    pytest.importorskip("torch")
    from cranpm.region import load_region
    from cranpm.sample.direct import write_store
    from cranpm.sample.world import World

    days = [dt.date(2022, 1, 9) + dt.timedelta(days=k) for k in range(4)]
    write_store(World(load_region("europe")), days, tmp_path / "europe.zarr")
    words = ["europe-sample", "--data", str(tmp_path / "europe.zarr"), "--leads", "1", "--device", "cpu"]
    made = CliRunner().invoke(intervene, [*words, "--out", str(tmp_path / "out")], catch_exceptions=False)
    assert made.exit_code == 0, made.output
    document = json.loads((tmp_path / "out" / "interventions.json").read_text(encoding="utf-8"))
    assert document["simulated"] and document["days"] == ["2022-01-10", "2022-01-11"]
    changes = {item["key"]: item["leads"]["1"]["change"] for item in document["interventions"]}
    assert all(value != 0 for value in changes.values()), changes
    assert changes["composition"] > 0 or changes["weather"] > 0
