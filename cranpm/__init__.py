"""cranpm: 1 km PM2.5 forecasts one to three days ahead, trained on one region and judged on any."""

from __future__ import annotations

from pathlib import Path

__version__ = "0.1.0"


def _reach_checkout() -> None:
    """In a bare checkout, let `cranpm.regions` and its sisters be found beside this folder.

    An installed wheel has them inside the package, so nothing happens there.
    """
    package = Path(__file__).resolve().parent
    checkout = package.parent
    if not (package / "regions").is_dir() and (checkout / "pyproject.toml").is_file():
        if (checkout / "regions" / "__init__.py").is_file() and str(checkout) not in __path__:
            __path__.append(str(checkout))


_reach_checkout()
