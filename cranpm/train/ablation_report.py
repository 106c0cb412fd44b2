"""What the ablations found: differences from a reference, paired over seeds and days, as a table and a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.folders import write_whole
from cranpm.train.ablation import FULL, VARIANTS, Result, Variant

BLOCK = 4
"""Validation days that are drawn together: neighbours are alike."""
DRAWS = 4000
ENOUGH_SEEDS = 3
TITLES = {
    "c": "Removals",
    "a": "Fusion",
    "b": "Build-up",
    "e": "Years to train on",
    "d": "What plus adds (compared with plus)",
}


@dataclass(frozen=True)
class Difference:
    """RMSE of a variant minus that of the network it is compared with at one lead, ug m-3.

    Attributes:
        mean: over the seeds that both have.
        low, high: 95 % interval from drawing seeds and blocks of days again.
        seeds: how many pairs.
    """

    mean: float
    low: float
    high: float
    seeds: int

    @property
    def settled(self) -> bool:
        """Whether the interval excludes zero, with seeds enough to know what a seed is worth."""
        return self.seeds >= ENOUGH_SEEDS and (self.low > 0 or self.high < 0)


def difference(
    variant: Sequence[Result], full: Sequence[Result], lead: int, *, draws: int = DRAWS
) -> Difference | None:
    """A variant against its reference on the seeds that both have; None without any."""
    by_seed = {result.seed: result for result in full}
    pairs = [(result, by_seed[result.seed]) for result in variant if result.seed in by_seed]
    if not pairs:
        return None
    errors = np.array([[one.squared[lead], other.squared[lead]] for one, other in pairs])  # pair, which, day
    pixels = np.array(pairs[0][0].pixels[lead], dtype=float)
    rng = np.random.default_rng(0)
    found = np.empty(draws)
    for k in range(draws):
        chosen = rng.integers(0, len(pairs), len(pairs))
        days = _blocks(rng, len(pixels))
        found[k] = _rmse_gap(errors[chosen][:, :, days], pixels[days])
    low, high = np.quantile(found, [0.025, 0.975])
    return Difference(_rmse_gap(errors, pixels), float(low), float(high), len(pairs))


def table(results: Sequence[Result]) -> str:
    """The differences at every lead in Markdown, a part for each of the paper's tables; "*" where settled."""
    leads = sorted(results[0].squared)
    lines = []
    for letter, title in TITLES.items():
        rows = [(v, _of(results, v)) for v in VARIANTS if v.table == letter and _of(results, v)]
        if not rows:
            continue
        heads = " | ".join(f"T+{lead}" for lead in leads)
        lines += [
            f"**{title}**",
            "",
            f"| | what is different | {heads} | seeds | CPU s |",
            "|---|---|" + "---|" * (len(leads) + 2),
        ]
        for variant, own in rows:
            reference = _reference(results, variant)
            cells = [_cell(difference(own, reference, lead)) for lead in leads]
            spent = np.mean([result.cpu_seconds for result in own])
            seeds = len({r.seed for r in own} & {r.seed for r in reference})
            lines.append(f"| {variant.key} | {variant.label} | {' | '.join(cells)} | {seeds} | {spent:.0f} |")
        lines.append("")
    return "\n".join([*(_described(results, v, leads) for v in VARIANTS if v.table == ""), *lines])


def picture(results: Sequence[Result], path: Path) -> None:
    """Differences with their intervals, a panel for each lead."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    from cranpm.forecast.maps import head_line

    leads = sorted(results[0].squared)
    rows = [v for v in VARIANTS if v.table and _of(results, v)]
    figure = Figure(figsize=(3.2 * len(leads) + 3.0, 0.32 * len(rows) + 1.4), layout="constrained")
    panels = figure.subplots(1, len(leads), sharey=True, squeeze=False)[0]
    for panel, lead in zip(panels, leads, strict=True):
        for place, variant in enumerate(rows):
            found = difference(_of(results, variant), _reference(results, variant), lead)
            if found is not None:
                worse = "tab:red" if found.mean > 0 else "tab:green"
                colour = worse if found.settled else "0.55"
                panel.plot([found.low, found.high], [place, place], color=colour, lw=2)
                panel.plot(found.mean, place, "o", color=colour, ms=5)
        panel.axvline(0, color="0.2", lw=0.8)
        panel.set_title(f"T+{lead}")
        panel.set_xlabel("RMSE minus reference, µg/m³")
        panel.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(rows)), [f"{v.key}  {v.label}" for v in rows])
    panels[0].invert_yaxis()
    head_line(figure, "SIMULATED · Ablations on the sample world: red is worse, green better, grey not settled")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_whole(path, buffer.getvalue())


def _described(results: Sequence[Result], variant: Variant, leads: Sequence[int]) -> str:
    """A line on a network that others are compared with; empty where it was not run."""
    full, parts = _of(results, variant), []
    if not full:
        return ""
    for lead in leads:
        still = float(np.mean([np.sqrt(np.sum(r.still[lead]) / np.sum(r.pixels[lead])) for r in full]))
        own = [r.rmse(lead) for r in full]
        parts.append(f"T+{lead} {np.mean(own):.2f} ± {np.std(own):.2f} (persistence {still:.2f})")
    steps = f"{full[0].steps} steps, {np.mean([r.cpu_seconds for r in full]):.0f} CPU s"
    seeds = f"{len(full)} seed{'s' if len(full) > 1 else ''}"
    name = "The full network" if variant.key == FULL else variant.key.capitalize()
    return f"{name}, {seeds} of {steps}: RMSE {', '.join(parts)} µg/m³, simulated.\n"


def _reference(results: Sequence[Result], variant: Variant) -> list[Result]:
    return [result for result in results if result.variant == variant.against]


def _of(results: Sequence[Result], variant: Variant) -> list[Result]:
    return [result for result in results if result.variant == variant.key]


def _cell(found: Difference | None) -> str:
    if found is None:
        return "–"
    return f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]{'*' if found.settled else ''}"


def _rmse_gap(errors: NDArray, pixels: NDArray) -> float:
    """Mean over pairs of the difference of RMSEs; errors (pair, which, day)."""
    rmse = np.sqrt(errors.sum(axis=-1) / pixels.sum())
    return float((rmse[:, 0] - rmse[:, 1]).mean())


def _blocks(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Blocks of neighbouring days, drawn with replacement until there are as many days as before."""
    starts = rng.integers(0, max(count - BLOCK + 1, 1), -(-count // BLOCK))
    return (starts[:, None] + np.arange(BLOCK)).flatten()[:count].clip(max=count - 1)
