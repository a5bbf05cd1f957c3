"""ImageNet ResNet-50 state dicts of torchvision and timm, whose names and layouts agree.

They differ from Table 4 in three ways, and the result keeps all of them: the stride of a bottleneck sits in its 3x3
convolution, conv1 has no bias, and the input is RGB in 0..1, normalised. Since (x/255 - m) / s = (x - 255 m) / (255 s),
the means go into the preprocessing and 1 / (255 s) into the kernels of conv1.
"""

from __future__ import annotations

import re

import numpy as np

from lcdc_extract.config import NetworkConfig, PreprocessConfig
from lcdc_extract.weights.convert import authors
from lcdc_extract.weights.convert.checkpoint import Array, Checkpoint
from lcdc_extract.weights.convert.scheme import Change, Rule, Scheme
from lcdc_extract.weights.file import WeightsInfo

KIND = "ResNet-50"
MEAN_255 = (123.675, 116.28, 103.53)
"""255 times the means (0.485, 0.456, 0.406) of R, G and B."""
DEVIATION = (0.229, 0.224, 0.225)
CONFIG = NetworkConfig(stride_position="3x3")


def is_resnet50(checkpoint: Checkpoint) -> bool:
    """Whether a state dict names its layers as torchvision does."""
    return "layer1.0.conv1.weight" in checkpoint.shapes


def scheme(checkpoint: Checkpoint) -> Scheme:
    """Offset layers and everything behind res5c start untrained."""
    info = WeightsInfo(
        trained=False,
        network=CONFIG,
        preprocess=PreprocessConfig(mean=MEAN_255),
        provenance={
            "pretrained": "conv1 .. res5c without its offset layers, on ImageNet",
            "input scale": f"1 / (255 * {DEVIATION}) is folded into conv1",
        },
    )
    untrained = (*authors.HEAD, *authors.OFFSETS)
    return Scheme(KIND, checkpoint, info, rule, _left_out, may_be_fresh=untrained, zero=("conv1.bias",))


def rule(target: str) -> Rule:
    """res3b_branch2c.weight is layer2.1.conv3.weight, and bn3b_branch2c.bias is layer2.1.bn3.bias."""
    layer, parameter = target.rsplit(".", 1)
    if layer == "conv1":
        return Rule(target, SCALE)
    if layer == "bn_conv1":
        return Rule(f"bn1.{parameter}")
    found = re.fullmatch(r"(res|bn)(\d)([a-f])_branch(1|2[abc])", layer)
    if found is None:
        return Rule(target)
    kind, stage, block, branch = found.groups()
    place = f"layer{int(stage) - 1}.{'abcdef'.index(block)}"
    if branch == "1":
        return Rule(f"{place}.downsample.{0 if kind == 'res' else 1}.{parameter}")
    return Rule(f"{place}.{'conv' if kind == 'res' else 'bn'}{'abc'.index(branch[1]) + 1}.{parameter}")


def _scale(kernel: Array) -> Array:
    return kernel / (255 * np.array(DEVIATION, dtype=np.float64))[:, None, None]  # (64, 3, 7, 7)


SCALE = Change("input channels / (255 * deviation)", _scale)


def _left_out(name: str) -> str | None:
    if name in ("fc.weight", "fc.bias"):
        return "left out: the classes of ImageNet"
    return "left out: counts training steps" if name.endswith("num_batches_tracked") else None
