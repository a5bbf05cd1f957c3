"""The one place where a scheme is carried out, and checked on the way."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lcdc_extract.errors import WeightsError
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.weights.convert.checkpoint import Array, Checkpoint
from lcdc_extract.weights.convert.scheme import Rule, Scheme
from lcdc_extract.weights.file import layer_state, load_layers
from lcdc_extract.weights.fresh import fresh_network

SEED = 0
"""Of the layers that a checkpoint does not have."""
SHOWN_PROBLEMS = 8
MOST_OFFERED = 64
"""Times as many numbers as wanted; an array with more is refused before it is read."""


@dataclass(frozen=True)
class TensorOrigin:
    """How one tensor got where it is."""

    source: str
    """Its name in the checkpoint; empty where the checkpoint has none."""
    target: str
    """Its name in the network; empty where it is left out."""
    change: str
    """What was done to it, or why it is on one side only."""
    shape: tuple[int, ...]
    """In the network; in the checkpoint where it is left out."""
    routine: bool = False
    """It came over number by number, at most transposed."""

    @property
    def numbers(self) -> int:
        """How many the tensor holds."""
        return math.prod(self.shape)


class _Misfit(Exception):
    """What is wrong with one tensor."""


def carry_out(scheme: Scheme, drop: tuple[str, ...] = ()) -> tuple[LCDC, tuple[TensorOrigin, ...]]:
    """Fills a network by the rules of a scheme.

    Args:
        scheme: says where every tensor comes from.
        drop: names of the checkpoint to leave out although no rule knows them.

    Returns:
        The network, and an origin for every name on either side.

    Raises:
        WeightsError: a name is missing on either side, left over, wanted twice, of another shape, or not finite;
            the message lists what and what to do.
    """
    network = fresh_network(scheme.info.network, SEED)
    fresh = layer_state(network)
    sources = Counter(scheme.rule(target).source for target in fresh if target not in scheme.zero)
    problems = [f"{source} is wanted {count} times" for source, count in sources.items() if count > 1]
    tensors: dict[str, Tensor] = {}
    origins: list[TensorOrigin] = []
    for target, untrained in fresh.items():
        try:
            tensors[target], origin = _find(scheme, target, untrained)
            origins.append(origin)
        except _Misfit as problem:
            problems.append(str(problem))
    for name in sorted(scheme.checkpoint.shapes.keys() - sources):
        try:
            origins.append(_leave_out(scheme, name, drop))
        except _Misfit as problem:
            problems.append(str(problem))
    _refuse(problems, scheme.kind)
    load_layers(network, tensors)
    return network, tuple(origins)


def _find(scheme: Scheme, target: str, untrained: Tensor) -> tuple[Tensor, TensorOrigin]:
    """The numbers of one of our tensors, which is `untrained` so far."""
    shape = tuple(untrained.shape)
    if target in scheme.zero:
        return torch.zeros_like(untrained), TensorOrigin("", target, "zero: the source has no such term", shape)
    rule = scheme.rule(target)
    if rule.source in scheme.checkpoint.shapes:
        array = _changed(scheme.checkpoint, rule, target, shape)
        return torch.from_numpy(array), TensorOrigin(
            rule.source, target, rule.change.text, shape, routine=rule.change.routine
        )
    if target.rsplit(".", 1)[0] in scheme.may_be_fresh:
        return untrained, TensorOrigin("", target, f"untrained, seed {SEED}", shape)
    raise _Misfit(f"{rule.source}, for {target} {shape}, is missing")


def _changed(checkpoint: Checkpoint, rule: Rule, target: str, shape: tuple[int, ...]) -> Array:
    found = checkpoint.shapes[rule.source]
    misfit = _Misfit(f"{rule.source} is {found}; {rule.change.text} should give {shape} for {target}")
    if math.prod(found) > MOST_OFFERED * math.prod(shape):
        raise misfit
    array = checkpoint.read(rule.source)
    try:
        array = rule.change.apply(array)
    except ValueError:  # another number of axes
        raise misfit from None
    if array.shape != shape:
        raise misfit
    if array.dtype.kind != "f":
        raise _Misfit(f"{rule.source} holds {array.dtype}; expected floating-point numbers")
    if not np.isfinite(array).all():
        raise _Misfit(f"{rule.source} holds numbers that are not finite")
    return np.array(array, dtype=np.float32, order="C")


def _leave_out(scheme: Scheme, name: str, drop: Iterable[str]) -> TensorOrigin:
    shape = scheme.checkpoint.shapes[name]
    reason = "left out as asked" if name in drop else scheme.left_out(name)
    if reason is None:
        raise _Misfit(f"{name} {shape} belongs to no layer")
    return TensorOrigin(name, "", reason, shape)


def _refuse(problems: list[str], kind: str) -> None:
    if not problems:
        return
    more = f"\n  and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
    listed = "\n  ".join(problems[:SHOWN_PROBLEMS])
    raise WeightsError(
        f"the {kind} does not fit the network:\n  {listed}{more}\n"
        "Names that no rule knows can be left out with `drop`; anything else needs another checkpoint."
    )
