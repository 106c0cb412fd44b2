"""From what a person asks for to a run: base, days, settings and folders, checked before the long work."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from cranpm.adapt.finetune import Adapting
from cranpm.adapt.local_data import serves
from cranpm.adapt.local_days import MONTH, LocalDays, choose_days, divide, folds, spread
from cranpm.adapt.settings import DEFAULT, PARTS, Settings, adaptation, read_settings, settings_hash
from cranpm.data.days import day_range, parse_days
from cranpm.data.progress import Progress
from cranpm.data.store import Store
from cranpm.errors import CranpmError
from cranpm.folders import cache_folder
from cranpm.model.checkpoint import Checkpoint
from cranpm.model.registry import load
from cranpm.region import Region, load_region
from cranpm.train.place import find_place
from cranpm.verify.baselines import read_fitted
from cranpm.verify.fitting import find_fitted

SAMPLE_MONTHS = 6
"""Months that are simulated when no store is given."""


@dataclass(frozen=True)
class Asked:
    """The command line of `cranpm adapt`; see there."""

    region: str
    data: Path | None
    base: str
    months: int | None
    days: tuple[str, ...]
    settings: Path | None
    parts: tuple[str, ...]
    full: bool
    seed: int
    out: Path | None
    baselines: Path | None
    device: str
    random_weights: bool
    resume: bool


def plan(asked: Asked, tell: Progress) -> tuple[Adapting, list[str]]:
    """The run that was asked for, and what a person should know of it before it starts.

    Raises:
        CranpmError: the base, the settings, the days or the past cannot serve.
    """
    place = find_place(asked.device, None, os.environ)
    region = load_region(asked.region)
    base = load(asked.base, random_weights=asked.random_weights)
    path = asked.settings or DEFAULT
    settings = _settings(asked, path)
    kind = "full" if asked.full else "lora"
    recipe = adaptation(f"{region.name}-{kind}", region.name, base, settings, full=asked.full)
    data = asked.data or _sample(region, asked.months or SAMPLE_MONTHS, tell)
    store = Store.open(data, region.given)
    store.require(region)
    chosen = choose_days(store.days, region, asked.months, parse_days(",".join(asked.days)) if asked.days else ())
    local = divide(chosen, settings.blocks, recipe.leads)
    out = asked.out or Path("adapters") / f"{region.name}-{kind}-s{asked.seed}"
    baselines, notes = _past(base, region, store, local, recipe.leads, asked.baselines)
    digest = f"{settings_hash(path)}{'+'.join(settings.parts)}"
    line = _line(asked, region)
    run = Adapting(
        recipe, region, asked.seed, data, place, out.with_name(f"{out.name}.run"), line, digest, cache_folder(), 0,
        f"{line} --out {out} --resume", local=local, baselines=baselines, out=out,
    )  # fmt: skip
    return run, notes


def _settings(asked: Asked, path: Path) -> Settings:
    """The file, with the parts that were asked for."""
    settings = read_settings(path)
    if asked.full and asked.parts:
        raise CranpmError("--full trains every part: leave --parts out")
    if not asked.parts:
        return settings
    if asked.parts == ("none",):
        return replace(settings, parts=())
    if unknown := [part for part in asked.parts if part not in PARTS]:
        raise CranpmError(f"--parts {unknown[0]}: expected {', '.join(PARTS)}, with commas, or none")
    return replace(settings, parts=tuple(part for part in PARTS if part in asked.parts))


def _sample(region: Region, months: int, tell: Progress) -> Path:
    """The pack's simulated sample: months spread over its last validation year."""
    from cranpm.sample.cache import sample_store

    year = max(region.split.validate)
    days = spread(day_range(date(year, 1, 1), date(year, 12, 31)), months * MONTH)
    return sample_store(region, days, progress=tell)


def _past(
    base: Checkpoint, region: Region, store: Store, local: LocalDays, leads: Sequence[int], asked: Path | None
) -> tuple[Path | None, list[str]]:
    """Where a base that reads the past takes it from, and that in words."""
    if not base.config.reads_past:
        return None, []
    from cranpm.verify.fitting import baselines_path

    fitted, _ = find_fitted(region, store, asked)
    if fitted is not None and serves(fitted, store, local.all):
        path = asked or baselines_path(region)
        return path, [f"past: {path.name}, fitted on {fitted.about.get('years')}"]
    if asked is not None:
        about = read_fitted(asked).about
        raise CranpmError(
            f"{asked}: fitted on {about.get('years') or about.get('days')}; the past that local days meet must be of "
            "other years than they are: leave --baselines out, and it is fitted on the local days in folds"
        )
    if folds(local, leads):
        return None, [f"past: fitted on the {len(local.all)} local days, in folds"]
    return None, [
        f"past: none; {len(local.all)} days are too few to fit it on: today's map and the raw CAMS forecast stand in. "
        "Give what was fitted on earlier years with --baselines"
    ]


def _line(asked: Asked, region: Region) -> str:
    """The command that repeats the run, without this machine's paths."""
    given = {
        "--data": None if asked.data is None else asked.data.name,
        "--base": asked.base,
        "--months": asked.months,
        "--days": ",".join(asked.days) or None,
        "--settings": None if asked.settings is None else asked.settings.name,
        "--parts": ",".join(asked.parts) or None,
        "--baselines": None if asked.baselines is None else asked.baselines.name,
        "--seed": asked.seed,
    }
    options = [f"{name} {value}" for name, value in given.items() if value is not None]
    return " ".join(["cranpm adapt", region.name, *options, *(["--full"] if asked.full else [])])
