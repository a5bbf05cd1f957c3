"""The pictures, looked at pixel by pixel."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from lcdc_extract import plots
from lcdc_extract.errors import PlotError

NAMES = ("background", "take", "pour")


def pixels_by_color(path: Path, colors: list[plots.Color]) -> list[np.ndarray]:
    from matplotlib.image import imread

    image = imread(path)[:, :, :3]
    return [np.argwhere(np.abs(image - color).max(axis=2) < 1 / 255) for color in colors]


def test_each_bar_shows_its_classes_in_order(tmp_path: Path) -> None:
    truth, prediction = np.repeat([0, 1], [30, 70]), np.repeat([1, 0], [30, 70])
    bars = {"ground truth": truth, "prediction": prediction}
    plots.draw_color_bars(tmp_path / "a.png", "a", bars, np.arange(100) / 10, NAMES)
    zero, one, two = pixels_by_color(tmp_path / "a.png", plots.class_colors(3))
    assert not len(two)  # pour occurs neither in the bars nor in the legend
    top, bottom = zero[:, 0].min(), one[:, 0].max()
    bar = [zero[zero[:, 0] == top][:, 1], one[one[:, 0] == top][:, 1]]  # the first row of pixels: the ground truth
    assert bar[0].max() < bar[1].min()
    assert len(bar[0]) / len(bar[1]) == pytest.approx(30 / 70, rel=0.02)
    assert bottom > top
    lines = sorted({row for row in one[:, 0] if (one[:, 0] == row).sum() > 100})  # without the legend's patches
    swapped = lines[-1]
    bar = [zero[zero[:, 0] == swapped][:, 1], one[one[:, 0] == swapped][:, 1]]
    assert bar[1].max() < bar[0].min()
    assert len(bar[1]) / len(bar[0]) == pytest.approx(30 / 70, rel=0.02)


def test_rows_last_until_the_next(tmp_path: Path) -> None:
    """Row 0 lasts 1 s, row 1 lasts 8 s, and the last as long as the median of these, 4.5 s."""
    plots.draw_color_bars(tmp_path / "a.png", "a", {"x": np.array([0, 1, 2])}, np.array([0.0, 1.0, 9.0]), NAMES)
    pixels = pixels_by_color(tmp_path / "a.png", plots.class_colors(3))
    top = pixels[0][:, 0].min()
    widths = np.array([(found[:, 0] == top).sum() for found in pixels])
    np.testing.assert_allclose(widths / widths.sum(), np.array([1, 8, 4.5]) / 13.5, atol=0.005)


@pytest.mark.parametrize("count", [1, 12, 20, 48])
def test_colors_differ(count: int) -> None:
    assert len(set(plots.class_colors(count))) == count


def test_one_row_and_many_classes(tmp_path: Path) -> None:
    names = [f"class{number}" for number in range(48)]
    plots.draw_color_bars(tmp_path / "one.png", "a", {"x": np.array([47])}, np.array([3.0]), names)
    plots.draw_color_bars(tmp_path / "all.png", "a", {"x": np.arange(48)}, np.arange(48) / 3, names)
    assert len(pixels_by_color(tmp_path / "one.png", [plots.class_colors(48)[47]])[0]) > 1000
    assert all(len(found) for found in pixels_by_color(tmp_path / "all.png", plots.class_colors(48)))


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plots, "find_spec", {"sys": sys}.get)
    with pytest.raises(PlotError, match=r'pip install "lcdc-extract\[tools\]"'):
        plots.require_matplotlib()


def test_a_picture_that_cannot_be_written_leaves_the_one_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(figure: Figure, path: Path, **options: str) -> None:
        path.write_bytes(b"half a picture")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path, one, second = tmp_path / "a.png", np.ones((1, 1), np.float32), np.zeros(1)
    bars, content = {"x": np.array([1])}, plots.VideoPicture("a", second, one, second, None, None)
    plots.draw_color_bars(path, "a", bars, second, NAMES)
    before = path.read_bytes()
    monkeypatch.setattr(Figure, "savefig", full)
    draws: list[Callable[[], None]] = [
        lambda: plots.draw_color_bars(path, "a", bars, second, NAMES),
        lambda: plots.draw_curves(path, "x", {"loss": {"a": ([1.0], [2.0])}}),
        lambda: plots.draw_video(path, content),
    ]
    for draw in draws:
        with pytest.raises(OSError, match="No space left"):
            draw()
        assert [found.name for found in tmp_path.iterdir()] == ["a.png"]
        assert path.read_bytes() == before
