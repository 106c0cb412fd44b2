"""What local days buy: variants of adaptation over seeds, scored on days that none of them saw.

    python -m tests.benchmarks.adaptation india --data STORE --study settings --out runs/adaptation
    python -m tests.benchmarks.adaptation india --data STORE --study days --out runs/adaptation

Each run is `cranpm adapt` with a settings file of its own, in a process of its own; runs that are there are not made
again. `cranpm adapter compare` scores all of a study on the same days; the table gives means and standard deviations
over the seeds. `settings`: what is trained, and how high days count. `days`: how many local days. Choose settings
with --phase select and report them with --phase score: no day of the one is a day of the other.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cranpm.adapt.local_days import spread
from cranpm.adapt.settings import DEFAULT
from cranpm.data.days import ONE_DAY, day_range, format_days

YEAR = day_range(dt.date(2021, 1, 1), dt.date(2021, 12, 31))
"""Where local days come from."""
APART = 10
"""Days between the issue days to choose by."""
LATER = (3, 5, 7)
"""Days from each of them to those that are reported: what either forecasts, one to three days ahead, differs."""
AMOUNTS = (15, 30, 60, 90, 180)


@dataclass(frozen=True)
class Variant:
    """One way to adapt.

    Attributes:
        name: of its row; the seed is added.
        days: how many local days, spread over YEAR.
        together: whether they are the last of YEAR instead, in one piece.
        changed: what is other than in the default settings, by section and key.
        full: whether everything is trained.
    """

    name: str
    days: int = 180
    together: bool = False
    changed: dict[str, Any] = field(default_factory=dict)
    full: bool = False


SETTINGS = (
    Variant("default"),
    Variant("full", full=True),
    Variant("updates alone", changed={"parts": []}),
    Variant("whole strength", changed={"strength": 1.0}),
    Variant("rank 2", changed={"lora": {"rank": 2, "alpha": 4.0}}),
    Variant("rank 32", changed={"lora": {"rank": 32, "alpha": 64.0}}),
    Variant("high days twice", changed={"objective": {"pixel": 1.0, "high": 2.0, "above": 90.0}}),
    Variant("high days 4 times", changed={"objective": {"pixel": 1.0, "high": 4.0, "above": 90.0}}),
    Variant("hotspots", changed={"batch": {"hotspot_ratio": 0.5}}),
    Variant("logarithm", changed={"objective": {"pixel": 1.0, "logarithmic": True}}),
    Variant("four times the steps", changed={"schedule": {"length": 200, "validate": 25, "patience": 8}}),
    Variant("one half-year", together=True),
)


def local_days(variant: Variant) -> list[dt.date]:
    """The days that a variant is adapted to."""
    return list(YEAR[-variant.days :]) if variant.together else spread(YEAR, variant.days)


def scored_days(phase: str, every: int = 1) -> tuple[dt.date, ...]:
    """Issue days of 2022: every tenth from the 5th of January to choose; to report, three of the days between them."""
    last = dt.date(2022, 12, 28)
    choose = [dt.date(2022, 1, 5) + k * APART * ONE_DAY for k in range(36)]
    report = [day + later * ONE_DAY for day in choose for later in LATER]
    return tuple(day for day in (choose if phase == "select" else report) if day <= last)[::every]


def settings_file(variant: Variant, folder: Path) -> Path:
    """The default settings with the variant's changes."""
    values = yaml.safe_load(DEFAULT.read_text(encoding="utf-8"))
    for key, change in variant.changed.items():
        values[key] = {**values[key], **change} if isinstance(change, dict) else change
    path = folder / f"{variant.name.replace(' ', '-')}.yaml"
    path.write_text(yaml.safe_dump(values, sort_keys=False), encoding="utf-8")
    return path


def adapt(region: str, data: Path, variant: Variant, seed: int, folder: Path, base: str) -> Path:
    """One run, in a process of its own, on one core."""
    out = folder / f"{variant.name.replace(' ', '-')}-s{seed}"
    if out.exists():
        return out
    command = [sys.executable, "-m", "cranpm", "adapt", region, "--data", str(data), "--base", base]
    command += ["--days", format_days(local_days(variant)), "--settings", str(settings_file(variant, folder))]
    command += ["--seed", str(seed), "--out", str(out), *(["--full"] if variant.full else [])]
    if (out.with_name(f"{out.name}.run") / "resume.ckpt").exists():
        command.append("--resume")
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    print(f"{out.name}: made", flush=True)
    return out


def compare(
    region: str, data: Path, adapters: Sequence[Path], days: Sequence[dt.date], folder: Path, base: str
) -> dict[str, Any]:
    """The scores of all adapters on some days; the comparison lies in `folder`."""
    command = [sys.executable, "-m", "cranpm", "adapter", "compare", region, "--data", str(data), "--base", base]
    command += ["--adapters", *map(str, adapters), "--days", format_days(days)]
    subprocess.run([*command, "--thresholds", "60", "120", "--out", str(folder)], check=True)
    return dict(json.loads((folder / "compare.json").read_text(encoding="utf-8")))


def rows(found: dict[str, Any]) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    """The rows of each variant's seeds together, and each other row by itself."""
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in found["rows"]:
        name, dash, seed = row["name"].rpartition("-s")
        groups.setdefault(name if dash and seed.isdigit() else row["name"], []).append(row)
    yield from groups.items()


ALL_DAYS = ("RMSE", "bias")
HIGH_DAYS = ("frequency bias 60", "frequency bias 120", "CSI 60", "CSI 120", "95th percentile")


def table(found: dict[str, Any], columns: Sequence[str]) -> str:
    """Means and standard deviations over seeds, leads beside each other, as Markdown."""
    leads = list(found["rows"][0]["leads"])
    lines = [f"| T+{' / '.join(leads)} | seeds | {' | '.join(columns)} |", f"|---|---|{'---|' * len(columns)}"]
    for name, group in rows(found):
        if group[0]["kind"] == "truth":
            continue
        cells = [
            " / ".join(_mean([_value(row["leads"][lead], column) for row in group]) for lead in leads)
            for column in columns
        ]
        lines.append(f"| {name} | {len(group)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def picture(found: dict[str, Any], path: Path) -> None:
    """RMSE against days, mean and range over the seeds, beside zero-shot and the baselines, a panel for each lead."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    groups, leads = dict(rows(found)), list(found["rows"][0]["leads"])
    curve = sorted((int(name.split("-")[0]), group) for name, group in groups.items() if name.endswith("-days"))
    figure, axes = plt.subplots(1, len(leads), figsize=(4 * len(leads), 3.6), constrained_layout=True)
    for axis, lead in zip(axes, leads, strict=True):
        scores = [[row["leads"][lead]["rmse"] for row in group] for _, group in curve]
        means = [statistics.mean(values) for values in scores]
        spread = [
            [mean - min(values) for mean, values in zip(means, scores, strict=True)],
            [max(values) - mean for mean, values in zip(means, scores, strict=True)],
        ]
        axis.errorbar([days for days, _ in curve], means, spread, marker="o", capsize=3, label="adapter")
        others = [name for name, group in groups.items() if not name.endswith("-days") and group[0]["kind"] != "truth"]
        for place, name in enumerate(others):
            level = groups[name][0]["leads"][lead]["rmse"]
            if level < 1.4 * max(means):
                axis.axhline(level, lw=1, ls="--", color=f"C{1 + place % 9}", label=name)
        axis.set(xscale="log", title=f"T+{lead}", xlabel="local days", ylabel="RMSE, µg/m³")
        axis.set_xticks([days for days, _ in curve], [str(days) for days, _ in curve])
        axis.minorticks_off()
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=6, fontsize=8)
    world = "simulated " if found["simulated"] else ""
    figure.suptitle(f"{world}{found['region']}: what more local days buy")
    figure.savefig(path, dpi=130)


def _value(scores: dict[str, Any], column: str) -> float | None:
    if column in ("RMSE", "bias"):
        return scores[column.lower()]
    if column == "95th percentile":
        return scores["percentile_95_ratio"]
    key = "csi" if "CSI" in column else "frequency_bias"
    return scores["thresholds"]["60" if "60" in column else "120"][key]


def _mean(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return "–"
    digits = 2
    spread = f" ± {statistics.stdev(known):.{digits}f}" if len(known) > 1 else ""
    return f"{statistics.mean(known):.{digits}f}{spread}"


def main() -> None:
    """Make the runs, score them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("region")
    parser.add_argument("--data", type=Path, required=True, help="a store of local days and of 2022")
    parser.add_argument("--base", default="europe-sample")
    parser.add_argument("--study", choices=("settings", "days"), default="settings")
    parser.add_argument("--only", default="", help="variants of the study, with commas")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--phase", choices=("select", "score"), default="score")
    parser.add_argument("--no-scores", action="store_true", help="only make the runs")
    parser.add_argument("--every", type=int, default=1, help="score every N-th of the phase's days")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/adaptation"))
    given = parser.parse_args()
    folder = given.out / Path(given.region).stem / given.study
    folder.mkdir(parents=True, exist_ok=True)
    variants = SETTINGS if given.study == "settings" else [Variant(f"{n} days", days=n) for n in AMOUNTS]
    wanted = [name.strip() for name in given.only.split(",") if name.strip()]
    variants = [variant for variant in variants if not wanted or variant.name in wanted]
    jobs = [(variant, seed) for seed in range(given.seeds) for variant in variants]
    with ThreadPoolExecutor(given.processes) as pool:
        made = list(pool.map(lambda job: adapt(given.region, given.data, *job, folder, given.base), jobs))
    if given.no_scores:
        return
    days, out = scored_days(given.phase, given.every), folder / f"compare-{given.phase}"
    found = compare(given.region, given.data, made, days, out, given.base)
    text = "\n\n".join(table(found, columns) for columns in (ALL_DAYS, HIGH_DAYS))
    (folder / f"{given.phase}.md").write_text(text + "\n", encoding="utf-8")
    if given.study == "days":
        picture(found, folder / f"{given.phase}.png")
    print(text)


if __name__ == "__main__":
    main()
