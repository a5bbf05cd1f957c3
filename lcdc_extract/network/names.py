"""The paper's layer names, which weights files use, and the places of those layers in the network's modules.

conv1, conv_new_1, fc_new_1 ...   encoder.conv1, encoder.conv_new_1, head.fc_new_1 ...
res3b_branch2c, bn3b_branch2c     encoder.res3.b.branch2c, encoder.res3.b.bn_branch2c
res5a_branch2b_offset             encoder.res5.a.branch2b_offset
bn_conv1                          encoder.bn_conv1
spacetime_conv1, spacetime_bn1    head.spacetime_conv1, head.bn_spacetime_conv1
"""

from __future__ import annotations

import re
from typing import TypeVar

from lcdc_extract.network.lcdc import LCDC

Value = TypeVar("Value")

_IN_BLOCK = re.compile(r"encoder\.res(?P<stage>\d)\.(?P<block>[a-f])\.(?P<norm>bn_)?(?P<branch>branch\w+)")
_SPACETIME_NORM = re.compile(r"head\.bn_spacetime_conv(?P<number>\d)")


def paper_name(place: str) -> str:
    """The paper's name of the layer at a place: encoder.res5.a.bn_branch2b -> bn5a_branch2b."""
    if found := _IN_BLOCK.fullmatch(place):
        kind = "bn" if found["norm"] else "res"
        return f"{kind}{found['stage']}{found['block']}_{found['branch']}"
    if found := _SPACETIME_NORM.fullmatch(place):
        return f"spacetime_bn{found['number']}"
    return place.rpartition(".")[2]


def to_paper(state: dict[str, Value]) -> dict[str, Value]:
    """A state dict of `LCDC` with the paper's names: res5a_branch2b.weight."""
    return {_in_paper(key): value for key, value in state.items()}


def from_paper(state: dict[str, Value], network: LCDC) -> dict[str, Value]:
    """The inverse of `to_paper`.

    Raises:
        KeyError: a name that the network does not have.
    """
    places = {_in_paper(key): key for key in network.state_dict()}
    return {places[name]: value for name, value in state.items()}


def _in_paper(key: str) -> str:
    place, _, parameter = key.rpartition(".")
    return f"{paper_name(place)}.{parameter}"
