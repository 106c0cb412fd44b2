"""The errors a person meets: one line that says what was found, what was expected and what to do."""

from __future__ import annotations

import importlib
from types import ModuleType


class CranpmError(Exception):
    """Something a user can put right; the command line prints it as one line and exits with 2."""


class MissingExtra(CranpmError):
    """An optional dependency is not installed."""


def require(module: str, *, extra: str) -> ModuleType:
    """Import an optional dependency, or say which extra brings it.

    Args:
        module: name to import, e.g. "torch".
        extra: the extra of this package that installs it, e.g. "train".

    Raises:
        MissingExtra: the module is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or module.split(".")[0] != error.name.split(".")[0]:
            raise
        raise MissingExtra(
            f"'{module}' is not installed and this command needs it: pip install \"cranpm[{extra}]\""
        ) from error
