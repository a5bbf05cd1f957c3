"""Curves of a run: `history.csv` and, where matplotlib is there, `curves.png`."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import Any

HISTORY = "history.csv"
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


def write_history(directory: Path, rows: list[dict[str, Any]]) -> None:
    """Replaces the table; phases without a measure leave its column empty."""
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    unfinished = directory / (HISTORY + ".part")
    unfinished.write_text(text.getvalue())
    os.replace(unfinished, directory / HISTORY)
