"""The gate between torch and an exported network: the same inputs, residuals that may differ by so much and no more."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from cranpm.errors import CranpmError
from cranpm.export.cases import Case
from cranpm.forecast.engine import Engine

GATES = {"fp32": 1e-4, "fp16": 1e-2}
"""Root mean square of the difference over the residual's standard deviation. 8 bits are judged by their scores."""


def compare(torch_engine: Engine, exported: Engine, cases: Iterable[Case]) -> list[dict[str, Any]]:
    """How far two engines are apart on each case, in standard deviations of the first one's residual.

    Returns:
        One entry per case: its name and lead, `rms` and `largest` of the difference, and the deviation itself in
        normalised units (times 20 ug m-3).
    """
    found = []
    for case in cases:
        wanted = torch_engine.forecast_tiles(torch_engine.encode_day(case.day, case.lead), case.tiles, case.lead)
        got = exported.forecast_tiles(exported.encode_day(case.day, case.lead), case.tiles, case.lead)
        spread = float(wanted.std(dtype=np.float64))
        apart = np.abs(got.astype(np.float64) - wanted)
        scale = max(spread, 1e-12)
        entry = {
            "case": case.name, "lead": case.lead, "rms": float(np.sqrt(np.mean(apart**2)) / scale),
            "largest": float(apart.max() / scale), "deviation": spread,
        }  # fmt: skip
        found.append(entry)
    return found


def check(found: Iterable[dict[str, Any]], precision: str) -> None:
    """Refuse an export that is not the network.

    Raises:
        CranpmError: a case is beyond the gate, or is not a number.
    """
    gate = GATES.get(precision, np.inf)
    for entry in found:
        if not entry["rms"] <= gate:  # NaN does not pass
            raise CranpmError(
                f"parity: on '{entry['case']}' at lead {entry['lead']} the {precision} network differs from torch by "
                f"{entry['rms']:.1e} of the residual's standard deviation, at most {gate:.0e} is allowed: nothing was "
                "written; use the versions of constraints.txt, and report this if it stays"
            )
