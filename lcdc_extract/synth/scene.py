"""What a scene looks like and how everything in it moves; drawn so that nothing but motion depends on the class.

All numbers are pixels of the 224x224 scene, 0..255 colours and radians. A scene is tensors only; `render.py` draws it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from torch import Tensor

from lcdc_extract.synth.actions import (
    CLOSED,
    FRAMES_PER_SECOND,
    OPEN,
    FloatArray,
    Poses,
    Rng,
)

SCENE_SIZE = 224
SCALES = (0.4, 0.7)
"""Sizes and motions of a scene are the actions' own times one number from here."""
DISTRACTORS = 3
LAYOUT_CLASSES = ("background", "first part", "second part", "lid", "distractor")
SHAPE_KINDS = (4,) * DISTRACTORS + (1, 2, 3)
"""The layout class of each shape, in the order they are painted."""


@dataclass(frozen=True)
class Scene:
    """T frames of one video, or, stacked, of N videos of the same length: every field then has N in front."""

    colours: Tensor
    """(3, 3): the background's colours, RGB."""
    gratings: Tensor
    """(4, 3): waves of the background: cycles per pixel along x and y, phase."""
    shapes: Tensor
    """(P, 13): half width, half height, exponent (2 an ellipse, 8 nearly a box), two colours, stripes' cycles per pixel
    along x and y, their phase, opacity; painted in this order."""
    tracks: Tensor
    """(T, P, 3): x, y and angle of each shape."""
    camera: Tensor
    """(T, 4): shift x, shift y, roll, zoom."""
    light: Tensor
    """(T,): gain."""
    shading: Tensor
    """(2,): brightness from one side to the other, x and y."""
    tint: Tensor
    """(3,): gain of each channel."""
    contrast: Tensor
    """()."""
    noise: Tensor
    """(): standard deviation of the sensor's noise."""
    noise_seed: Tensor
    """(T,): int64, one per frame."""
    home: Tensor
    """(2,): x and y of the place the actor moves about."""

    def frames(self, part: slice) -> Scene:
        """Some of the frames of one video."""
        over_time = ("tracks", "camera", "light", "noise_seed")
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return Scene(**{name: value[part] if name in over_time else value for name, value in values.items()})

    def scenes(self, part: slice) -> Scene:
        """Some of the stacked scenes."""
        return Scene(**{field.name: getattr(self, field.name)[part] for field in fields(self)})

    def to(self, device: torch.device) -> Scene:
        """A copy on a device."""
        return Scene(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


def stack(scenes: Sequence[Scene]) -> Scene:
    """Scenes of the same length as one, to be rendered together."""
    return Scene(**{field.name: torch.stack([getattr(s, field.name) for s in scenes]) for field in fields(Scene)})


def draw_scene(poses: Poses, scale: float, rng: Rng) -> Scene:
    """A scene with the actor in the given poses and everything else at random."""
    length = len(poses)
    home = rng.uniform(72, SCENE_SIZE - 72, 2)
    radius = scale * rng.uniform(24, 38)
    actor_shapes, actor_tracks = _actor(poses, home, radius, rng)
    others = [_distractor(length, home, scale, rng) for _ in range(DISTRACTORS)]
    shapes = np.stack([shape for shape, _ in others] + actor_shapes)
    tracks = np.stack([track for _, track in others] + actor_tracks, axis=1)
    frequency = rng.uniform(0.003, 0.06, (4, 1))
    gratings = np.concatenate([_directions(rng, 4) * frequency, rng.uniform(0, 2 * np.pi, (4, 1))], axis=1)
    values = {
        "colours": rng.uniform(20, 235, (3, 3)),
        "gratings": gratings,
        "shapes": shapes,
        "tracks": tracks,
        "camera": _camera(length, rng),
        "light": 1 + 0.12 * _drift(length, rng, 0.05, 0.5),
        "shading": rng.uniform(-0.25, 0.25, 2),
        "tint": rng.uniform(0.85, 1.15, 3),
        "contrast": rng.uniform(0.7, 1.2),
        "noise": rng.uniform(0, 7),
        "home": home,
    }
    seeds = rng.integers(0, 2**31, length)
    tensors = {name: torch.tensor(value, dtype=torch.float32) for name, value in values.items()}
    return Scene(**tensors, noise_seed=torch.from_numpy(seeds))


def _actor(poses: Poses, home: FloatArray, radius: float, rng: Rng) -> tuple[list[FloatArray], list[FloatArray]]:
    """Two parts whose distance is the opening, and a lid hinged on the first that turns with it."""
    axis = np.stack([np.cos(poses.angle), np.sin(poses.angle)], axis=1)
    centre = home + poses.position
    half = radius * poses.opening[:, None] / 2
    first, second = centre - half * axis, centre + half * axis
    lid_angle = poses.angle + 0.4 + 0.8 * (poses.opening - CLOSED) / (OPEN - CLOSED)
    lid_axis = np.stack([np.cos(lid_angle), np.sin(lid_angle)], axis=1)
    lid = first + 0.8 * radius * lid_axis
    big = rng.uniform(0.6, 0.9, 2) * radius
    small = rng.uniform(0.4, 0.75, 2) * radius
    bar = np.array([0.8, rng.uniform(0.14, 0.24)]) * radius
    shapes = [_shape(size, 1.0, rng) for size in (big, small, bar)]
    tracks = [
        np.concatenate([place, turn[:, None]], axis=1)
        for place, turn in ((first, poses.angle), (second, poses.angle), (lid, lid_angle))
    ]
    return shapes, tracks


def _distractor(length: int, home: FloatArray, scale: float, rng: Rng) -> tuple[FloatArray, FloatArray]:
    """Something that stands or moves slowly; about a third of them are not there."""
    size = scale * rng.uniform(10, 34, 2)
    centre = home + rng.uniform(-1, 1, 2) * 72
    paths = [centre[axis] + scale * rng.uniform(0, 20) * _drift(length, rng, 0.03, 0.3) for axis in range(2)]
    angle = rng.uniform(0, 2 * np.pi) + rng.uniform(0, 0.5) * _drift(length, rng, 0.03, 0.3)
    return _shape(size, float(rng.random() < 0.67), rng), np.stack([*paths, angle], axis=1)


def _shape(size: FloatArray, opacity: float, rng: Rng) -> FloatArray:
    exponent = rng.choice([2.0, 3.0, 4.0, 8.0])
    stripes = _directions(rng, 1)[0] * rng.uniform(0.02, 0.14)
    colours = rng.uniform(0, 255, 6)
    return np.concatenate([size, [exponent], colours, stripes, [rng.uniform(0, 2 * np.pi)], [opacity]])


def _camera(length: int, rng: Rng) -> FloatArray:
    shift = rng.uniform(2, 10, 2)
    drifts = [shift[axis] * _drift(length, rng, 0.03, 0.15) + 0.8 * _jitter(length, rng) for axis in range(2)]
    roll = rng.uniform(0, 0.03) * _drift(length, rng, 0.03, 0.15)
    zoom = 1 + 0.03 * _drift(length, rng, 0.03, 0.15)
    return np.stack([*drifts, roll, zoom], axis=1)


def _drift(length: int, rng: Rng, low: float, high: float) -> FloatArray:
    """Between -1 and 1, a slow wave of a frequency between the two in hertz."""
    time = np.arange(length) / FRAMES_PER_SECOND
    return np.sin(2 * np.pi * rng.uniform(low, high) * time + rng.uniform(0, 2 * np.pi))


def _jitter(length: int, rng: Rng) -> FloatArray:
    """A hand's tremor: noise smoothed over a few frames, standard deviation 1."""
    kernel = np.hanning(7)[1:-1]
    return np.convolve(rng.standard_normal(length + 4), kernel / np.sqrt((kernel**2).sum()), "valid")


def _directions(rng: Rng, count: int) -> FloatArray:
    angle = rng.uniform(0, 2 * np.pi, count)
    return np.stack([np.cos(angle), np.sin(angle)], axis=1)
