"""From a file of any known kind to a filled network."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from lcdc_extract.config import PreprocessConfig, SamplingDefaults
from lcdc_extract.errors import WeightsError
from lcdc_extract.files import sha256_of
from lcdc_extract.network.lcdc import LCDC
from lcdc_extract.weights.convert import pickled, resnet50, tensorflow, training
from lcdc_extract.weights.convert.carry_out import TensorOrigin, carry_out
from lcdc_extract.weights.convert.safe_pickle import read_arrays
from lcdc_extract.weights.convert.scheme import Scheme
from lcdc_extract.weights.convert.state_dict import read_state_dict
from lcdc_extract.weights.file import WeightsInfo

KINDS = (
    "a TensorFlow V2 checkpoint (its prefix, model.ckpt-1000, or its .index), the authors' initial weights (.pkl), or "
    "a state dict (.pth, .pt, .safetensors) of torchvision's or timm's ResNet-50 or of this package"
)


@dataclass(frozen=True)
class ConvertOptions:
    """What the user adds to a checkpoint, which knows nothing but numbers."""

    class_names: tuple[str, ...] = ()
    sampling: SamplingDefaults | None = None
    group: int | None = None
    """Deformable group (0..3) whose offsets are taken from 72-channel offset layers."""
    antialias: bool | None = None
    """Whether frames are smoothed when they are made smaller; None takes what the source's family does."""
    like: Path | None = None
    """A weights file whose network, preprocessing and sampling a bare training checkpoint has."""
    trained_on: str = "not stated"
    licence: str = "not stated"
    drop: tuple[str, ...] = ()
    """Names of the checkpoint to leave out although no rule knows them."""


@dataclass(frozen=True)
class Conversion:
    """A filled network, its description, and how each number got there."""

    network: LCDC
    info: WeightsInfo
    origins: tuple[TensorOrigin, ...]


def convert(path: Path, options: ConvertOptions) -> Conversion:
    """Reads a checkpoint and fills a network with it; writes nothing.

    Raises:
        WeightsError: an unknown kind of file, a damaged or hostile one, or one that does not fit; nothing passes
            silently.
        ConfigError: the class names are not as many as the network's classes.
    """
    scheme = _scheme(path, options)
    network, origins = carry_out(scheme, options.drop)
    info = dataclasses.replace(
        scheme.info,
        class_names=options.class_names,
        sampling=options.sampling or scheme.info.sampling,
        preprocess=_preprocess(scheme.info.preprocess, options),
        provenance=_provenance(path, scheme, options),
    )
    return Conversion(network, info, origins)


def _preprocess(usual: PreprocessConfig, options: ConvertOptions) -> PreprocessConfig:
    return usual if options.antialias is None else dataclasses.replace(usual, antialias=options.antialias)


def _scheme(path: Path, options: ConvertOptions) -> Scheme:
    """Which family the file belongs to, and what that says about it."""
    if tensorflow.is_checkpoint(path):
        _refuse_options(options, tensorflow.KIND, "group", "like")
        return tensorflow.scheme(tensorflow.open_checkpoint(path))
    if not path.is_file():
        raise WeightsError(f"{path} is not there. Expected {KINDS}")
    if path.suffix in (".pkl", ".pickle"):
        _refuse_options(options, pickled.KIND, "like")
        return pickled.scheme(read_arrays(path), options.group)
    if path.suffix not in (".pth", ".pt", ".safetensors"):
        raise WeightsError(f"{path} is of no known kind. Expected {KINDS}")
    checkpoint = read_state_dict(path)
    if resnet50.is_resnet50(checkpoint):
        _refuse_options(options, resnet50.KIND, "group", "like")
        return resnet50.scheme(checkpoint)
    if training.is_ours(checkpoint):
        _refuse_options(options, training.KIND, "group")
        return training.scheme(checkpoint, options.like)
    names = ", ".join(list(checkpoint.shapes)[:3])
    raise WeightsError(f"the layers of {path} ({names}, ...) are neither ResNet-50's nor this network's")


def _refuse_options(options: ConvertOptions, kind: str, *names: str) -> None:
    """Options that would do nothing with this kind of file."""
    for name in names:
        if getattr(options, name) is not None:
            raise WeightsError(f"`{name}` means nothing for a {kind}. Leave it out.")


def _provenance(path: Path, scheme: Scheme, options: ConvertOptions) -> dict[str, str]:
    files = tensorflow.files_of(path) if tensorflow.is_checkpoint(path) else [path]
    return {
        "source": f"{scheme.kind}, {path.name}",
        "source_sha256": sha256_of(*files),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "licence": options.licence,
        "training_data": options.trained_on,
    } | scheme.info.provenance
