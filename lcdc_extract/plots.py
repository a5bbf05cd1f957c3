"""Pictures. The only module that imports matplotlib, and only when something is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from lcdc_extract.errors import PlotError
from lcdc_extract.files import replacing
from lcdc_extract.labels import FloatArray, IntArray

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Color = tuple[float, float, float]
Curve = tuple[list[float], list[float]]
"""x and y of each point."""

LEGEND_COLUMNS = 5
DOTS_PER_INCH = 120

SPAN, LEFT, RIGHT, ABOVE, BELOW, GAP = 7.4, 1.2, 1.2, 0.4, 0.55, 0.08
"""Inches: the time axis that all panels of `draw_video` share, the margins around them, and between two panels."""
BAR_HEIGHT, CLASS_HEIGHT, MOST_STRIP_HEIGHT = 0.3, 0.2, 1.0
"""Inches: the bar of predicted classes, a line of class probabilities, the frames."""


@dataclass(frozen=True)
class Thumbnails:
    """N frames of a video."""

    rgb: npt.NDArray[np.uint8]
    """(N, H, W, 3)."""
    seconds: FloatArray
    """(N,): presentation times."""


@dataclass(frozen=True)
class ClassProbabilities:
    """Of T rows and C classes."""

    values: npt.NDArray[np.float32]
    """(T, C): each row sums to 1."""
    names: tuple[str, ...]
    """Of the C classes."""


@dataclass(frozen=True)
class VideoPicture:
    """What `draw_video` draws of a video with T rows of features."""

    title: str
    seconds: FloatArray
    """(T,): when each row begins; it lasts until the next."""
    similarity: npt.NDArray[np.float32]
    """(M, M): cosine between any two of M rows."""
    similarity_seconds: FloatArray
    """(M,): when each of the M rows begins."""
    thumbnails: Thumbnails | None
    """None leaves the frames out."""
    probabilities: ClassProbabilities | None
    """None puts the words `no class scores` in their place."""


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

    if count <= 20:
        colormap = colormaps["tab10" if count <= 10 else "tab20"]
    else:
        colormap = colormaps["nipy_spectral"].resampled(count)
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
        OSError: the file cannot be written; what was there before still is.
    """
    edges = row_edges(seconds)
    present = np.unique(np.concatenate(list(bars.values())))
    legend_lines = -(-len(present) // LEGEND_COLUMNS)
    height = 1 + 0.5 * len(bars) + 0.2 * legend_lines
    with _png(path, 10, height, layout="constrained") as figure:
        from matplotlib.patches import Patch

        colors = class_colors(len(names))
        rows = figure.subplots(len(bars), sharex=True, squeeze=False)[:, 0]
        for axes, (caption, labels) in zip(rows, bars.items(), strict=True):
            _color_bar(axes, caption, labels, edges, colors)
        rows[0].set_title(title)
        rows[-1].set_xlabel("seconds")
        patches = [Patch(color=colors[label], label=names[label]) for label in present]
        figure.legend(
            handles=patches, loc="outside lower center", ncols=LEGEND_COLUMNS, fontsize="small", frameon=False
        )


def draw_curves(path: Path, x_label: str, panels: Mapping[str, Mapping[str, Curve]]) -> None:
    """Writes a PNG with one panel per entry of `panels`, below each other over the same x axis.

    Args:
        path: The file.
        x_label: Below the lowest panel.
        panels: Title -> caption in the legend -> curve; a caption has the same colour in every panel.

    Raises:
        PlotError: matplotlib is not installed.
        OSError: the file cannot be written; what was there before still is.
    """
    captions = list(dict.fromkeys(caption for curves in panels.values() for caption in curves))
    colors = {caption: f"C{number}" for number, caption in enumerate(captions)}  # matplotlib's own cycle
    with _png(path, 8, 2.5 * len(panels), layout="constrained") as figure:
        rows = figure.subplots(len(panels), sharex=True, squeeze=False)[:, 0]
        for axes, (title, curves) in zip(rows, panels.items(), strict=True):
            for caption, (x, y) in curves.items():
                axes.plot(x, y, marker=".", color=colors[caption], label=caption)
            axes.set_title(title)
            axes.grid(alpha=0.3)
            axes.legend(fontsize="small", frameon=False)
        rows[-1].set_xlabel(x_label)


def draw_video(path: Path, content: VideoPicture) -> None:
    """Writes a PNG: frames, predicted class, class probabilities and self-similarity, above each other over time.

    The lines of class probabilities are those of the classes predicted somewhere; what begins at a time has its left
    edge there.

    Raises:
        PlotError: matplotlib is not installed.
        OSError: the file cannot be written; what was there before still is.
    """
    edges = row_edges(content.seconds)
    panels = _panels(content, edges)
    width, top = LEFT + SPAN + RIGHT, BELOW + sum(height for height, _ in panels) + GAP * (len(panels) - 1)
    total = top + ABOVE
    with _png(path, width, total) as figure:
        figure.suptitle(content.title, y=1 - 0.4 * ABOVE / total, va="center", fontsize="medium")
        for height, draw in panels:
            top -= height
            axes = figure.add_axes((LEFT / width, top / total, SPAN / width, height / total))
            axes.tick_params(bottom=False, labelbottom=False)
            draw(axes)
            axes.set_xlim(edges[0], edges[-1])
            top -= GAP


@contextmanager
def _png(path: Path, width: float, height: float, **options: Any) -> Iterator[Figure]:
    """A figure of so many inches to draw on, which is written to `path` when the block ends well."""
    require_matplotlib()
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DOTS_PER_INCH, **options)
    yield figure
    with replacing(path) as unfinished:
        figure.savefig(unfinished, format="png")


def row_edges(seconds: FloatArray) -> FloatArray:
    """Beginnings (T,) of rows -> (T + 1,) with the end of the last, which lasts as long as the median of the others."""
    last = np.median(np.diff(seconds)) if len(seconds) > 1 else 1.0
    return np.append(seconds, seconds[-1] + last)


def _panels(content: VideoPicture, edges: FloatArray) -> list[tuple[float, Callable[[Axes], None]]]:
    """The panels of `draw_video` from the top: the height of each in inches, and what draws it."""
    panels: list[tuple[float, Callable[[Axes], None]]] = []
    if content.thumbnails is not None:
        thumbnails, duration = content.thumbnails, edges[-1] - edges[0]
        height = _strip_height(thumbnails, duration)
        panels.append((height, lambda axes: _draw_strip(axes, thumbnails, duration, height)))
    if content.probabilities is None:
        panels.append((BAR_HEIGHT, _draw_no_classes))
    else:
        probabilities, predicted = content.probabilities, content.probabilities.values.argmax(axis=1)
        colors = class_colors(len(probabilities.names))
        panels.append((BAR_HEIGHT, lambda axes: _color_bar(axes, "predicted", predicted, edges, colors)))
        lines = CLASS_HEIGHT * len(np.unique(predicted))
        panels.append((lines, lambda axes: _draw_probabilities(axes, probabilities, edges, colors)))
    panels.append((SPAN, lambda axes: _draw_similarity(axes, content.similarity, content.similarity_seconds, edges)))
    return panels


def _color_bar(axes: Axes, caption: str, labels: IntArray, edges: FloatArray, colors: list[Color]) -> None:
    from matplotlib.colors import ListedColormap

    axes.pcolormesh(edges, [0, 1], labels[None], cmap=ListedColormap(colors), vmin=-0.5, vmax=len(colors) - 0.5)
    axes.set_yticks([])
    axes.set_ylabel(caption, rotation="horizontal", ha="right", va="center")


def _strip_height(thumbnails: Thumbnails, duration: float) -> float:
    """Inches at which a frame nearly fills the time until the next, where that is not too high."""
    _, height, width, _ = thumbnails.rgb.shape
    interval = np.median(np.diff(thumbnails.seconds)) if len(thumbnails.seconds) > 1 else duration
    return float(min(MOST_STRIP_HEIGHT, 0.97 * SPAN * interval / duration * height / width))


def _draw_strip(axes: Axes, thumbnails: Thumbnails, duration: float, inches: float) -> None:
    _, height, width, _ = thumbnails.rgb.shape
    seconds_wide = inches * width / height / SPAN * duration
    for picture, start in zip(thumbnails.rgb, thumbnails.seconds, strict=True):
        axes.imshow(picture, extent=(start, start + seconds_wide, 0, 1), aspect="auto")
    axes.set_ylim(0, 1)
    axes.set_yticks([])
    axes.set_frame_on(False)


def _draw_no_classes(axes: Axes) -> None:
    axes.text(0.5, 0.5, "no class scores", transform=axes.transAxes, ha="center", va="center", color="gray")
    axes.set_yticks([])


def _draw_probabilities(axes: Axes, probabilities: ClassProbabilities, edges: FloatArray, colors: list[Color]) -> None:
    """A line per class, from white at 0 to the class's colour at 1; the squares before the names are the legend."""
    shown = np.unique(probabilities.values.argmax(axis=1))
    own = np.array(colors)[shown]
    shades = 1 - probabilities.values.T[shown, :, None] * (1 - own[:, None])  # (lines, T, 3)
    axes.pcolormesh(edges, np.arange(len(shown) + 1) - 0.5, shades)
    axes.scatter(
        [-0.014] * len(shown), range(len(shown)), c=own, marker="s", transform=axes.get_yaxis_transform(), clip_on=False
    )
    axes.set_yticks(range(len(shown)), [probabilities.names[label] for label in shown], fontsize="small")
    axes.tick_params(left=False, pad=14)
    axes.invert_yaxis()


def _draw_similarity(axes: Axes, similarity: npt.NDArray[np.float32], seconds: FloatArray, edges: FloatArray) -> None:
    """Time runs to the right and down. The colours span the values that occur."""
    cells = np.append(seconds, edges[-1])
    mesh = axes.pcolormesh(cells, cells, similarity, cmap="magma", vmax=1)
    axes.set_ylim(edges[-1], edges[0])
    axes.tick_params(bottom=True, labelbottom=True)
    axes.set_xlabel("seconds")
    axes.set_ylabel("seconds")
    beside = axes.inset_axes((1.02, 0, 0.025, 1))
    beside.tick_params(labelsize="small")
    axes.figure.colorbar(mesh, cax=beside, label="cosine between the features of two rows")
