"""What a family of checkpoints says about itself, and the one place that carries it out and checks it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lcdc_extract.config import SamplingDefaults
from lcdc_extract.errors import WeightsError
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.weights.file import WeightsInfo, layer_state, load_layers
from lcdc_extract.weights.fresh import fresh_network

Array = np.ndarray[Any, np.dtype[Any]]
SEED = 0
"""Of the layers that a source does not have."""
SHOWN_PROBLEMS = 8


@dataclass(frozen=True)
class Change:
    """What happens to an array on its way; `text` is what the printed table says."""

    text: str
    apply: Callable[[Array], Array]


KEEP = Change("as it is", lambda array: array)


def transpose(*axes: int) -> Change:
    """Axis i of the result is axis axes[i] of the source."""
    return Change(f"transpose {axes}", lambda array: array.transpose(axes))


@dataclass(frozen=True)
class Rule:
    """Where one of our tensors comes from."""

    source: str
    change: Change = KEEP


@dataclass(frozen=True)
class Source:
    """A checkpoint: names and shapes at once, numbers one at a time."""

    shapes: dict[str, tuple[int, ...]]
    read: Callable[[str], Array]


def in_memory(arrays: dict[str, Array]) -> Source:
    """A source that is already read."""
    return Source({name: tuple(array.shape) for name, array in arrays.items()}, arrays.__getitem__)


@dataclass(frozen=True)
class ConvertOptions:
    """What the user adds to a checkpoint, which knows nothing but numbers."""

    class_names: tuple[str, ...] = ()
    sampling: SamplingDefaults | None = None
    group: int | None = None
    """Deformable group (0..3) whose offsets are taken from 72-channel offset layers."""
    like: Path | None = None
    """A weights file whose network, preprocessing and sampling a bare training checkpoint has."""
    trained_on: str = "not stated"
    licence: str = "not stated"
    drop: tuple[str, ...] = ()
    """Source names to leave out although no rule knows them."""


@dataclass(frozen=True)
class Plan:
    """One checkpoint, seen through the rules of its family."""

    source: Source
    info: WeightsInfo
    """Of the result; class names and the provenance common to all families are added later."""
    rule: Callable[[str], Rule]
    """From one of our keys to where it comes from."""
    left_out: Callable[[str], str | None]
    """Why a source name is not needed; None where it should have been."""
    may_be_fresh: tuple[str, ...] = ()
    """Layers that start untrained where the source lacks them."""
    zero: tuple[str, ...] = ()
    """Keys that are zero because the source's network has no such term."""


@dataclass(frozen=True)
class Row:
    """One line of the table of a conversion; `source` or `target` is empty where there is none."""

    source: str
    target: str
    change: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Conversion:
    """A filled network, its description, and how each number got there."""

    network: LCDC
    info: WeightsInfo
    rows: tuple[Row, ...]


def carry_out(plan: Plan, drop: tuple[str, ...] = ()) -> tuple[LCDC, tuple[Row, ...]]:
    """Fills a network by the plan's rules.

    Raises:
        WeightsError: a name is missing on either side, left over, mapped twice, of another shape, or not finite;
            the message lists what and what to do.
    """
    network = fresh_network(plan.info.network, SEED)
    problems: list[str] = []
    tensors, rows = _map(plan, network, problems)
    rows += _leftovers(plan, drop, {row.source for row in rows}, problems)
    if problems:
        more = f"\n  and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
        listed = "\n  ".join(problems[:SHOWN_PROBLEMS])
        raise WeightsError(
            f"the checkpoint does not fit the {plan.info.network.variant} network:\n  {listed}{more}\n"
            "Names no rule knows can be left out by `--drop NAME`; anything else needs another checkpoint."
        )
    load_layers(network, tensors)
    return network, tuple(rows)


def _map(plan: Plan, network: LCDC, problems: list[str]) -> tuple[dict[str, Tensor], list[Row]]:
    tensors: dict[str, Tensor] = {}
    rows: list[Row] = []
    used: set[str] = set()
    for target, like in layer_state(network).items():
        shape = tuple(like.shape)
        rule = plan.rule(target)
        if target in plan.zero:
            tensors[target] = torch.zeros_like(like)
            rows.append(Row("", target, "zero: the source has no such term", shape))
        elif rule.source in used:
            problems.append(f"{rule.source} is wanted twice, the second time for {target}")
        elif rule.source in plan.source.shapes:
            used.add(rule.source)
            array = _changed(plan.source, rule, target, shape, problems)
            if array is not None:
                tensors[target] = torch.from_numpy(array)
                rows.append(Row(rule.source, target, rule.change.text, shape))
        elif target.rsplit(".", 1)[0] in plan.may_be_fresh:
            rows.append(Row("", target, f"untrained, seed {SEED}", shape))
        else:
            problems.append(f"{rule.source}, for {target} {shape}, is missing")
    return tensors, rows


def _changed(source: Source, rule: Rule, target: str, shape: tuple[int, ...], problems: list[str]) -> Array | None:
    found = source.shapes[rule.source]
    wrong = f"{rule.source} is {found}; {rule.change.text} should give {shape} for {target}"
    if int(np.prod(found, dtype=np.float64)) > 64 * int(np.prod(shape)):  # cheaper than reading it
        problems.append(wrong)
        return None
    array = source.read(rule.source)
    try:
        result = rule.change.apply(array)
    except ValueError:  # another number of axes
        problems.append(wrong)
        return None
    if result.shape != shape:
        problems.append(wrong)
    elif result.dtype.kind != "f":
        problems.append(f"{rule.source} holds {result.dtype}; expected floating-point numbers")
    elif not np.isfinite(result).all():
        problems.append(f"{rule.source} holds numbers that are not finite")
    else:
        return np.array(result, dtype=np.float32, order="C")
    return None


def _leftovers(plan: Plan, drop: tuple[str, ...], used: set[str], problems: list[str]) -> Iterator[Row]:
    for name in sorted(plan.source.shapes.keys() - used):
        reason = "left out by --drop" if name in drop else plan.left_out(name)
        if reason is not None:
            yield Row(name, "", reason, plan.source.shapes[name])
        elif not any(name in problem for problem in problems):
            problems.append(f"{name} {plan.source.shapes[name]} belongs to no layer")
