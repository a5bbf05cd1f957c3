"""A conversion at a glance: stage by stage, and what did not simply come over."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lcdc_extract.weights.convert.carry_out import TensorOrigin

STAGES = {
    "conv1": r"(bn_)?conv1",
    "conv2x": r"(res|bn)2.*",
    "conv3x": r"(res|bn)3.*",
    "conv4x": r"(res|bn)4.*",
    "offsets": r"res5._branch2b_offset",
    "res5": r"(res|bn)5.*",
    "conv_new_1": r"conv_new_1",
    "spacetime": r"spacetime_.*",
    "fc_new": r"fc_new_.*",
    "cls_score": r"cls_score",
}
"""Parts of Table 4 in the order of the network, each with its layers' names; the first that fits counts."""


def by_stage(origins: Iterable[TensorOrigin]) -> dict[str, list[TensorOrigin]]:
    """The network's tensors by stage, in its order; a stage that it does not have is left out."""
    stages: dict[str, list[TensorOrigin]] = {name: [] for name in STAGES}
    for origin in origins:
        if origin.target:
            stages[stage_of(origin.target)].append(origin)
    return {name: tensors for name, tensors in stages.items() if tensors}


def exceptions(origins: Iterable[TensorOrigin]) -> dict[str, list[TensorOrigin]]:
    """What was changed, is new or was left out, by reason: everything that did not come over number by number."""
    reasons: dict[str, list[TensorOrigin]] = {}
    for origin in origins:
        if not origin.routine:
            reasons.setdefault(origin.change, []).append(origin)
    return reasons


def stage_of(target: str) -> str:
    """`res5a_branch2b_offset.weight` belongs to `offsets`."""
    layer = target.rsplit(".", 1)[0]
    return next(stage for stage, layers in STAGES.items() if re.fullmatch(layers, layer))
