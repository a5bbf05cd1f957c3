"""Scoring features: train ED-TCN on them, and measure the segmentation it finds.

Features that are not in a file can be scored too:

    results = list(score_splits(features, labels, names, splits))
    mean_scores([result.scores["lea"] for result in results])
"""

from lcdc_extract.score.metrics import Scores, mean_scores
from lcdc_extract.score.report import check_folder, summary, write_results
from lcdc_extract.score.rows import LabelledRows, label_rows
from lcdc_extract.score.score import CONVENTIONS, ScoreConfig, SplitResult, ignored_classes, score_splits

__all__ = [
    "CONVENTIONS",
    "LabelledRows",
    "ScoreConfig",
    "Scores",
    "SplitResult",
    "check_folder",
    "ignored_classes",
    "label_rows",
    "mean_scores",
    "score_splits",
    "summary",
    "write_results",
]
