"""What a step minimises and what validation reports."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from torch.nn import functional

from lcdc_extract.train.batch import Batch
from lcdc_extract.train.network import Scores, TrainingNetwork, location_loss
from lcdc_extract.train.recipe import Phase, Recipe


@dataclass(frozen=True)
class Measures:
    """Of one batch."""

    loss: Tensor
    """Scalar, with its graph."""
    values: dict[str, float]
    """For people: "accuracy" of windows and "motion_accuracy" of the helper, or "error" in pixels."""


def measure(network: TrainingNetwork, phase: Phase, batch: Batch, recipe: Recipe, mean: Tensor) -> Measures:
    """Runs the network on one batch.

    Args:
        mean: (3, 1, 1), subtracted from the frames.
    """
    frames = batch.frames.float() - mean
    if phase.task == "locate":
        assert batch.points is not None, "only the renderer knows where the actor is"
        loss, error = location_loss(network.locate(frames[:, 0]), batch.points)
        return Measures(loss, {"error": error.item()})
    scores: Scores = network(frames, phase.windows)
    labels = batch.labels.flatten()
    classes, motion = (x.flatten(0, 1).float() for x in (scores.cls_score, scores.motion))
    loss = functional.cross_entropy(classes, labels, label_smoothing=recipe.label_smoothing)
    if recipe.motion_loss:
        loss = loss + recipe.motion_loss * functional.cross_entropy(motion, labels)
    values = {
        "accuracy": (classes.argmax(dim=1) == labels).float().mean().item(),
        "motion_accuracy": (motion.argmax(dim=1) == labels).float().mean().item(),
    }
    return Measures(loss, values)
