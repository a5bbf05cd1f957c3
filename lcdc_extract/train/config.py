"""One training run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from lcdc_extract.config import Decoder
from lcdc_extract.errors import ConfigError

RecipeName = Literal["authors", "modern", "synthetic-cpu", "synthetic-gpu"]
TrainPrecision = Literal["float32", "bfloat16"]

CHECKPOINT = "checkpoint.pt"
SAVE_EVERY_SECONDS = 120.0
"""From one checkpoint to the next."""

PATHS = ("videos", "labels", "mapping", "split", "validation")
OF_VIDEOS = (*PATHS, "frame_step", "stride", "decoder")
"""Settings that mean nothing where the renderer supplies the data."""


def check_whole(name: str, value: object, least: int) -> None:
    """Refuses a setting that is not a whole number of at least `least`; 2.0 and True are none."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ConfigError(f"`{name}` is {value!r}; expected a whole number of at least {least}")


def check_choice(name: str, value: object, kind: Any) -> None:
    """Refuses a setting that is not one of the strings of the Literal `kind`."""
    if value not in get_args(kind):
        raise ConfigError(f"`{name}` is {value!r}; expected one of {', '.join(get_args(kind))}")


@dataclass(frozen=True)
class TrainConfig:
    """Field by field the options of `lcdc train`.

    Raises:
        ConfigError: a setting is out of range, or two do not go together.
    """

    out: Path
    """Directory of checkpoint, curves and weights."""
    recipe: RecipeName = "modern"
    videos: Path | None = None
    """Directory of videos; None trains on synthetic actions."""
    labels: Path | None = None
    """Directory of frame labels, one text file a video, or one CSV file of segments."""
    mapping: Path | None = None
    """Class names; None is mapping.txt beside the labels."""
    split: Path | None = None
    """Bundle of the videos to train on; None is all but those to validate on."""
    validation: Path | None = None
    """Bundle of the videos to validate on; None validates nothing."""
    init: str = "scratch"
    """Weights to start from: a name or a path; "scratch" for random numbers."""
    frame_step: int = 1
    """Every `frame_step`-th frame of a video is used."""
    stride: int = 4
    """Frames from one snippet to the next, after `frame_step`."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    precision: TrainPrecision = "float32"
    """bfloat16 runs what may be shorter so; offset layers and stored weights stay float32."""
    seed: int = 0
    """Of weights, order and synthetic scenes."""
    decoder: Decoder = "auto"

    def __post_init__(self) -> None:
        for name in ("out", *PATHS):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        check_choice("recipe", self.recipe, RecipeName)
        check_choice("precision", self.precision, TrainPrecision)
        check_choice("decoder", self.decoder, Decoder)
        check_whole("frame_step", self.frame_step, 1)
        check_whole("stride", self.stride, 1)
        check_whole("seed", self.seed, 0)
        self._check_data()

    @property
    def synthetic(self) -> bool:
        """Whether the renderer supplies the data."""
        return self.recipe.startswith("synthetic")

    def _check_data(self) -> None:
        defaults = {field.name: field.default for field in dataclasses.fields(self)}
        named = [f"`{name}`" for name in OF_VIDEOS if getattr(self, name) != defaults[name]]
        if self.synthetic and named:
            raise ConfigError(
                f"`recipe={self.recipe!r}` draws its own videos; found {', '.join(named)}. Leave that out, or train on "
                "your videos with `recipe='modern'` or `recipe='authors'`."
            )
        missing = [f"`{name}`" for name in ("videos", "labels") if getattr(self, name) is None]
        if not self.synthetic and missing:
            raise ConfigError(
                f"`recipe={self.recipe!r}` needs {' and '.join(missing)}. Without videos of your own, train on "
                "synthetic actions with `recipe='synthetic-cpu'` or `recipe='synthetic-gpu'`."
            )
