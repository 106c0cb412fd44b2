"""Which composition a day is prepared from: the reanalysis as delivered, or as `cranpm composition sharpen` left it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date
from typing import Literal

from cranpm.data.days import shown_days
from cranpm.data.products.description import SHARPENED, Description

Composition = Literal["pack", "raw", "sharpened"]
"""As the pack says for each year, or one of the two for all days."""


def is_sharpened(file: Description) -> bool:
    """Whether a file is what `cranpm composition sharpen` wrote."""
    return any(note.startswith(SHARPENED) for note in file.notes)


def choose_composition(
    files: Sequence[Description], composition: Composition, years: Collection[int]
) -> tuple[Description, ...]:
    """The same files, CAMS analyses with the days only that they are to be used for.

    Args:
        files: of all products.
        composition: what was asked for.
        years: those for which the pack wants sharpened composition.
    """

    def wanted(file: Description, day: date) -> bool:
        sharpened = day.year in years if composition == "pack" else composition == "sharpened"
        return is_sharpened(file) == sharpened

    return tuple(
        replace(file, days=tuple(day for day in file.days if wanted(file, day))) if file.product == "cams" else file
        for file in files
    )


def only_raw(before: Sequence[Description], after: Sequence[Description], days: Collection[date]) -> list[str]:
    """A line for a person where days are there as delivered but must be sharpened first; empty when none is."""

    def held(files: Sequence[Description]) -> set[date]:
        return {day for file in files if file.product == "cams" for day in file.days}

    lost = sorted((held(before) - held(after)) & set(days))
    if not lost:
        return []
    raw = [file for file in before if file.product == "cams" and lost[0] in file.days]
    if all(is_sharpened(file) for file in raw):
        return [f"CAMS analysis: {shown_days(lost)} only sharpened, but wanted as delivered; add the original files"]
    return [
        f"CAMS analysis: {shown_days(lost)} not sharpened, as the pack or --composition wants them: "
        f"cranpm composition sharpen {raw[0].source.path.name} --out sharpened.nc, and add that file to the folder"
    ]
