"""PM2.5 at the sample world's stations before and after sharpening (simulated), as the paper does it with OpenAQ.

    python -m tests.benchmarks.composition_stations REGION OUT [--days 2022-01-10..2022-01-15,2022-07-10..2022-07-15]

Writes the days' reanalysis at 0.75 degrees and the stations' tables to OUT, sharpens by interpolation and with the
networks that ship, and compares daily means at the same stations on the same days.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path

import torch

from cranpm.composition.deepcams.checkpoint import read_sharpener
from cranpm.composition.deepcams.files import sharpen_file
from cranpm.composition.deepcams.reanalysis import open_reanalysis
from cranpm.composition.deepcams.sharpen import Engine
from cranpm.composition.simulated import write_reanalysis_days
from cranpm.composition.stations import compare_at_stations
from cranpm.data.days import parse_days, stretches
from cranpm.region import load_region


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("region")
    parser.add_argument("out", type=Path)
    parser.add_argument("--days", default="2022-01-10..2022-01-15,2022-07-10..2022-07-15")
    given = parser.parse_args()
    networks = read_sharpener("sample-time", "time"), read_sharpener("sample-space", "space")
    engines = {"interpolated": Engine.plain(), "sharpened": Engine.of(*networks, torch.device("cpu"))}
    products: dict[str, list[Path]] = {"raw": [], "interpolated": [], "sharpened": []}
    folders = []
    for number, days in enumerate(stretches(parse_days(given.days))):
        folder = given.out / str(number)
        shutil.rmtree(folder, ignore_errors=True)
        write_reanalysis_days(load_region(given.region), days, folder)
        folders.append(folder / "stations")
        products["raw"].append(folder / "cams")
        for kind, engine in engines.items():
            out = folder / f"{kind}.nc"
            sharpen_file(open_reanalysis([folder / "cams"]), engine, out, species=["pm2p5"])
            products[kind].append(out)
    print("| PM2.5 at stations (simulated) | R | RMSE | bias | daily means | stations |\n|---|---|---|---|---|---|")
    for kind, one in zip(products, compare_at_stations(list(products.values()), folders), strict=True):
        print(f"| {kind} | {one.r:.4f} | {one.rmse:.3f} | {one.bias:+.3f} | {one.pairs} | {one.stations} |")


if __name__ == "__main__":
    main()
