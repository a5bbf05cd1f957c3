"""A set of videos on disk, in the layout that MS-TCN and its successors read."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lcdc_extract import __version__
from lcdc_extract.errors import ConfigError, OutputError
from lcdc_extract.features.part import sync, write_and_rename
from lcdc_extract.synth.actions import CLASSES, FRAMES_PER_SECOND
from lcdc_extract.synth.encode import encode_mp4, load_av
from lcdc_extract.synth.videos import SyntheticVideo, draw_video, render_video, video_name

SCHEMA = "lcdc-synth/1"
CARD = "synth.json"
SPLITS = 4
"""Cross-validation splits, where there are videos enough."""

Report = Callable[[SyntheticVideo, int], None]
"""Called with a video and how many more of its frames are encoded."""


@dataclass(frozen=True)
class VideoRecord:
    """What `synth.json` says of a video."""

    name: str
    frames: int
    segments: int
    class_frames: dict[str, int]
    """How many frames each class has."""


def check_set(num_videos: int, seed: int, pixels: int) -> None:
    """Raises ConfigError where no set can be made of these."""
    if num_videos < 2:
        raise ConfigError(f"--videos is {num_videos}; expected at least 2, to train on one and test on another")
    if seed < 0:
        raise ConfigError(f"--seed is {seed}; expected a whole number of at least 0")
    if pixels % 2 or not 32 <= pixels <= 1024:
        raise ConfigError(f"--size is {pixels}; expected an even number from 32 to 1024")


def write_set(
    out: Path, *, num_videos: int, seed: int, pixels: int, device: torch.device, report: Report
) -> list[VideoRecord]:
    """Writes videos, their frames' classes, the list of classes and splits; goes on where an earlier call stopped.

    A video is there completely or not at all, and a finished one is not drawn again.

    Args:
        out: a folder that is new, empty, or holds the same set or the first videos of it.
        num_videos: at least 2.
        seed: of the set.
        pixels: side of the pictures, even.
        device: to draw on.
        report: called as frames are encoded; once, with all its frames, for a video that is there already.

    Raises:
        ConfigError: see `check_set`.
        OutputError: the folder holds something else, cannot be written, or PyAV is not installed.
    """
    check_set(num_videos, seed, pixels)
    load_av()
    made_of = {"schema": SCHEMA, "seed": seed, "size": pixels, "frames_per_second": FRAMES_PER_SECOND}
    try:
        _claim(out, made_of)
        _make_folders(out, num_videos)
        _write_text(out / "mapping.txt", "".join(f"{number} {name}\n" for number, name in enumerate(CLASSES)))
        records = []
        for index in range(num_videos):
            video = draw_video(seed, index)
            _write_text(
                out / "groundTruth" / f"{video.name}.txt", "".join(f"{CLASSES[label]}\n" for label in video.labels)
            )
            _write_video(out / "videos" / f"{video.name}.mp4", video, pixels, device, report)
            records.append(_record(video))
        _write_splits(out / "splits", [record.name for record in records])
        card = json.loads((out / CARD).read_text())
        _write_card(out / CARD, card | {"videos": [asdict(record) for record in records]})
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
            files[f"{part}.split{split + 1}.bundle"] = "".join(f"{name}.txt\n" for name in members)
    return files


def _claim(out: Path, made_of: dict[str, object]) -> None:
    """Leaves the card in a folder that is new or empty, or checks that an earlier run left the same."""
    card = out / CARD
    if out.exists() and not out.is_dir():
        raise OutputError(f"{out} is a file; expected a folder, or a name for a new one")
    if card.exists():
        _check_card(card, made_of)
        return
    out.mkdir(parents=True, exist_ok=True)
    if found := sorted(path.name for path in out.iterdir()):
        raise OutputError(f"{out} holds {found[0]} and no {CARD}; choose a new or an empty folder")
    versions = {"lcdc_extract": __version__, "numpy": np.__version__, "torch": torch.__version__}
    versions["av"] = load_av().__version__
    _write_card(card, made_of | {"versions": versions, "videos": []})


def _check_card(card: Path, made_of: dict[str, object]) -> None:
    try:
        found = json.loads(card.read_text())
        differing = [name for name, value in made_of.items() if found[name] != value]
    except (ValueError, KeyError, TypeError) as error:
        raise OutputError(f"{card} is damaged or of another program; choose a new folder") from error
    if differing:
        was, now = (", ".join(f"{name} {values[name]}" for name in differing) for values in (found, made_of))
        raise OutputError(f"{card.parent} was made with {was}; asked for: {now}. Choose another folder, or the same.")


def _write_card(path: Path, card: dict[str, object]) -> None:
    write_and_rename(path, json.dumps(card, indent=1) + "\n")


def _make_folders(out: Path, num_videos: int) -> None:
    for folder in ("videos", "groundTruth", "splits"):
        (out / folder).mkdir(exist_ok=True)
    wanted = {video_name(index) for index in range(num_videos)}
    if extra := {path.stem for path in (out / "videos").glob("*.mp4")} - wanted:
        raise OutputError(
            f"{out}/videos holds {min(extra)}.mp4, which is not one of the {num_videos} videos asked for. "
            "Give a larger --videos, or choose another folder."
        )


def _write_text(path: Path, text: str) -> None:
    """Leaves a file alone that says the same, and refuses one that says something else."""
    if not path.exists():
        write_and_rename(path, text)
    elif path.read_text() != text:
        raise OutputError(
            f"{path} is not what this version writes: it was changed, or made by another version. Choose a new folder."
        )


def _write_video(path: Path, video: SyntheticVideo, pixels: int, device: torch.device, report: Report) -> None:
    if path.exists():
        report(video, len(video))
        return
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("ab") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise OutputError(f"another run is writing {path}. Wait for it to end, or choose another folder.") from None
        try:
            encode_mp4(unfinished, _reporting(video, pixels, device, report), pixels, FRAMES_PER_SECOND)
            sync(unfinished)
            os.replace(unfinished, path)
            sync(path.parent)
        finally:
            unfinished.unlink(missing_ok=True)


def _reporting(video: SyntheticVideo, pixels: int, device: torch.device, report: Report) -> Iterator[Tensor]:
    for chunk in render_video(video, device, pixels):
        yield chunk
        report(video, len(chunk))


def _record(video: SyntheticVideo) -> VideoRecord:
    frames = np.bincount(video.labels, minlength=len(CLASSES)).tolist()
    return VideoRecord(video.name, len(video), video.segments, dict(zip(CLASSES, frames, strict=True)))


def _write_splits(folder: Path, names: Sequence[str]) -> None:
    """Those of an earlier run with fewer videos are replaced, each by itself: a run may stop between any two."""
    wanted = bundles(names)
    there = {name: (folder / name).read_text() for name in wanted if (folder / name).exists()}
    sets = (bundles(names[:count]) for count in range(2, len(names)))
    earlier = {name for smaller in sets for name, text in smaller.items() if there.get(name) == text}
    for name, text in wanted.items():
        if name in earlier and there[name] != text:
            write_and_rename(folder / name, text)
        _write_text(folder / name, text)
