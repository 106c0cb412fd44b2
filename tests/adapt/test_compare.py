"""Comparing adapters: the same days and pixels for all, no day that a model has seen, and which of them to use."""

import datetime as dt
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import cranpm.adapt.compare_models as compare_models
import cranpm.forecast.source
from cranpm.adapt.compare import LINES, Bounds, Comparison, Row, compare
from cranpm.adapt.compare_baselines import LOCAL, fit_local
from cranpm.adapt.compare_commands import compare as command
from cranpm.adapt.compare_models import Model, give_pasts, open_models, scoring_days
from cranpm.adapt.compare_report import markdown, summary, write_report
from cranpm.adapt.compare_sums import RowSums
from cranpm.adapt.compare_verdict import Worse, paired, recommendation, remark, worse_csi
from cranpm.data.days import day_range
from cranpm.errors import CranpmError
from cranpm.forecast.inputs import WITHOUT_PAST
from cranpm.verify.baselines import write_fitted
from cranpm.verify.evaluate import evaluate
from cranpm.verify.exceedance import Contingency
from cranpm.verify.metrics import Sums, scores_of
from tests.forecast.fake_store import FIRST, ConstantEngine, PastEngine, made_up_past, make_store

ONE = dt.timedelta(days=1)
DAYS = [FIRST + k * ONE for k in range(1, 5)]
BOUNDS = Bounds((10.0, 15.0, 20.0), (15.0, 20.0))
ROWS = {
    "persistence": "persistence",
    "damped persistence": "damped",
    "CAMS forecast, corrected": "cams_corrected",
    "linear blend": "blend",
}


@dataclass(frozen=True)
class WornResidual:
    """Stands for an adapter: what the engine adds while it is worn."""

    residual: float
    folder: Path

    @property
    def home(self) -> Path:
        return self.folder

    @property
    def hash(self) -> str:
        return f"{self.residual}"

    @property
    def baselines(self) -> Path | None:
        return self.folder / "baselines.nc" if (self.folder / "baselines.nc").is_file() else None


class WearingEngine(ConstantEngine):
    """Adds nothing, or what the adapter says that it wears; `changes` counts how often one was put on or taken off."""

    def wear(self, adapter: WornResidual | None) -> None:
        self.residual = 0.0 if adapter is None else adapter.residual


@pytest.fixture
def adapter(tmp_path):
    def make(residual: float, name: str = "a") -> WornResidual:
        folder = tmp_path / name
        folder.mkdir(exist_ok=True)
        (folder / "adapter_config.json").write_text("{}")
        return WornResidual(residual, folder)

    return make


@pytest.fixture
def fitted():
    store = make_store()
    return made_up_past(store.fine, store.coarse)


def zero_shot(engine) -> Model:
    return Model("zero-shot", "zero-shot", engine)


def test_every_row_scores_what_an_evaluation_of_its_own_scores(tmp_path, adapter, fitted):
    engine, days = WearingEngine(), DAYS[:2]
    models = [zero_shot(engine), Model("a", "adapter", engine, adapter(0.05))]
    models.append(Model("all of it", "full fine-tuning", ConstantEngine(-0.05, hash="11" * 32)))
    found = compare(models, {"": fitted}, make_store(), days, (1, 2), BOUNDS, tmp_path / LINES)
    assert [row.name for row in found.models] == ["zero-shot", "a", "all of it"]
    assert [row.name for row in found.baselines] == list(ROWS)
    alone = evaluate(ConstantEngine(0.05), make_store(), days, (1, 2), fitted=fitted)
    names = {"a": "model", "zero-shot": "persistence", **ROWS}  # the base as it is adds nothing to today's map
    for row in (row for row in found.rows if row.name in names):
        for lead in (1, 2):
            own, expected = scores_of(found.total(lead, row).pixels), alone.scores(lead, names[row.name])
            assert (own.n, own.rmse, own.mae, own.bias, own.slope) == pytest.approx(
                (expected.n, expected.rmse, expected.mae, expected.bias, expected.slope)
            ), row.name
    added, taken = (scores_of(found.total(1, row).pixels).bias for row in found.models[1:])
    assert added - taken == pytest.approx(2, abs=1e-3)


def test_histogram_and_thresholds_are_those_of_the_scored_pixels(tmp_path):
    store = make_store()
    found = compare([zero_shot(ConstantEngine(1.0))], {}, store, DAYS, (1,), BOUNDS, tmp_path / LINES)
    truths = [store.pm(day + ONE)[store.land] for day in DAYS]
    truth = np.concatenate([values[np.isfinite(values)] for values in truths])
    model = found.total(1, found.models[0])
    assert model.tables[1].hits + model.tables[1].misses == (truth >= 20).sum()
    assert model.tables[0].false_alarms == (truth < 15).sum() and model.tables[0].misses == 0  # 20 more than today's
    assert found.total(1, found.rows[-1]).histogram.sum() == truth.size == model.bands[0].sum()


def test_finished_days_are_not_made_again_and_a_further_adapter_costs_only_its_own(tmp_path, adapter):
    engine, path = WearingEngine(), tmp_path / LINES
    first = compare([zero_shot(engine)], {}, make_store(), DAYS[:2], (1, 2), BOUNDS, path)
    each = len(engine.batches) // 2
    path.write_text(path.read_text() + '{"version": 1, "day": "20')  # killed while it wrote
    engine.batches.clear()
    models = [zero_shot(engine), Model("a", "adapter", engine, adapter(0.05))]
    more = compare(models, {}, make_store(), DAYS[:3], (1, 2), BOUNDS, path)
    assert len(engine.batches) == 2 * each + 2 * each  # the adapter on two days, both on the third
    engine.batches.clear()
    again = compare(models, {}, make_store(), DAYS[:3], (1, 2), BOUNDS, path)
    assert not engine.batches and summary(again) == summary(more)
    day = first.days[DAYS[0]][1][first.rows[0].made].pixels
    assert more.days[DAYS[0]][1][first.rows[0].made].pixels == day


def test_other_thresholds_another_past_or_another_adapter_are_scored_anew(tmp_path, adapter, fitted):
    engine, path, store = PastEngine(), tmp_path / LINES, make_store()
    other = replace(BOUNDS, thresholds=(15.0, 25.0))
    for lines, (bounds, past) in enumerate([(BOUNDS, None), (other, None), (BOUNDS, fitted), (BOUNDS, None)], start=1):
        compare([replace(zero_shot(engine), past=past)], {}, store, DAYS[:1], (1,), bounds, path)
        assert len(path.read_text().splitlines()) == min(lines, 3)  # the last run is the first
    one, other = (Model("a", "adapter", WearingEngine(), adapter(r)).made() for r in (0.1, 0.2))
    assert one != other
    changed = adapter(0.2)
    (changed.home / "adapter_config.json").write_text('{"lora_alpha": 64}')
    assert Model("a", "adapter", WearingEngine(), changed).made() != other


def test_day_that_one_row_cannot_score_is_left_out_for_all_and_named(tmp_path, fitted):
    store = make_store()
    store.without_cams = {DAYS[1]}
    found = compare([zero_shot(ConstantEngine())], {"": fitted}, store, DAYS, (1,), BOUNDS, tmp_path / LINES)
    assert DAYS[1] not in found.days and found.skipped == ((DAYS[1], 1, "no CAMS forecast was issued"),)
    assert "Left out: no CAMS forecast was issued" in markdown(found)
    with pytest.raises(CranpmError, match="none of the 1 days could be scored: truth missing"):
        compare([zero_shot(ConstantEngine())], {}, store, [FIRST + 7 * ONE], (1,), BOUNDS, tmp_path / LINES)


def test_season_is_that_of_the_valid_day(tmp_path):
    """FIRST is the 1st of March: a forecast issued on the last of February is one of spring."""
    store = make_store()
    store.pm_maps = {day - 3 * ONE: values for day, values in store.pm_maps.items()}
    store.days = tuple(store.pm_maps)
    days = [dt.date(2022, 2, 27), dt.date(2022, 2, 28)]
    found = compare([zero_shot(ConstantEngine())], {}, store, days, (1,), BOUNDS, tmp_path / LINES)
    row = found.models[0]
    whole = {name: found.season(1, row, name) for name in ("DJF", "MAM", "JJA")}
    assert whole["JJA"] is None
    assert whole["DJF"].pixels == found.days[days[0]][1][row.made].pixels
    assert whole["MAM"].pixels == found.days[days[1]][1][row.made].pixels


PERIOD = day_range(dt.date(2021, 7, 10), dt.date(2021, 7, 20))


def test_days_that_share_a_map_with_the_local_period_are_left_out():
    models = [zero_shot(None), Model("a", "adapter", None, period=PERIOD)]
    store_days = day_range(dt.date(2021, 7, 1), dt.date(2021, 7, 31))
    wanted = scoring_days(models, store_days, False, (1, 2, 3))
    assert wanted == (*day_range(dt.date(2021, 7, 1), dt.date(2021, 7, 6)),
                      *day_range(dt.date(2021, 7, 22), dt.date(2021, 7, 31)))  # fmt: skip
    assert dt.date(2021, 7, 8) in scoring_days(models, store_days, False, (1,))


def test_days_asked_for_that_overlap_are_refused_by_name():
    models = [zero_shot(None), Model("a", "adapter", None, period=PERIOD)]
    asked = day_range(dt.date(2021, 7, 20), dt.date(2021, 7, 23))
    with pytest.raises(CranpmError) as error:
        scoring_days(models, asked, True, (1, 2, 3))
    for text in ("adapter 'a'", "2021-07-10..2021-07-20", "issued on 2021-07-20..2021-07-21",
                 "--days 2021-07-22..2021-07-23"):  # fmt: skip
        assert text in str(error.value)
    assert scoring_days(models, asked[2:], True, (1, 2, 3)) == asked[2:]
    with pytest.raises(CranpmError, match="no day to score on"):
        scoring_days(models, PERIOD, False, (1, 2, 3))


def test_baselines_of_the_local_days_need_sixty_of_them():
    store = make_store(days=70)
    days = [FIRST + k * ONE for k in range(90)]
    told = []
    fitted, note = fit_local(store, days, lambda *progress: told.append(progress))
    assert not note and fitted.about["fitted_days"] == 70 and told[-1][1:] == (140, 140)
    truth = np.stack([store.pm_maps[day] for day in store.days])[:, 10, 60]
    assert fitted.mean[10, 60] == pytest.approx(np.nanmean(truth), rel=1e-4)
    store.without_cams = set(store.days[:20])
    fitted, note = fit_local(store, days, lambda *progress: None)
    assert fitted is None and "50 local days in the store, at least 60" in note
    assert fit_local(store, (), lambda *progress: None) == (None, "")


def test_rows_of_the_local_days_stand_beside_those_of_the_packs_past(tmp_path, fitted):
    store = make_store()
    fits = {"": fitted, LOCAL: made_up_past(store.fine, store.coarse, seed=9)}
    found = compare([zero_shot(ConstantEngine())], fits, store, DAYS, (1,), BOUNDS, tmp_path / LINES)
    names = [row.name for row in found.baselines]
    assert names == [*ROWS, *(f"{name}{LOCAL}" for name in list(ROWS)[1:])]
    errors = {row.name: found.total(1, row).pixels.squared for row in found.baselines}
    assert errors["linear blend"] != errors["linear blend (local days)"]


def test_models_read_the_packs_past_else_what_adapters_bring_else_the_local_days(adapter, fitted):
    store, engine = make_store(), PastEngine()
    plain, bringing = adapter(0.1, "plain"), adapter(0.2, "bringing")
    write_fitted(bringing.home / "baselines.nc", fitted)
    models = [zero_shot(engine), Model("plain", "adapter", engine, plain), Model("b", "adapter", engine, bringing)]
    local = made_up_past(store.fine, store.coarse, seed=9)
    given, note = give_pasts(models, local, None, store)
    assert all(model.past is local for model in given) and not note
    given, note = give_pasts(models, None, local, store)
    assert len({model.past for model in given}) == 1 and given[0].past is not local and "local days" in note
    given, note = give_pasts(models[:2], None, local, store)
    assert all(model.past is local for model in given) and "the zero-shot model too" in note
    given, note = give_pasts(models[:1], None, None, store)
    assert given[0].past is None and note == WITHOUT_PAST
    given, note = give_pasts([zero_shot(ConstantEngine())], None, local, store)
    assert given[0].past is None and not note  # it reads none


@pytest.mark.slow
def test_real_adapters_take_turns_on_the_base_that_the_first_one_names(monkeypatch, tmp_path):
    pytest.importorskip("peft")
    from tests.model.adapters import write_adapter, write_base

    base, other = write_base(tmp_path / "base"), write_base(tmp_path / "other")
    folders = [tmp_path / "one", tmp_path / "two"]
    for seed, folder in enumerate(folders):
        write_adapter(folder, base, seed=seed, whole=())
    monkeypatch.chdir(tmp_path)  # the adapters name their base 'base'
    models, notes = open_models(None, [*folders, tmp_path / "other"], "india", "cpu")
    assert [(model.name, model.kind) for model in models] == [
        ("zero-shot", "zero-shot"), ("one", "adapter"), ("two", "adapter"), ("other", "full fine-tuning"),
    ]  # fmt: skip
    assert models[1].engine is models[0].engine is not models[3].engine
    assert models[1].period == (*day_range(dt.date(2021, 7, 1), dt.date(2021, 8, 10)),
                                *day_range(dt.date(2021, 8, 15), dt.date(2021, 8, 20)))  # fmt: skip
    assert [worn and worn.name for worn in (model.ready().spec.adapter for model in models)] == [
        None,
        "one",
        "two",
        None,
    ]
    assert len({model.made() for model in models[:3]}) == 3
    assert notes == ["the checkpoint 'other' does not say which local days it was trained on"]
    with pytest.raises(CranpmError, match="trained on pack 'india', asked for is 'europe'"):
        open_models(None, folders, "europe", "cpu")
    assert other.hash == base.hash  # one seed: an adapter fits both
    with pytest.raises(CranpmError, match="adapter 'one' reads 105 coarse channels"):
        open_models("europe-sample", folders, "india", "cpu")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with pytest.raises(CranpmError, match=r"the first of --adapters was trained on 'base': no model 'base'.*--base"):
        open_models(None, folders, "india", "cpu")
    assert len(open_models(str(tmp_path / "base"), folders, "india", "cpu")[0]) == 3


def test_full_fine_tuning_of_another_base_or_pack_is_refused(tmp_path):
    from cranpm.model.checkpoint import read_checkpoint, write_checkpoint
    from tests.model.adapters import write_base

    base = write_base(tmp_path / "base")
    days = {"train": "2021-07-01..2021-07-03", "validate": "2021-07-05"}
    for name, began, region in (
        ("good", base.hash, "india"),
        ("far", base.hash, "europe"),
        ("odd", "ab" * 32, "india"),
    ):
        said = {"base": str(tmp_path / "base"), "base_hash": began, "adapted": {"region": region, **days}}
        write_checkpoint(tmp_path / name, replace(base, provenance=said), base.network())
        assert read_checkpoint(tmp_path / name).name == name
    models, notes = open_models(None, [tmp_path / "good"], "india", "cpu")
    assert models[1].kind == "full fine-tuning" and not notes
    assert models[1].period == (*day_range(dt.date(2021, 7, 1), dt.date(2021, 7, 3)), dt.date(2021, 7, 5))
    with pytest.raises(CranpmError, match="fine-tuned on pack 'europe', asked for is 'india'"):
        open_models(None, [tmp_path / "far"], "india", "cpu")
    with pytest.raises(CranpmError, match=r"'odd' was fine-tuned from '.*base' \(abababababab…\)"):
        open_models(None, [tmp_path / "odd"], "india", "cpu")


def row_of(rmse: float, csi: float = 0.5, pixels: int = 1000, events: int = 200) -> RowSums:
    """A day's sums with a given RMSE, and at one threshold a given CSI (without false alarms)."""
    one = Sums(n=pixels, weight=pixels, squared=pixels * rmse**2, absolute=pixels * rmse)
    hits = round(csi * events)
    table = Contingency(hits, events - hits, 0, pixels - events)
    return RowSums(one, np.array([[pixels, 0], [0, 0], [pixels * rmse**2, 0]], float), (table,), np.array([0, pixels]))


def made(days: int = 70, leads: tuple[int, ...] = (1, 2), events: int = 200, **rows: tuple) -> Comparison:
    """Constructed sums: by row its kind, daily RMSE and CSI; a name's `_` is a space."""
    kinds = {"zero_shot": "zero-shot", "blend": "baseline", "full": "full fine-tuning"}
    names = {name: Row(name.replace("_", " "), kinds.get(name, "adapter"), name) for name in rows}
    sums = {}
    for k in range(days):
        of_day = {"truth": row_of(0, 1.0, events=events)}
        for name, (errors, csi) in rows.items():
            of_day[name] = row_of(float(np.broadcast_to(errors, days)[k]), csi, events=events)
        sums[dt.date(2022, 1, 1) + k * ONE] = dict.fromkeys(leads, of_day)
    truth = Row("truth", "truth", "truth")
    bounds = Bounds((60.0,), (60.0,))
    return Comparison("india", True, "europe-sample", (*names.values(), truth), leads, bounds, sums)


NOISE = np.random.default_rng(4).normal(size=70)
TEN = 10 + NOISE


def test_paired_interval_is_of_the_difference_not_of_the_errors():
    """Days differ widely, the model is a tenth better on each: the interval has no width."""
    found = made(zero_shot=(TEN, 0.5), a=(0.9 * TEN, 0.5))
    held = paired(found, found.models[1])
    assert held.ratio == pytest.approx(0.9) and held.interval == pytest.approx((0.9, 0.9))
    rmse = np.sqrt((TEN**2).mean())
    assert held.difference == pytest.approx({1: -0.1 * rmse, 2: -0.1 * rmse})
    assert held.intervals[1][0] < -0.1 * rmse < held.intervals[1][1] < 0


def test_days_of_a_block_are_drawn_together():
    """Errors that alternate by week are less certain than the same errors by day."""
    weekly = 10 + 2 * np.sign(np.sin((np.arange(70) // 7 + 0.5) * np.pi))
    daily = 10 + 2 * np.sign(np.sin((np.arange(70) + 0.5) * np.pi))
    widths = []
    for errors in (weekly, daily):
        low, high = paired(
            *(lambda found: (found, found.models[1]))(made(zero_shot=(10.0, 0.5), a=(errors, 0.5)))
        ).interval
        widths.append(high - low)
    assert widths[0] > 2 * widths[1]


def test_lowest_model_is_recommended_where_it_is_certain_and_costs_no_high_days():
    found = made(zero_shot=(TEN, 0.5), a=(0.95 * TEN, 0.5), b=(0.9 * TEN, 0.52), full=(0.93 * TEN, 0.6))
    assert recommendation(found) == (
        "Use the adapter 'b': its RMSE is 10.0 % lower (95 % interval of the change −10.0 to −10.0 %) than that of the "
        "zero-shot model, mean over T+1 and T+2, and its critical success index is no lower at 60 µg/m³."
    )
    assert recommendation(made(zero_shot=(TEN, 0.5), full=(0.9 * TEN, 0.5))).startswith(
        "Use the full fine-tuning 'full':"
    )


def test_model_that_is_lower_by_chance_is_not_recommended():
    found = made(zero_shot=(TEN, 0.5), a=(TEN + 1.5 * np.roll(NOISE, 7) - 0.1, 0.5))
    low, high = paired(found, found.models[1]).interval
    assert low < 1 < high and paired(found, found.models[1]).ratio < 1
    assert recommendation(found).startswith(
        "Keep the zero-shot model: the adapter 'a', lowest by RMSE, is not told apart"
    )


def test_model_that_is_worse_is_not_recommended():
    text = recommendation(made(zero_shot=(TEN, 0.5), a=(1.2 * TEN, 0.9), b=(1.1 * TEN, 0.9)))
    assert text == "Keep the zero-shot model: no other has a lower RMSE (the nearest: the adapter 'b', 10.0 % higher)."


def test_lower_error_that_costs_high_days_is_not_recommended():
    found = made(zero_shot=(TEN, 0.5), a=(0.9 * TEN, 0.4))
    assert recommendation(found) == (
        "Keep the zero-shot model: the adapter 'a' has a 10.0 % lower RMSE but a lower critical success index at "
        "60 µg/m³ (0.40 against 0.50)."
    )
    assert worse_csi(found, found.models[1]) == [Worse(60.0, 0.4, 0.5)]
    assert not worse_csi(made(zero_shot=(TEN, 0.5), a=(TEN, 0.495)), found.models[1])


def test_next_model_is_recommended_where_the_lowest_costs_high_days():
    text = recommendation(made(zero_shot=(TEN, 0.5), a=(0.8 * TEN, 0.4), b=(0.9 * TEN, 0.5)))
    assert text.startswith("Use the adapter 'b'")
    assert "the adapter 'a' has a lower RMSE still but a lower critical success index at 60 µg/m³" in text


def test_threshold_that_is_hardly_ever_reached_does_not_decide():
    found = made(zero_shot=(TEN, 1.0), a=(0.9 * TEN, 0.0), events=0)
    assert recommendation(found).startswith("Use the adapter 'a'") and "critical success" not in recommendation(found)


def test_too_few_days_keep_the_zero_shot_model():
    found = made(days=20, zero_shot=(10.0, 0.5), a=(5.0, 0.9))
    assert paired(found, found.models[1]).interval is None
    assert recommendation(found) == (
        "Keep the zero-shot model for now: 20 days are too few to tell the adapter 'a' from it (RMSE 50.0 % lower); at "
        "least 5 blocks of 7 days are needed."
    )


def test_nothing_to_compare_with_keeps_the_zero_shot_model():
    assert recommendation(made(zero_shot=(TEN, 0.5))) == "Keep the zero-shot model: nothing else was compared with it."


def test_baseline_that_beats_every_model_is_told_plainly():
    found = made(zero_shot=(10.0, 0.5), a=(9.0, 0.5), blend=(8.0, 0.5))
    assert remark(found) == (
        "At every lead a baseline has a lower RMSE than all models: blend at T+1 (8.00 against 9.00 µg/m³ of the "
        "adapter 'a'), blend at T+2 (8.00 against 9.00 µg/m³ of the adapter 'a')."
    )
    assert remark(made(zero_shot=(10.0, 0.5), a=(9.0, 0.5), blend=(9.5, 0.5))) == ""
    days = {day: {1: rows[1], 2: {**rows[2], "blend": row_of(9.5)}} for day, rows in found.days.items()}
    assert remark(replace(found, days=days)).startswith("Not at every lead, but here a baseline has a lower RMSE")


def test_report_is_marked_as_simulated_and_holds_what_the_tables_show(tmp_path, adapter, fitted):
    engine = WearingEngine()
    models = [zero_shot(engine), Model("a", "adapter", engine, adapter(0.05))]
    found = compare(models, {"": fitted}, make_store(), DAYS, (1, 2), BOUNDS, tmp_path / LINES)
    paths = write_report(found, tmp_path / "report")
    assert [path.name for path in paths] == ["compare.json", "compare.md", "compare.png"]
    page, values = paths[1].read_text(), json.loads(paths[0].read_text())
    assert page.startswith("# SIMULATED · constant over testland") and "T+2, simulated" in page
    assert values["simulated"] and values["title"].startswith("SIMULATED")
    by_name = {row["name"]: row for row in values["rows"]}
    own = by_name["a"]["leads"]["1"]
    assert own["rmse_minus_zero_shot"] == pytest.approx(own["rmse"] - by_name["zero-shot"]["leads"]["1"]["rmse"])
    assert set(own["seasons"]) == {"MAM"} and own["seasons"]["MAM"]["rmse"] == pytest.approx(own["rmse"])
    assert sum(band["n"] for band in own["bands"].values()) == own["n"]
    assert set(own["thresholds"]) == {"15", "20"} and f"{own['rmse']:.2f}" in page
    real = replace(found, simulated=False)
    assert "simulated" not in markdown(real).lower() and values["recommendation"] in page


def test_command_compares_and_leaves_out_what_an_adapter_has_seen(monkeypatch, tmp_path, adapter):
    store, engine = make_store(), WearingEngine()
    models = [zero_shot(engine), Model("a", "adapter", engine, adapter(0.01), period=(FIRST,))]
    monkeypatch.setattr(compare_models, "open_models", lambda *_: (models, []))
    monkeypatch.setattr(cranpm.forecast.source, "open_store", lambda *_, **__: store)
    monkeypatch.setattr(cranpm.forecast.source, "issue_days", lambda *_: (*DAYS,))
    monkeypatch.chdir(tmp_path)

    def run(*words):
        return CliRunner().invoke(command, ["india", *words], catch_exceptions=False)

    done = run("--leads", "1", "2", "--thresholds", "15", "20", "--out", "out")
    assert done.exit_code == 0, done.output
    words = " ".join(done.output.split())
    assert "3 days are too few to tell the adapter 'a' from it" in words and "(simulated)" in words
    assert "The rows '… (local days)' are absent: 1 local days in the store" in words
    values = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert values["days"] == f"{DAYS[1]}..{DAYS[3]}" and values["thresholds"] == [15, 20]
    with pytest.raises(CranpmError, match=r"--days: adapter 'a' was trained and chosen on 2022-03-01"):
        run("--days", str(DAYS[0]))
    with pytest.raises(CranpmError, match="--thresholds -5: values in ug/m3 above 0"):
        run("--thresholds=-5")
