"""Curves of a run: `history.csv` and, where matplotlib is there, `curves.png`."""

from __future__ import annotations

import csv
import dataclasses
import io
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from lcdc_extract.errors import PlotError, TrainingError
from lcdc_extract.files import replacing, write_text
from lcdc_extract.plots import Curve, draw_curves
from lcdc_extract.train.events import EpochDone

HISTORY = "history.csv"
PICTURE = "curves.png"
COLUMNS = tuple(field.name for field in dataclasses.fields(EpochDone))
TITLES = {
    "loss": "loss",
    "validation_accuracy": "accuracy, validation",
    "validation_motion_accuracy": "accuracy of offset motion alone, validation",
    "validation_iou": "IoU of layouts, validation",
}
"""Of the panels, by column."""


def write_history(directory: Path, rows: Sequence[EpochDone]) -> None:
    """Replaces the table and the picture; phases without a measure leave its column empty.

    Raises:
        TrainingError: the disk refuses.
    """
    try:
        write_text(directory / HISTORY, _table(rows))
        with suppress(PlotError), replacing(directory / PICTURE) as path:  # the table is enough; `train` says so once
            draw_curves(path, "clips or frames seen", _panels(rows))
    except OSError as error:
        raise TrainingError(
            f"cannot write the curves to {directory}: {error}. The last checkpoint is kept; make room and start again."
        ) from error


def _table(rows: Sequence[EpochDone]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(map(dataclasses.asdict, rows))
    return text.getvalue()


def _panels(rows: Sequence[EpochDone]) -> dict[str, dict[str, Curve]]:
    """By title, then by phase: clips seen and the measure."""
    panels: dict[str, dict[str, Curve]] = {}
    for column, title in TITLES.items():
        for row in rows:
            value = getattr(row, column)
            if value is not None:
                clips, values = panels.setdefault(title, {}).setdefault(row.phase, ([], []))
                clips.append(row.clips)
                values.append(value)
    return panels
