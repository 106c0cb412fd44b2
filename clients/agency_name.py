"""Names of agencies: parts of paths and of tables, so of a plain kind."""

from __future__ import annotations

import re

from cranpm.errors import CranpmError

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def check_name(name: str) -> str:
    """The name, if it can be one.

    Raises:
        CranpmError: it cannot.
    """
    if not _NAME.fullmatch(name):
        raise CranpmError(
            f"agency '{name[:40]}': up to 32 lower-case letters, digits, - and _ are expected, a letter first"
        )
    return name
