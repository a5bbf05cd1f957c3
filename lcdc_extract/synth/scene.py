"""What a scene looks like and how everything in it moves; drawn so that nothing but motion depends on the class.

All numbers are pixels of the 224x224 scene, 0..255 colours and radians. A scene is tensors only; `render.py` draws it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

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

Tensors = TypeVar("Tensors")
"""A dataclass whose fields are tensors or such dataclasses."""


@dataclass(frozen=True)
class Wave:
    """sin(2 pi (along_x x + along_y y) + phase). All fields are (), or have the same shape."""

    along_x: Tensor
    """Cycles per pixel."""
    along_y: Tensor
    phase: Tensor


@dataclass(frozen=True)
class Shape:
    """A superellipse with stripes, or, stacked, P of them: every field then has P in front."""

    half_width: Tensor
    """()."""
    half_height: Tensor
    """()."""
    exponent: Tensor
    """(): 2 an ellipse, 8 nearly a box."""
    colour: Tensor
    """(3,): RGB."""
    stripe_colour: Tensor
    """(3,): on the crests of `stripes`; `colour` is in their troughs."""
    stripes: Wave
    """Along the shape's own axes."""
    opacity: Tensor
    """(): 0 is not there."""


@dataclass(frozen=True)
class Track:
    """Where a shape is in each of T frames. All fields are (T,), or (T, P) for P of them."""

    x: Tensor
    y: Tensor
    angle: Tensor


@dataclass(frozen=True)
class Camera:
    """What is seen in each of T frames. All fields are (T,)."""

    shift_x: Tensor
    shift_y: Tensor
    roll: Tensor
    zoom: Tensor


@dataclass(frozen=True)
class Scene:
    """T frames of one video, or, stacked, of N videos of the same length: every tensor then has N in front."""

    colours: Tensor
    """(3, 3): the background's colours, RGB."""
    gratings: Wave
    """(4,): the background's."""
    shapes: Shape
    """P of them, painted in this order."""
    tracks: Track
    """(T, P): of the shapes."""
    camera: Camera
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
        return replace(self, **{name: map_tensors(lambda t: t[part], getattr(self, name)) for name in over_time})

    def scenes(self, part: slice) -> Scene:
        """Some of the stacked scenes."""
        return map_tensors(lambda t: t[part], self)

    def to(self, device: torch.device) -> Scene:
        """A copy on a device."""
        return map_tensors(lambda t: t.to(device), self)


def map_tensors(change: Callable[..., Tensor], *parts: Tensors) -> Tensors:
    """`change` of the tensors in the same place of each of `parts`, place by place."""
    first: Any = parts[0]
    if isinstance(first, Tensor):
        return change(*parts)  # type: ignore[return-value]
    names = [field.name for field in fields(first)]
    changed = {name: map_tensors(change, *(getattr(part, name) for part in parts)) for name in names}
    return type(first)(**changed)  # type: ignore[no-any-return]


def stack(parts: Sequence[Tensors], dim: int = 0) -> Tensors:
    """Scenes of the same length as one, to be rendered together; shapes and tracks likewise."""
    return map_tensors(lambda *tensors: torch.stack(tensors, dim), *parts)


def draw_scene(poses: Poses, scale: float, rng: Rng) -> Scene:
    """A scene with the actor in the given poses and everything else at random."""
    length = len(poses)
    home = rng.uniform(72, SCENE_SIZE - 72, 2)
    radius = scale * rng.uniform(24, 38)
    actor = _actor(poses, home, radius, rng)
    moving = [_distractor(length, home, scale, rng) for _ in range(DISTRACTORS)] + actor
    frequency = rng.uniform(0.003, 0.06, 4)
    gratings = _wave(_directions(rng, 4) * frequency[:, None], rng.uniform(0, 2 * np.pi, 4))
    return Scene(
        colours=_tensor(rng.uniform(20, 235, (3, 3))),
        gratings=gratings,
        shapes=stack([shape for shape, _ in moving]),
        tracks=stack([track for _, track in moving], dim=1),
        camera=_camera(length, rng),
        light=_tensor(1 + 0.12 * _drift(length, rng, 0.05, 0.5)),
        shading=_tensor(rng.uniform(-0.25, 0.25, 2)),
        tint=_tensor(rng.uniform(0.85, 1.15, 3)),
        contrast=_tensor(rng.uniform(0.7, 1.2)),
        noise=_tensor(rng.uniform(0, 7)),
        noise_seed=torch.from_numpy(rng.integers(0, 2**31, length)),
        home=_tensor(home),
    )


def _actor(poses: Poses, home: FloatArray, radius: float, rng: Rng) -> list[tuple[Shape, Track]]:
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
    parts = ((big, first, poses.angle), (small, second, poses.angle), (bar, lid, lid_angle))
    return [(_shape(half_sizes, 1.0, rng), _track(place, angle)) for half_sizes, place, angle in parts]


def _distractor(length: int, home: FloatArray, scale: float, rng: Rng) -> tuple[Shape, Track]:
    """Something that stands or moves slowly; about a third of them are not there."""
    half_sizes = scale * rng.uniform(10, 34, 2)
    centre = home + rng.uniform(-1, 1, 2) * 72
    path = [centre[axis] + scale * rng.uniform(0, 20) * _drift(length, rng, 0.03, 0.3) for axis in range(2)]
    angle = rng.uniform(0, 2 * np.pi) + rng.uniform(0, 0.5) * _drift(length, rng, 0.03, 0.3)
    return _shape(half_sizes, float(rng.random() < 0.67), rng), _track(np.stack(path, axis=1), angle)


def _shape(half_sizes: FloatArray, opacity: float, rng: Rng) -> Shape:
    exponent = rng.choice([2.0, 3.0, 4.0, 8.0])
    frequency = _directions(rng, 1)[0] * rng.uniform(0.02, 0.14)
    colour, stripe_colour = rng.uniform(0, 255, (2, 3))
    return Shape(
        half_width=_tensor(half_sizes[0]),
        half_height=_tensor(half_sizes[1]),
        exponent=_tensor(exponent),
        colour=_tensor(colour),
        stripe_colour=_tensor(stripe_colour),
        stripes=_wave(frequency, rng.uniform(0, 2 * np.pi)),
        opacity=_tensor(opacity),
    )


def _wave(frequency: FloatArray, phase: float | FloatArray) -> Wave:
    return Wave(_tensor(frequency[..., 0]), _tensor(frequency[..., 1]), _tensor(phase))


def _track(place: FloatArray, angle: FloatArray) -> Track:
    return Track(_tensor(place[:, 0]), _tensor(place[:, 1]), _tensor(angle))


def _camera(length: int, rng: Rng) -> Camera:
    shift = rng.uniform(2, 10, 2)
    x, y = (shift[axis] * _drift(length, rng, 0.03, 0.15) + 0.8 * _jitter(length, rng) for axis in range(2))
    roll = rng.uniform(0, 0.03) * _drift(length, rng, 0.03, 0.15)
    zoom = 1 + 0.03 * _drift(length, rng, 0.03, 0.15)
    return Camera(_tensor(x), _tensor(y), _tensor(roll), _tensor(zoom))


def _tensor(value: float | FloatArray) -> Tensor:
    return torch.tensor(value, dtype=torch.float32)


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
