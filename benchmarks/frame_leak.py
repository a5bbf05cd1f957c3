"""Does one frame of a synthetic video give its class away? Trains a small CNN to find out; prints and writes JSON.

Every snippet is drawn anew, so nothing can be memorised. As a control the same CNN sees the differences of 16 frames,
and must learn the classes from them. Usage: python benchmarks/frame_leak.py [--snippets 8000] [--test 3000]
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from machine import save
from torch import Tensor, nn
from torch.nn import functional

from lcdc_extract.synth.actions import CLASSES, sequence
from lcdc_extract.synth.render import View, render
from lcdc_extract.synth.scene import SCALES, Scene, draw_scene, stack

VIEW = View(side=96, pixels=64)
FRAMES = 16
BATCH = 50
TRAIN_SEED, TEST_SEED = 1, 2


class Classifier(nn.Module):
    """(N, T, 3, 64, 64) to (N, classes): convolutions over each picture, one over time, the mean over time."""

    def __init__(self) -> None:
        super().__init__()
        widths = (3, 16, 32, 64)
        layers = [
            nn.Sequential(nn.Conv2d(i, o, 3, stride=2, padding=1), nn.BatchNorm2d(o), nn.ReLU())
            for i, o in itertools.pairwise(widths)
        ]
        self.picture = nn.Sequential(*layers, nn.AvgPool2d(2), nn.Flatten(), nn.Linear(64 * 16, 96), nn.ReLU())
        self.time = nn.Conv1d(96, 96, 7, padding=3)
        self.last = nn.Linear(96, len(CLASSES))

    def forward(self, pictures: Tensor) -> Tensor:
        codes = self.picture(pictures.flatten(0, 1)).unflatten(0, pictures.shape[:2])
        result: Tensor = self.last(functional.relu(self.time(codes.transpose(1, 2))).mean(dim=2))
        return result


def one_frame(snippets: Tensor) -> Tensor:
    """Any frame: (N, 1, 3, H, W)."""
    return snippets[torch.arange(len(snippets)), torch.randint(snippets.shape[1], (len(snippets),))][:, None]


def differences(snippets: Tensor) -> Tensor:
    """(N, 15, 3, H, W)."""
    return 4 * snippets.diff(dim=1)


INPUTS = {"one frame": one_frame, "differences of 16 frames": differences}


def draw(seed: int, batch: int) -> tuple[Tensor, Tensor]:
    """Snippets (BATCH, FRAMES, 3, 64, 64) around the actors' homes, about -1 to 1, and their classes."""
    rng = np.random.default_rng([seed, batch])
    labels = rng.integers(0, len(CLASSES), BATCH)
    scenes: list[Scene] = []
    for label in labels:
        scale = rng.uniform(*SCALES)
        scenes.append(draw_scene(sequence([(CLASSES[label], FRAMES)], scale, rng), scale, rng))
    together = stack(scenes)
    pictures = render(together, VIEW, together.home - VIEW.side / 2)
    return pictures.float() / 64 - 2, torch.from_numpy(labels)


def train(batches: int) -> dict[str, Classifier]:
    """Both networks, on the same snippets."""
    torch.manual_seed(0)
    networks = {name: Classifier() for name in INPUTS}
    optimizers = {name: torch.optim.AdamW(networks[name].parameters(), weight_decay=0.02) for name in INPUTS}
    rates = {name: torch.optim.lr_scheduler.OneCycleLR(optimizers[name], 3e-3, total_steps=batches) for name in INPUTS}
    for batch in range(batches):
        snippets, labels = draw(TRAIN_SEED, batch)
        losses = {}
        for name, view_of in INPUTS.items():
            loss = functional.cross_entropy(networks[name](view_of(snippets)), labels)
            optimizers[name].zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizers[name].step()
            rates[name].step()
            losses[name] = round(loss.item(), 2)
        if batch % 10 == 9:
            print(f"batch {batch + 1} of {batches}, loss {losses}", flush=True)
    return networks


@torch.no_grad()
def hits(networks: dict[str, Classifier], batches: int) -> Iterator[tuple[str, Tensor]]:
    """Which of the held-out snippets each network gets right."""
    for network in networks.values():
        network.eval()
    for batch in range(batches):
        snippets, labels = draw(TEST_SEED, batch)
        for name, view_of in INPUTS.items():
            yield name, networks[name](view_of(snippets)).argmax(1) == labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--snippets", type=int, default=8000, help="seen in training, each once")
    parser.add_argument("--test", type=int, default=3000, help="held out")
    options = parser.parse_args()
    started = time.process_time()
    networks = train(options.snippets // BATCH)
    right: dict[str, list[Tensor]] = {name: [] for name in INPUTS}
    for name, hit in hits(networks, options.test // BATCH):
        right[name].append(hit)
    results: dict[str, Any] = {"chance": 1 / len(CLASSES), "view": vars(VIEW), "cpu_seconds": 0.0}
    for name, parts in right.items():
        every = torch.cat(parts).float()
        accuracy, margin = every.mean().item(), 1.96 * every.std().item() / math.sqrt(len(every))
        results[name] = {
            "accuracy": round(accuracy, 4),
            "interval_95": [round(accuracy - margin, 4), round(accuracy + margin, 4)],
            "seen_in_training": options.snippets // BATCH * BATCH,
            "held_out": len(every),
        }
        print(f"{name}: {100 * accuracy:.1f} +- {100 * margin:.1f} % (chance {100 / len(CLASSES):.1f} %)")
    results["cpu_seconds"] = round(time.process_time() - started)
    print(f"wrote {save('frame_leak', results)}")


if __name__ == "__main__":
    main()
