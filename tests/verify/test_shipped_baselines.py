"""The fitted baselines that travel with the packs."""

import datetime as dt

import numpy as np
import pytest

from cranpm.region import list_regions, load_region
from cranpm.verify.baselines import read_fitted
from cranpm.verify.fitting import SHIPPED_LIMIT, baselines_path


@pytest.mark.parametrize("name", list_regions())
def test_each_pack_has_small_baselines_of_its_sample_window_and_training_years(name):
    region = load_region(name)
    path = baselines_path(region)
    fitted = read_fitted(path)
    window = region.window(full=False)
    assert path.stat().st_size <= SHIPPED_LIMIT
    assert fitted.mismatch(window.fine, window.coarse, "sample") == ""
    assert fitted.about["years"] == list(region.split.train)
    assert np.isfinite(fitted.mean).all() and (fitted.mean > 0).all()
    assert ((fitted.damping >= 0) & (fitted.damping <= 1)).all()
    weaker = fitted.damping.mean(axis=(1, 2))
    assert (np.diff(weaker) < 0).all()  # the further ahead, the less today says
    today, season, cams = fitted.weights.T  # ... and the more the season does
    assert (np.diff(today) <= 0).all() and (np.diff(season) > 0).all() and (cams > 0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", list_regions())
def test_the_sample_world_is_still_the_one_they_were_fitted_on(name):
    from cranpm.sample.world import World

    region = load_region(name)
    mark = read_fitted(baselines_path(region)).about["first_day"]
    (day,) = World(region).days([dt.date.fromisoformat(mark["day"])])
    rows, columns = (np.arange(0, size, 8) for size in day.ghap.shape)
    total, count = (
        np.add.reduceat(np.add.reduceat(part, rows, axis=0), columns, axis=1)
        for part in (np.nan_to_num(day.ghap), np.isfinite(day.ghap).astype(float))
    )
    assert (total[count > 0] / count[count > 0]).mean() == pytest.approx(mark["mean"], abs=0.01)
