"""Training checkpoints of this package: state dicts whose keys are the network's own."""

from __future__ import annotations

import dataclasses

from lcdc_extract.config import PAPER
from lcdc_extract.weights.convert.plan import ConvertOptions, Plan, Rule, Source
from lcdc_extract.weights.file import WeightsInfo, read_info


def is_ours(source: Source) -> bool:
    """Whether a state dict names its layers as Table 4 does."""
    return "res2a_branch1.weight" in source.shapes


def plan(source: Source, options: ConvertOptions) -> Plan:
    """The plan of an open state dict: a paper network unless `options.like` says otherwise."""
    like = read_info(options.like) if options.like else WeightsInfo(trained=True, network=PAPER)
    classes = source.shapes.get("cls_score.bias", (0,))[0]
    info = WeightsInfo(
        trained=True,
        network=dataclasses.replace(like.network, num_classes=classes),
        preprocess=like.preprocess,
        sampling=like.sampling,
        provenance={f"started from: {name}": text for name, text in like.provenance.items()},
    )
    return Plan(source, info, Rule, _left_out)


def _left_out(name: str) -> str | None:
    return "left out: counts training steps" if name.endswith("num_batches_tracked") else None
