"""Frame accuracy, edit score and segmental F1, in the two conventions that papers report.

Lea et al. (CVPR 2017, arXiv 1611.05267) compute each number per video and average. MS-TCN (Abu Farha and Gall, CVPR
2019) counts frames and segments over all videos first; only the edit score is averaged. Numbers of the two cannot be
compared.

Labels are (T,) int64. Every score is in percent. Segments of ignored classes are taken out before edit score and F1;
the accuracy counts all frames.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from lcdc_extract.labels import IntArray

OVERLAPS = (0.1, 0.25, 0.5)


@dataclass(frozen=True)
class Scores:
    """One line of a results table, in percent."""

    accuracy: float
    edit: float
    f1_10: float
    f1_25: float
    f1_50: float


def lea_scores(predicted: Sequence[IntArray], truth: Sequence[IntArray], ignored: Collection[int]) -> Scores:
    """Lea's convention: the mean of each video's accuracy, edit score and F1."""
    videos = [_scores([p], [t], ignored) for p, t in zip(predicted, truth, strict=True)]
    return mean_scores(videos)


def mstcn_scores(predicted: Sequence[IntArray], truth: Sequence[IntArray], ignored: Collection[int]) -> Scores:
    """MS-TCN's convention: accuracy over all frames, F1 over all videos' segments, the mean of the edit scores."""
    return _scores(predicted, truth, ignored)


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Each number averaged, over videos or splits."""
    return Scores(*(float(mean) for mean in np.mean([astuple(row) for row in scores], axis=0)))


def segments(labels: IntArray, ignored: Collection[int] = ()) -> tuple[IntArray, IntArray, IntArray]:
    """Runs of equal labels: their class, first frame and frame after the last, each (N,) int64."""
    changes = np.flatnonzero(np.diff(labels)) + 1
    starts, ends = np.append(0, changes), np.append(changes, len(labels))
    kept = ~np.isin(labels[starts], list(ignored))
    return labels[starts][kept], starts[kept], ends[kept]


def edit_score(predicted: IntArray, truth: IntArray, ignored: Collection[int] = ()) -> float:
    """100 (1 - d / n): d is the edit distance between the orders of the segments, n the longer one's length.

    100 where neither has a segment (the published definition divides zero by zero).
    """
    found, wanted = (segments(labels, ignored)[0].tolist() for labels in (predicted, truth))
    longer = max(len(found), len(wanted))
    return 100 * (1 - _edit_distance(found, wanted) / longer) if longer else 100.0


def f1_counts(
    predicted: IntArray, truth: IntArray, overlap: float, ignored: Collection[int] = ()
) -> tuple[int, int, int]:
    """True positives, false positives and false negatives among segments.

    In order of time, a predicted segment is matched with the true one of its class whose intersection over union is
    largest, the earlier of two equals. It is a true positive if that reaches `overlap` and no segment before it was
    matched with the same; it gets no second choice.
    """
    classes, starts, ends = segments(predicted, ignored)
    true_classes, true_starts, true_ends = segments(truth, ignored)
    taken = np.zeros(len(true_classes), np.bool_)
    for label, start, end in zip(classes, starts, ends, strict=True):
        shared = np.minimum(end, true_ends) - np.maximum(start, true_starts)
        iou = shared / (np.maximum(end, true_ends) - np.minimum(start, true_starts)) * (true_classes == label)
        if len(iou) and iou.max() >= overlap:
            taken[iou.argmax()] = True
    hits = int(taken.sum())
    return hits, len(classes) - hits, len(taken) - hits


def f1_score(true_positives: int, false_positives: int, false_negatives: int) -> float:
    """The harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN), in percent; 100 where there was nothing."""
    total = 2 * true_positives + false_positives + false_negatives
    return 200 * true_positives / total if total else 100.0


def _scores(predicted: Sequence[IntArray], truth: Sequence[IntArray], ignored: Collection[int]) -> Scores:
    pairs = list(zip(predicted, truth, strict=True))
    correct, frames = sum(int((p == t).sum()) for p, t in pairs), sum(len(t) for t in truth)
    edit = float(np.mean([edit_score(p, t, ignored) for p, t in pairs]))
    f1 = []
    for overlap in OVERLAPS:
        counts = np.sum([f1_counts(p, t, overlap, ignored) for p, t in pairs], axis=0)
        f1.append(f1_score(*counts.tolist()))
    return Scores(100 * correct / frames, edit, *f1)


def _edit_distance(found: list[int], wanted: list[int]) -> int:
    """Fewest insertions, deletions and replacements that make one of the other (Levenshtein)."""
    above = list(range(len(wanted) + 1))
    for row, one in enumerate(found, start=1):
        line = [row]
        for column, other in enumerate(wanted, start=1):
            line.append(min(above[column] + 1, line[-1] + 1, above[column - 1] + (one != other)))
        above = line
    return above[-1]
