"""Pictures of maps: coastlines from the land mask, colours by the bands of the region's index. No network."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cranpm.forecast.run import Strip
from cranpm.grid import Grid, wrap_longitude

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap, FuncNorm, Normalize
    from matplotlib.figure import Figure, SubFigure

INK, MUTED, SEA, NO_DATA = "#1d2733", "#5b6775", "#e4ebf0", "#b9c0c7"
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
}
_ROWS = 256
_SIDE = 1200  # pixels of the longer side of a drawn map; larger domains are averaged down to it


@dataclass(frozen=True)
class Bands:
    """The bands of an index and their names, for the colour scale.

    Attributes:
        name: of the index.
        edges: upper bounds of all classes but the last, ug m-3.
        labels: names of the classes, one more than edges.
        hourly: the index is for hourly values, which a daily mean in its colours must say.
    """

    name: str
    edges: tuple[float, ...]
    labels: tuple[str, ...]
    hourly: bool = False

    def label(self, value: float) -> str:
        """Name of the class that begins at or holds a value."""
        return self.labels[int(np.searchsorted(self.edges, value, side="right"))]

    @property
    def caption(self) -> str:
        """What the scale shows."""
        note = " (an hourly index, here on daily means)" if self.hourly else ""
        return f"PM2.5, µg/m³, in the bands of {self.name}{note}"


class Thumbnail:
    """A map averaged down while its strips pass, so that a picture needs no whole map in memory."""

    def __init__(self, grid: Grid, side: int = _SIDE) -> None:
        self.factor = max(1, -(-max(grid.shape) // side))
        self.grid = grid
        shape = (-(-grid.height // self.factor), -(-grid.width // self.factor))
        self._total, self._count = np.zeros(shape), np.zeros(shape)

    def add(self, strip: Strip) -> None:
        """Take in the rows of a strip."""
        self.add_rows(strip.row, strip.pm)

    def add_rows(self, row: int, values: NDArray) -> None:
        """Take in rows of a map; NaN does not count."""
        rows = (row + np.arange(len(values))) // self.factor
        starts = np.arange(0, self.grid.width, self.factor)
        valid = np.isfinite(values)
        np.add.at(self._total, rows, np.add.reduceat(np.where(valid, values, 0.0), starts, axis=1))
        np.add.at(self._count, rows, np.add.reduceat(valid.astype(float), starts, axis=1))

    @property
    def values(self) -> NDArray:
        """The small map, NaN where nothing was valid."""
        return np.where(self._count > 0, self._total / np.maximum(self._count, 1), np.nan)


def shrink(grid: Grid, values: NDArray, side: int = _SIDE) -> NDArray:
    """A whole map averaged down for drawing."""
    small = Thumbnail(grid, side)
    for row in range(0, len(values), _ROWS):  # a few at a time: they become floats, eight times the size of a mask
        small.add_rows(row, np.asarray(values[row : row + _ROWS], dtype=float))
    return small.values


def band_scale(bands: Bands, lowest: float, highest: float) -> tuple[Colormap, FuncNorm, list[float]]:
    """A colour scale whose ticks are the bands of the index; dark is high, and no band is squeezed to a sliver.

    Args:
        bands: the index.
        lowest, highest: values to show; bands wholly outside are left out.

    Returns:
        Colour map (one lightness ramp: readable without colour), norm, and the edges that are shown.
    """
    from matplotlib import colormaps
    from matplotlib.colors import FuncNorm, LinearSegmentedColormap

    below = [edge for edge in bands.edges if edge <= lowest]
    inside = [edge for edge in bands.edges if lowest < edge < highest]
    top = _round_up(highest)
    edges = np.array([below[-1] if below else 0.0, *[edge for edge in inside if edge < 0.97 * top], top])
    places = 0.5 * np.linspace(0, 1, len(edges)) + 0.5 * (edges - edges[0]) / (edges[-1] - edges[0])
    ramp = colormaps["magma_r"](np.linspace(0.02, 0.94, 256))
    norm = FuncNorm((lambda x: np.interp(x, edges, places), lambda y: np.interp(y, places, edges)), edges[0], edges[-1])
    return LinearSegmentedColormap.from_list("bands", ramp), norm, edges.tolist()


def draw_map(
    ax: Axes, grid: Grid, land: NDArray, values: NDArray, colours: Colormap, norm: Normalize
) -> ScalarMappable:
    """Draw a map with its coast: sea pale blue, land without a value grey.

    Args:
        ax: where to draw.
        grid: the fine grid.
        land: land mask, at the grid's shape.
        values: the map, at the grid's shape or as `shrink` makes it.
        colours, norm: the scale.
    """
    from matplotlib.colors import ListedColormap
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    west, south, east, north = grid.edges
    ground = shrink(grid, land) >= 0.5
    extent = (west, east, south, north)
    ax.imshow(ground, cmap=ListedColormap([SEA, NO_DATA]), extent=extent, vmin=0, vmax=1, interpolation="nearest")
    shown = np.ma.masked_invalid(np.where(ground, values, np.nan))
    image = ax.imshow(shown, cmap=colours, norm=norm, extent=extent, interpolation="nearest")
    if ground.any() and not ground.all():
        lats = np.linspace(north, south, 2 * len(ground) + 1)[1::2]
        lons = np.linspace(west, east, 2 * ground.shape[1] + 1)[1::2]
        ax.contour(lons, lats, ground.astype(float), levels=[0.5], colors=INK, linewidths=0.5)
    ax.set_aspect(1 / np.cos(np.radians((north + south) / 2)))
    for axis, letters in ((ax.xaxis, "EW"), (ax.yaxis, "NS")):
        axis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
        axis.set_major_formatter(FuncFormatter(lambda x, _, letters=letters: _degrees(x, letters)))
    ax.tick_params(labelsize=7, length=2)
    for spine in ax.spines.values():
        spine.set_visible(True)
    return image


def band_bar(
    figure: Figure | SubFigure, image: ScalarMappable, axes: Sequence[Axes], bands: Bands, edges: list[float]
) -> None:
    """A colour bar with the band edges as ticks and the classes' names between them."""
    bar = figure.colorbar(image, ax=list(axes), orientation="horizontal", fraction=0.05, pad=0.06, aspect=46)
    bar.set_ticks(edges, labels=[f"{edge:g}" for edge in edges])
    bar.ax.tick_params(labelsize=7, length=2)
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    bar.set_label(bands.caption, fontsize=8)
    ends = np.asarray(image.norm(np.array(edges)), dtype=float)
    for low, left, right in zip(edges, ends, ends[1:], strict=False):
        text = textwrap.fill(bands.label(low), 14) if right - left > 0.09 else ""
        place = (left + right) / 2, 1.25
        bar.ax.text(*place, text, transform=bar.ax.transAxes, ha="center", va="bottom", fontsize=7, color=MUTED)


def draw_forecast(
    path: Path, grid: Grid, land: NDArray, maps: Sequence[tuple[str, NDArray]], bands: Bands, *, title: str, note: str
) -> None:
    """Write a picture with one panel per lead.

    Args:
        path: the PNG.
        grid, land: the fine grid and its land mask.
        maps: a heading and a small map (as `shrink` or `Thumbnail` make it) per panel.
        bands: the colour scale's index.
        title: of the picture; says *simulated* where it is.
        note: provenance, in small type.
    """
    import matplotlib
    from matplotlib.figure import Figure

    shown = np.concatenate([values[np.isfinite(values)] for _, values in maps])
    lowest, highest = np.percentile(shown, [0.2, 99.8]) if shown.size else (0.0, 1.0)
    colours, norm, edges = band_scale(bands, float(lowest), float(highest))
    tall = grid.height / grid.width / np.cos(np.radians((grid.north + grid.south) / 2))
    width = 3.4 * len(maps) + 0.5
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(width, 3.4 * tall + 1.35), dpi=170, layout="constrained")
        axes = figure.subplots(1, len(maps), sharey=True, squeeze=False)[0]
        for ax, (heading, values) in zip(axes, maps, strict=True):
            image = draw_map(ax, grid, land, values, colours, norm)
            ax.set_title(heading, fontsize=9, loc="left")
        band_bar(figure, image, axes, bands, edges)
        head_line(figure, title)
        figure.supxlabel(textwrap.fill(note, int(17 * width)), fontsize=6.5, color=MUTED, x=0.01, ha="left")
        part = path.with_name(f".{path.name}.part")
        figure.savefig(part, format="png")
    part.replace(path)


def head_line(figure: Figure, text: str) -> None:
    """A title at the top left, in as many lines as it needs, with room of its own above the axes."""
    lines = textwrap.wrap(text, int(9 * figure.get_figwidth()))
    room = (0.14 + 0.18 * len(lines)) / figure.get_figheight()
    figure.get_layout_engine().set(rect=(0, 0, 1, 1 - room))  # type: ignore[union-attr,call-arg]
    top = 1 - 0.08 / figure.get_figheight()
    figure.text(0.008, top, "\n".join(lines), fontsize=11, fontweight="bold", va="top")


def _round_up(value: float) -> float:
    """The next value with two digits that mean something."""
    if not value > 0:
        return 1.0
    unit = 10.0 ** (np.floor(np.log10(value)) - 1)
    return float(np.ceil(value / unit) * unit)


def _degrees(value: float, letters: str) -> str:
    if letters == "EW":
        value = float(wrap_longitude(value))
    return f"{abs(value):g}°{'' if value == 0 else letters[0] if value > 0 else letters[1]}"
