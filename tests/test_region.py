"""Region packs: what ships, and what a faulty pack is told."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest

from cranpm.data.days import parse_days
from cranpm.errors import CranpmError
from cranpm.region import check_region, list_regions, load_region

NAMES = ("europe", "india", "usa_canada")


def faulty(tmp_path: Path, old: str, new: str, name: str = "india") -> tuple[Path, int]:
    """A copy of a shipped pack with one thing changed, and the line of the change."""
    source = load_region(name).path
    assert source is not None
    text = source.read_text()
    assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times"
    path = tmp_path / "pack.yaml"
    path.write_text(text.replace(old, new))
    return path, text[: text.index(old)].count("\n") + 1


def test_three_packs_ship():
    assert tuple(list_regions()) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_pack_passes_every_check(name):
    checks = check_region(name)
    assert len(checks) >= 9
    assert not [check for check in checks if check.problem]


@pytest.mark.parametrize("name", NAMES)
def test_a_shipped_pack_says_where_its_data_come_from_and_on_what_terms(name):
    region = load_region(name)
    assert set(region.sources) == {"era5", "cams", "ghap", "terrain"}
    for source in (*region.sources.values(), region.stations):
        assert source.licence and source.attribution
    assert region.published["source"]
    assert len(region.hotspots) >= 3


@pytest.mark.parametrize(
    ("name", "coarse", "fine"),
    [
        ("europe", (72.0, -25.0, 168, 280), (-25.0, 30.08, 44.92, 72.0)),
        ("india", (44.0, 48.0, 168, 280), (68.0, 8.04, 97.28, 37.0)),
        ("usa_canada", (66.0, -130.0, 168, 280), (-130.0, 24.08, -60.08, 66.0)),
    ],
)
def test_the_domains_are_those_decided(name, coarse, fine):
    region = load_region(name)
    assert (region.coarse.north, region.coarse.west, *region.coarse.shape) == coarse
    assert region.fine.edges == fine


@pytest.mark.parametrize("name", NAMES)
def test_the_sample_window_has_room_upwind_and_its_days_cover_the_seasons_of_a_test_year(name):
    region = load_region(name)
    window = region.window(full=False)
    assert window.coarse.shape == (56, 84) and window.fine.shape == (448, 448)
    assert region.coarse.covers(window.coarse) and region.fine.covers(window.fine)
    assert window.fine.west - window.coarse.west > 6  # degrees from where the weather comes
    days = {day for text in region.sample.days for day in parse_days(text)}
    assert len(days) == 32
    assert {(day + timedelta(days=30)).month % 12 // 3 for day in days} == {0, 1, 2, 3}
    assert {day.year for day in days} <= set(region.split.test)


def test_the_published_figures_of_north_america_have_their_own_window():
    region = load_region("usa_canada")
    assert region.published_window is not None
    assert region.published_window.fine.edges[3] == 70.0
    assert load_region("india").published_window is None


def test_the_whole_domain_is_a_window_too():
    region = load_region("europe")
    assert region.window(full=True).fine == region.fine
    assert region.window(full=True).overlap == 64


@pytest.mark.parametrize(
    ("old", "new", "parts"),
    [
        ("overlap: 64", "overlaps: 64", ["unknown key 'overlaps'", "did you mean 'overlap'?"]),
        ("overlap: 64", "overlap: wide", ["overlap", "a whole number"]),
        ("schema_version: 1", "schema_version: 2", ["pack of schema 2", "reads 1"]),
        ("name: india\n", "name: India!\n", ["lower-case"]),
        ("coarse: {north: 44.0,", "coarse: {north: 44.1,", ["coarse.north: 44.1", "0.25 degrees", "44"]),
        ("fine: {north: 37.0,", "fine: {north: 37.005,", ["fine.north: 37.005", "0.01 degrees"]),
        ("fine: {north: 37.0,", "fine: {north: 47.0,", ["is not inside the coarse one", "18.04..47N"]),
        ("fine: {north: 37.0, west: 68.0,", "fine: {north: 37.0, west: 18.0,", ["fine.west: 18", "47.75"]),
        ("height: 2896, width: 2928", "height: 28960, width: 2928", ["leave the Earth"]),
        ("height: 2896, width: 2928", "height: -2896, width: 2928", ["fine.height: -2896", "at least 2"]),
        ("height: 2896, width: 2928", "height: 2896, width: 39280", ["more than once"]),
        ("coarse: {north: 44.0, west: 48.0,", "coarse: {north: 44.0, west: 248.0,", ["coarse.west: 248", "-180..180"]),
        ("fine: {north: 29.0, west: 76.0,", "fine: {north: 7.0, west: 76.0,", ["sample.fine: the fine domain"]),
        ("fine: {north: 29.0, west: 76.0,", "fine: {north: 29.0, west: 66.0,", ["sample.fine"]),
        ("overlap: 16", "overlap: 448", ["sample.overlap: 448 px", "1..447"]),
        ("climate: india", "climate: mars", ["'mars' is none of europe, north_america, india"]),
        ("west: 76.5, south: 28.0, east: 78.0", "west: 76.5, south: 30.0, east: 78.0", ["Delhi NCR", "below north"]),
        ("west: 76.5, south: 28.0, east: 78.0", "west: 79.5, south: 28.0, east: 78.0", ["Delhi NCR", "below east"]),
        ("west: 76.5, south: 28.0, east: 78.0", "west: 16.5, south: 28.0, east: 18.0", ["outside the fine domain"]),
        ("  terrain:\n", "  terain:\n", ["unknown source 'terain'", "did you mean 'terrain'?"]),
        ("  source: openaq", "  source: openair", ["'openair' is none of eea, epa_aqs, openaq"]),
        ("bands: [30, 60, 90, 120, 250]", "bands: [30, 90, 60, 120, 250]", ["index.bands", "ascending"]),
        ("Very poor, Severe]", "Very poor]", ["5 labels for 5 bounds"]),
        ("thresholds: [15, 60]", "thresholds: []", ["thresholds", "positive"]),
        ("validate: [2021]", "validate: [2020]", ["2020 is already in split.train"]),
        ("test: [2022]", "test: []", ["split.test: no year"]),
        ("2022-01-10..2022-01-17,", "2021-01-10..2021-01-17,", ["2021-01-10 is not in the test years (2022)"]),
        ("2022-01-10..2022-01-17,", "2022-01-17..2022-01-10,", ["sample.days", "backwards"]),
        ("  source: arXiv:2603.11725, supplement, Figures S3 and S4\n", "", ["published", "'source'"]),
    ],
)
def test_a_faulty_pack_is_refused_with_the_line_and_the_reason(tmp_path, old, new, parts):
    path, line = faulty(tmp_path, old, new)
    with pytest.raises(CranpmError) as error:
        load_region(path)
    message = str(error.value)
    assert "\n" not in message and message.startswith(f"{path}:")
    if new:  # where something was taken away, the line is that of what lacks it
        assert message.startswith(f"{path}:{line}: ")
    for part in parts:
        assert part in message


def test_checks_name_every_problem_at_once(tmp_path):
    path, _ = faulty(tmp_path, "thresholds: [15, 60]", "thresholds: [60, 15]")
    path.write_text(path.read_text().replace("overlap: 64", "overlap: 0"))
    problems = [check.problem for check in check_region(path) if check.problem]
    assert len(problems) == 2
    assert "overlap: 0 px" in problems[0] and "thresholds" in problems[1]


def test_a_missing_section_is_named(tmp_path):
    path, _ = faulty(tmp_path, "licence: CC-BY-4.0\nattribution: Region pack", "attribution: Region pack")
    with pytest.raises(CranpmError, match=r"pack.yaml:\d+: missing key 'licence'"):
        load_region(path)


def test_an_unknown_name_is_answered_with_the_nearest():
    with pytest.raises(CranpmError, match=r"no region 'indai' \(did you mean 'india'\?\)"):
        load_region("indai")
    with pytest.raises(CranpmError, match="no such pack file"):
        load_region("somewhere/pack.yaml")


def test_a_pack_is_given_by_its_name_only_where_it_ships(tmp_path):
    india = load_region("india")
    own = tmp_path / "mine.yaml"
    own.write_text(india.path.read_text())
    assert india.given == "india" and load_region(own).given == str(own)


def test_a_pack_across_the_date_line_has_continuous_longitudes(tmp_path):
    text = load_region("india").path.read_text()
    text = text.replace("west: 48.0", "west: 160.0").replace("north: 37.0, west: 68.0", "north: 37.0, west: 175.0")
    text = text.replace("north: 34.0, west: 68.0", "north: 34.0, west: 172.0").replace("west: 76.0", "west: 181.0")
    start, end = text.index("hotspots:"), text.index("sources:")
    text = text[:start] + "hotspots: [{name: line, west: 179, south: 25, east: 183, north: 27}]\n" + text[end:]
    path = tmp_path / "line.yaml"
    path.write_text(text)
    region = load_region(path)
    assert region.fine.edges[0] == 175.0 and region.fine.edges[2] == pytest.approx(204.28)
    assert (np.diff(region.fine.lons) > 0).all()
    assert region.coarse.covers(region.sample.coarse)
