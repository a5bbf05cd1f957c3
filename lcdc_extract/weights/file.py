"""Weights files: safetensors whose metadata says which network they are, how to feed it and where they came from."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from lcdc_extract.config import NetworkConfig, PreprocessConfig, SamplingDefaults, from_dict, to_dict
from lcdc_extract.errors import ConfigError, WeightsError
from lcdc_extract.network.lcdc import LCDC

SCHEMA = "lcdc-weights/1"


@dataclass(frozen=True)
class WeightsInfo:
    """Everything in a weights file but the numbers."""

    trained: bool
    network: NetworkConfig
    preprocess: PreprocessConfig = field(default_factory=PreprocessConfig)
    sampling: SamplingDefaults = field(default_factory=SamplingDefaults)
    class_names: tuple[str, ...] = ()
    """Names of the outputs of cls_score, in order; empty when the network has none."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Where the numbers came from: source, date, licence, training data and so on."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        if self.class_names and len(self.class_names) != self.network.num_classes:
            raise ConfigError(f"{len(self.class_names)} class names for {self.network.num_classes} classes")


@dataclass(frozen=True)
class Weights:
    """A network ready to run, with what a feature file has to record about it."""

    name: str
    sha256: str
    info: WeightsInfo
    network: LCDC


def save_weights(path: Path, network: LCDC, info: WeightsInfo) -> None:
    """Writes a weights file; `info.network` is stored as the network's own configuration must be.

    Raises:
        WeightsError: `info` describes another network, or the file cannot be written.
    """
    if info.network != network.config:
        raise WeightsError(f"the metadata describes {info.network}, the network is {network.config}")
    metadata = {"schema": SCHEMA} | {name: json.dumps(value) for name, value in _plain(info).items()}
    try:
        save_file(layer_state(network), path, metadata)
    except (OSError, SafetensorError) as error:
        raise WeightsError(f"cannot write weights to {path}: {error}") from error


def read_info(path: Path) -> WeightsInfo:
    """Reads the metadata alone.

    Raises:
        WeightsError: not a safetensors file, truncated, or not one of ours.
    """
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise WeightsError(
            f"{path} is not a complete safetensors file ({error}). Expected weights written by this package; "
            "if it was downloaded or copied, get it again."
        ) from error
    if metadata.get("schema") != SCHEMA:
        raise WeightsError(
            f"{path} holds other weights: its metadata names the schema {metadata.get('schema')!r}, "
            f"expected {SCHEMA!r}. Give a file written by this package."
        )
    try:
        values = {name: json.loads(text) for name, text in metadata.items() if name != "schema"}
        for name, kind in (
            ("network", NetworkConfig),
            ("preprocess", PreprocessConfig),
            ("sampling", SamplingDefaults),
        ):
            values[name] = from_dict(kind, values[name])
        return from_dict(WeightsInfo, values)
    except (ConfigError, KeyError, ValueError, AttributeError) as error:
        raise WeightsError(f"the metadata of {path} is damaged or from a newer version: {error}") from error


def load_weights(path: Path) -> Weights:
    """Builds the network a file describes and fills it strictly.

    Raises:
        WeightsError: as `read_info`, or layers are missing, unknown or of another shape.
    """
    info = read_info(path)
    network = LCDC(info.network)
    _fill(network, load_file(path), path)
    return Weights(path.stem, sha256_of(path), info, network)


def layer_state(network: LCDC) -> dict[str, Tensor]:
    """The tensors a weights file holds, by layer name."""
    return {
        name: tensor.contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")  # counts training steps; no part of the function
    }


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's content, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _fill(network: LCDC, tensors: dict[str, Tensor], path: Path) -> None:
    expected = layer_state(network)
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [f"{name} belongs to no layer" for name in tensors if name not in expected]
    problems += [
        f"{name} is {tuple(tensors[name].shape)} {tensors[name].dtype}, expected {tuple(like.shape)} {like.dtype}"
        for name, like in expected.items()
        if name in tensors and (tensors[name].shape != like.shape or tensors[name].dtype != like.dtype)
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise WeightsError(f"{path} does not fit the network it describes ({network.config.variant}): {shown}")
    network.load_state_dict(tensors, strict=False)


def _plain(info: WeightsInfo) -> dict[str, Any]:
    values = to_dict(info)
    values["network"] = to_dict(info.network)
    values["preprocess"] = to_dict(info.preprocess)
    values["sampling"] = to_dict(info.sampling)
    return values
