"""The linear blend: today's map, climatology and the corrected CAMS forecast, weighed by least squares."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from cranpm.data.days import ONE_DAY
from cranpm.errors import CranpmError
from cranpm.forecast.inputs import fill_gaps
from cranpm.grid import Grid
from cranpm.verify.baselines import MEMBERS, Fitted, Map
from cranpm.verify.past import PastDay


def fit_blend(past: Iterable[PastDay], fitted: Fitted, land: NDArray[np.bool_]) -> tuple[Map, Map]:
    """Weights of the members and a constant, by least squares over every valid land pixel of every day of the past.

    The members are the maps that the report scores, so on these days no member alone has a lower RMSE. Weights are at
    least 0: where a free one fell below (today's map in North America at T+2 and T+3), it did worse on a year left out.
    Days are read once; what stays is the sums of products, and the maps of days whose forecasts are still to come due.

    Args:
        past: the days to fit on, in order; a forecast counts where the day before it and its valid day are among them.
        fitted: the other baselines, fitted on the same days.
        land: land mask, shape (h, w).

    Returns:
        Weights, shape (leads, members), and constants, ug m-3, shape (leads,).

    Raises:
        CranpmError: at some lead no forecast of the past can be compared with a truth.
    """
    products = np.zeros((len(fitted.leads), len(MEMBERS) + 2, len(MEMBERS) + 2))
    issued: dict[dt.date, tuple[Map, Map]] = {}
    before: PastDay | None = None
    for now in past:
        valid = land & np.isfinite(now.pm)
        for k, lead in enumerate(fitted.leads):
            if now.day - lead * ONE_DAY in issued:
                today, cams = issued[now.day - lead * ONE_DAY]
                members = today, fitted.climatology(now.day), fitted.cams_corrected(cams[k], lead)  # as in MEMBERS
                columns = np.stack([part[valid] for part in (*members, np.ones_like(now.pm), now.pm)]).astype(float)
                products[k] += columns @ columns.T
        if before is not None and before.day == now.day - ONE_DAY:
            issued[now.day] = filled_today(now, before, fitted.fine, fitted.coarse), now.cams
        issued = {day: maps for day, maps in issued.items() if day > now.day - max(fitted.leads) * ONE_DAY}
        before = now
    found = np.stack([_least_squares(part, lead) for part, lead in zip(products, fitted.leads, strict=True)])
    return found[:, :-1], found[:, -1]


def filled_today(now: PastDay, before: PastDay, fine: Grid, coarse: Grid) -> Map:
    """Persistence's map of a day of the past."""
    return fill_gaps(now.pm, before.pm, now.analysis, coarse, fine.lats, fine.lons)


def _least_squares(products: Map, lead: int) -> Map:
    """Weights and constant of the least squared error, from the sums of products of members, 1 and the truth."""
    if not products[-1, -1] > 0:
        raise CranpmError(
            f"no forecast of the past for T+{lead} has a truth: the blend needs runs of at least {lead + 2} days, and "
            "the store's days of these years have none; prepare the days between them"
        )
    best, least = np.zeros(len(MEMBERS) + 1), np.inf
    for count in range(len(MEMBERS), -1, -1):  # the bounded optimum is a free one of some of the members: eight to try
        for chosen in combinations(range(len(MEMBERS)), count):
            kept = [*chosen, len(MEMBERS)]
            numbers = np.linalg.lstsq(products[np.ix_(kept, kept)], products[kept, -1], rcond=1e-9)[0]
            error = products[-1, -1] - products[kept, -1] @ numbers
            if (numbers[:-1] >= 0).all() and error < least:
                best, least = np.zeros(len(MEMBERS) + 1), error
                best[kept] = numbers
    return best.astype(np.float32)
