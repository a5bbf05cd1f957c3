"""Weights files: safetensors whose metadata says which network they are, how to feed it and where they came from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save
from torch import Tensor

from lcdc_extract.config import NetworkConfig, PreprocessConfig, SamplingDefaults, from_dict, to_dict
from lcdc_extract.errors import ConfigError, WeightsError
from lcdc_extract.files import replacing, sha256_of
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.network.names import from_paper, to_paper
from lcdc_extract.weights.limits import check_safetensors
from lcdc_extract.weights.storage import Storage, pack, stored_form, unpack

SCHEMA = "lcdc-weights/1"
STEP_COUNT = "num_batches_tracked"
"""Batch norm's count of training steps; no part of the function."""


OLDER_FIELDS = {"network": ("variant",), "preprocess": ("height", "width")}
"""Fields of older files that say nothing: the variant follows from the others, the size of the input never changes."""


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
    storage: Storage = "float32"
    """How the file holds the numbers; a loaded network is float32 whatever this is."""
    storage_error: dict[str, float] = field(default_factory=dict)
    """What int8 storage did to the features, as `measure.storage_error` found it; empty for float32."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_names", tuple(self.class_names))
        if self.storage not in get_args(Storage):
            raise ConfigError(f"storage is {self.storage!r}; expected one of {', '.join(get_args(Storage))}")
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
    """Writes a weights file, all or nothing, in the storage that `info` names.

    Raises:
        WeightsError: `info` describes another network, or the file cannot be written.
    """
    if info.network != network.config:
        raise WeightsError(f"the metadata describes {info.network}, the network is {network.config}")
    metadata = {"schema": SCHEMA} | {name: json.dumps(value) for name, value in _plain(info).items()}
    content = save(pack(layer_state(network), info.storage), metadata)
    try:
        with replacing(path) as unfinished:
            unfinished.write_bytes(content)  # not save_file, which gives files that nobody else can read
    except OSError as error:
        raise WeightsError(f"cannot write weights to {path}: {error}") from error


def read_info(path: Path) -> WeightsInfo:
    """Reads the metadata alone.

    Raises:
        WeightsError: not a safetensors file, truncated, or not one of ours.
    """
    check_safetensors(path)
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
        for name, fields in OLDER_FIELDS.items():
            values[name] = {field: value for field, value in values[name].items() if field not in fields}
        values["network"] = from_dict(NetworkConfig, values["network"])
        values["preprocess"] = from_dict(PreprocessConfig, values["preprocess"])
        values["sampling"] = from_dict(SamplingDefaults, values["sampling"])
        return from_dict(WeightsInfo, values)
    except (ConfigError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightsError(f"the metadata of {path} is damaged or from a newer version: {error}") from error


def load_weights(path: Path, sha256: str | None = None) -> Weights:
    """Builds the network a file describes and fills it strictly.

    Args:
        path: a weights file.
        sha256: the digest the file must have, which is checked before anything else looks at the file.

    Raises:
        WeightsError: as `read_info`; the digest is another; layers are missing, unknown, of another shape, or hold
            numbers that are not finite.
    """
    found = check_digest(path, sha256)
    info = read_info(path)
    with torch.device("meta"):  # shapes only: a file that lies about them is refused before it costs memory
        network = LCDC(info.network)
    _check_layers(network, info, path)
    _fill(network, unpack(load_file(path)), path)
    return Weights(path.stem, found, info, network)


def check_digest(path: Path, sha256: str | None) -> str:
    """The SHA-256 of a weights file, before anything believes what is in it.

    Raises:
        WeightsError: it is not `sha256`, or the file cannot be a weights file.
    """
    check_safetensors(path)
    found = sha256_of(path)
    if sha256 is not None and found != sha256:
        raise WeightsError(
            f"{path} has the SHA-256 {found}, expected {sha256}: it is damaged or another file. Delete it and get it "
            "again (lcdc weights fetch)."
        )
    return found


def layer_state(network: LCDC) -> dict[str, Tensor]:
    """The tensors a weights file holds, by the paper's layer names (`res5a_branch2b.weight`)."""
    state = to_paper(network.state_dict())
    return {name: tensor.contiguous() for name, tensor in state.items() if not name.endswith(STEP_COUNT)}


def load_layers(network: LCDC, tensors: dict[str, Tensor]) -> None:
    """Copies numbers into a network, strictly: every tensor of `layer_state` and no other."""
    steps = {name: torch.tensor(0) for name in network.state_dict() if name.endswith(STEP_COUNT)}
    network.load_state_dict(from_paper(tensors, network) | steps)


def _check_layers(network: LCDC, info: WeightsInfo, path: Path) -> None:
    expected = stored_form(layer_state(network), info.storage)
    with safe_open(path, "pt") as file:
        slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  # not a mapping
        found = {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}
    problems = [f"{name} is missing" for name in expected if name not in found]
    problems += [f"{name} belongs to no layer" for name in found if name not in expected]
    problems += [
        f"{name} is {found[name]}, expected {form}"
        for name, form in expected.items()
        if name in found and found[name] != form
    ]
    if problems:
        shown = "; ".join(problems[:5]) + (f"; and {len(problems) - 5} more" if len(problems) > 5 else "")
        raise WeightsError(f"{path} does not fit the network it describes (variant {info.network.variant}): {shown}")


def _fill(network: LCDC, tensors: dict[str, Tensor], path: Path) -> None:
    broken = [name for name, tensor in tensors.items() if not tensor.isfinite().all()]
    if broken:
        raise WeightsError(f"{path} holds numbers that are not finite, in {', '.join(broken[:5])}")
    network.to_empty(device="cpu")
    load_layers(network, tensors)  # copies: the file may change or go while the network is in use


def _plain(info: WeightsInfo) -> dict[str, Any]:
    return to_dict(info) | {
        "network": to_dict(info.network) | {"variant": info.network.variant},
        "preprocess": to_dict(info.preprocess),
        "sampling": to_dict(info.sampling),
    }
