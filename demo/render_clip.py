"""Renders demo/clip.mp4: a board, and a knife-like bar that cuts, then a spoon-like bar that stirs.

python demo/render_clip.py demo/clip.mp4
"""

from __future__ import annotations

import sys
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

WIDTH, HEIGHT, RATE, SECONDS = 320, 240, 15, 6
CUT_HERTZ, STIR_HERTZ = 2.5, 1.2


def tool_pose(time_seconds: float) -> tuple[float, float, float]:
    """Centre (x, y) in pixels and angle in radians: up and down in the first half, in circles in the second."""
    if time_seconds < SECONDS / 2:
        return WIDTH * 0.5, HEIGHT * 0.45 + 28 * np.sin(2 * np.pi * CUT_HERTZ * time_seconds), 1.35
    turn = 2 * np.pi * STIR_HERTZ * time_seconds
    return WIDTH * 0.5 + 40 * np.cos(turn), HEIGHT * 0.5 + 26 * np.sin(turn), 0.6


def draw(time_seconds: float, grain: npt.NDArray[np.float64]) -> npt.NDArray[np.uint8]:
    """One frame, uint8 (HEIGHT, WIDTH, 3)."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(float)
    wood = 150 + 18 * np.sin(x / 23 + 0.6 * np.sin(y / 31)) + grain
    picture = np.stack([wood + 30, wood, wood - 55], axis=-1)
    food = np.hypot((x - 0.5 * WIDTH) / 95, (y - 0.62 * HEIGHT) / 52) < 1
    picture[food] = [96, 160, 74]
    picture[food] += 12 * np.sin(x[food] / 5)[:, None]
    centre_x, centre_y, angle = tool_pose(time_seconds)
    along = (x - centre_x) * np.cos(angle) + (y - centre_y) * np.sin(angle)
    across = (y - centre_y) * np.cos(angle) - (x - centre_x) * np.sin(angle)
    picture[(np.abs(along) < 70) & (np.abs(across) < 9)] = [205, 208, 214]
    picture[(along < -25) & (along > -72) & (np.abs(across) < 11)] = [58, 40, 30]
    return np.clip(picture, 0, 255).astype(np.uint8)


def render(path: Path) -> None:
    """Encodes the clip as H.264."""
    grain = np.random.default_rng(0).normal(0, 5, (HEIGHT, WIDTH))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "27", "preset": "slow"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(RATE * SECONDS):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(draw(number / RATE, grain), format="rgb24")))
        container.mux(stream.encode(None))


if __name__ == "__main__":
    render(Path(sys.argv[1]))
