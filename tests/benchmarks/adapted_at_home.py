"""What adapters cost where their base was trained: its scores there without and with each of them.

    python -m tests.benchmarks.adapted_at_home europe --data EUROPE_STORE ADAPTER ...

An adapter is refused by other packs than its own; here it is put on all the same, to measure why.
"""

from __future__ import annotations

import argparse
import datetime as dt
from pathlib import Path

from cranpm.data.store import Store
from cranpm.forecast.torch_engine import TorchEngine
from cranpm.model.adapter import read_adapter
from cranpm.model.registry import load
from cranpm.region import load_region
from cranpm.verify.evaluate import evaluate
from cranpm.verify.fitting import find_fitted

LEADS = (1, 2, 3)


def main() -> None:
    """Print a line for the base and for each adapter."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("region")
    parser.add_argument("adapters", type=Path, nargs="+")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--base", default="europe-sample")
    parser.add_argument("--every", type=int, default=12, help="take every N-th day of 2022")
    given = parser.parse_args()
    pack = load_region(given.region)
    store = Store.open(given.data, pack.given)
    fitted, _ = find_fitted(pack, store)
    engine = TorchEngine(load(given.base))
    first = dt.date(2022, 1, 11)
    days = [first + dt.timedelta(days=k) for k in range(0, 350, given.every)]
    print(f"{len(days)} days of 2022{', simulated' if store.simulated else ''}; RMSE and bias at T+1, T+2, T+3, ug/m3")
    for path in (None, *given.adapters):
        engine.wear(None if path is None else read_adapter(path))
        found = evaluate(engine, store, days, LEADS, fitted=fitted)
        scores = [found.scores(lead, "model") for lead in LEADS]
        rmse, bias = (" / ".join(f"{getattr(one, name):.2f}" for one in scores) for name in ("rmse", "bias"))
        print(f"{'zero-shot' if path is None else path.name}: {rmse}, {bias}", flush=True)


if __name__ == "__main__":
    main()
