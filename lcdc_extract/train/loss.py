"""What a step minimises and what validation reports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from lcdc_extract.train.batch import IGNORED, Batch
from lcdc_extract.train.network import TrainingNetwork
from lcdc_extract.train.recipe import Phase, Recipe

BACKGROUND_WEIGHT = 0.4
"""Of a layout's background, which fills most of a frame."""


@dataclass(frozen=True)
class Measures:
    """Of one batch."""

    loss: Tensor
    """Scalar, with its graph."""
    values: dict[str, Tensor]
    """Scalars for people: "accuracy" of windows and "motion_accuracy" of the helper, or the "iou" of layouts."""
    count: Tensor
    """Scalar: how many windows, or frames, the values are the mean of."""


class Objective(nn.Module):
    """Everything that a step of one phase computes, from frames to the loss, behind one forward.

    So whatever wraps it, as DistributedDataParallel does, sees all of it.

    Args:
        mean: of R, G and B on the 0..255 scale, subtracted from frames.
    """

    def __init__(self, network: TrainingNetwork, phase: Phase, recipe: Recipe, mean: Sequence[float]) -> None:
        super().__init__()
        self.network, self.phase, self.recipe = network, phase, recipe
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(mean)[:, None, None], persistent=False)

    def forward(self, batch: Batch) -> Measures:
        """Runs the network on one batch; nothing here waits for a GPU."""
        frames = batch.frames.float() - self.mean  # (N, T, 3, H, W)
        return self._layout(frames, batch) if self.phase.task == "layout" else self._classify(frames, batch)

    def _layout(self, frames: Tensor, batch: Batch) -> Measures:
        assert batch.layout is not None, "only the renderer knows what is where"
        found, wanted = self.network.layout(frames[:, 0]).float(), batch.layout[:, 0]
        return Measures(layout_loss(found, wanted), {"iou": layout_iou(found, wanted)}, torch.tensor(len(frames)))

    def _classify(self, frames: Tensor, batch: Batch) -> Measures:
        recipe = self.recipe
        layout = batch.layout if recipe.layout_loss and self.phase.frozen == "nothing" else None
        scores = self.network(frames, self.phase.windows, layout is not None)
        labels = batch.labels.flatten()
        classes, motion = (x.flatten(0, 1).float() for x in (scores.cls_score, scores.motion))
        loss = functional.cross_entropy(classes, labels, label_smoothing=recipe.label_smoothing, ignore_index=IGNORED)
        count = (labels != IGNORED).sum()
        values = {"accuracy": (classes.argmax(dim=1) == labels).sum() / count}
        if recipe.motion_loss:
            loss = loss + recipe.motion_loss * functional.cross_entropy(motion, labels, ignore_index=IGNORED)
            values["motion_accuracy"] = (motion.argmax(dim=1) == labels).sum() / count
        if layout is not None:
            found, wanted = scores.layout.flatten(0, 1).float(), layout.flatten(0, 1)
            loss = loss + recipe.layout_loss * layout_loss(found, wanted)
            values["iou"] = layout_iou(found, wanted)
        return Measures(loss, values, count)


def mean_values(batches: Sequence[Measures]) -> dict[str, float]:
    """The mean over all windows or frames of several batches; nothing of none."""
    names = batches[0].values if batches else ()
    total = sum(batch.count.item() for batch in batches)
    return {name: sum((batch.values[name] * batch.count).item() for batch in batches) / total for name in names}


def layout_loss(scores: Tensor, wanted: Tensor) -> Tensor:
    """Cross-entropy over places, the background's weighted less. Arguments as of `layout_iou`."""
    weight = torch.ones(scores.shape[1], device=scores.device)
    weight[0] = BACKGROUND_WEIGHT
    return functional.cross_entropy(scores, wanted, weight)


def layout_iou(scores: Tensor, wanted: Tensor) -> Tensor:
    """Intersection over union, a scalar: the mean over the kinds of things that are there but the background.

    Args:
        scores: (N, LAYOUT_CLASSES, h, w).
        wanted: (N, h, w).
    """
    found = scores.argmax(dim=1)
    kinds = torch.arange(1, scores.shape[1], device=scores.device)[:, None]
    in_found, in_wanted = (places.flatten() == kinds for places in (found, wanted))  # (kinds, places)
    ratios = (in_found & in_wanted).sum(dim=1) / (in_found | in_wanted).sum(dim=1).clamp(min=1)
    there = in_wanted.any(dim=1)
    return torch.where(there, ratios, 0).sum() / there.sum().clamp(min=1)
