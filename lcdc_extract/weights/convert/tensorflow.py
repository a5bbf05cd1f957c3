"""The authors' trained networks: TensorFlow V2 checkpoints, read by the `tensorflow` package (an optional extra)."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np

from lcdc_extract.config import RELEASED
from lcdc_extract.errors import WeightsError
from lcdc_extract.weights.convert import authors
from lcdc_extract.weights.convert.plan import Array, Plan, Source
from lcdc_extract.weights.file import WeightsInfo

SUFFIX = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")


def prefix_of(path: Path) -> Path:
    """`model.ckpt-1000` of any of a checkpoint's files."""
    return path.with_name(SUFFIX.sub("", path.name))


def is_checkpoint(path: Path) -> bool:
    """Whether `path` is a V2 checkpoint's prefix or one of its files."""
    prefix = prefix_of(path)
    return prefix.with_name(prefix.name + ".index").is_file()


def plan(path: Path) -> Plan:
    """290 variables of the released graph (with 18 classes), with or without what training left beside them."""
    return plan_of(open_checkpoint(prefix_of(path)))


def plan_of(source: Source) -> Plan:
    """The plan of a checkpoint that is open."""
    classes = source.shapes.get("cls_score/biases", (0,))[0]
    config = dataclasses.replace(RELEASED, num_classes=classes)
    variables = source.shapes.keys()
    return Plan(
        source, WeightsInfo(trained=True, network=config), authors.rule, lambda name: _left_out(name, variables)
    )


def open_checkpoint(prefix: Path) -> Source:
    """Names and shapes of a checkpoint.

    Raises:
        WeightsError: `tensorflow` is not installed, a file is missing, or the checkpoint is damaged.
    """
    try:
        from tensorflow.train import load_checkpoint  # a gigabyte that few users need
    except ImportError as error:
        raise WeightsError(
            f"{prefix} is a TensorFlow checkpoint, and reading it needs the tensorflow package ({error}). "
            "Install it once with: pip install 'lcdc-extract[tensorflow]'"
        ) from error
    if not list(prefix.parent.glob(f"{prefix.name}.data-*")):
        raise WeightsError(f"{prefix}.index has no {prefix.name}.data-* file beside it; both are needed")
    try:
        reader: Any = load_checkpoint(str(prefix))
        shapes = {name: tuple(shape) for name, shape in reader.get_variable_to_shape_map().items()}
    except Exception as error:  # TensorFlow's errors share no base class of ours
        raise WeightsError(f"{prefix} is not a complete TensorFlow checkpoint: {error}") from error

    def read(name: str) -> Array:
        try:
            return np.asarray(reader.get_tensor(name))
        except Exception as error:
            raise WeightsError(f"{name} of {prefix} cannot be read: {error}. Copy the checkpoint again.") from error

    return Source(shapes, read)


def _left_out(name: str, variables: Any) -> str | None:
    if name.endswith("/Momentum") and name.removesuffix("/Momentum") in variables:
        return "left out: state of the optimiser"
    if name in ("global_step", "confusion_vid"):
        return "left out: a record of training"
    return None


def files_of(path: Path) -> list[Path]:
    """The files of a checkpoint that hold its numbers, in order."""
    prefix = prefix_of(path)
    return [*sorted(prefix.parent.glob(f"{prefix.name}.data-*")), prefix.with_name(prefix.name + ".index")]
