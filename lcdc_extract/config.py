"""Every setting, as frozen dataclasses that are checked on construction.

`NetworkConfig`, `PreprocessConfig` and `SamplingDefaults` travel inside the weights file; `ExtractConfig` is one run,
and feeds the command line and the Python interface alike.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from lcdc_extract.errors import ConfigError

SNIPPET_LENGTH = 16
"""L of Table 4: frames in one window."""

CENTRE = SNIPPET_LENGTH // 2
"""The window of frame f is f - CENTRE .. f + CENTRE - 1, so frame f sits at this place in it."""

FEATURE_SIZE = 1024
"""Channels of fc_new_2, the exported feature."""

FRAME_SIZE = 224
"""Height and width of the network's input in pixels, which the size of fc_new_1 fixes."""

OffsetLayout = Literal["per_site", "per_tap", "released"]
Border = Literal["zero", "released"]
StridePosition = Literal["first_1x1", "3x3"]
Variant = Literal["paper", "released", "custom"]
Edges = Literal["clamp", "repeat-frame"]
Align = Literal["exact", "released"]
Precision = Literal["float32", "bfloat16", "float16"]
Decoder = Literal["auto", "decord", "av"]
OnDamage = Literal["mark", "fail"]
PartEdges = Literal["see", "clamp"]

Config = TypeVar("Config")


def check_choice(name: str, value: object, kind: Any) -> None:
    """Refuses a setting that is not one of the strings of the Literal `kind`.

    Raises:
        ConfigError: names the choices.
    """
    _check(name, value, value in get_args(kind), f"one of {', '.join(get_args(kind))}")


def check_whole(name: str, value: object, least: int) -> None:
    """Refuses a setting that is not a whole number of at least `least`; 2.0 and True are none.

    Raises:
        ConfigError: says what was found.
    """
    fits = isinstance(value, Integral) and not isinstance(value, bool) and int(value) >= least
    _check(name, value, fits, f"a whole number of at least {least}")


def check_positive(name: str, value: object) -> None:
    """Refuses a setting that is not a finite number above 0.

    Raises:
        ConfigError: says what was found.
    """
    fits = isinstance(value, Real) and not isinstance(value, bool) and 0 < float(value) < math.inf
    _check(name, value, fits, "a positive number")


def _check(name: str, value: object, fits: bool, expected: str) -> None:
    if not fits:
        raise ConfigError(f"`{name}` is {value!r}; expected {expected}")


@dataclass(frozen=True)
class NetworkConfig:
    """What distinguishes one LCDC network from another; layer sizes are those of Table 4 and never change."""

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
        check_choice("stride_position", self.stride_position, StridePosition)
        check_choice("offset_layout", self.offset_layout, OffsetLayout)
        check_choice("border", self.border, Border)
        _check("stem_padding", self.stem_padding, self.stem_padding in ((3, 3), (2, 3)), "(3, 3) or (2, 3)")
        check_whole("pool1_padding", self.pool1_padding, 0)
        _check("pool1_padding", self.pool1_padding, self.pool1_padding <= 1, "0 or 1")
        check_positive("batch_norm_epsilon", self.batch_norm_epsilon)
        check_whole("res5_dilation", self.res5_dilation, 1)
        check_whole("res5_padding", self.res5_padding, 0)
        check_whole("num_classes", self.num_classes, 0)

    @property
    def variant(self) -> Variant:
        """ "paper" or "released" where every choice but the classes is that network's, else "custom"."""
        plain = dataclasses.replace(self, num_classes=0)
        return "paper" if plain == PAPER else "released" if plain == RELEASED else "custom"

    @property
    def offset_channels(self) -> int:
        """Channels of one res5 offset layer: (dy, dx) per site, or per site and each of 3x3 taps."""
        return 18 if self.offset_layout == "per_tap" else 2


PAPER = NetworkConfig()
"""Table 4 of the supplement."""

RELEASED = NetworkConfig(
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
    """How a decoded frame becomes the network's input: RGB, resized to 224x224 whatever its shape, means subtracted."""

    mean: tuple[float, float, float] = (123.68, 116.78, 103.94)
    """Subtracted from R, G and B on the 0..255 scale; nothing is divided."""
    antialias: bool = False
    """Whether resizing smooths what it makes smaller, as newer versions of the authors' image library do."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "mean", tuple(self.mean))
        _check("mean", self.mean, len(self.mean) == 3, "three numbers, for R, G and B")
        _check("antialias", self.antialias, isinstance(self.antialias, bool), "true or false")


@dataclass(frozen=True)
class SamplingDefaults:
    """The frame rate a network was trained for, stored with its weights."""

    frame_step: int = 1
    """The network sees every `frame_step`-th frame."""
    stride: int = 1
    """A row stands for every `stride`-th of those."""

    def __post_init__(self) -> None:
        check_whole("frame_step", self.frame_step, 1)
        check_whole("stride", self.stride, 1)


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
class SamplingChoice:
    """What the user says of the sampling; None leaves it to the preset, and the preset to the weights."""

    preset: str | None = None
    """The paper's frame step and stride for a data set: a name from `PRESETS`."""
    frame_step: int | None = None
    """The network sees every `frame_step`-th frame."""
    fps: float | None = None
    """Or the frames nearest in time to so many a second; takes the place of `frame_step`."""
    stride: int | None = None
    """A row of features for every `stride`-th of those frames: exactly ceil(n / stride) rows from n frames."""
    edges: Edges = "clamp"
    """Where the window would leave the video: "clamp" moves it inside, "repeat-frame" repeats the edge frame."""
    align: Align = "exact"
    """"released" gives the row count, shift and copied rows of the authors' own script."""

    def __post_init__(self) -> None:
        if self.frame_step is not None and self.fps is not None:
            raise ConfigError(
                f"`fps={self.fps}` and `frame_step={self.frame_step}` exclude each other: both choose the frames that "
                "the network sees. Give one of them."
            )
        if self.preset is not None and self.preset not in PRESETS:
            raise ConfigError(f"`preset` is {self.preset!r}; the presets are {', '.join(PRESETS)}")
        check_choice("edges", self.edges, Edges)
        check_choice("align", self.align, Align)
        if self.align == "released" and self.edges != "clamp":
            raise ConfigError(
                f"`align='released'` fixes what happens at the edges, `edges={self.edges}` asks for something else. "
                "Give one of them."
            )
        for name in ("frame_step", "stride"):
            if getattr(self, name) is not None:
                check_whole(name, getattr(self, name), 1)
        if self.fps is not None:
            check_positive("fps", self.fps)

    def resolve(self, defaults: SamplingDefaults) -> Sampling:
        """Fills in what was left open: a field wins over the preset, the preset over the weights' `defaults`."""
        base = PRESETS[self.preset] if self.preset else defaults
        frame_step = 1 if self.fps is not None else self.frame_step or base.frame_step
        return Sampling(frame_step, self.fps, self.stride or base.stride, self.edges, self.align)


@dataclass(frozen=True)
class ExtractConfig:
    """One run of the extractor. Field by field the options of `lcdc-extract`."""

    inputs: tuple[str, ...]
    """Video files, folders and archives of numbered pictures, folders (searched recursively), patterns, "@list.txt",
    "@parts.csv", or "-" for a list on standard input."""
    out: Path
    """The HDF5 file to write."""
    weights: str | None = None
    """A weights file, a name from `lcdc weights list`, or "untrained"; None is lcdc-synth, which comes with it."""
    preset: str | None = None
    """The paper's frame step and stride for a data set: "50salads" or "gtea"."""
    frame_step: int | None = None
    """The network sees every `frame_step`-th frame of a video; None is what the preset or the weights say."""
    fps: float | None = None
    """Or the frames nearest in time to so many a second."""
    frames_fps: float | None = None
    """Pictures a second, of videos that are folders or archives of pictures; None counts 25."""
    stride: int | None = None
    """A row for every `stride`-th of those; None is what the preset or the weights say."""
    edges: Edges = "clamp"
    """What happens where the 16-frame window would leave the video: "clamp" or "repeat-frame"."""
    align: Align = "exact"
    """"released" gives the rows of the authors' own script."""
    part_edges: PartEdges = "see"
    """Where parts of videos begin and end, windows "see" the frames beyond, or "clamp" as at the ends of a video."""
    device: str = "auto"
    """auto (the first GPU, or the CPU where there is none), cpu, cuda or cuda:N."""
    precision: Precision = "float32"
    """Arithmetic of the network; the offsets that carry the motion are float32 whatever it is."""
    batch_size: int | None = None
    """Frames the network takes at once; None takes 16 on a CPU and 256 on a GPU."""
    decoder: Decoder = "auto"
    """"auto" takes decord, and PyAV for what decord cannot be trusted with; "decord" or "av" take that one."""
    on_damage: OnDamage = "mark"
    """Damaged videos: "mark" their rows, or let them "fail"."""
    video_stream: int | None = None
    """Which video stream, from 0, of files with several; None takes the one ffmpeg would."""
    deinterlace: bool = False
    """Whether interlaced pictures go through ffmpeg's bwdif."""
    longest_gap_seconds: float = 60.0
    """With `fps`: for how long one frame may stand in, where the video has none."""
    decoders: int = 2
    """Videos decoded side by side, each in a process of its own."""
    decode_timeout_seconds: float = 60.0
    """A video whose decoder gives no sign of life for so long has failed."""
    overwrite: bool = False
    """Start anew, and keep the old file until the new one is complete, instead of going on with an earlier run."""

    def __post_init__(self) -> None:
        inputs = (self.inputs,) if isinstance(self.inputs, str | Path) else self.inputs
        object.__setattr__(self, "inputs", tuple(str(item) for item in inputs))
        object.__setattr__(self, "out", Path(self.out))
        check_choice("precision", self.precision, Precision)
        check_choice("decoder", self.decoder, Decoder)
        check_choice("on_damage", self.on_damage, OnDamage)
        check_choice("part_edges", self.part_edges, PartEdges)
        check_positive("longest_gap_seconds", self.longest_gap_seconds)
        if self.frames_fps is not None:
            check_positive("frames_fps", self.frames_fps)
        if self.video_stream is not None:
            check_whole("video_stream", self.video_stream, 0)
        if self.batch_size is not None:
            check_whole("batch_size", self.batch_size, 1)
        check_whole("decoders", self.decoders, 1)
        check_positive("decode_timeout_seconds", self.decode_timeout_seconds)
        _ = self.sampling  # its own checks

    @property
    def sampling(self) -> SamplingChoice:
        """What is said of the sampling."""
        return SamplingChoice(self.preset, self.frame_step, self.fps, self.stride, self.edges, self.align)


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
