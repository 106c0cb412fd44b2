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
    installed = (package / "regions").is_dir() or not (checkout / "pyproject.toml").is_file()
    if not installed and (checkout / "regions" / "__init__.py").is_file():
        __path__.append(str(checkout))


_reach_checkout()
