"""Every setting, as frozen dataclasses that are checked on construction.

`NetworkConfig`, `PreprocessConfig` and `SamplingDefaults` travel inside the weights file; `ExtractConfig` is one run,
and feeds the command line and the Python interface alike.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from lcdc_extract.errors import ConfigError

SNIPPET_LENGTH = 16
"""L of Table 4: frames in one window."""

CENTRE = SNIPPET_LENGTH // 2
"""The window of frame f is f - CENTRE .. f + CENTRE - 1, so frame f sits at this place in it."""

FEATURE_SIZE = 1024
"""Channels of fc_new_2, the exported feature."""

OffsetLayout = Literal["per_site", "per_tap", "released"]
Border = Literal["zero", "released"]
StridePosition = Literal["first_1x1", "3x3"]
Variant = Literal["paper", "released"]
Edges = Literal["clamp", "repeat-frame"]
Align = Literal["exact", "released"]
Precision = Literal["float32", "bfloat16", "float16"]
Decoder = Literal["decord", "av"]

Config = TypeVar("Config")


def check_whole(name: str, value: object, least: int) -> None:
    """Refuses a setting that is not a whole number of at least `least`; 2.0 and True are none.

    Raises:
        ConfigError: says what was found.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < least:
        raise ConfigError(f"`{name}` is {value!r}; expected a whole number of at least {least}")


def _check(name: str, value: object, fits: bool, expected: str) -> None:
    if not fits:
        raise ConfigError(f"{name} is {value}; expected {expected}")


def _check_choice(name: str, value: object, kind: Any) -> None:
    _check(name, repr(value), value in get_args(kind), f"one of {', '.join(get_args(kind))}")


@dataclass(frozen=True)
class NetworkConfig:
    """What distinguishes one LCDC network from another; layer sizes are those of Table 4 and never change."""

    variant: Variant = "paper"
    stem_padding: tuple[int, int] = (3, 3)
    """Zero rows and columns (before, after) conv1."""
    pool1_padding: int = 1
    batch_norm_epsilon: float = 1e-5
    stride_position: StridePosition = "first_1x1"
    """Which convolution of a bottleneck carries its stride: the original ResNet-50 or torchvision's."""
    res5_dilation: int = 2
    res5_padding: int = 2
    offset_layout: OffsetLayout = "per_site"
    """per_site is locally consistent (equation 14), per_tap the plain deformable convolution (equation 12)."""
    border: Border = "zero"
    num_classes: int = 0
    """Outputs of cls_score; 0 when the network has none."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "stem_padding", tuple(self.stem_padding))
        _check_choice("variant", self.variant, Variant)
        _check_choice("stride_position", self.stride_position, StridePosition)
        _check_choice("offset_layout", self.offset_layout, OffsetLayout)
        _check_choice("border", self.border, Border)
        _check("stem_padding", self.stem_padding, self.stem_padding in ((3, 3), (2, 3)), "(3, 3) or (2, 3)")
        _check("pool1_padding", self.pool1_padding, self.pool1_padding in (0, 1), "0 or 1")
        _check("batch_norm_epsilon", self.batch_norm_epsilon, self.batch_norm_epsilon > 0, "a positive number")
        _check("res5_dilation", self.res5_dilation, self.res5_dilation >= 1, "at least 1")
        _check("res5_padding", self.res5_padding, self.res5_padding >= 0, "at least 0")
        _check("num_classes", self.num_classes, self.num_classes >= 0, "at least 0")

    @property
    def offset_channels(self) -> int:
        """Channels of one res5 offset layer: (dy, dx) per site, or per site and each of 3x3 taps."""
        return 18 if self.offset_layout == "per_tap" else 2


PAPER = NetworkConfig()
"""Table 4 of the supplement."""

RELEASED = NetworkConfig(
    variant="released",
    stem_padding=(2, 3),
    pool1_padding=0,
    batch_norm_epsilon=1e-3,
    res5_padding=1,
    offset_layout="released",
    border="released",
)
"""The graph behind the authors' published checkpoints, which differs from Table 4."""


@dataclass(frozen=True)
class PreprocessConfig:
    """How a decoded frame becomes the network's input: RGB, resized ignoring the aspect ratio, means subtracted."""

    height: int = 224
    width: int = 224
    mean: tuple[float, float, float] = (123.68, 116.78, 103.94)
    """Subtracted from R, G and B on the 0..255 scale; nothing is divided."""
    antialias: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(self.mean))
        _check("size", (self.height, self.width), (self.height, self.width) == (224, 224), "(224, 224), as fc_new_1 is")
        _check("mean", self.mean, len(self.mean) == 3, "three numbers, for R, G and B")


@dataclass(frozen=True)
class SamplingDefaults:
    """The frame rate a network was trained for, stored with its weights."""

    frame_step: int = 1
    stride: int = 1

    def __post_init__(self) -> None:
        _check("frame_step", self.frame_step, self.frame_step >= 1, "at least 1")
        _check("stride", self.stride, self.stride >= 1, "at least 1")


PRESETS = {
    "50salads": SamplingDefaults(frame_step=5, stride=2),
    "gtea": SamplingDefaults(frame_step=1, stride=5),
}
"""Sampling of the authors' extraction scripts: 30 and 15 frames/s in, about 3 features/s out."""


@dataclass(frozen=True)
class Sampling:
    """Which decoded frames are looked at and which of those get a row; nothing is left open any more."""

    frame_step: int = 1
    fps: float | None = None
    stride: int = 1
    edges: Edges = "clamp"
    align: Align = "exact"


@dataclass(frozen=True)
class ExtractConfig:
    """One run of the extractor. Field by field the options of `lcdc-extract`; None means "as the weights say"."""

    inputs: tuple[str, ...]
    out: Path
    weights: str | None = None
    preset: str | None = None
    frame_step: int | None = None
    fps: float | None = None
    stride: int | None = None
    edges: Edges = "clamp"
    align: Align = "exact"
    device: str = "auto"
    precision: Precision = "float32"
    batch_size: int | None = None
    """Frames the network takes at once; None takes 16 on a CPU and 256 on a GPU."""
    decoder: Decoder = "decord"
    decoders: int = 2
    decode_timeout_seconds: float = 60.0
    overwrite: bool = False

    def __post_init__(self) -> None:
        inputs = (self.inputs,) if isinstance(self.inputs, str | Path) else self.inputs
        object.__setattr__(self, "inputs", tuple(str(item) for item in inputs))
        object.__setattr__(self, "out", Path(self.out))
        if self.frame_step is not None and self.fps is not None:
            raise ConfigError(
                f"--fps {self.fps:g} and --frame-step {self.frame_step} exclude each other: both choose the frames the "
                "network sees. Give one of them."
            )
        if self.preset is not None and self.preset not in PRESETS:
            raise ConfigError(f"unknown preset {self.preset!r}; the presets are {', '.join(PRESETS)}")
        if self.align == "released" and self.edges != "clamp":
            raise ConfigError(
                f"--align released fixes what happens at the edges, --edges {self.edges} asks for something else. "
                "Leave --edges out."
            )
        for name, kind in (("edges", Edges), ("align", Align), ("precision", Precision), ("decoder", Decoder)):
            _check_choice(f"--{name}", getattr(self, name), kind)
        for name in ("frame_step", "stride", "batch_size", "decoders"):
            value = getattr(self, name)
            _check("--" + name.replace("_", "-"), value, value is None or value >= 1, "a whole number of at least 1")
        for name in ("fps", "decode_timeout_seconds"):
            value = getattr(self, name)
            fits = value is None or (math.isfinite(value) and value > 0)
            _check("--" + name.removesuffix("_seconds").replace("_", "-"), value, fits, "a positive number")

    def sampling(self, defaults: SamplingDefaults) -> Sampling:
        """Resolves what was left open: an option wins over the preset, the preset over the weights' `defaults`."""
        base = PRESETS[self.preset] if self.preset else defaults
        frame_step = 1 if self.fps is not None else self.frame_step or base.frame_step
        return Sampling(frame_step, self.fps, self.stride or base.stride, self.edges, self.align)


def to_dict(config: Any) -> dict[str, Any]:
    """A config as plain JSON values."""
    return {name: _plain(value) for name, value in dataclasses.asdict(config).items()}


def from_dict(kind: type[Config], values: dict[str, Any]) -> Config:
    """The inverse of `to_dict`.

    Raises:
        ConfigError: a field is unknown or missing, or a value is out of range.
    """
    known = {field.name for field in dataclasses.fields(kind)}  # type: ignore[arg-type]
    unknown = sorted(set(values) - known)
    if unknown:
        raise ConfigError(f"{kind.__name__} has no field {', '.join(unknown)}; it has {', '.join(sorted(known))}")
    try:
        return kind(**values)
    except TypeError as error:
        raise ConfigError(f"{kind.__name__} cannot be made from {values}: {error}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return list(value) if isinstance(value, tuple) else value
