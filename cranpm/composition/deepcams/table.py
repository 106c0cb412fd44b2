"""The scores of a trained network as text: simulated days, or GEOS-CF files."""

from __future__ import annotations

import re
from pathlib import Path

from cranpm.composition.deepcams.checkpoint import MANIFEST, SHIPPED, Sharpener, Task, read_sharpener
from cranpm.composition.deepcams.maps import read_pairs
from cranpm.composition.deepcams.recipe import Drawing, Recipe, find_recipe
from cranpm.composition.deepcams.scores import markdown, score
from cranpm.composition.deepcams.truth import Course, simulated_files
from cranpm.data.products.geos_cf import find_geos_cf, read_geos_cf
from cranpm.data.progress import Progress, silent
from cranpm.errors import CranpmError
from cranpm.folders import cache_folder


def make_table(
    model: Path, *, days: str, of_month: str, realisation: int, data: Path | None, every: int,
    tell: Progress = silent, cache: Path | None = None,
) -> str:  # fmt: skip
    """Score a network and write its table down.

    Args:
        model: a trained network.
        days, of_month, realisation: the simulated days; with `data`, `days` are years.
        data: a folder of GEOS-CF files.
        every: each n-th hour (space) or interval of a day (time).

    Raises:
        CranpmError: no such network or days, or days it was trained on.
    """
    sharpener = open_sharpener(model)
    recipe, _ = find_recipe(f"sample-{sharpener.task}")
    course = Course(realisation, days, _of_month(of_month))
    if data is None:
        _not_trained_on(sharpener, recipe, course)
        assert recipe.simulated is not None
        paths = simulated_files(recipe.simulated.place, course, cache or cache_folder(), tell=tell)
    else:
        years = {day.year for day in course.dates}
        paths = [path for path in find_geos_cf(data) if int(str(read_geos_cf(path).times[0])[:4]) in years]
    if not paths:
        raise CranpmError(f"no day to score on: --days {days}, --of-month {of_month}" + (f" in {data}" if data else ""))
    keep = every if sharpener.task == "space" else 1
    asked = Recipe(
        recipe.name, sharpener.task, sharpener.model, sharpener.scale, sharpener.degradation,
        Drawing(1, 0, every=keep), recipe.schedule, simulated=recipe.simulated,
    )  # fmt: skip
    pairs = read_pairs(asked, paths, tell)
    table = score(sharpener.network(), pairs, every=1 if sharpener.task == "space" else every, tell=tell)
    what = "simulated hours" if data is None else f"GEOS-CF in {data.name}"
    kind, plain = ("time x3", "linear") if sharpener.task == "time" else ("space x3", "bicubic")
    title = f"{kind}, {what} of {days} (days {of_month} of each month), ug m-3; network {sharpener.hash[:12]}"
    return f"{title}\n\n{markdown(table, plain)}"


def open_sharpener(model: Path) -> Sharpener:
    """A trained network of whichever task."""
    folder = model if model.exists() else SHIPPED / str(model)
    text = (folder / MANIFEST).read_text(encoding="utf-8") if (folder / MANIFEST).is_file() else ""
    task: Task = "space" if '"task": "space"' in text else "time"
    return read_sharpener(model, task)


def _of_month(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,2})-(\d{1,2})", text)
    if not found:
        raise CranpmError(f"--of-month {text}: expected first and last day, such as 1-10")
    return int(found[1]), int(found[2])


def _not_trained_on(sharpener: Sharpener, recipe: Recipe, course: Course) -> None:
    """Refuse days of a course that the recipe trains or validates on; others would not be honest."""
    if not sharpener.simulated or recipe.simulated is None:
        return
    asked = {(course.realisation, day) for day in course.dates}
    for used in (*recipe.simulated.train, *recipe.simulated.validate):
        if asked & {(used.realisation, day) for day in used.dates}:
            raise CranpmError(
                f"realisation {course.realisation}, {course.days}: the network was trained or chosen on days of it; "
                "score on another --realisation or other --days"
            )
