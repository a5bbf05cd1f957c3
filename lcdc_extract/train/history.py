"""Curves of a run: `history.csv` and, where matplotlib is there, `curves.png`."""

from __future__ import annotations

import csv
import io
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from lcdc_extract.errors import PlotError, TrainingError
from lcdc_extract.plots import Curve, draw_curves

HISTORY = "history.csv"
PICTURE = "curves.png"
COLUMNS = (
    "phase",
    "epoch",
    "clips",
    "seconds",
    "learning_rate",
    "loss",
    "validation_iou",
    "validation_accuracy",
    "validation_motion_accuracy",
)


TITLES = {
    "loss": "loss",
    "validation_accuracy": "accuracy, validation",
    "validation_motion_accuracy": "accuracy of offset motion alone, validation",
    "validation_iou": "IoU of layouts, validation",
}
"""Of the panels, by column."""


def write_history(directory: Path, rows: list[dict[str, Any]]) -> None:
    """Replaces the table and the picture; phases without a measure leave its column empty.

    Raises:
        TrainingError: the disk refuses.
    """
    try:
        _write_table(directory, rows)
        _draw(directory, rows)
    except OSError as error:
        raise TrainingError(
            f"cannot write the curves to {directory}: {error}. The last checkpoint is kept; make room and start again."
        ) from error


def _write_table(directory: Path, rows: list[dict[str, Any]]) -> None:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    unfinished = directory / (HISTORY + ".part")
    unfinished.write_text(text.getvalue())
    os.replace(unfinished, directory / HISTORY)


def _draw(directory: Path, rows: list[dict[str, Any]]) -> None:
    panels: dict[str, dict[str, Curve]] = {}
    for column, title in TITLES.items():
        for row in rows:
            if column in row:
                clips, values = panels.setdefault(title, {}).setdefault(row["phase"], ([], []))
                clips.append(row["clips"])
                values.append(row[column])
    unfinished = directory / (PICTURE + ".part")
    with suppress(PlotError):  # the table is enough; `train` says so once
        draw_curves(unfinished, "clips or frames seen", panels)
        os.replace(unfinished, directory / PICTURE)
