"""The authors' initial weights: a pickled {layer: {"weights": array, ...}}, from a deformable Faster R-CNN."""

from __future__ import annotations

from lcdc_extract.config import RELEASED
from lcdc_extract.errors import WeightsError
from lcdc_extract.weights.convert import authors
from lcdc_extract.weights.convert.checkpoint import Array, in_memory
from lcdc_extract.weights.convert.scheme import Change, Rule, Scheme
from lcdc_extract.weights.file import WeightsInfo

KIND = "pickle of the authors' initial weights"
GROUPS = 4
OFFSET_AXES = (GROUPS, 3, 3, 2)
"""What the 72 channels of an offset layer are: group, tap row, tap column, (dy, dx)."""
DETECTOR = ("rpn_", "bbox_pred", "cls_score", "offset")
"""Layers of the detector that the network does not have, and its classes, which are other classes."""


def scheme(arrays: dict[str, Array], group: int | None) -> Scheme:
    """Layers of the head that the pickle lacks start untrained.

    Args:
        arrays: by name, `layer/weights`.
        group: the deformable group (0..3) whose offsets are taken; None where there is only one.

    Raises:
        WeightsError: the number of groups and `group` do not fit together.
    """
    _check_groups(arrays, group)

    def rule(target: str) -> Rule:
        known = authors.rule(target)
        layer, parameter = target.rsplit(".", 1)
        if layer in authors.OFFSETS and group is not None:
            return Rule(known.source, one_group(group, known.change))
        if layer in authors.DEFORMABLE and parameter == "weight" and _channels_last(arrays.get(known.source)):
            return Rule(known.source, authors.CONV)
        return known

    offsets = f"; offsets of deformable group {group}" if group is not None else ""
    pretrained = f"the layers the pickle has, on object detection{offsets}"
    info = WeightsInfo(trained=False, network=RELEASED, provenance={"pretrained": pretrained})
    return Scheme(KIND, in_memory(arrays), info, rule, _left_out, may_be_fresh=(*authors.HEAD, *authors.OFFSETS))


def one_group(group: int, then: Change) -> Change:
    """The centre tap of one of four groups: (..., 72) -> (..., 2), and then the layer's own layout."""

    def apply(array: Array) -> Array:
        by_group = array.reshape(*array.shape[:-1], *OFFSET_AXES)  # (..., 4, 3, 3, 2)
        return then.apply(by_group[..., group, 1, 1, :])

    return Change(f"group {group} of {GROUPS}, centre tap; {then.text}", apply)


def _check_groups(arrays: dict[str, Array], group: int | None) -> None:
    channels = {array.shape[-1] for layer in authors.OFFSETS if (array := arrays.get(f"{layer}/biases")) is not None}
    if 72 in channels and group is None:
        raise WeightsError(
            "the offset layers have 72 channels: four deformable groups, of which this network has one. "
            "Choose one: `group` 0, 1, 2 or 3 (the authors took 0 for 50 Salads and 3 for GTEA)."
        )
    if channels and channels != {72} and group is not None:
        found = ", ".join(map(str, sorted(channels)))
        raise WeightsError(f"`group={group}` needs offset layers of 72 channels; these have {found}. Leave it out.")


def _channels_last(kernel: Array | None) -> bool:
    """Deformable kernels occur as (3, 3, in, out) and as (out, in, 3, 3); 512 channels tell them apart."""
    return kernel is not None and kernel.shape[:2] == (3, 3)


def _left_out(name: str) -> str | None:
    return "left out: part of the object detector" if name.startswith(DETECTOR) else None
