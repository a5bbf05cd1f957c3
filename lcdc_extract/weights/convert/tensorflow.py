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
from lcdc_extract.weights.convert.checkpoint import Array, Checkpoint
from lcdc_extract.weights.convert.scheme import Scheme
from lcdc_extract.weights.file import WeightsInfo

KIND = "TensorFlow checkpoint of the authors"
SUFFIX = re.compile(r"\.(index|meta|data-\d{5}-of-\d{5})$")


def prefix_of(path: Path) -> Path:
    """`model.ckpt-1000` of any of a checkpoint's files."""
    return path.with_name(SUFFIX.sub("", path.name))


def is_checkpoint(path: Path) -> bool:
    """Whether `path` is a V2 checkpoint's prefix or one of its files."""
    prefix = prefix_of(path)
    return prefix.with_name(prefix.name + ".index").is_file()


def files_of(path: Path) -> list[Path]:
    """The files of a checkpoint that hold its numbers, in order."""
    prefix = prefix_of(path)
    return [*sorted(prefix.parent.glob(f"{prefix.name}.data-*")), prefix.with_name(prefix.name + ".index")]


def open_checkpoint(path: Path) -> Checkpoint:
    """Names and shapes of the checkpoint that `path` belongs to.

    Raises:
        WeightsError: `tensorflow` is not installed, a file is missing, or the checkpoint is damaged.
    """
    prefix = prefix_of(path)
    try:
        from tensorflow.train import load_checkpoint  # a gigabyte that few users need
    except ImportError as error:
        raise WeightsError(
            f"{prefix} is a TensorFlow checkpoint, and reading it needs the tensorflow package ({error}). "
            "Install it once with: pip install 'lcdc-extract[tensorflow]'"
        ) from error
    if len(files_of(prefix)) < 2:
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

    return Checkpoint(shapes, read)


def scheme(checkpoint: Checkpoint) -> Scheme:
    """290 variables of the released graph (with 18 classes), with or without what training left beside them."""
    classes = checkpoint.shapes.get("cls_score/biases", (0,))[0]
    info = WeightsInfo(trained=True, network=dataclasses.replace(RELEASED, num_classes=classes))

    def left_out(name: str) -> str | None:
        if name.endswith("/Momentum") and name.removesuffix("/Momentum") in checkpoint.shapes:
            return "left out: state of the optimiser"
        if name in ("global_step", "confusion_vid"):
            return "left out: a record of training"
        return None

    return Scheme(KIND, checkpoint, info, authors.rule, left_out)
