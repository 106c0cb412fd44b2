"""Nothing leaves the house unasked: telemetry, update checks and installs at run time are off, before Flower starts."""

from __future__ import annotations

import logging
import os
from importlib.util import find_spec

from cranpm.errors import MissingExtra

NEEDS = ("torch", "safetensors", "peft", "flwr")
"""What an agency and a coordinator need beside the base install."""

SWITCHES = {
    "FLWR_TELEMETRY_ENABLED": "0",
    "FLWR_DISABLE_UPDATE_CHECK": "1",
    "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
    "RAY_USAGE_STATS_ENABLED": "0",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "UV_OFFLINE": "1",
}
"""What our launchers set for every process of a federation."""


def quiet() -> None:
    """Set the switches in this process.

    Raises:
        MissingExtra: something is not installed; looked up, not imported: that takes ten seconds.
    """
    if lacking := [name for name in NEEDS if find_spec(name) is None]:
        raise MissingExtra(
            f"'{lacking[0]}' is not installed and this command needs it: pip install \"cranpm[federate]\""
        )
    os.environ.update(SWITCHES)


def hush() -> None:
    """Let Flower, once it is imported, log what is wrong only: its progress is in our records."""
    logging.getLogger("flwr").setLevel(logging.WARNING)


def environment(home: str) -> dict[str, str]:
    """The environment of a process of ours: this one's, the switches, and a home of its own for Flower."""
    return {**os.environ, **SWITCHES, "FLWR_HOME": home}
