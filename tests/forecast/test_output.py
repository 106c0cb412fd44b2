"""The files a forecast leaves behind."""

import datetime as dt

import numpy as np
import pytest
import xarray as xr

from cranpm.errors import CranpmError
from cranpm.forecast.output import provenance, write_forecast
from cranpm.forecast.run import assemble_map, forecast
from tests.forecast.fake_store import FIRST, ConstantEngine, PlaceEngine, make_store

DAY = FIRST + dt.timedelta(days=3)
NOW = dt.datetime(2022, 3, 5, 12, 0)


def write(folder, store, day=DAY, engine=None, leads=(1, 2, 3), suffix=".nc"):
    engine = engine or PlaceEngine()
    attributes = provenance(engine.spec, store, title="Testland", licence="CC-BY-4.0", attribution="", created=NOW)
    path = folder / f"cranpm_testland_{day:%Y%m%d}{suffix}"
    return write_forecast(path, store, leads, forecast(engine, store, day, leads), attributes)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_file_says_when_where_and_what(tmp_path, suffix):
    store = make_store()
    path = write(tmp_path, store, suffix=suffix).path
    with xr.open_dataset(path, engine="zarr" if suffix == ".zarr" else None, decode_timedelta=False) as file:
        pm = file["pm2p5"]
        assert pm.dims == ("forecast_reference_time", "forecast_period", "lat", "lon")
        assert pm.attrs["units"] == "ug m-3" and pm.attrs["standard_name"].startswith("mass_concentration_of_pm2p5")
        assert file["forecast_reference_time"].values[0] == np.datetime64(DAY)
        assert file["forecast_period"].values.tolist() == [1, 2, 3]
        assert file["time"].values[0, 2] == np.datetime64(DAY + dt.timedelta(days=3))
        assert "time" in pm.coords
        np.testing.assert_allclose(file["lat"], store.fine.lats)
        np.testing.assert_allclose(file["lon"], store.fine.lons)
        assert file["crs"].attrs["grid_mapping_name"] == "latitude_longitude"
        assert file.attrs["Conventions"].startswith("CF-1.") and "SIMULATED" in file.attrs["title"]
        assert file.attrs["model_hash"] == "00" * 32 and file.attrs["world"] == "sample"


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_streamed_file_equals_the_whole_map(tmp_path, suffix):
    store = make_store()
    path = write(tmp_path, store, suffix=suffix).path
    with xr.open_dataset(path, engine="zarr" if suffix == ".zarr" else None) as file:
        written = file["pm2p5"].values[0]
        status = file["input_status"].values[0]
    for k, lead in enumerate(forecast(PlaceEngine(), store, DAY, (1, 2, 3))):
        whole, _ = assemble_map(lead.strips, store.fine.shape)
        np.testing.assert_allclose(written[k], whole, atol=1 / 256 + 1e-5)
    assert (status == 2).sum() == (~store.land).sum()
    np.testing.assert_array_equal(status == 1, np.isnan(store.pm_maps[DAY]) & store.land)


def test_every_bounded_or_mapped_name_exists_and_shares_dimensions(tmp_path):
    import netCDF4

    with netCDF4.Dataset(write(tmp_path, make_store()).path) as file:
        for variable in file.variables.values():
            keys = ("coordinates", "grid_mapping", "bounds", "ancillary_variables")
            named = " ".join(str(getattr(variable, key, "")) for key in keys)
            assert all(name in file.variables for name in named.split())
            assert getattr(variable, "units", "") or variable.name in ("crs", "input_status", "time_bounds")
        bounds = file["time_bounds"][:]
        np.testing.assert_array_equal(bounds[..., 0], file["time"][:])
        np.testing.assert_array_equal(bounds[..., 1] - bounds[..., 0], 1)
        for axis in ("lat", "lon"):
            steps = np.diff(file[axis][:])
            assert (steps > 0).all() or (steps < 0).all()


def test_a_week_opens_as_one_dataset(tmp_path):
    store = make_store(days=8)
    for k in range(1, 8):
        write(tmp_path, store, FIRST + dt.timedelta(days=k), ConstantEngine(0.01))
    files = sorted(tmp_path.glob("*.nc"))
    with xr.open_mfdataset(files, decode_timedelta=False) as week:
        assert week["pm2p5"].shape == (7, 3, 96, 112)
        assert week["time"].shape == (7, 3)
        valid = week["time"].values - week["forecast_reference_time"].values[:, None]
        np.testing.assert_array_equal(valid / np.timedelta64(1, "D"), np.tile([1, 2, 3], (7, 1)))


def test_domain_across_the_date_line_is_written_in_ascending_longitudes(tmp_path):
    store = make_store(west=179.5)
    path = write(tmp_path, store, leads=(1,)).path
    (lead,) = forecast(PlaceEngine(), store, DAY, (1,))
    whole, _ = assemble_map(lead.strips, store.fine.shape)
    with xr.open_dataset(path) as file:
        lons = file["lon"].values
        assert lons.min() >= -180 and lons.max() < 180 and (np.diff(lons) > 0).all()
        west_part = file["pm2p5"].sel(lon=slice(179, 180)).values[0, 0]
        assert "date line" in file["lon"].attrs["comment"]
    np.testing.assert_allclose(west_part, whole[:, :50], atol=1 / 256 + 1e-5)


def test_clipped_pixels_are_counted_per_lead(tmp_path):
    store = make_store()
    written = write(tmp_path, store, engine=ConstantEngine(-10.0), leads=(1, 2))
    with xr.open_dataset(written.path) as file:
        assert file["clipped_pixels"].values.tolist() == [[store.land.sum()] * 2]
    assert written.clipped == {1: store.land.sum(), 2: store.land.sum()}
    assert written.filled == (np.isnan(store.pm_maps[DAY]) & store.land).sum()


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_forecast_that_dies_half_way_leaves_nothing(tmp_path, suffix):
    class Dies(PlaceEngine):
        def forecast_tiles(self, state, tiles, lead):
            if lead == 2:
                raise KeyboardInterrupt
            return super().forecast_tiles(state, tiles, lead)

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path, make_store(), engine=Dies(), suffix=suffix)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_folder_that_cannot_be_made_is_refused(tmp_path, suffix):
    (tmp_path / "file").write_text("in the way")
    for folder in ("file", "file/maps"):
        with pytest.raises(CranpmError, match=r"cannot be written .*choose another --out"):
            write(tmp_path / folder, make_store(), suffix=suffix)
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_writing_again_replaces(tmp_path, suffix):
    write(tmp_path, make_store(), engine=ConstantEngine(0.0), leads=(1, 2), suffix=suffix)
    path = write(tmp_path, make_store(), engine=ConstantEngine(0.0), leads=(1,), suffix=suffix).path
    with xr.open_dataset(path, engine="zarr" if suffix == ".zarr" else None) as file:
        assert file["pm2p5"].shape[1] == 1
    assert [p.name for p in tmp_path.iterdir()] == [path.name]
