"""Renders docs/synthetic.png: a row for each class, every second frame of one and the same scene.

python demo/contact_sheet.py docs/synthetic.png
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import torch

from lcdc_extract.synth.actions import CLASSES, segment
from lcdc_extract.synth.render import View, render
from lcdc_extract.synth.scene import draw_scene, stack

SCENE_SEED, POSE_SEED, SCALE = 21, 3, 0.6
COLUMNS, STEP = 8, 2
VIEW = View(side=128, pixels=64)


def draw() -> torch.Tensor:
    """Pictures (classes, COLUMNS, 3, 64, 64), the actor in the middle; no noise, which no PNG can make small."""
    scenes = []
    for name in CLASSES:
        poses = segment(name, COLUMNS * STEP, 0.5, SCALE, np.random.default_rng(POSE_SEED))
        middle = (poses.position.max(axis=0) + poses.position.min(axis=0)) / 2
        poses = replace(poses, position=poses.position - middle)
        scene = draw_scene(poses, SCALE, np.random.default_rng(SCENE_SEED))
        scenes.append(replace(scene, noise=torch.zeros(())))
    together = stack(scenes)
    return render(together, VIEW, together.home - VIEW.side / 2)[:, ::STEP]


def write(path: Path) -> None:
    """Rows of pictures, two pixels apart, as PNG; in 32 levels, which halves the file."""
    pictures = torch.nn.functional.pad(draw() // 8 * 8, (0, 2, 0, 2), value=255)
    sheet = pictures.permute(0, 3, 1, 4, 2).flatten(0, 1).flatten(1, 2).contiguous().numpy()
    with av.open(str(path), "w", format="image2") as container:
        stream = container.add_stream("png", rate=1, options={"compression_level": "9", "pred": "mixed"})
        stream.height, stream.width, stream.pix_fmt = *sheet.shape[:2], "rgb24"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(sheet, format="rgb24")))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    write(Path(sys.argv[1]))
