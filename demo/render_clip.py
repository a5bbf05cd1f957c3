"""Renders demo/clip.mp4: 20 seconds of a video that `lcdc synth` could have written.

python demo/render_clip.py demo/clip.mp4
"""

from __future__ import annotations

import sys
from itertools import groupby
from pathlib import Path

import torch

from lcdc_extract.synth.actions import CLASSES, FRAMES_PER_SECOND
from lcdc_extract.synth.encode import encode_mp4
from lcdc_extract.synth.scene import SCENE_SIZE
from lcdc_extract.synth.videos import SyntheticVideo, draw_video, render_video

SEED, SECONDS = 2019, 20


def beginning(video: SyntheticVideo, num_frames: int) -> SyntheticVideo:
    """The first frames of a video."""
    part = slice(num_frames)
    return SyntheticVideo(video.name, video.scene.frames(part), video.labels[part])


def main(path: Path) -> None:
    """Encodes the clip as H.264 and prints what happens in it."""
    video = beginning(draw_video(SEED, 0), round(SECONDS * FRAMES_PER_SECOND))
    encode_mp4(path, render_video(video, torch.device("cpu")), SCENE_SIZE, FRAMES_PER_SECOND)
    for label, run in groupby(video.labels):
        print(f"{len(list(run)) / FRAMES_PER_SECOND:5.1f} s  {CLASSES[label]}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
