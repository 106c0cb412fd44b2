"""What sharpened composition is worth to the 1 km score: one store of the raw reanalysis, one of the sharpened.

    python -m tests.benchmarks.composition_worth REGION OUT [--days ...] [--time FOLDER --space FOLDER]

Simulated days are written with their composition as EAC4 holds it (0.75 degrees, every 3 hours), sharpened, and
prepared twice; `cranpm region eval` then scores the shipped model on both (OUT/raw, OUT/interpolated, OUT/sharpened).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
from pathlib import Path

from cranpm.data.days import ONE_DAY, needed_days, parse_days
from cranpm.data.prepare import prepare
from cranpm.region import load_region
from cranpm.sample.eac4 import write_eac4
from cranpm.sample.files import write_files
from cranpm.sample.world import World


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("region")
    parser.add_argument("out", type=Path)
    parser.add_argument("--days", default="2022-01-10..2022-01-13,2022-07-10..2022-07-13")
    parser.add_argument("--time", default="linear")
    parser.add_argument("--space", default="sample-space")
    given = parser.parse_args()
    region, out = load_region(given.region), given.out
    days, files, raw = parse_days(given.days), out / "files", out / "eac4"
    needed = needed_days(days)
    world = World(region)
    if not raw.exists():
        write_files(world, needed, files)
        shutil.rmtree(files / "cams")
        after = {day: day + ONE_DAY for day in needed}  # whose first instant the hours after 21 UTC need
        simulated = {day.day: day for day in world.days([*needed, *after.values()])}
        for day in needed:
            write_eac4(world.coarse, simulated[day], simulated[after[day]], raw)
    for kind in ("raw", "interpolated", "sharpened"):
        folder, store = out / f"files-{kind}", out / f"{kind}.zarr"
        shutil.copytree(files, folder, dirs_exist_ok=True)
        if kind == "raw":
            shutil.copytree(raw, folder / "cams", dirs_exist_ok=True)
        else:
            sharpen(raw, folder / "cams", kind, given)
        prepare(region, folder, store, days=needed, composition="raw" if kind == "raw" else "sharpened")
        scored = [*_cranpm(), "region", "eval", given.region, "--data", str(store), "--days", given.days]
        subprocess.run([*scored, "--out", str(out / kind)], check=True)


def sharpen(raw: Path, folder: Path, kind: str, given: argparse.Namespace) -> None:
    """Sharpen stretches of days on their own: between them lie gaps."""
    folder.mkdir(parents=True, exist_ok=True)
    for k, text in enumerate(given.days.split(",")):
        stretch = needed_days(parse_days(text))
        paths = [str(path) for day in stretch for path in sorted(raw.glob(f"eac4_{day:%Y%m%d}_*.nc"))]
        how = ["--interpolate"] if kind == "interpolated" else ["--time", given.time, "--space", given.space]
        subprocess.run(
            [*_cranpm(), "composition", "sharpen", *paths, *how, "--out", str(folder / f"{k}.nc")], check=True
        )


def _cranpm() -> list[str]:
    return [sys.executable, "-m", "cranpm"]


if __name__ == "__main__":
    main()
