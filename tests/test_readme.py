"""What the README shows in Python runs as it stands."""

import re
from datetime import date, timedelta
from pathlib import Path

import numpy as np

from cranpm.region import load_region
from cranpm.sample.direct import write_store
from cranpm.sample.world import World

README = Path(__file__).parents[1] / "README.md"


def test_the_readme_makes_a_forecast_and_an_evaluation(tmp_path, monkeypatch):
    days = [date(2022, 1, 9) + timedelta(days=k) for k in range(4)]
    write_store(World(load_region("india")), days, tmp_path / "india.zarr")
    monkeypatch.chdir(tmp_path)
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", README.read_text(), flags=re.DOTALL):
        exec(block, names)
    assert len(names["maps"]) == 3
    assert all(np.isfinite(made).any() and made.shape == names["store"].fine.shape for made in names["maps"])
    assert names["rmse"] > 0
