"""One training run."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from lcdc_extract.config import Decoder
from lcdc_extract.errors import ConfigError

RecipeName = Literal["authors", "modern", "synthetic-cpu", "synthetic-gpu"]
TrainPrecision = Literal["float32", "bfloat16"]

CHECKPOINT = "checkpoint.pt"
SAVE_EVERY_SECONDS = 120.0
"""From one checkpoint to the next."""

OF_VIDEOS = ("videos", "labels", "mapping", "split", "validation", "frame_step", "stride", "decoder")
"""Settings that mean nothing where the renderer supplies the data."""


@dataclass(frozen=True)
class TrainConfig:
    """Field by field the options of `lcdc train`."""

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
    stride: int = 4
    """Frames from one snippet to the next, after frame_step."""
    device: str = "auto"
    precision: TrainPrecision = "float32"
    seed: int = 0
    decoder: Decoder = "decord"

    def __post_init__(self) -> None:
        object.__setattr__(self, "out", Path(self.out))
        for name, kind in (("recipe", RecipeName), ("precision", TrainPrecision), ("decoder", Decoder)):
            if getattr(self, name) not in get_args(kind):
                raise ConfigError(f"--{name} {getattr(self, name)}; expected one of {', '.join(get_args(kind))}")
        for name in ("frame_step", "stride"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{_option(name)} is {getattr(self, name)}; expected at least 1")
        if self.seed < 0:
            raise ConfigError(f"--seed is {self.seed}; expected 0 or more")
        self._check_data()

    @property
    def synthetic(self) -> bool:
        """Whether the renderer supplies the data."""
        return self.recipe.startswith("synthetic")

    def _check_data(self) -> None:
        fields = {field.name: field.default for field in dataclasses.fields(self)}
        named = [name for name in OF_VIDEOS if getattr(self, name) != fields[name]]
        if self.synthetic and named:
            raise ConfigError(
                f"--recipe {self.recipe} draws its own videos; found {', '.join(map(_option, named))}. Leave that out, "
                "or train on your videos with --recipe modern or authors."
            )
        missing = [name for name in ("videos", "labels") if getattr(self, name) is None]
        if not self.synthetic and missing:
            raise ConfigError(
                f"--recipe {self.recipe} needs {' and '.join(map(_option, missing))}. Without videos of your own, "
                "train on synthetic actions with --recipe synthetic-cpu or synthetic-gpu."
            )


def _option(name: str) -> str:
    return "--" + name.replace("_", "-")
