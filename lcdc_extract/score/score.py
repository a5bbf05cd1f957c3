"""Train ED-TCN on the training videos of each split, and score it on the test videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from lcdc_extract.config import check_whole
from lcdc_extract.errors import LabelsError
from lcdc_extract.labels import BACKGROUND, IntArray, Split
from lcdc_extract.score.edtcn import FeatureArray, predict, train
from lcdc_extract.score.metrics import Scores, lea_scores, mstcn_scores

CONVENTIONS = {
    "lea": "Lea et al. (mean over videos)",
    "mstcn": "MS-TCN (frames and segments of all videos pooled)",
}
CPU = torch.device("cpu")


@dataclass(frozen=True)
class ScoreConfig:
    """How to train and score. Field by field the options of `lcdc score`."""

    epochs: int = 200
    """Passes over the training videos."""
    seed: int = 0
    """Of the initial weights, dropout and the order of videos; the same for every split."""
    sample_rate: int = 1
    """The network sees every `sample_rate`-th row; its predictions are repeated for the rows between."""
    background: tuple[str, ...] | None = None
    """Names of the classes that Lea's convention ignores; see `ignored_classes`."""

    def __post_init__(self) -> None:
        check_whole("epochs", self.epochs, 1)
        check_whole("seed", self.seed, 0)
        check_whole("sample_rate", self.sample_rate, 1)


@dataclass(frozen=True)
class SplitResult:
    """How ED-TCN did on the test videos of one split."""

    split: Split
    predicted: dict[str, IntArray]
    """Test video -> class of each row, (T,)."""
    scores: dict[str, Scores]
    """By convention, the keys of `CONVENTIONS`."""


def score_splits(
    features: Mapping[str, FeatureArray],
    labels: Mapping[str, IntArray],
    names: Sequence[str],
    splits: Sequence[Split],
    config: ScoreConfig = ScoreConfig(),
    *,
    device: torch.device = CPU,
    progress: Callable[[], None] = lambda: None,
) -> Iterator[SplitResult]:
    """Trains and scores one ED-TCN per split; each result comes as soon as it is there.

    Args:
        features: (T, D) float32 by video; used as they are, without normalisation.
        labels: (T,) int64 by video, places in `names`.
        names: class names.
        splits: Their videos must be in `features` and `labels`.
        config: How to train and score.
        device: Where to compute.
        progress: Called after every epoch.

    Raises:
        LabelsError: at once, before any training, where videos are missing or arrays do not fit.
    """
    ignored = ignored_classes(names, config.background)
    rate = config.sample_rate
    for split in splits:
        _check(split, features, labels, len(names))

    def run(split: Split) -> SplitResult:
        seen = {video: np.ascontiguousarray(features[video][::rate], np.float32) for video in _videos(split)}
        pairs = [(seen[video], labels[video][::rate]) for video in split.train]
        network = train(pairs, len(names), epochs=config.epochs, seed=config.seed, device=device, progress=progress)
        predicted = {video: predict(network, seen[video]).repeat(rate)[: len(labels[video])] for video in split.test}
        pair = list(predicted.values()), [labels[video] for video in split.test]
        scores = {"lea": lea_scores(*pair, ignored["lea"]), "mstcn": mstcn_scores(*pair, ignored["mstcn"])}
        return SplitResult(split, predicted, scores)

    return map(run, splits)


def ignored_classes(names: Sequence[str], background: Sequence[str] | None = None) -> dict[str, list[int]]:
    """The classes each convention leaves out of edit score and F1, by convention.

    MS-TCN's code leaves out the class named `background` and no other. Lea's leaves out the class numbered 0, which is
    the background in the authors' numbering; other label sets number their classes in another way, so here it goes by
    name: those in `background`, or the class named `background` where None are given.

    Raises:
        LabelsError: a name in `background` is no class.
    """
    unknown = [name for name in background or () if name not in names]
    if unknown:
        raise LabelsError(f"`background={', '.join(unknown)}`: no such class; the classes are {', '.join(names)}")
    named = [label for label, name in enumerate(names) if name == BACKGROUND]
    given = named if background is None else [names.index(name) for name in background]
    return {"lea": given, "mstcn": named}


def _videos(split: Split) -> tuple[str, ...]:
    return (*split.train, *split.test)


def _check(split: Split, features: Mapping[str, FeatureArray], labels: Mapping[str, IntArray], classes: int) -> None:
    for what, part in (("train", split.train), ("test", split.test)):
        if not part:
            raise LabelsError(f"split {split.name} has no {what} videos; expected at least one")
    missing = [video for video in _videos(split) if video not in features or video not in labels]
    if missing:
        raise LabelsError(f"split {split.name}: no features or no labels for {', '.join(missing)}")
    size = features[split.train[0]].shape[1]
    for video in _videos(split):
        shape, rows = features[video].shape, labels[video]
        if shape != (len(rows), size) or not len(rows):
            raise LabelsError(
                f"{video}: features of shape {shape} for {len(rows)} labels; expected ({len(rows)}, {size})"
            )
        if rows.min() < 0 or rows.max() >= classes:
            raise LabelsError(f"{video}: labels from {rows.min()} to {rows.max()}; expected 0 to {classes - 1}")
