"""history.csv and curves.png."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lcdc_extract.train.events import EpochDone
from lcdc_extract.train.history import write_history

BLUE, ORANGE = (31, 119, 180), (255, 127, 14)
"""The first two of matplotlib's colours."""


def test_each_phase_has_a_line_in_the_panels_of_its_measures(tmp_path: Path) -> None:
    rows = [
        EpochDone("frames", 1, 10, 0.5, 1e-3, 4.0, validation_iou=0.25),
        EpochDone("frames", 2, 20, 1.0, 1e-3, 3.0, validation_iou=0.5),
        EpochDone("clips", 1, 30, 1.5, 1e-3, 2.0, validation_accuracy=0.5),
        EpochDone("clips", 2, 40, 2.0, 1e-3, 1.0, validation_accuracy=0.75),
    ]
    write_history(tmp_path, rows[:1])
    write_history(tmp_path, rows)
    assert (tmp_path / "history.csv").read_text().splitlines() == [
        "phase,epoch,clips,seconds,learning_rate,loss,validation_iou,validation_accuracy,validation_motion_accuracy",
        "frames,1,10,0.5,0.001,4.0,0.25,,",
        "frames,2,20,1.0,0.001,3.0,0.5,,",
        "clips,1,30,1.5,0.001,2.0,,0.5,",
        "clips,2,40,2.0,0.001,1.0,,0.75,",
    ]
    panels = np.array_split(pixels(tmp_path / "curves.png"), 3)  # loss, accuracy, IoU
    shown = [{name for name, color in (("frames", BLUE), ("clips", ORANGE)) if has(panel, color)} for panel in panels]
    assert shown == [{"frames", "clips"}, {"clips"}, {"frames"}]


def pixels(path: Path) -> np.ndarray:
    from matplotlib.image import imread

    return (imread(path)[:, :, :3] * 255).round()


def has(panel: np.ndarray, color: tuple[int, int, int]) -> bool:
    return bool((np.abs(panel - color).max(axis=2) <= 1).sum() > 50)
