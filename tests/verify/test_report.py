"""The files that are sent on."""

import datetime as dt
import json
from html.parser import HTMLParser

import numpy as np
import pytest

from cranpm.region import load_region
from cranpm.verify.baselines import ROWS
from cranpm.verify.evaluate import day_maps, evaluate
from cranpm.verify.fit import fit
from cranpm.verify.past import PastDay
from cranpm.verify.report import band_edges, write_report
from tests.forecast.fake_store import FIRST, ConstantEngine, make_store

DAYS = [FIRST + dt.timedelta(days=k) for k in range(1, 5)]
FIGURES = {"skill", "bands", "spectrum", "daily", "period", "best", "median", "worst"}


@pytest.fixture(scope="module")
def scored():
    """Region, engine, store, what scoring found, fitted baselines: what a report is written of."""
    store = make_store()
    store.attrs = {"simulated": {"seed": 0, "realisation": 0}, "licences": {"sample": {"licence": "CC-BY-4.0"}}}
    start = dt.date(2017, 1, 1)
    maps = list(store.pm_maps.values())
    cams = np.full((3, *store.coarse.shape), 12.0, np.float32)
    past = [PastDay(start + dt.timedelta(days=k), maps[k % 8], cams + k % 5, cams[0]) for k in range(100)]
    fitted = fit(lambda: past, store.fine, store.coarse, store.land, {"world": "sample", "years": [2017]})
    region, engine = load_region("india"), ConstantEngine(0.02)
    found = evaluate(engine, store, [*DAYS, FIRST], (1, 2), fitted=fitted, edges=band_edges(region))
    return region, engine, store, found, fitted


@pytest.fixture(scope="module")
def report(scored, tmp_path_factory):
    return write_report(tmp_path_factory.mktemp("report"), *scored)


@pytest.fixture(scope="module")
def document(report):
    return json.loads((report.path.parent / "report.json").read_text())


@pytest.fixture(scope="module")
def text(report):
    return report.path.read_text()


def test_json_holds_what_the_schema_promises(document):
    assert document["schema_version"] == 1 and document["world"] == "sample" and document["region"] == "india"
    assert document["model"] == "constant" and document["tiles"] == 16
    assert document["days"] == [day.isoformat() for day in DAYS]
    for part in ("leads", "leads_25km"):
        assert set(document[part]) == {"1", "2"}
        for rows in document[part].values():
            assert list(rows) == list(ROWS)
            for scores in rows.values():
                plain = {"rmse", "mae", "bias", "r2", "slope", "ssim"}
                assert set(scores) == plain | {f"{name}_w" for name in plain} | {"n"}
            assert len({scores["n"] for scores in rows.values()}) == 1
    assert document["leads"]["1"]["model"]["rmse"] > 0


def test_json_is_strict_and_says_what_was_left_out(document):
    json.dumps(document, allow_nan=False)
    assert {entry["day"] for entry in document["skipped"]} == {FIRST.isoformat()}
    assert document["provenance"]["baselines"]["years"] == [2017]
    assert document["skill"]["1"]["persistence"]["percent"] == 0


def test_spectrum_is_reported_beside_the_yardsticks(document, text):
    spectrum = document["spectrum"]
    bands = len(spectrum["edges_km"]) + 1
    assert spectrum["detail_km"] == [2, 16] and len(spectrum["bands_km"]) == bands and spectrum["windows"] == 1
    for lead, found in spectrum["leads"].items():
        assert list(found["rows"]) == [*ROWS, "two_day_mean", "day_before"] and found["days_without_yardsticks"] == 0
        for row in found["rows"].values():
            assert set(row) == {"power", "ratio", "error_ratio", "detail"} and len(row["power"]) == bands
        model, mean = (found["rows"][name] for name in ("model", "two_day_mean"))
        inner = range(1, 4)
        assert found["no_more_blur"] == all(model["ratio"][k] >= mean["ratio"][k] for k in inner)
        assert model["power"][2] == pytest.approx(model["ratio"][2] * found["truth"][2])
        assert set(document["ssim"]["yardsticks"][lead]) == {"two_day_mean", "day_before"}
    ratio = spectrum["leads"]["2"]["rows"]["model"]["ratio"][2]
    table = text.split("<h2>Detail by wavelength</h2>")[1].split("<h3>T+2</h3>")[1].split("</table>")[0]
    assert f"<td>{ratio:.2f}</td>" in table and "<td>truth, mean of two days</td>" in table


def test_blend_is_reported_with_its_weights_and_the_reference_to_beat_by_name(document, text):
    for lead, rows in document["leads"].items():
        best = min((row for row in rows if row != "model"), key=lambda row: rows[row]["rmse"])
        reference = document["best_reference"][lead]
        assert reference["row"] == best
        expected = 100 * (1 - rows["model"]["rmse"] / rows[best]["rmse"])
        assert reference["percent"] == pytest.approx(expected)
        assert list(document["blend"][lead]) == ["persistence", "climatology", "cams_corrected", "constant"]
    first = document["blend"]["1"]["persistence"]
    assert f"T+1: {first:.2f}·persistence " in text.replace("\u2212", "-") and "·corrected CAMS forecast" in text


def test_page_stands_alone_and_is_well_formed(text):
    assert "http://" not in text and "https://" not in text and "<script" not in text and "<link" not in text
    assert text.count("data:image/png;base64,") == len(FIGURES)

    class Balance(HTMLParser):
        def __init__(self):
            super().__init__()
            self.open_tags = []

        def handle_starttag(self, tag, attrs):
            if tag not in ("meta", "img"):
                self.open_tags.append(tag)
            if tag == "img":
                assert dict(attrs)["alt"]

        def handle_endtag(self, tag):
            assert self.open_tags.pop() == tag

    parser = Balance()
    parser.feed(text)
    assert parser.open_tags == []


def test_page_is_honest(text):
    assert "SIMULATED" in text.split("<h1>")[0]
    assert "no evidence of skill" in " ".join(text.split())
    assert "Published figures, for orientation" in text and "not comparable" in text
    for name in ROWS.values():
        assert f"<td>{name}</td>" in text
    assert "SSIM" in text and "data range" in text and "Licence" in text.title()


def test_figures_lie_beside_the_page_and_nothing_unfinished(report):
    names = {path.name for path in report.path.parent.iterdir()}
    assert names == {"report.html", "report.json", *(f"{name}.png" for name in FIGURES)}
    assert all(path.stat().st_size > 5000 for path in report.path.parent.glob("*.png"))


def test_days_are_drawn_as_they_were_scored(scored, monkeypatch, tmp_path):
    """A model that reads the past would forecast another map without it."""
    fitted, given = scored[-1], []

    def noted(engine, store, day, leads, rows, past):
        given.append(past)
        return day_maps(engine, store, day, leads, rows, past)

    monkeypatch.setattr("cranpm.verify.report.day_maps", noted)
    write_report(tmp_path, *scored)
    assert len(given) == 3 and all(past is fitted for past in given)


def test_best_of_a_column_is_marked_and_figures_agree_with_the_json(text, document):
    scores = document["leads"]["1"]
    best = min(scores, key=lambda row: scores[row]["rmse"])
    table = text.split("<h3>T+1, 4 days</h3>")[1].split("</table>")[0]
    line = next(line for line in table.split("<tr") if f"<td>{ROWS[best]}</td>" in line)
    assert f'<td class="best sep">{scores[best]["rmse"]:.2f}</td>' in line
