"""A set of videos on disk, in the layout that MS-TCN and its successors read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lcdc_extract import __version__
from lcdc_extract.config import check_whole
from lcdc_extract.errors import ConfigError, OutputError
from lcdc_extract.files import InUseError, acquire, replacing, unfinished_path, write_text
from lcdc_extract.synth.actions import CLASSES, FRAMES_PER_SECOND
from lcdc_extract.synth.encode import encode_mp4, load_av
from lcdc_extract.synth.events import FramesEncoded, Reporter
from lcdc_extract.synth.scene import SCENE_SIZE
from lcdc_extract.synth.videos import SyntheticVideo, draw_video, render_video, video_name

SCHEMA = "lcdc-synth/1"
CARD = "synth.json"
LOCK = ".lock"
"""Held by the run that writes to the folder, and gone after it."""
SPLITS = 4
"""Cross-validation splits, where there are videos enough."""


@dataclass(frozen=True)
class SynthConfig:
    """A set of videos. Field by field the options of `lcdc synth`."""

    videos: int
    """How many; at least 2, to train on one and test on another."""
    seed: int
    """Of the set; a smaller set of the same seed is its beginning."""
    size: int = SCENE_SIZE
    """Side of the pictures in pixels: even, 32 to 1024."""

    def __post_init__(self) -> None:
        check_whole("videos", self.videos, 2)
        check_whole("seed", self.seed, 0)
        check_whole("size", self.size, 32)
        if self.size % 2 or self.size > 1024:
            raise ConfigError(f"`size` is {self.size}; expected an even number from 32 to 1024")


@dataclass(frozen=True)
class VideoRecord:
    """What `synth.json` says of a video."""

    name: str
    frames: int
    segments: int
    class_frames: dict[str, int]
    """How many frames each class has."""


def write_set(out: Path, config: SynthConfig, *, device: torch.device, report: Reporter) -> list[VideoRecord]:
    """Writes videos, their frames' classes, the list of classes and splits; goes on where an earlier call stopped.

    A video is there completely or not at all, and a finished one is not drawn again.

    Args:
        out: a folder that is new, empty, or holds the same set or the first videos of it.
        config: what to write.
        device: to draw on.
        report: takes the events.

    Raises:
        OutputError: the folder holds something else, cannot be written, another run writes to it, or PyAV is missing.
    """
    load_av()
    try:
        with _alone_in(out):
            _claim(out, config)
            _make_folders(out, config.videos)
            _write_once(out / "mapping.txt", _text(f"{number} {name}" for number, name in enumerate(CLASSES)))
            records = [_add_video(out, index, config, device, report) for index in range(config.videos)]
            _write_splits(out / "splits", [record.name for record in records])
            card = json.loads((out / CARD).read_text())
            _write_card(out, card | {"videos": [asdict(record) for record in records]})
    except OSError as error:
        raise OutputError(f"{out} cannot be written: {error}. Finished videos in it are kept.") from error
    return records


def bundles(names: Sequence[str]) -> dict[str, str]:
    """File names and contents of the cross-validation splits: each video is tested on in one of them."""
    count = min(SPLITS, len(names))
    files = {}
    for split in range(count):
        test = names[split::count]
        tested = set(test)
        train = [name for name in names if name not in tested]
        for part, members in (("train", train), ("test", test)):
            files[f"{part}.split{split + 1}.bundle"] = _text(f"{name}.txt" for name in members)
    return files


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Makes the folder, and keeps other runs out of it."""
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; expected a folder, or a name for a new one")
    out.mkdir(parents=True, exist_ok=True)
    try:
        lock = acquire(out / LOCK)
    except InUseError:
        raise OutputError(f"another run is writing to {out}. Wait for it to end, or choose another folder.") from None
    try:
        yield
    finally:
        (out / LOCK).unlink(missing_ok=True)
        lock.release()


def _claim(out: Path, config: SynthConfig) -> None:
    """Leaves the card in a folder that is new or empty, or checks that an earlier run left the same."""
    card = out / CARD
    made_of = {"schema": SCHEMA, "seed": config.seed, "size": config.size, "frames_per_second": FRAMES_PER_SECOND}
    if card.exists():
        _check_card(card, made_of)
        return
    own = {LOCK, unfinished_path(card).name}
    if found := sorted({path.name for path in out.iterdir()} - own):
        raise OutputError(f"{out} holds {found[0]} and no {CARD}; choose a new or an empty folder")
    versions = {"lcdc_extract": __version__, "numpy": np.__version__, "torch": torch.__version__}
    versions["av"] = load_av().__version__
    _write_card(out, made_of | {"versions": versions, "videos": []})


def _check_card(card: Path, made_of: dict[str, object]) -> None:
    try:
        found = json.loads(card.read_text())
        differing = [name for name, value in made_of.items() if found[name] != value]
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{card} is damaged or of another program; choose a new folder") from error
    if differing:
        was, now = (", ".join(f"{name} {values[name]}" for name in differing) for values in (found, made_of))
        raise OutputError(f"{card.parent} was made with {was}; asked for: {now}. Choose another folder, or the same.")


def _write_card(out: Path, card: dict[str, object]) -> None:
    write_text(out / CARD, json.dumps(card, indent=1) + "\n")


def _make_folders(out: Path, num_videos: int) -> None:
    for folder in ("videos", "groundTruth", "splits"):
        (out / folder).mkdir(exist_ok=True)
    wanted = {video_name(index) for index in range(num_videos)}
    if extra := {path.stem for path in (out / "videos").glob("*.mp4")} - wanted:
        raise OutputError(
            f"{out}/videos holds {min(extra)}.mp4, which is not one of the {num_videos} videos asked for. "
            "Give more `videos`, or choose another folder."
        )


def _add_video(out: Path, index: int, config: SynthConfig, device: torch.device, report: Reporter) -> VideoRecord:
    video = draw_video(config.seed, index)
    _write_once(out / "groundTruth" / f"{video.name}.txt", _text(CLASSES[label] for label in video.labels))
    path = out / "videos" / f"{video.name}.mp4"
    if path.exists():
        report(FramesEncoded(video.name, len(video), len(video)))
    else:
        with replacing(path) as unfinished:
            encode_mp4(unfinished, _reporting(video, config.size, device, report), config.size, FRAMES_PER_SECOND)
    frames = np.bincount(video.labels, minlength=len(CLASSES)).tolist()
    return VideoRecord(video.name, len(video), video.segments, dict(zip(CLASSES, frames, strict=True)))


def _reporting(video: SyntheticVideo, size: int, device: torch.device, report: Reporter) -> Iterator[Tensor]:
    for chunk in render_video(video, device, size):
        yield chunk
        report(FramesEncoded(video.name, len(chunk), len(video)))


def _write_splits(folder: Path, names: Sequence[str]) -> None:
    """Those of an earlier run with fewer videos are replaced, each by itself: a run may stop between any two."""
    earlier = [bundles(names[:count]) for count in range(2, len(names))]
    for name, text in bundles(names).items():
        _write_once(folder / name, text, [smaller[name] for smaller in earlier if name in smaller])


def _write_once(path: Path, text: str, outgrown: Sequence[str] = ()) -> None:
    """Leaves a file alone that says the same, replaces an `outgrown` text, and refuses any other."""
    found = path.read_text() if path.exists() else None
    if found == text:
        return
    if found is not None and found not in outgrown:
        raise OutputError(
            f"{path} is not what this version writes: it was changed, or made by another version. Choose a new folder."
        )
    write_text(path, text)


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)
