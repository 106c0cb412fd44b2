"""Station measurements: EEA, EPA AQS, OpenAQ."""

from __future__ import annotations

from pathlib import Path

from cranpm.data.products.description import Description
from cranpm.data.products.sources import Source


def identify(path: Path | Source) -> Description | None:
    """A station table described, or None if it is none."""
    return None
