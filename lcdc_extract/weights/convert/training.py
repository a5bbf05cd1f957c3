"""Training checkpoints of this package: state dicts that name their layers as Table 4 does."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from lcdc_extract.config import PAPER
from lcdc_extract.weights.convert.checkpoint import Checkpoint
from lcdc_extract.weights.convert.scheme import Rule, Scheme
from lcdc_extract.weights.file import WeightsInfo, read_info

KIND = "training checkpoint"


def is_ours(checkpoint: Checkpoint) -> bool:
    """Whether a state dict names its layers as Table 4 does."""
    return "res2a_branch1.weight" in checkpoint.shapes


def scheme(checkpoint: Checkpoint, like: Path | None) -> Scheme:
    """Names stay; the network is the paper's unless the weights file `like` says otherwise."""
    start = read_info(like) if like else WeightsInfo(trained=True, network=PAPER)
    classes = checkpoint.shapes.get("cls_score.bias", (0,))[0]
    info = WeightsInfo(
        trained=True,
        network=dataclasses.replace(start.network, num_classes=classes),
        preprocess=start.preprocess,
        sampling=start.sampling,
        provenance={f"started from: {name}": text for name, text in start.provenance.items()},
    )
    return Scheme(KIND, checkpoint, info, Rule, _left_out)


def _left_out(name: str) -> str | None:
    return "left out: counts training steps" if name.endswith("num_batches_tracked") else None
