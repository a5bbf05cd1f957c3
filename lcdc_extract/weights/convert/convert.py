"""From a file of any known kind to a filled network."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

from lcdc_extract.errors import WeightsError
from lcdc_extract.weights.convert import pickled, resnet50, tensorflow, training
from lcdc_extract.weights.convert.plan import Conversion, ConvertOptions, Plan, carry_out
from lcdc_extract.weights.convert.state_dict import read_state_dict

KINDS = (
    "a TensorFlow V2 checkpoint (its prefix, model.ckpt-1000, or its .index), the authors' initial weights (.pkl), or "
    "a state dict (.pth, .pt, .safetensors) of torchvision's or timm's ResNet-50 or of this package"
)


def convert(path: Path, options: ConvertOptions) -> Conversion:
    """Reads a checkpoint and fills a network with it; writes nothing.

    Raises:
        WeightsError: an unknown kind of file, a damaged or hostile one, or one that does not fit; nothing passes
            silently.
        ConfigError: the class names are not as many as the network's classes.
    """
    kind, plan = _open(path, options)
    network, rows = carry_out(plan, options.drop)
    info = plan.info
    provenance = {
        "source": f"{kind}, {path.name}",
        "source_sha256": _digest(path),
        "date": datetime.now(timezone.utc).date().isoformat(),
        "licence": options.licence,
        "training_data": options.trained_on,
    }
    info = dataclasses.replace(
        info,
        class_names=options.class_names,
        sampling=options.sampling or info.sampling,
        provenance=provenance | info.provenance,
    )
    return Conversion(network, info, rows)


def _open(path: Path, options: ConvertOptions) -> tuple[str, Plan]:
    if tensorflow.is_checkpoint(path):
        return _only(options, "TensorFlow checkpoint of the authors", lambda: tensorflow.plan(path))
    if not path.is_file():
        raise WeightsError(f"{path} is not there. Expected {KINDS}")
    if path.suffix in (".pkl", ".pickle"):
        return _only(options, "initial weights of the authors", lambda: pickled.plan(path, options), "group")
    if path.suffix not in (".pth", ".pt", ".safetensors"):
        raise WeightsError(f"{path} is of no known kind. Expected {KINDS}")
    source = read_state_dict(path)
    if resnet50.is_resnet50(source):
        return _only(options, "ResNet-50", lambda: resnet50.plan(source))
    if training.is_ours(source):
        return _only(options, "training checkpoint", lambda: training.plan(source, options), "like")
    names = ", ".join(list(source.shapes)[:3])
    raise WeightsError(f"the layers of {path} ({names}, ...) are neither ResNet-50's nor this network's")


def _only(options: ConvertOptions, kind: str, plan: Callable[[], Plan], *fitting: str) -> tuple[str, Plan]:
    """Refuses options that would do nothing with this kind of file."""
    for name in ("group", "like"):
        if getattr(options, name) is not None and name not in fitting:
            raise WeightsError(f"--{name} means nothing for a {kind}. Leave it out.")
    return kind, plan()


def _digest(path: Path) -> str:
    """SHA-256 of a file, or of a TensorFlow checkpoint's files one after the other."""
    digest = hashlib.sha256()
    for file in tensorflow.files_of(path) if tensorflow.is_checkpoint(path) else [path]:
        with file.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
