"""What the motion term is worth: heads trained alike, with and without motion, scored on held-out synthetic videos.

The encoder of trained weights stays as it is. Three temporal heads start from the same random numbers and train on the
same clips for the same number of steps: (a) on everything, (b) with the offset differences set to zero, (c) on a single
frame repeated 16 times. Each is then scored on whole videos of other seeds: its own classifier frame by frame, and
ED-TCN on its fc_new_2. Views are cropped close around the actor, so that a CPU can do it.

Usage: python benchmarks/evidence.py [--weights lcdc-synth] [--clips 480] [--steps 240] [--videos 8] [--size 64]
                                     [--stride 5] [--epochs 200]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import asdict

import numpy as np
import numpy.typing as npt
import torch
from machine import save
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from lcdc_extract.config import CENTRE, SNIPPET_LENGTH
from lcdc_extract.labels import Split
from lcdc_extract.network.head import TemporalHead
from lcdc_extract.score.score import ScoreConfig, score_splits
from lcdc_extract.synth.actions import CLASSES
from lcdc_extract.synth.render import View, render
from lcdc_extract.synth.scene import stack
from lcdc_extract.synth.videos import SyntheticVideo, draw_video
from lcdc_extract.train.network import features, initialise_head
from lcdc_extract.train.recipe import MODERN, Phase
from lcdc_extract.train.synthetic import draw_batch
from lcdc_extract.weights.file import Weights
from lcdc_extract.weights.resolve import resolve_weights

CPU = torch.device("cpu")
CLIP_FRAMES, BATCH = 24, 16
FOLDS = 4
CLIP_SEED, HEAD_SEED, VIDEO_SEED = 1_000, 7, 99

Snippets = tuple[Tensor, Tensor]
"""Appearance (N, 16, 256, h, w) and offsets (N, 16, 6, h, w)."""


def everything(appearance: Tensor, offsets: Tensor) -> Snippets:
    """(a): offset differences as large as training sees them; see `lcdc_extract.train.network.divide_motion`."""
    return appearance, offsets * MODERN.motion_gain


def no_motion(appearance: Tensor, offsets: Tensor) -> Snippets:
    """(b): equal offsets have no differences; appearance still changes."""
    return appearance, torch.zeros_like(offsets)


def one_frame(appearance: Tensor, offsets: Tensor) -> Snippets:
    """(c): the frame that the label belongs to, all the time."""
    return tuple(x[:, CENTRE : CENTRE + 1].expand_as(x) for x in (appearance, offsets))  # type: ignore[return-value]


VARIANTS: dict[str, Callable[[Tensor, Tensor], Snippets]] = {
    "full": everything,
    "offset differences zero": no_motion,
    "one frame repeated": one_frame,
}


@torch.inference_mode()
def encode(weights: Weights, frames: Tensor) -> tuple[Tensor, Tensor]:
    """Appearance and offsets of frames (T, 3, H, W) uint8."""
    mean = torch.tensor(weights.info.preprocess.mean)[:, None, None]
    encoded = weights.network.encoder((frames.float() - mean).contiguous(memory_format=torch.channels_last))
    return encoded.appearance, encoded.offsets


def encode_clips(weights: Weights, count: int, size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Appearance, offsets and the labels of every window's centre, for `count` fresh clips."""
    starts = tuple(range(CLIP_FRAMES - SNIPPET_LENGTH + 1))
    phase = Phase("clips", "classify", epochs=1, batch=8, learning_rate=0.0, size=size, windows=starts)
    parts = []
    for number in tqdm(range(count // phase.batch), desc="clips"):
        batch = draw_batch(phase, (CLIP_SEED, number), CPU)
        encoded = encode(weights, batch.frames.flatten(0, 1))
        parts.append((*(x.reshape(phase.batch, CLIP_FRAMES, *x.shape[1:]) for x in encoded), batch.labels))
    appearance, offsets, labels = (torch.cat(values) for values in zip(*parts, strict=True))
    return appearance, offsets, labels


def train_head(clips: tuple[Tensor, Tensor, Tensor], variant: str, steps: int) -> TemporalHead:
    """A head of this variant; order of clips and windows, first weights and schedule are the same for all."""
    appearance, offsets, labels = clips
    generator = torch.Generator().manual_seed(HEAD_SEED)
    head = TemporalHead(num_classes=len(CLASSES))
    initialise_head(head, generator)
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.1)
    head.train()
    for _ in tqdm(range(steps), desc=variant):
        chosen = torch.randint(len(labels), (BATCH,), generator=generator)
        starts = torch.randint(labels.shape[1], (BATCH,), generator=generator)
        frames = starts[:, None] + torch.arange(SNIPPET_LENGTH)
        snippets = VARIANTS[variant](appearance[chosen[:, None], frames], offsets[chosen[:, None], frames])
        scores = head.cls_score(features(head, head.reduce(*snippets)))
        loss = functional.cross_entropy(scores, labels[chosen, starts], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(head.parameters(), 5.0)
        optimizer.step()
        schedule.step()
    return head.eval()


def close_frames(video: SyntheticVideo, size: int) -> Iterator[Tensor]:
    """The frames of a video, cropped around the actor's home: (n, 3, size, size) uint8."""
    for start in range(0, len(video), 32):
        scene = stack([video.scene.frames(slice(start, start + 32))])
        yield render(scene, View(size, size), scene.home - size / 2)[0]


@torch.inference_mode()
def describe(
    heads: dict[str, TemporalHead], encoded: tuple[Tensor, Tensor], centres: list[int]
) -> dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]:
    """By variant: fc_new_2 and the classifier's choice for windows around these frames."""
    found = {}
    for variant, head in heads.items():
        rows = []
        for first in range(0, len(centres), 32):
            starts = torch.tensor(centres[first : first + 32]) - CENTRE
            frames = starts[:, None] + torch.arange(SNIPPET_LENGTH)
            rows.append(features(head, head.reduce(*VARIANTS[variant](encoded[0][frames], encoded[1][frames]))))
        fc_new_2 = torch.cat(rows)
        found[variant] = (fc_new_2.numpy(), head.cls_score(fc_new_2).argmax(dim=1).numpy())
    return found


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--weights", default="lcdc-synth")
    options.add_argument("--size", type=int, default=64)
    options.add_argument("--clips", type=int, default=480)
    options.add_argument("--steps", type=int, default=240)
    options.add_argument("--videos", type=int, default=8)
    options.add_argument("--stride", type=int, default=5)
    options.add_argument("--epochs", type=int, default=200)
    given = options.parse_args()
    if given.videos < FOLDS:
        options.error(f"--videos is {given.videos}; expected at least {FOLDS}, one to test on in each fold")
    weights = resolve_weights(given.weights)
    weights.network.encoder.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    clips = encode_clips(weights, given.clips, given.size)
    heads = {variant: train_head(clips, variant, given.steps) for variant in VARIANTS}

    rows: dict[str, dict[str, tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]]] = {}
    labels = {}
    for index in tqdm(range(given.videos), desc="videos"):
        video = draw_video(VIDEO_SEED, index)
        parts = [encode(weights, frames) for frames in close_frames(video, given.size)]
        encoded = (torch.cat([part[0] for part in parts]), torch.cat([part[1] for part in parts]))
        centres = list(range(CENTRE, len(video) - CENTRE + 1, given.stride))
        rows[video.name] = describe(heads, encoded, centres)
        labels[video.name] = video.labels[centres]

    names = sorted(labels)
    folds = [names[first::FOLDS] for first in range(FOLDS)]
    splits = [
        Split(str(number), tuple(name for name in names if name not in test), tuple(test))
        for number, test in enumerate(folds, 1)
    ]
    results = {}
    for variant in VARIANTS:
        right = np.concatenate([rows[name][variant][1] == labels[name] for name in names])
        chosen = {name: rows[name][variant][0] for name in names}
        scored = list(score_splits(chosen, labels, CLASSES, splits, ScoreConfig(epochs=given.epochs)))
        found = [asdict(result.scores["mstcn"]) for result in scored]
        results[variant] = {"classifier_accuracy": float(right.mean() * 100)}
        results[variant] |= {name: float(np.mean([one[name] for one in found])) for name in found[0]}
    path = save("evidence", {"weights": weights.sha256, "options": vars(given), "variants": results})
    print_table(results)
    print(path)


def print_table(results: dict[str, dict[str, float]]) -> None:
    """One line a variant."""
    table = Table("head", *next(iter(results.values())))
    for variant, values in results.items():
        table.add_row(variant, *(f"{value:.1f}" for value in values.values()))
    Console().print(table)


if __name__ == "__main__":
    main()
