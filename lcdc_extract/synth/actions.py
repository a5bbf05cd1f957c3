"""The actions: how the actor's position, angle and opening change over time, per class.

Lengths are pixels of the 224x224 scene, times are frames at 15 frames/s, angles radians. What a single frame shows has
the same distribution in every class: see `segment`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Rng = np.random.Generator

FRAMES_PER_SECOND = 15.0
SPREAD = 32.0
"""Standard deviation of the actor's position along each axis, the same for every class; times the scene's scale."""
GLIDE = 6
"""Frames in which the actor moves from one segment's pose to the next; they carry the new label."""
CLOSED, OPEN = 0.4, 1.9
"""Distance of the actor's two parts, in its radii."""
_PLACES = 35.5
"""Standard deviation of the places of `place`; the ways between them lead nearer the middle, so that over all frames it
is SPREAD."""
_PATTERN = 120
"""Frames over which a motion's own covariance is taken."""


@dataclass(frozen=True)
class Poses:
    """The actor over T frames."""

    position: FloatArray
    """(T, 2): x and y from the actor's home."""
    angle: FloatArray
    """(T,)."""
    opening: FloatArray
    """(T,): between CLOSED and OPEN."""

    def __len__(self) -> int:
        return len(self.angle)

    def __getitem__(self, frames: slice) -> Poses:
        return Poses(self.position[frames], self.angle[frames], self.opening[frames])


def segment(name: str, num_frames: int, angle: float, scale: float, rng: Rng) -> Poses:
    """One action, starting anywhere in its cycle.

    So that a frame does not give the class away, the centre is drawn with the covariance that the motion leaves of
    SPREAD^2, the angle goes on from wherever it is, and an opening that does not move is one of open_close's own.
    """
    length = max(num_frames, _PATTERN)
    motion = _MOTIONS[name](rng, length, scale)
    centre = np.zeros(2)
    if name != "place":  # it draws its own places
        rest = (SPREAD * scale) ** 2 * np.eye(2) - np.cov(motion.position.T)
        values, vectors = np.linalg.eigh(rest)
        centre = vectors @ (rng.standard_normal(2) * np.sqrt(values.clip(0))) - motion.position.mean(axis=0)
    opening = motion.opening
    if name != "open_close":
        opening = np.full(length, rng.choice(_open_close(rng, _PATTERN, scale).opening))
    return Poses(motion.position + centre, motion.angle + angle, opening)[:num_frames]


def sequence(plan: Sequence[tuple[str, int]], scale: float, rng: Rng) -> Poses:
    """Segments (class name, frames) one after the other, with a glide at each cut."""
    parts: list[Poses] = []
    angle = rng.uniform(0, 2 * np.pi)
    for name, num_frames in plan:
        part = segment(name, num_frames, angle, scale, rng)
        if parts:
            part = _glide(parts[-1][-1:], part)
        angle = float(part.angle[-1])
        parts.append(part)
    return Poses(
        np.concatenate([part.position for part in parts]),
        np.concatenate([part.angle for part in parts]),
        np.concatenate([part.opening for part in parts]),
    )


def _glide(last: Poses, poses: Poses) -> Poses:
    weight = _ease((np.arange(len(poses)) + 1) / (GLIDE + 1))
    return Poses(
        last.position + weight[:, None] * (poses.position - last.position),
        last.angle + weight * (poses.angle - last.angle),
        last.opening + weight * (poses.opening - last.opening),
    )


def _background(rng: Rng, length: int, scale: float) -> Poses:
    return _still(length)


def _cut(rng: Rng, length: int, scale: float) -> Poses:
    wave = _sine(rng, length, rng.uniform(2.2, 3.6))
    return _along(_direction(rng), scale * rng.uniform(9, 20) * wave)


def _spread(rng: Rng, length: int, scale: float) -> Poses:
    wave = _sine(rng, length, rng.uniform(0.45, 0.8))
    return _along(_direction(rng), scale * rng.uniform(24, 42) * wave)


def _stir(rng: Rng, length: int, scale: float) -> Poses:
    phase = rng.choice([-1, 1]) * _phase(rng, length, rng.uniform(0.9, 2.0))
    radius = scale * rng.uniform(14, 34)
    long, short = _direction(rng), rng.uniform(0.7, 1.0)
    across = np.array([-long[1], long[0]])
    position = radius * (np.outer(np.cos(phase), long) + short * np.outer(np.sin(phase), across))
    return Poses(position, np.zeros(length), np.zeros(length))


def _peel(rng: Rng, length: int, scale: float) -> Poses:
    """A slow stroke and a quick return."""
    slow = rng.uniform(0.68, 0.80)
    cycle = (_phase(rng, length, rng.uniform(1.0, 1.8)) / (2 * np.pi)) % 1
    wave = np.where(cycle < slow, cycle / slow, (1 - cycle) / (1 - slow)) - 0.5
    return _along(_direction(rng), scale * rng.uniform(35, 70) * wave * _unsteady(rng, length))


def _pour(rng: Rng, length: int, scale: float) -> Poses:
    """Tilts, holds, comes back, rests."""
    tilt = rng.choice([-1, 1]) * np.deg2rad(rng.uniform(80, 150))
    wave = _strokes(rng, length, up=(5, 8), hold=(5, 8), down=(5, 8), rest=(2, 4))
    return Poses(np.zeros((length, 2)), tilt * wave, np.zeros(length))


def _place(rng: Rng, length: int, scale: float) -> Poses:
    """Hops from place to place and stops at each."""
    here = rng.standard_normal(2) * _PLACES
    steps: list[FloatArray] = []
    total = 0
    while total < length + 20:
        there = here
        while not 40 <= np.linalg.norm(there - here) <= 95:
            there = rng.standard_normal(2) * _PLACES
        ease = _ease(np.linspace(0, 1, rng.integers(8, 13))[1:])
        steps += [here + ease[:, None] * (there - here), np.repeat(there[None], rng.integers(5, 9), axis=0)]
        total += len(steps[-2]) + len(steps[-1])
        here = there
    start = rng.integers(0, 20)
    position = scale * np.concatenate(steps)[start : start + length]
    return Poses(position, np.zeros(length), np.zeros(length))


def _shake(rng: Rng, length: int, scale: float) -> Poses:
    axes = [sum(_sine(rng, length, rng.uniform(4.6, 7.0)) for _ in range(2)) for _ in range(2)]
    position = scale * rng.uniform(5, 10) / np.sqrt(2) * np.stack(axes, axis=1)
    angle = np.deg2rad(rng.uniform(3, 9)) * _sine(rng, length, rng.uniform(4.6, 7.0))
    return Poses(position, angle, np.zeros(length))


def _open_close(rng: Rng, length: int, scale: float) -> Poses:
    wave = _strokes(rng, length, up=(3.5, 5.5), hold=(1, 3), down=(3.5, 5.5), rest=(1, 3))
    return Poses(np.zeros((length, 2)), np.zeros(length), CLOSED + (OPEN - CLOSED) * wave)


_MOTIONS: dict[str, Callable[[Rng, int, float], Poses]] = {
    "background": _background,
    "cut": _cut,
    "stir": _stir,
    "peel": _peel,
    "pour": _pour,
    "place": _place,
    "shake": _shake,
    "open_close": _open_close,
    "spread": _spread,
}
CLASSES = tuple(_MOTIONS)
"""Class names in the order of their numbers; 0 is background."""


def _still(length: int) -> Poses:
    return Poses(np.zeros((length, 2)), np.zeros(length), np.zeros(length))


def _along(direction: FloatArray, wave: FloatArray) -> Poses:
    return Poses(np.outer(wave, direction), np.zeros(len(wave)), np.zeros(len(wave)))


def _direction(rng: Rng) -> FloatArray:
    angle = rng.uniform(0, 2 * np.pi)
    return np.array([np.cos(angle), np.sin(angle)])


def _phase(rng: Rng, length: int, hertz: float) -> FloatArray:
    """Radians, from anywhere in the cycle, the tempo swinging by up to a quarter of a radian."""
    time = np.arange(length) / FRAMES_PER_SECOND
    swing = 0.25 * np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * time + rng.uniform(0, 2 * np.pi))
    return 2 * np.pi * hertz * time + swing + rng.uniform(0, 2 * np.pi)


def _unsteady(rng: Rng, length: int) -> FloatArray:
    """Amplitude over time, 1 within 15 percent."""
    time = np.arange(length) / FRAMES_PER_SECOND
    return 1 + 0.15 * np.sin(2 * np.pi * rng.uniform(0.1, 0.4) * time + rng.uniform(0, 2 * np.pi))


def _sine(rng: Rng, length: int, hertz: float) -> FloatArray:
    return np.sin(_phase(rng, length, hertz)) * _unsteady(rng, length)


def _ease(progress: FloatArray) -> FloatArray:
    """0 to 1 with no speed at either end."""
    progress = progress.clip(0, 1)
    return progress**2 * (3 - 2 * progress)


def _strokes(rng: Rng, length: int, **frames: tuple[float, float]) -> FloatArray:
    """0 up to 1, hold, down to 0, rest, again and again; each part takes a number of frames between the two given."""
    knots, values = [0.0], [0.0]
    while knots[-1] < length + 60:
        for part, height in zip(("up", "hold", "down", "rest"), (1.0, 1.0, 0.0, 0.0), strict=True):
            knots.append(knots[-1] + rng.uniform(*frames[part]))
            values.append(height)
    time = np.arange(length) + rng.uniform(0, 50)
    return _ease(np.interp(time, knots, values))
