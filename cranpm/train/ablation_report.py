"""What the ablations found: differences from the full network, paired over seeds and days, as a table and a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cranpm.folders import write_whole
from cranpm.train.ablation import VARIANTS, Result, Variant

BLOCK = 4
"""Validation days that are drawn together: neighbours are alike."""
DRAWS = 4000
ENOUGH_SEEDS = 3
T_975 = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12)
"""97.5 percentile of Student's t for 1, 2, 3, ... degrees of freedom."""
TITLES = {
    "c": "Removals",
    "a": "Fusion",
    "b": "Build-up",
    "e": "Years to train on",
    "d": "Parts of plus",
}


@dataclass(frozen=True)
class Difference:
    """RMSE of a variant minus that of the full network at one lead, ug m-3.

    Attributes:
        mean: over the seeds that both have.
        low, high: 95 % interval from drawing seeds and blocks of days again, widened for few seeds.
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
    """A variant against the full network on the seeds that both have; None without any."""
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
    mean, wider = _rmse_gap(errors, pixels), _few(len(pairs))
    low, high = (mean + wider * (bound - mean) for bound in np.quantile(found, [0.025, 0.975]))
    return Difference(mean, float(low), float(high), len(pairs))


def table(results: Sequence[Result]) -> str:
    """The differences at every lead in Markdown, a part for each of the paper's tables; "*" where settled."""
    leads = sorted(results[0].squared)
    full = _of(results, VARIANTS[0])
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
            cells = [_cell(difference(own, full, lead)) for lead in leads]
            spent = np.mean([result.cpu_seconds for result in own])
            seeds = len({r.seed for r in own} & {r.seed for r in full})
            lines.append(f"| {variant.key} | {variant.label} | {' | '.join(cells)} | {seeds} | {spent:.0f} |")
        lines.append("")
    return "\n".join([_described(full, leads), *lines])


def picture(results: Sequence[Result], path: Path) -> None:
    """Differences with their intervals, a panel for each lead."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib.figure import Figure

    from cranpm.forecast.maps import head_line

    leads = sorted(results[0].squared)
    full = _of(results, VARIANTS[0])
    rows = [v for v in VARIANTS if v.table and _of(results, v)]
    figure = Figure(figsize=(3.2 * len(leads) + 3.0, 0.32 * len(rows) + 1.4), layout="constrained")
    panels = figure.subplots(1, len(leads), sharey=True, squeeze=False)[0]
    for panel, lead in zip(panels, leads, strict=True):
        for place, variant in enumerate(rows):
            found = difference(_of(results, variant), full, lead)
            if found is not None:
                worse = "tab:red" if found.mean > 0 else "tab:green"
                colour = worse if found.settled else "0.55"
                panel.plot([found.low, found.high], [place, place], color=colour, lw=2)
                panel.plot(found.mean, place, "o", color=colour, ms=5)
        panel.axvline(0, color="0.2", lw=0.8)
        panel.set_title(f"T+{lead}")
        panel.set_xlabel("RMSE minus full, µg/m³")
        panel.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(range(len(rows)), [f"{v.key}  {v.label}" for v in rows])
    panels[0].invert_yaxis()
    head_line(figure, "SIMULATED · Ablations on the sample world: red is worse, green better, grey not settled")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    write_whole(path, buffer.getvalue())


def _described(full: Sequence[Result], leads: Sequence[int]) -> str:
    """A line on the network that the others are compared with."""
    parts = []
    for lead in leads:
        still = float(np.mean([np.sqrt(np.sum(r.still[lead]) / np.sum(r.pixels[lead])) for r in full]))
        own = [r.rmse(lead) for r in full]
        parts.append(f"T+{lead} {np.mean(own):.2f} ± {np.std(own, ddof=len(own) > 1):.2f} (persistence {still:.2f})")
    steps = f"{full[0].steps} steps, {np.mean([r.cpu_seconds for r in full]):.0f} CPU s"
    seeds = f"{len(full)} seed{'s' if len(full) > 1 else ''}"
    return f"The full network, {seeds} of {steps}: RMSE {', '.join(parts)} µg/m³, simulated.\n"


def _of(results: Sequence[Result], variant: Variant) -> list[Result]:
    return [result for result in results if result.variant == variant.key]


def _cell(found: Difference | None) -> str:
    if found is None:
        return "–"
    return f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]{'*' if found.settled else ''}"


def _few(seeds: int) -> float:
    """How much wider an interval from drawing n seeds again must be to hold 95 %: t(n - 1) / 1.96 sqrt(n / (n - 1))."""
    if seeds < 2:
        return 1.0  # nothing is claimed of so few
    return T_975[min(seeds - 2, len(T_975) - 1)] / 1.96 * (seeds / (seeds - 1)) ** 0.5


def _rmse_gap(errors: NDArray, pixels: NDArray) -> float:
    """Mean over pairs of the difference of RMSEs; errors (pair, which, day)."""
    rmse = np.sqrt(errors.sum(axis=-1) / pixels.sum())
    return float((rmse[:, 0] - rmse[:, 1]).mean())


def _blocks(rng: np.random.Generator, count: int) -> NDArray[np.int64]:
    """Blocks of neighbouring days, drawn with replacement until there are as many days as before."""
    starts = rng.integers(0, max(count - BLOCK + 1, 1), -(-count // BLOCK))
    return (starts[:, None] + np.arange(BLOCK)).flatten()[:count].clip(max=count - 1)
