"""The days a person asks for, and the days a forecast needs around them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import date, timedelta

from cranpm.errors import CranpmError

ONE_DAY = timedelta(days=1)
_FORMS = "a date (2022-01-10), a range (2022-01-10..2022-01-17), a month (2022-01), a year (2022), several with commas"


def parse_days(text: str) -> tuple[date, ...]:
    """The days named by a text, in order, each once.

    Args:
        text: dates, ranges `A..B` (both included), months and years, separated by commas.

    Raises:
        CranpmError: a piece is none of these, or a range runs backwards.
    """
    pieces = [piece.strip() for piece in text.split(",")]
    if not all(pieces):
        raise CranpmError(f"days '{text}': an empty piece; give {_FORMS}")
    return tuple(sorted({day for piece in pieces for day in _piece(piece)}))


def format_days(days: Iterable[date]) -> str:
    """Days as the shortest text that `parse_days` reads back: ranges where they follow each other."""
    return ",".join(f"{run[0]}..{run[-1]}" if len(run) > 1 else f"{run[0]}" for run in stretches(days))


def stretches(days: Iterable[date]) -> list[list[date]]:
    """Days in order, those that follow each other together."""
    found: list[list[date]] = []
    for day in sorted(set(days)):
        if found and day - found[-1][-1] == ONE_DAY:
            found[-1].append(day)
        else:
            found.append([day])
    return found


def shown_days(days: Iterable[date], *, limit: int = 80) -> str:
    """Days for a message: as `format_days` writes them, "none" where there is none, cut where that grows long."""
    text = format_days(days) or "none"
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def needed_days(days: Iterable[date], leads: Sequence[int] = (1, 2, 3)) -> tuple[date, ...]:
    """The days a store must hold to forecast from each day and to score it: the day before, the day, the valid days."""
    offsets = {-1, 0, *leads}
    return tuple(sorted({day + offset * ONE_DAY for day in days for offset in offsets}))


def day_range(first: date, last: date) -> tuple[date, ...]:
    """All days from the first to the last, both included."""
    return tuple(first + i * ONE_DAY for i in range((last - first).days + 1))


def _piece(piece: str) -> tuple[date, ...]:
    first, dots, last = piece.partition("..")
    start, end = _span(first, piece), _span(last if dots else first, piece)
    if end[1] < start[0]:
        raise CranpmError(f"days '{piece}' run backwards: write {last}..{first}")
    return day_range(start[0], end[1])


def _span(text: str, piece: str) -> tuple[date, date]:
    """First and last day of a date, a month or a year."""
    found = re.fullmatch(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?", text.strip(), flags=re.ASCII)
    if not found:
        raise CranpmError(f"days '{piece}' not understood: give {_FORMS}")
    year, month, day = (int(part or 0) for part in found.groups())
    try:
        if found[3]:
            return (date(year, month, day),) * 2
        if found[2]:
            following = date(year + month // 12, month % 12 + 1, 1)
            return date(year, month, 1), following - ONE_DAY
        return date(year, 1, 1), date(year, 12, 31)
    except ValueError:
        pass
    raise CranpmError(f"days '{piece}': the calendar has no {text.strip()}")
