"""Which composition a day is prepared from: the reanalysis as delivered, or as `cranpm composition sharpen` left it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import date
from typing import Literal

from cranpm.data.days import shown_days
from cranpm.data.products.description import SHARPENED, Description
from cranpm.data.store import Store, prepare_line
from cranpm.errors import CranpmError

Composition = Literal["pack", "raw", "sharpened"]
"""As the pack says for each year, or one of the two for all days."""


def is_sharpened(file: Description) -> bool:
    """Whether a file is what `cranpm composition sharpen` wrote."""
    return any(note.startswith(SHARPENED) for note in file.notes)


def by_kind(files: Sequence[Description], days: Collection[date]) -> dict[str, list[date]]:
    """Days by what their composition was taken from, `raw` or `sharpened`."""
    found: dict[str, set[date]] = {}
    for file in files:
        if file.product == "cams":
            found.setdefault("sharpened" if is_sharpened(file) else "raw", set()).update(file.days)
    return {kind: sorted(held & set(days)) for kind, held in found.items() if held & set(days)}


def require_composition(store: Store, kind: str, days: Sequence[date]) -> None:
    """Refuse a store whose days were not prepared from this kind of composition.

    Args:
        store: the store.
        kind: `raw` or `sharpened`.
        days: those that will be read.

    Raises:
        CranpmError: days of another kind, or a store that does not say.
    """
    told = store.composition
    wrong = [day for day in days if day in store.days and day not in told.get(kind, ())]
    if wrong:
        line = prepare_line(store.path.with_name(f"{kind}.zarr"), store.pack)
        others = [other for other, held in told.items() if other != kind and held & set(wrong)]
        raise CranpmError(
            f"{store.path}: composition of {shown_days(wrong)} {' and '.join(others) or 'of a kind it does not say'}; "
            f"expected {kind}: prepare another store: {line} --composition {kind}"
        )


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
