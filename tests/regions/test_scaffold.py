"""`cranpm region new`: a valid pack for any place on Earth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cranpm.config import parse_document
from cranpm.errors import CranpmError
from cranpm.grid import COARSE_STEP, FINE_STEP, wrap_longitude
from cranpm.pack import Pack, check_pack
from cranpm.region import load_region
from cranpm.regions.scaffold import Domains, pack_text, plan_domains, write_pack


def all_land(lats: np.ndarray, lons: np.ndarray) -> np.ndarray:
    assert (np.abs(lats) <= 90).all() and (lons >= -180).all() and (lons < 180).all()
    return np.ones(lats.shape, dtype=bool)


def island(lat: float, lon: float, radius: float = 0.5):
    """Land only near one point."""
    return lambda lats, lons: np.hypot(lats - lat, wrap_longitude(lons - lon)) < radius


def problems(domains: Domains) -> list[str]:
    document = parse_document(pack_text("place", "A place", domains), Pack, source="place.yaml")
    return [str(error) for _, errors in check_pack(document) for error in errors]


@given(west=st.floats(-180, 180), width=st.floats(0.01, 300), south=st.floats(-90, 89.9), height=st.floats(0.01, 60))
def test_any_box_on_earth_becomes_a_valid_pack(west, width, south, height):
    north = min(south + height, 90.0)
    assume(north - south > 1e-3)
    east = west + width if west + width <= 360 else west + width - 360
    assume(west != east)
    domains = plan_domains(west, south, east, north, land=all_land)
    assert problems(domains) == []
    assert domains.coarse.height % 56 == 0 or domains.coarse.height == 721
    assert domains.coarse.height >= 168 and domains.coarse.width >= 280


@given(st.floats(-180, 179), st.floats(-89, 80), st.floats(0.1, 40), st.floats(0.1, 9))
def test_the_fine_domain_holds_the_box(west, south, width, height):
    fine = plan_domains(west, south, west + width, south + height, land=all_land).fine
    offset = float(wrap_longitude(west - fine.west))
    assert offset >= -1e-6
    assert offset + width <= fine.width * FINE_STEP + 1e-6
    assert fine.north >= south + height - 1e-6
    assert fine.north - fine.height * FINE_STEP <= south + 1e-6
    assert min(fine.height, fine.width) >= 512


@pytest.mark.parametrize(
    ("bbox", "fine"),
    [
        ((177, -20, -175, -12), (-12.0, 177.0, 800, 800)),  # Fiji, across the date line
        ((350, 40, 360, 48), (48.0, -10.0, 800, 1000)),  # longitudes given as 0..360
        ((72.5, 18.5, 73.0, 19.0), (21.31, 70.19, 512, 512)),  # Mumbai, grown to a tile
        ((0, -90, 10, -85), (-84.88, 0.0, 512, 1000)),  # grown away from the pole
    ],
)
def test_boxes_become_the_domains_expected(bbox, fine):
    got = plan_domains(*bbox, land=all_land).fine
    assert (got.north, got.west, got.height, got.width) == fine


def test_the_coarse_domain_is_europes_shape_where_it_fits_and_leaves_room_upwind():
    midlatitude = plan_domains(0, 45, 10, 50, land=all_land)
    assert (midlatitude.coarse.height, midlatitude.coarse.width) == (168, 280)
    room_west = midlatitude.fine.west - midlatitude.coarse.west
    assert room_west > (midlatitude.coarse.width * COARSE_STEP - 10) / 2
    tropics = plan_domains(0, 5, 10, 10, land=all_land)
    assert tropics.fine.west - tropics.coarse.west < (tropics.coarse.width * COARSE_STEP - 10) / 2
    assert plan_domains(0, 5, 100, 10, land=all_land).coarse.width == 448


def test_a_large_box_gets_a_coarse_domain_of_whole_windows():
    domains = plan_domains(-130, 0, -30, 60, land=all_land)
    assert (domains.coarse.height % 56, domains.coarse.width % 56) == (0, 0)
    assert domains.coarse.height * COARSE_STEP > 60 and domains.coarse.width * COARSE_STEP > 100


def test_the_sample_window_finds_the_land():
    domains = plan_domains(160, -30, -160, -5, land=island(-10.0, -171.0))
    sample = domains.sample_fine
    assert sample.west < 189 < sample.west + 4.48
    assert sample.north - 4.48 < -10 < sample.north
    assert problems(domains) == []


def test_a_box_without_land_is_refused():
    with pytest.raises(CranpmError, match="no land in this box"):
        plan_domains(-40, 30, -30, 40, land=island(0, 0))


@pytest.mark.parametrize(
    ("bbox", "reason"),
    [
        ((1, 3, 2, 2), "south < north"),
        ((1, 2, 1, 3), "different west and east"),
        ((-200, 2, 1, 3), "between -180 and 360"),
        ((1, -95, 2, 3), "south < north"),
        ((float("nan"), 2, 3, 4), "four numbers"),
        ((-180, -90, 180, 90), "at most 350"),
        ((10, 5, 5, 6), "W and E exchanged"),
    ],
)
def test_an_impossible_box_is_refused(bbox, reason):
    with pytest.raises(CranpmError, match=reason):
        plan_domains(*bbox, land=all_land)


@pytest.mark.parametrize(
    ("bbox", "climate"),
    [((70, 10, 80, 20), "india"), ((-100, 40, -90, 45), "north_america"), ((100, 40, 110, 45), "europe")],
)
def test_the_climate_follows_from_the_place(bbox, climate):
    assert f"climate: {climate} " in pack_text("a", "A", plan_domains(*bbox, land=all_land))


def test_a_pack_is_written_once_and_never_over_another(tmp_path, monkeypatch):
    monkeypatch.setattr("cranpm.regions.scaffold._one_kilometre_mask", lambda: all_land)
    path = write_pack("fiji", (177, -20, -178, -12), tmp_path / "packs" / "fiji.yaml", title='Fiji: "islands"')
    region = load_region(path)
    assert (region.name, region.title) == ("fiji", 'Fiji: "islands"')
    before = path.read_text()
    with pytest.raises(CranpmError, match="is not overwritten"):
        write_pack("fiji", (1, 2, 3, 4), path)
    assert path.read_text() == before
    for name, reason in (("india", "ships with cranpm"), ("New York", "lower-case")):
        with pytest.raises(CranpmError, match=reason):
            write_pack(name, (1, 2, 3, 4), tmp_path / "other.yaml")
    assert not (tmp_path / "other.yaml").exists()


@pytest.mark.slow
def test_the_real_coast_puts_fijis_sample_window_on_land():
    from global_land_mask import globe

    sample = plan_domains(177, -20, -178, -12).sample_fine
    lats = sample.north - FINE_STEP * (np.arange(0, 448, 8) + 0.5)
    lons = wrap_longitude(sample.west + FINE_STEP * (np.arange(0, 448, 8) + 0.5))
    assert globe.is_land(*np.meshgrid(lats, lons, indexing="ij")).mean() > 0.03
