"""The same weather from any model that can be named."""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from cranpm.composition.commands import app
from cranpm.composition.coupling.channels import variable
from cranpm.composition.coupling.checkpoint import CouplingCheckpoint, write_coupling
from cranpm.composition.coupling.config import PAPER, SMALL, CouplingConfig
from cranpm.composition.coupling.drivers import FORMS, parse_driver
from cranpm.composition.coupling.forecast import forecast_composition
from cranpm.composition.coupling.gathered import Wanted, amount
from cranpm.composition.coupling.inputs import read_driver
from cranpm.composition.coupling.named import read_named
from cranpm.composition.coupling.network import Coupling
from cranpm.composition.coupling.scales import Scales
from cranpm.data.catalogue import scan
from cranpm.data.products import cams
from cranpm.errors import CranpmError, MissingExtra
from cranpm.grid import Grid
from cranpm.sample.netcdf import CAMS, new_analysis
from tests.composition.coupling import forms
from tests.composition.coupling.forms import DAY, START
from tests.data.products.test_real_files import REAL

GRID = Grid(52.0, 6.0, 0.75, 6, 8)
SURFACE, ALOFT = ("u10", "v10", "t2m"), ("u", "v", "t", "z")
SHARED = ("u10", "v10", "t2m", "tp", "u_850", "v_850", "t_850", "z_500")
"""What all of them have."""

Write = Callable[[Path], None]
WRITERS: dict[str, Write] = {
    "ifs": lambda f: forms.write_open_data(f, ai=False, names=(*SURFACE, "sp", "msl", *ALOFT, "q", "r")),
    "aifs": lambda f: forms.write_open_data(f, ai=True, names=(*SURFACE, "sp", "msl", *ALOFT, "q")),
    "aifs of 6 h": lambda f: forms.write_open_data(
        f, ai=True, names=(*SURFACE, "sp", "msl", *ALOFT, "q"), steps=range(0, 121, 6), rain_hours=6
    ),
    "era5": lambda f: forms.write_era5_grib(f, (*SURFACE, "sp", "msl", *ALOFT, "q", "r")),
    "era5 netcdf": lambda f: forms.write_netcdf(f, (*SURFACE, "sp", *ALOFT, "q"), forecast=False),
    "fuxi": lambda f: forms.write_fuxi(f, (*SURFACE, "msl", *ALOFT, "r"), recent=True),
    "fuxi of 2023": lambda f: forms.write_fuxi(f, (*SURFACE, "msl", *ALOFT, "r"), recent=False),
}
HAS = {"ifs": ("sp", "msl", "q_850", "r_850"), "aifs": ("sp", "msl", "q_850"), "fuxi": ("msl", "r_850")}
HAS |= {"era5": HAS["ifs"]}
NETCDF = ("era5 netcdf", "fuxi", "fuxi of 2023")


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a model's files, written when first asked for."""
    folders: dict[str, Path] = {}

    def of(which: str) -> Path:
        if which not in NETCDF:
            pytest.importorskip("cfgrib")
        if which not in folders:
            folders[which] = tmp_path_factory.mktemp("driver") / which.replace(" ", "-")
            WRITERS[which](folders[which])
        return folders[which]

    return of


def test_a_name_before_a_colon_is_a_model_and_a_bare_folder_is_none(tmp_path: Path):
    assert parse_driver("ifs:downloads") == (FORMS["ifs"], Path("downloads"))
    assert parse_driver("ifs") == (None, Path("ifs"))
    odd = tmp_path / "a:b"
    odd.mkdir()
    assert parse_driver(str(odd)) == (None, odd)
    with pytest.raises(CranpmError, match="no driver 'gfs'; there are era5, ifs, aifs, fuxi"):
        parse_driver("gfs:downloads")
    with pytest.raises(CranpmError, match="'ifs:' names no folder"):
        parse_driver("ifs:")


def test_which_network_a_driver_has_all_variables_for():
    def drives(config: CouplingConfig) -> set[str]:
        wanted = {variable(channel) for channel in config.weather}
        return {name for name, form in FORMS.items() if wanted <= set(form.names.values())}

    assert drives(PAPER) == {"era5", "ifs", "fuxi"}
    assert drives(SMALL) == {"era5", "ifs", "aifs"}


@pytest.mark.parametrize("which", WRITERS)
def test_every_form_gives_the_weather_that_was_written(which: str, written: Callable[[str], Path]):
    folder, name = written(which), which.split()[0]
    before = sorted(path.name for path in folder.rglob("*"))
    more = HAS[name] if which != "era5 netcdf" else ("sp", "q_850")
    driver = read_named(FORMS[name], folder, DAY, (*SHARED, *more), GRID)
    for channel in (*SHARED, *more):
        told = forms.expected(channel, GRID, known_before=name in ("era5", "fuxi"))
        spread = float(np.ptp(told))
        assert driver.fields[channel] == pytest.approx(told, rel=1e-6, abs=2e-4 * spread), channel
    assert sorted(path.name for path in folder.rglob("*")) == before, "nothing is left beside the files"
    assert driver.simulated == (which == "era5 netcdf"), "the sample world's writer says so in its history"
    assert driver.source.startswith(FORMS[name].title)


def test_an_amount_is_a_difference_of_sums_or_a_sum_of_pieces():
    at = [START + np.timedelta64(h, "h") for h in range(0, 25, 6)]
    one = np.ones((2, 2), np.float32)
    since_start = {(at[0], at[k]): k * one for k in range(1, 5)}
    assert amount(since_start, at[2], at[4]) == pytest.approx(2 * one)
    assert amount(since_start, at[0], at[2]) == pytest.approx(2 * one)
    pieces = {(at[k], at[k + 1]): (k + 1) * one for k in range(4)}
    assert amount(pieces, at[2], at[4]) == pytest.approx(7 * one)
    assert amount(pieces, at[2] - np.timedelta64(24, "h"), at[4]) is None
    packed = {(at[0], at[2]): one, (at[0], at[4]): one * 0.99}
    assert (amount(packed, at[2], at[4]) == 0).all(), "a sum that falls by a rounding is no rain"


@pytest.fixture(scope="module")
def trained() -> tuple[CouplingCheckpoint, Coupling]:
    """A network whose forecast depends on its weather."""
    config = replace(
        SMALL, weather=SHARED, places=("sin_lat", "cos_lat"), widths=(8, 8, 16), hidden=8, depth=1, time_width=8
    )
    species = dict.fromkeys(config.species, 1e-7) | {"pm2p5": 20.0, "pm10": 30.0}
    spans = {n: forms.expected(n, GRID) for n in SHARED}
    scales = Scales(species, {n: (float(v.mean()), float(v.std())) for n, v in spans.items()})
    torch.manual_seed(0)
    network = Coupling(config, scales).eval()
    torch.nn.init.normal_(network.head.kernel.weight, std=0.01)
    checkpoint = CouplingCheckpoint(config, scales, GRID, simulated=False)
    return checkpoint, network


def write_start(folder: Path) -> Path:
    """CAMS analyses of the half day before and of the start."""
    folder.mkdir()
    times = START + np.array([-12, 0])
    ramp = np.linspace(1, 2, GRID.width, dtype=np.float32) * np.ones((2, *GRID.shape), np.float32)
    (folder / "sfc.nc").write_bytes(new_analysis(GRID, times, {CAMS["pm2p5"]: 2e-8 * ramp, CAMS["pm10"]: 3e-8 * ramp}))
    levels = np.repeat(1e-7 * ramp[:, None], 3, axis=1)
    gases = {CAMS[name]: levels for name in ("co", "no2")}
    (folder / "plev.nc").write_bytes(new_analysis(GRID, times, gases, levels=(1000, 850, 500)))
    return folder


@pytest.fixture
def forecast(
    trained: tuple[CouplingCheckpoint, Coupling], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., np.ndarray]:
    """PM2.5 of four days, forecast with a folder's weather."""
    checkpoint, network = trained
    monkeypatch.setattr(CouplingCheckpoint, "network", lambda self: network)
    monkeypatch.setattr(CouplingCheckpoint, "hash", "0" * 64, raising=False)
    start = write_start(tmp_path / "cams")

    def run(name: str | None, folder: Path) -> np.ndarray:
        out = tmp_path / "out" / f"{name}-{folder.name}"
        form = None if name is None else FORMS[name]
        made = forecast_composition(checkpoint, DAY, start, folder, out, places=torch.zeros(2, *GRID.shape), form=form)
        assert made.driver.startswith("weather forecast" if form is None else form.title)
        described = scan(out).of("cams_forecast")
        return cams.forecast(described, DAY, GRID, leads=(1, 2, 3, 4)).sel(channel="pm2p5").values

    return run


@pytest.mark.slow
def test_the_same_weather_in_any_form_gives_the_same_forecast(
    forecast: Callable[..., np.ndarray], written: Callable[[str], Path], tmp_path: Path
):
    pytest.importorskip("cfgrib")
    forms.write_netcdf(tmp_path / "cds", (*SURFACE, "sp", *ALOFT, "q"), forecast=True)
    bare = forecast(None, tmp_path / "cds")
    spread = float(np.ptp(bare))
    assert spread > 10
    rounded, exact = 5e-3 * spread, 5e-4 * spread  # the NetCDF keeps 14 bits, the GRIB here 24
    unknown, known = forecast("ifs", written("ifs")), forecast("era5", written("era5"))
    assert unknown == pytest.approx(bare, abs=rounded)
    assert known == pytest.approx(forecast("era5", written("era5 netcdf")), abs=rounded)
    for which in ("aifs", "aifs of 6 h"):
        assert forecast("aifs", written(which)) == pytest.approx(unknown, abs=exact), which
    for which in ("fuxi", "fuxi of 2023"):
        assert forecast("fuxi", written(which)) == pytest.approx(known, abs=exact), which
    dry = tmp_path / "dry"
    forms.write_open_data(dry, ai=False, names=(*SURFACE, *ALOFT), amount=lambda a, b, grid: np.zeros(grid.shape))
    assert np.abs(forecast("ifs", dry) - unknown).max() > 20 * exact, "rain changes what comes out"


@pytest.mark.slow
def test_a_named_driver_is_taken_at_the_command_line(
    trained: tuple[CouplingCheckpoint, Coupling], written: Callable[[str], Path], tmp_path: Path
):
    write_coupling(tmp_path / "network", *trained)
    cams_files, out = write_start(tmp_path / "cams"), tmp_path / "out"
    words = ["forecast", "--init", str(DAY), "--composition", str(cams_files), "--model", str(tmp_path / "network")]
    result = CliRunner().invoke(app, [*words, "--driver", f"fuxi:{written('fuxi')}", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "driven by FuXi issued 2026-07-02T00:00:00" in " ".join(result.output.split())
    assert (out / "cams_forecast_2026070200.zip").exists()
    result = CliRunner().invoke(app, [*words, "--driver", "gfs:files", "--out", str(out)])
    assert result.exit_code and "no driver 'gfs'" in str(result.exception)


def test_what_a_driver_lacks_is_named_with_what_it_has(written: Callable[[str], Path], tmp_path: Path):
    with pytest.raises(
        CranpmError, match=r"FuXi: found .*r \(500, 850, 1000 hPa\).*q_850 \(in no file\).*another driver"
    ):
        read_named(FORMS["fuxi"], written("fuxi"), DAY, ("u10", "q_850", "sp"), GRID)
    with pytest.raises(CranpmError, match=r"found issues: 2026-07-02T00 UTC; expected 2026-07-03T00:00:00"):
        read_named(FORMS["fuxi"], written("fuxi"), DAY + dt.timedelta(days=1), ("u10",), GRID)
    with pytest.raises(CranpmError, match=r"no GRIB files of IFS open data \(found 22 netcdf\).*download YYYYMMDD"):
        read_named(FORMS["ifs"], written("fuxi"), DAY, ("u10",), GRID)
    with pytest.raises(CranpmError, match="no such folder"):
        read_named(FORMS["ifs"], tmp_path / "none", DAY, ("u10",), GRID)


def test_grib_of_another_day_model_or_step_is_not_taken(written: Callable[[str], Path], tmp_path: Path):
    pytest.importorskip("cfgrib")
    with pytest.raises(CranpmError, match=r"AIFS open data: found .*r_850 \(in no file\).*no relative humidity"):
        read_named(FORMS["aifs"], written("aifs"), DAY, ("u10", "r_850"), GRID)
    with pytest.raises(CranpmError, match=r"found none of its variables; .*u10 \(in no file\)"):
        read_named(FORMS["ifs"], written("aifs"), DAY, ("u10",), GRID)
    with pytest.raises(CranpmError, match=r"found issues: 2026-07-02T00 UTC; expected 2026-07-01T00"):
        read_named(FORMS["ifs"], written("ifs"), DAY - dt.timedelta(days=1), ("u10",), GRID)
    some = tmp_path / "some"
    forms.write_open_data(some, ai=False, names=("u10",), steps=range(0, 97, 12))
    with pytest.raises(CranpmError, match=r"u10 \(not for 2026-07-06T12:00, 2026-07-07T00:00 UTC: 2 of 11\)"):
        read_named(FORMS["ifs"], some, DAY, ("u10", "tp"), GRID)
    with pytest.raises(CranpmError, match="but the region needs"):
        read_named(FORMS["ifs"], some, DAY, ("u10",), Grid(60.0, 6.0, 0.75, 6, 8))


def test_damaged_grib_is_said_to_be(tmp_path: Path):
    pytest.importorskip("cfgrib")
    forms.write_open_data(tmp_path, ai=False, names=("u10",))
    whole = tmp_path / "20260702000000-24h-oper-fc.grib2"
    whole.write_bytes(whole.read_bytes()[:-300])
    with pytest.raises(CranpmError, match=r"24h-oper-fc\.grib2: damaged GRIB"):
        read_named(FORMS["ifs"], tmp_path, DAY, ("u10", "tp"), GRID)


def test_without_cfgrib_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "20260702000000-0h-oper-fc.grib2").write_bytes(b"GRIB")
    monkeypatch.setitem(sys.modules, "cfgrib", None)
    with pytest.raises(MissingExtra, match=r"cranpm\[grib\]"):
        read_named(FORMS["ifs"], tmp_path, DAY, ("u10",), GRID)


def test_a_bare_folder_means_what_it_meant(tmp_path: Path):
    forms.write_netcdf(tmp_path / "a", (*SURFACE, "sp", *ALOFT, "q"), forecast=True)
    driver = read_driver(tmp_path / "a", DAY, SHARED, GRID)
    assert driver.source == "weather forecast issued 2026-07-02T00:00:00"
    with pytest.raises(CranpmError, match="no ERA5; give the folder"):
        read_named(FORMS["era5"], tmp_path / "a", DAY, SHARED, GRID)


def test_real_era5_grib_is_read_across_the_meridian_and_its_members_passed_over():
    eccodes = pytest.importorskip("eccodes")
    pytest.importorskip("cfgrib")
    path = REAL / "era5" / "grib" / "era5-levels-members.grib"
    if not path.exists():
        pytest.skip(f"no {path}: real files do not travel with the project")
    from cranpm.composition.coupling.grib import read_grib

    instants = np.array(["2017-01-01T00", "2017-01-01T12"], "datetime64[s]")
    grid = Grid(60.0, -9.0, 3.0, 5, 8)
    found = read_grib([path], FORMS["era5"], Wanted(frozenset({"z_500", "t_850"}), instants[0], instants, grid))
    assert set(found.fields) == {"z_500", "t_850"} and len(found.fields["z_500"]) == 2
    with path.open("rb") as file:
        handle = eccodes.codes_grib_new_from_file(file)  # the first: z at 500 hPa, member 0
    there = eccodes.codes_get_values(handle).reshape(61, 120)
    columns = np.arange(-3, 5) % 120
    assert found.fields["z_500"][instants[0]] == pytest.approx(there[10:15][:, columns], rel=1e-6)
    assert 230 < found.fields["t_850"][instants[1]].mean() < 300
