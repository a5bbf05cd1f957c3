"""Pictures. The only module that imports matplotlib, and only when something is drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from lcdc_extract.errors import PlotError
from lcdc_extract.labels import FloatArray, IntArray

Color = tuple[float, float, float]
Curve = tuple[list[float], list[float]]
"""x and y of each point."""

LEGEND_COLUMNS = 5


def require_matplotlib() -> None:
    """Call before long work whose result is to be drawn.

    Raises:
        PlotError: matplotlib is not installed.
    """
    if find_spec("matplotlib") is None:
        raise PlotError('pictures need matplotlib, which is not installed: pip install "lcdc-extract[tools]"')


def class_colors(count: int) -> list[Color]:
    """A colour (red, green, blue, from 0 to 1) for each of `count` classes, the same in every picture."""
    from matplotlib import colormaps

    colormap = colormaps["tab20"] if count <= 20 else colormaps["nipy_spectral"].resampled(count)
    return [colormap(label)[:3] for label in range(count)]


def draw_color_bars(
    path: Path, title: str, bars: Mapping[str, IntArray], seconds: FloatArray, names: Sequence[str]
) -> None:
    """Writes a PNG with one bar of class colours per entry of `bars`, the first on top, over a time axis.

    Args:
        path: The file.
        title: Above the bars.
        bars: Caption -> class of each row, (T,).
        seconds: (T,): when each row begins; it lasts until the next.
        names: Class names; the legend shows those that occur.

    Raises:
        PlotError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    colors = class_colors(len(names))
    last = np.median(np.diff(seconds)) if len(seconds) > 1 else 1.0
    edges = np.append(seconds, seconds[-1] + last)
    present = np.unique(np.concatenate(list(bars.values())))
    legend_lines = -(-len(present) // LEGEND_COLUMNS)
    height = 1 + 0.5 * len(bars) + 0.2 * legend_lines
    figure = Figure(figsize=(10, height), layout="constrained", dpi=120)
    rows = figure.subplots(len(bars), sharex=True, squeeze=False)[:, 0]
    for axes, (caption, labels) in zip(rows, bars.items(), strict=True):
        axes.pcolormesh(edges, [0, 1], labels[None], cmap=ListedColormap(colors), vmin=-0.5, vmax=len(names) - 0.5)
        axes.set_yticks([])
        axes.set_ylabel(caption, rotation="horizontal", ha="right", va="center")
    rows[0].set_title(title)
    rows[-1].set_xlabel("seconds")
    patches = [Patch(color=colors[label], label=names[label]) for label in present]
    figure.legend(handles=patches, loc="outside lower center", ncols=LEGEND_COLUMNS, fontsize="small", frameon=False)
    figure.savefig(path, format="png")


def draw_curves(path: Path, x_label: str, panels: Mapping[str, Mapping[str, Curve]]) -> None:
    """Writes a PNG with one panel per entry of `panels`, below each other over the same x axis.

    Args:
        path: The file.
        x_label: Below the lowest panel.
        panels: Title -> caption in the legend -> curve; a caption has the same colour in every panel.

    Raises:
        PlotError: matplotlib is not installed.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    captions = list(dict.fromkeys(caption for curves in panels.values() for caption in curves))
    colors = {caption: f"C{number}" for number, caption in enumerate(captions)}  # matplotlib's own cycle
    figure = Figure(figsize=(8, 2.5 * len(panels)), layout="constrained", dpi=120)
    rows = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
    for axes, (title, curves) in zip(rows, panels.items(), strict=True):
        for caption, (x, y) in curves.items():
            axes.plot(x, y, marker=".", color=colors[caption], label=caption)
        axes.set_title(title)
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small", frameon=False)
    rows[-1].set_xlabel(x_label)
    figure.savefig(path, format="png")
