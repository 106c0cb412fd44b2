"""`cranpm doctor`: what is installed here, and what each command still needs."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from importlib import metadata, util
from pathlib import Path

import typer

from cranpm import __version__

BASE = (
    *("numpy", "pandas", "xarray", "zarr", "netCDF4", "PyYAML", "onnxruntime"),
    *("typer", "rich", "matplotlib", "cryptography", "safetensors", "global-land-mask"),
)
OPTIONAL = {
    "verify": ("scores", "scikit-image"),
    "stations": ("pyarrow",),
    "terrain": ("rasterio",),
    "train": ("torch", "lightning"),
    "adapt": ("peft",),
    "federate": ("flwr",),
    "export": ("onnx", "onnxscript"),
    "grib": ("cfgrib",),
}
NEEDS = {
    "region list, show, check, new": (),
    "region eval, fit": ("verify", "stations", "terrain", "train"),
    "region eval (a bundle, a store)": ("verify",),
    "forecast (a bundle, a store)": (),
    "forecast (a store)": ("train",),
    "forecast (simulated days)": ("stations", "terrain", "train"),
    "train": ("train",),
    "adapt (a store)": ("train", "adapt"),
    "adapt (simulated days)": ("stations", "terrain", "train", "adapt"),
    "adapter info": (),
    "federate": ("train", "adapt", "federate"),
    "adapter merge, compare": ("train", "adapt"),
    "export (drawn inputs or a store)": ("train", "export"),
    "export (simulated days)": ("stations", "terrain", "train", "export"),
    "bundle info, verify, sign, bench, budget": (),
    "composition show, train, score, sharpen": ("train",),
    "composition couple, forecast, show-coupling, score-coupling": ("train",),
    "composition forecast (driven by GRIB)": ("train", "grib"),
    "composition stations": ("stations",),
    "composition sample": ("stations", "terrain", "train"),
    "ablate": ("train",),
    "intervene (a store)": ("train",),
    "intervene (simulated days)": ("stations", "terrain", "train"),
    "sample": ("stations", "terrain"),
    "data inspect, prepare": ("stations", "terrain"),
    "model list, show": ("train",),
}
"""The extras that each command needs, by command."""
_GIB = 2**30


def doctor(as_json: bool = typer.Option(False, "--json", help="Print JSON instead of tables.")) -> None:
    """What is installed here, which devices exist, and what each command still needs."""
    import json

    report = examine()
    if as_json:
        print(json.dumps(report, indent=2))
    else:
        _print(report)


def examine() -> dict[str, object]:
    """Everything the doctor looks at, as plain values that JSON can hold."""
    return {
        "cranpm": __version__ if _version("cranpm") else f"{__version__} (not installed: run from its checkout)",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": _machine(),
        "devices": _devices(),
        "cache": _cache(),
        "packages": {name: _version(name) for name in BASE + tuple(p for names in OPTIONAL.values() for p in names)},
        "commands": {command: _pip_line(extras) for command, extras in NEEDS.items()},
    }


def missing_extras(extras: tuple[str, ...]) -> list[str]:
    """Those extras of which a package is not installed."""
    return [extra for extra in extras if any(_version(name) is None for name in OPTIONAL[extra])]


def _pip_line(extras: tuple[str, ...]) -> str | None:
    lacking = missing_extras(extras)
    return f'pip install "cranpm[{",".join(lacking)}]"' if lacking else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _machine() -> dict[str, object]:
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": _memory(),
    }


def _memory() -> float | None:
    """Memory of this machine in GiB, where the system tells; a container's own limit counts."""
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None
    limit = Path("/sys/fs/cgroup/memory.max")
    text = limit.read_text().strip() if limit.is_file() else "max"
    return round(min(total, int(text) if text.isdigit() else total) / _GIB, 1)


def _devices() -> dict[str, object]:
    """What torch and ONNX Runtime can compute on; a library that is absent or broken is said so."""
    return {"onnxruntime": _providers(), "torch": _torch_devices()}


def _providers() -> list[str] | str:
    if util.find_spec("onnxruntime") is None:
        return "not installed"
    try:
        import onnxruntime

        return list(onnxruntime.get_available_providers())
    except Exception as error:  # a broken build of a compiled library fails in its own ways
        return f"does not load: {error}"


def _torch_devices() -> list[str] | str:
    if util.find_spec("torch") is None:
        return "not installed"
    try:
        import torch

        cards = [f"cuda:{i} {torch.cuda.get_device_name(i)}" for i in range(torch.cuda.device_count())]
        return ["cpu", *cards, *(["mps"] if torch.backends.mps.is_available() else [])]
    except Exception as error:  # a broken build of a compiled library fails in its own ways
        return f"does not load: {error}"


def _cache() -> dict[str, object]:
    from cranpm.folders import cache_folder

    folder = cache_folder()
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    used = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) if folder.is_dir() else 0
    return {
        "folder": str(folder),
        "writable": os.access(existing, os.W_OK),
        "used_gib": round(used / _GIB, 2),
        "free_gib": round(shutil.disk_usage(existing).free / _GIB, 1),
    }


def _print(report: dict[str, object]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    console.print(f"cranpm {report['cranpm']}", highlight=False)
    console.print(f"python: {report['python']}, {sys.executable}; {report['platform']}", highlight=False)
    for title in ("machine", "devices", "cache"):
        values = report[title]
        assert isinstance(values, dict)
        lines = (f"{key} {', '.join(value) if isinstance(value, list) else value}" for key, value in values.items())
        console.print(f"{title}: {'; '.join(lines)}", markup=False, highlight=False)
    for title, column in (("packages", "version"), ("commands", "still needs")):
        values = report[title]
        assert isinstance(values, dict)
        table = Table(title.removesuffix("s"), column)
        for name, value in values.items():
            table.add_row(name, escape(value or ("nothing" if title == "commands" else "not installed")))
        console.print(table)
