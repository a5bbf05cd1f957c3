"""What a step minimises and what validation reports."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from lcdc_extract.train.batch import IGNORED, Batch
from lcdc_extract.train.network import Scores, TrainingNetwork, location_loss
from lcdc_extract.train.recipe import Phase, Recipe


@dataclass(frozen=True)
class Measures:
    """Of one batch."""

    loss: Tensor
    """Scalar, with its graph."""
    values: dict[str, float]
    """For people: "accuracy" of windows and "motion_accuracy" of the helper, or "error" in pixels."""
    count: int
    """How many windows, or frames, the values are the mean of."""


def measure(network: TrainingNetwork, phase: Phase, batch: Batch, recipe: Recipe, mean: Tensor) -> Measures:
    """Runs the network on one batch.

    Args:
        mean: (3, 1, 1), subtracted from the frames.
    """
    frames = batch.frames.float() - mean
    if phase.task == "locate":
        assert batch.points is not None, "only the renderer knows where the actor is"
        loss, error = location_loss(network.locate(frames[:, 0]), batch.points)
        return Measures(loss, {"error": error.item()}, len(frames))
    scores: Scores = network(frames, phase.windows)
    labels = batch.labels.flatten()
    classes, motion = (x.flatten(0, 1).float() for x in (scores.cls_score, scores.motion))
    loss = functional.cross_entropy(classes, labels, label_smoothing=recipe.label_smoothing, ignore_index=IGNORED)
    count = int((labels != IGNORED).sum())
    values = {"accuracy": (classes.argmax(dim=1) == labels).sum().item() / count}
    if recipe.motion_loss:
        loss = loss + recipe.motion_loss * functional.cross_entropy(motion, labels, ignore_index=IGNORED)
        values["motion_accuracy"] = (motion.argmax(dim=1) == labels).sum().item() / count
    return Measures(loss, values, count)


def mean_values(batches: list[Measures]) -> dict[str, float]:
    """The mean over all windows or frames of several batches; nothing of none."""
    names = batches[0].values if batches else ()
    total = sum(batch.count for batch in batches)
    return {name: sum(batch.values[name] * batch.count for batch in batches) / total for name in names}
