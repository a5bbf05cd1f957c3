"""What a scoring run leaves on disk: per split and test video a text file of predictions and a picture."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lcdc_extract import plots
from lcdc_extract.config import to_dict
from lcdc_extract.errors import OutputError
from lcdc_extract.files import UNFINISHED, publish, write_text
from lcdc_extract.score.metrics import Scores, mean_scores
from lcdc_extract.score.rows import LabelledRows
from lcdc_extract.score.score import CONVENTIONS, ScoreConfig, SplitResult, ignored_classes


def check_folder(out: Path) -> None:
    """Cheap checks before the work: nothing is there that would mix with the results, and there is a place for them.

    Raises:
        OutputError: says what is in the way.
    """
    taken = OutputError(f"`out={out}` is there already. Choose another, or remove it.")
    if out.exists() and not out.is_dir():
        raise taken
    place = out if out.exists() else out.absolute().parent
    if not os.access(place, os.R_OK | os.W_OK | os.X_OK):
        raise OutputError(f"`out={out}`: the folder {place} is not there or cannot be written to")
    if out.exists() and any(not path.name.endswith(UNFINISHED) for path in out.iterdir()):
        raise taken


def write_results(
    out: Path,
    results: Sequence[SplitResult],
    rows: LabelledRows,
    names: Sequence[str],
    content: dict[str, Any],
    *,
    pictures: bool,
) -> None:
    """Writes `scores.json`, which says `content`, and per test video `split_<K>/<video>.txt` and, if asked, `.png`.

    All of it or nothing, so that a run that fails here does not keep the next one out.

    Raises:
        OutputError: the disk is full, or the folder cannot be written to.
    """
    new = not out.exists()
    try:
        out.mkdir(exist_ok=True)
        # inside the folder, which may be on a disk of its own: only there is a rename certain to need no more room
        with TemporaryDirectory(suffix=UNFINISHED, dir=out, ignore_cleanup_errors=True) as place:
            unfinished = Path(place)
            for result in results:
                _write_split(unfinished / f"split_{result.split.name}", result, rows, names, pictures=pictures)
            write_text(unfinished / "scores.json", json.dumps(content, indent=2) + "\n")
            for path in sorted(unfinished.iterdir(), reverse=True):  # scores.json last
                publish(path, out / path.name)
    except OSError as error:
        if new:
            with suppress(OSError):
                out.rmdir()
        raise OutputError(f"`out={out}` cannot be written: {error}. The results are not stored.") from error


def _write_split(
    folder: Path, result: SplitResult, rows: LabelledRows, names: Sequence[str], *, pictures: bool
) -> None:
    """The text is what MS-TCN's code writes: a heading, then one line with a class name per row of features."""
    for video, predicted in result.predicted.items():
        text = folder / f"{video}.txt"
        text.parent.mkdir(parents=True, exist_ok=True)
        classes = " ".join(names[label] for label in predicted)
        write_text(text, f"### Frame level recognition: ###\n{classes}\n")
        if pictures:
            bars = {"ground truth": rows.labels[video], "prediction": predicted}
            plots.draw_color_bars(folder / f"{video}.png", video, bars, rows.seconds[video], names)


def summary(results: Sequence[SplitResult], names: Sequence[str], config: ScoreConfig) -> dict[str, Any]:
    """The content of `scores.json`: settings, and per split and on average the scores in percent, by convention."""
    ignored = ignored_classes(names, config.background)
    return {
        "settings": to_dict(config),
        "classes": list(names),
        "ignored": {key: [names[label] for label in labels] for key, labels in ignored.items()},
        "splits": {
            result.split.name: {"train": result.split.train, "test": result.split.test, **_columns(result.scores)}
            for result in results
        },
        "mean": _columns({key: mean_scores([result.scores[key] for result in results]) for key in CONVENTIONS}),
    }


def _columns(scores: dict[str, Scores]) -> dict[str, dict[str, float]]:
    columns = ("accuracy", "edit", "F1@10", "F1@25", "F1@50")
    return {key: dict(zip(columns, astuple(row), strict=True)) for key, row in scores.items()}
