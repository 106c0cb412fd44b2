"""Station tables: negatives are kept, faults rejected, days need three quarters of their hours."""

from __future__ import annotations

import gzip
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest

from cranpm.data.catalogue import Catalogue
from cranpm.data.products import stations

DAY = date(2020, 3, 5)


def openaq(folder: Path, values: list[float | str], *, first: datetime, zone: str, name: str = "a") -> None:
    header = "location_id,sensors_id,location,datetime,lat,lon,parameter,units,value"
    rows = [
        f'7,1,"Delhi, ITO",{first + timedelta(hours=i):%Y-%m-%dT%H:%M:%S}{zone},28.6,77.2,pm25,µg/m³,{v}'
        for i, v in enumerate(values)
    ]
    (folder / f"{name}.csv.gz").write_bytes(gzip.compress("\n".join([header, *rows]).encode()))


def mean(folder: Path) -> float:
    return float(stations.daily(Catalogue(folder).files, [DAY]).pm2p5.values[0, 0])


def test_local_files_are_put_together_into_utc_days(tmp_path: Path) -> None:
    local = datetime(2020, 3, 5, 5, 30)  # 00 UTC
    openaq(tmp_path, [10.0] * 18, first=local, zone="+05:30")
    openaq(tmp_path, [40.0] * 6, first=local + timedelta(hours=18), zone="+05:30", name="b")
    assert mean(tmp_path) == pytest.approx((18 * 10 + 6 * 40) / 24)


def test_a_day_needs_three_quarters_of_its_hours(tmp_path: Path) -> None:
    openaq(tmp_path, [10.0] * 17, first=datetime(2020, 3, 5), zone="Z")
    assert np.isnan(mean(tmp_path))
    openaq(tmp_path, [10.0] * 18, first=datetime(2020, 3, 5), zone="Z")
    assert mean(tmp_path) == 10


def test_small_negatives_stay_and_faults_go(tmp_path: Path) -> None:
    openaq(tmp_path, [-2.0] * 20 + [-999.0, -15.1, "", "x"], first=datetime(2020, 3, 5), zone="Z")
    assert mean(tmp_path) == -2


def test_stations_outside_the_bounds_are_left_out_across_the_date_line_too(tmp_path: Path) -> None:
    openaq(tmp_path, [10.0] * 24, first=datetime(2020, 3, 5), zone="Z")
    files = Catalogue(tmp_path).files
    assert stations.daily(files, [DAY], (70, 20, 80, 30)).sizes["station"] == 1
    assert stations.daily(files, [DAY], (430, 20, 440, 30)).sizes["station"] == 1
    assert stations.daily(files, [DAY], (80, 20, 90, 30)).sizes["station"] == 0


def eea(folder: Path, rows: list[dict[str, object]]) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    columns = {key: [row[key] for row in rows] for key in rows[0]}
    pq.write_table(pa.table(columns), folder / "values.parquet")
    places = {"Sampling.Point.Id": ["SP1", "SP1", "SP2"], "Longitude": [5.0, 6.0, 7.0], "Latitude": [50.0] * 3}
    pq.write_table(pa.table(places), folder / "places.parquet")


def hour(i: int, value: float, **other: object) -> dict[str, object]:
    start = datetime(2020, 3, 5, 1) + timedelta(hours=i)  # the agency's hours are in UTC+1
    row = {"Samplingpoint": "ES/SP1", "Pollutant": 6001, "Start": start, "End": start + timedelta(hours=1)}
    row |= {"Value": Decimal(f"{value:.3f}"), "Unit": "ug.m-3", "AggType": "hour", "Validity": 1, "Verification": 1}
    return row | other


def test_european_hours_are_shifted_to_utc_and_invalid_ones_left_out(tmp_path: Path) -> None:
    eea(tmp_path, [hour(i, 10.0 + i) for i in range(24)] + [hour(3, 900.0, Validity=-1), hour(4, 80.0, Pollutant=5)])
    found = stations.daily(Catalogue(tmp_path).files, [DAY, DAY + timedelta(days=1)])
    assert found.pm2p5.values[0, 0] == pytest.approx(10 + 11.5)
    assert np.isnan(found.pm2p5.values[1, 0])


def test_the_country_before_a_sampling_point_is_taken_off_and_its_place_found_once(tmp_path: Path) -> None:
    eea(tmp_path, [hour(0, 12.0, AggType="day", Start=datetime(2020, 3, 5))])
    found = stations.daily(Catalogue(tmp_path).files, [DAY])
    assert list(found.id.values) == ["SP1"] and found.longitude.values[0] == 5
    assert found.pm2p5.values[0, 0] == 12


@pytest.mark.parametrize(
    "header",
    [
        "Date,Source,Site ID,POC,Daily Mean PM2.5 Concentration,Units,PERCENT_COMPLETE,Site Latitude,Site Longitude",
        "Date,Source,Site_ID,POC,DAILY MEAN PM2.5 CONCENTRATION,UNITS,Percent Complete,SITE_LATITUDE,SITE_LONGITUDE",
        "Date Local,Source,AQS_SITE_ID,POC,Arithmetic Mean,Units of Measure,Observation Percent,Latitude,Longitude",
    ],
)
def test_agency_headers_vary_and_monitors_at_a_site_are_averaged(tmp_path: Path, header: str) -> None:
    rows = [
        "03/05/2020,AQS,060010007,1,-0.4,ug/m3 LC,100,37.7,-121.8",
        "03/05/2020,AQS,060010007,3,2.4,ug/m3 LC,80,37.7,-121.8",
    ]
    rows += [
        "03/05/2020,AQS,060010007,4,500,ug/m3 LC,40,37.7,-121.8",
        "03/05/2020,AQS,060010009,1,-20,ug/m3 LC,100,37.8,-122",
    ]
    (tmp_path / "epa.csv").write_text("\n".join([header, *rows]))
    found = stations.daily(Catalogue(tmp_path).files, [DAY])
    assert list(found.id.values) == ["060010007"]
    assert found.pm2p5.values[0, 0] == pytest.approx(1.0)
    assert "local standard time" in found.attrs["notes"]
