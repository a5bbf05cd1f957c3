"""The full network on tiny views and few steps: a recipe, batches of random numbers, labelled clips."""

from __future__ import annotations

import copy
import dataclasses
import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lcdc_extract.config import NetworkConfig, PreprocessConfig
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.train.batch import IGNORED, Batch
from lcdc_extract.train.events import silent
from lcdc_extract.train.network import TrainingNetwork, initialise
from lcdc_extract.train.processes import Processes
from lcdc_extract.train.recipe import MODERN, Phase, Recipe
from lcdc_extract.train.state import TrainState
from lcdc_extract.train.trainer import Trainer

CPU = torch.device("cpu")
LAYOUT = Phase("frames", "layout", epochs=1, batch=4, learning_rate=1e-3, size=32, batch_norm="trained")
CLASSIFY = Phase("clips", "classify", epochs=2, batch=1, learning_rate=1e-3, size=32)
RECIPE = dataclasses.replace(MODERN, phases=(LAYOUT, CLASSIFY))


@functools.cache
def _network() -> TrainingNetwork:
    torch.manual_seed(0)
    lcdc = LCDC(NetworkConfig(num_classes=3))
    initialise(lcdc, torch.Generator().manual_seed(0))
    return TrainingNetwork(lcdc)


def network() -> TrainingNetwork:
    """The same fresh network of three classes at every call."""
    return copy.deepcopy(_network())


class RandomBatches:
    """Which numbers is decided by phase, step and process."""

    class_names = ("a", "b", "c")
    fingerprint = "random numbers"

    def __init__(self, steps: int = 2, validation: int = 2) -> None:
        self._steps, self._validation = steps, validation

    def steps_per_epoch(self, phase: Phase, processes: int) -> int:
        return self._steps

    def batches(self, phase: Phase, steps: range, process: int, processes: int) -> Iterator[Batch]:
        for step in steps:
            yield self.draw(phase, phase.batch, (len(phase.name), step, process))

    def validation(self, phase: Phase) -> Iterator[Batch]:
        for number in range(self._validation):
            yield self.draw(phase, 1 + number, (99, number))

    def draw(self, phase: Phase, count: int, key: tuple[int, ...]) -> Batch:
        rng = np.random.default_rng(key)
        frames = rng.integers(0, 256, (count, phase.frames, 3, phase.size, phase.size), dtype=np.uint8)
        labels = rng.integers(0, 3, (count, len(phase.windows)))
        labels[0, 1:] = IGNORED
        layout = rng.integers(0, 5, (count, phase.frames, phase.size // 4, phase.size // 4))
        return Batch(*(torch.from_numpy(array) for array in (frames, labels, layout)))


def trainer(
    trained: TrainingNetwork, recipe: Recipe, out: Path, state: TrainState | None = None, **options: Any
) -> Trainer:
    """A trainer of random batches in this process."""
    data = options.pop("data", RandomBatches())
    state = state or TrainState({})
    if "processes" not in options:  # a second group of processes cannot be made
        options["processes"] = Processes(CPU)
    options = {"precision": "float32", "report": silent} | options
    return Trainer(trained, recipe, data, state, mean=PreprocessConfig().mean, out=out, device=CPU, **options)


def one_phase(phase: Phase = CLASSIFY, **changes: Any) -> Recipe:
    """A recipe of one phase and one epoch, changed."""
    return dataclasses.replace(RECIPE, phases=(dataclasses.replace(phase, **({"epochs": 1} | changes)),))


def state_by_part(network: TrainingNetwork) -> dict[str, torch.Tensor]:
    """The state dict, with encoder.conv1.weight, head.fc_new_1.weight, layout_classifier.weight and so on as names."""
    parts: dict[str, torch.nn.Module] = {"encoder": network.lcdc.encoder, "head": network.lcdc.head}
    parts |= {"motion_classifier": network.motion_classifier, "layout_classifier": network.layout_classifier}
    return {f"{part}.{name}": value for part, module in parts.items() for name, value in module.state_dict().items()}


def same_weights(one: TrainingNetwork, other: TrainingNetwork) -> bool:
    """Bit by bit, running statistics included."""
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(name == again and torch.equal(a, b) for (name, a), (again, b) in pairs)


def write_labels(folder: Path, labels: dict[str, list[str]]) -> Path:
    """mapping.txt and groundTruth/<id>.txt; returns groundTruth."""
    (folder / "mapping.txt").write_text("0 background\n1 cut\n2 peel\n")
    for video, names in labels.items():
        path = folder / "groundTruth" / f"{video}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(names) + "\n")
    return folder / "groundTruth"


def bilinear(rgb: np.ndarray[Any, Any], size: int) -> np.ndarray[Any, Any]:
    """Slow reference: (H, W, 3) uint8 -> (size, size, 3) float64; half-pixel centres, nothing smoothed, edges held."""
    out = np.empty((size, size, 3))
    height, width = rgb.shape[:2]
    for row in range(size):
        y = min(max((row + 0.5) * height / size - 0.5, 0), height - 1)
        top, lower = int(y), min(int(y) + 1, height - 1)
        for column in range(size):
            x = min(max((column + 0.5) * width / size - 0.5, 0), width - 1)
            left, right = int(x), min(int(x) + 1, width - 1)
            above = rgb[top, left] * (1 - (x - left)) + rgb[top, right] * (x - left)
            below = rgb[lower, left] * (1 - (x - left)) + rgb[lower, right] * (x - left)
            out[row, column] = above * (1 - (y - top)) + below * (y - top)
    return out
