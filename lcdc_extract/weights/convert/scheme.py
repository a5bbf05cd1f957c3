"""What a family of checkpoints says about its tensors: which of them becomes which of ours, and how."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lcdc_extract.weights.convert.checkpoint import Array, Checkpoint
from lcdc_extract.weights.file import WeightsInfo


@dataclass(frozen=True)
class Change:
    """What happens to an array on its way."""

    text: str
    """What the printed table says."""
    apply: Callable[[Array], Array]
    routine: bool = False
    """Every number arrives as it was, at most in another place."""


KEEP = Change("as it is", lambda array: array, routine=True)


def transpose(*axes: int) -> Change:
    """Axis i of the result is axis axes[i] of the source."""
    return Change(f"transpose {axes}", lambda array: array.transpose(axes), routine=True)


@dataclass(frozen=True)
class Rule:
    """Where one of our tensors comes from."""

    source: str
    """Its name in the checkpoint."""
    change: Change = KEEP


@dataclass(frozen=True)
class Scheme:
    """One checkpoint, seen through the rules of its family."""

    kind: str
    """The family, for messages and the record."""
    checkpoint: Checkpoint
    info: WeightsInfo
    """Of the result; class names and the provenance common to all families are added later."""
    rule: Callable[[str], Rule]
    """From one of our names, `res5a_branch2b.weight`, to where it comes from."""
    left_out: Callable[[str], str | None]
    """Why a name of the checkpoint is not needed; None where it should have been."""
    may_be_fresh: tuple[str, ...] = ()
    """Our layers that start untrained where the checkpoint lacks them."""
    zero: tuple[str, ...] = ()
    """Our tensors that are zero because the checkpoint's network has no such term."""
