"""Each class moves as its definition says, in any scene's scale."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest

from lcdc_extract.synth.actions import CLASSES, FRAMES_PER_SECOND, GLIDE, Poses, segment, sequence

FloatArray = npt.NDArray[np.float64]
FRAMES = 600
SCALE = 0.5
SEEDS = range(6)
AMPLITUDE = (0.85, 1.15)
"""How far an amplitude may leave its range while it swings."""


def draw(name: str, seed: int) -> Poses:
    return segment(name, FRAMES, 0.7, SCALE, np.random.default_rng(seed))


def axes(poses: Poses) -> tuple[FloatArray, FloatArray]:
    """The way along its longest direction and across it, (T,) each, without the mean, in pixels of scale 1."""
    way = (poses.position - poses.position.mean(axis=0)) / SCALE
    along, across = (way @ np.linalg.svd(way, full_matrices=False)[2].T).T
    return along, across


def hertz(wave: FloatArray) -> float:
    """The strongest frequency; the tempo's swing widens it by less than 0.1 Hz."""
    spectrum = np.abs(np.fft.rfft((wave - wave.mean()) * np.hanning(len(wave)), 8 * len(wave)))
    return float(np.fft.rfftfreq(8 * len(wave), 1 / FRAMES_PER_SECOND)[spectrum.argmax()])


def between(value: float, low: float, high: float, slack: tuple[float, float] = (1.0, 1.0)) -> bool:
    return low * slack[0] <= value <= high * slack[1]


def periods(wave: FloatArray) -> FloatArray:
    """Frames from each rise through the middle to the next, to a fraction of a frame."""
    above = wave - (wave.max() + wave.min()) / 2
    rises = np.flatnonzero((above[:-1] < 0) & (above[1:] >= 0))
    return np.diff(rises + above[rises] / (above[rises] - above[rises + 1]))


def test_nine_classes_and_only_some_parts_move() -> None:
    assert len(CLASSES) == 9
    assert CLASSES[0] == "background"
    for name in CLASSES:
        poses = draw(name, 0)
        assert len(poses) == FRAMES
        moves = [np.ptp(part, axis=0).max() > 1e-9 for part in (poses.position, poses.angle, poses.opening)]
        assert moves == [
            name not in ("background", "pour", "open_close"),
            name in ("pour", "shake"),
            name == "open_close",
        ]


@pytest.mark.parametrize(
    ("name", "tempo", "amplitude"), [("cut", (2.2, 3.6), (9, 20)), ("spread", (0.45, 0.8), (24, 42))]
)
@pytest.mark.parametrize("seed", SEEDS)
def test_strokes_to_and_fro(name: str, tempo: tuple[float, float], amplitude: tuple[float, float], seed: int) -> None:
    along, across = axes(draw(name, seed))
    assert np.abs(across).max() < 1e-9
    assert between(hertz(along), *tempo, (0.96, 1.04))
    assert between(np.ptp(along) / 2, *amplitude, AMPLITUDE)
    assert between(np.sqrt(2) * along.std(), *amplitude, (0.9, 1.1))  # a sine's


def test_stir_goes_round_either_way() -> None:
    senses = set()
    for seed in range(12):
        along, across = axes(draw("stir", seed))
        radius = np.ptp(along) / 2
        assert between(hertz(along), 0.9, 2.0, (0.96, 1.04))
        assert between(radius, 14, 34, (0.97, 1.03))
        assert between(np.ptp(across) / np.ptp(along), 0.7, 1.0, (0.97, 1.01))
        assert np.hypot(along, across).min() > 0.65 * radius
        position = draw("stir", seed).position
        x, y = (position - position.mean(axis=0)).T
        senses.add(np.sign(np.median(x[:-1] * np.diff(y) - y[:-1] * np.diff(x))))
    assert senses == {-1.0, 1.0}


@pytest.mark.parametrize("seed", SEEDS)
def test_peel_strokes_slowly_and_returns_quickly(seed: int) -> None:
    along, across = axes(draw("peel", seed))
    assert np.abs(across).max() < 1e-9
    assert between(hertz(along), 1.0, 1.8, (0.96, 1.04))
    assert between(np.ptp(along), 35, 70, (0.8, 1.15))  # frames may miss the turning points
    forward = np.mean(np.diff(along) > 0)
    assert between(max(forward, 1 - forward), 0.68, 0.80, (0.93, 1.07))


@pytest.mark.parametrize("seed", SEEDS)
def test_pour_tilts_holds_and_rests(seed: int) -> None:
    angle = draw("pour", seed).angle
    assert between(np.rad2deg(np.ptp(angle)), 80, 150, (0.999, 1.001))
    wave = (angle - angle.min()) / np.ptp(angle)
    wave = wave if abs(angle.min() - 0.7) < 1e-3 else 1 - wave  # it rests at the angle it was given
    assert between(periods(wave).min(), 17, 99, (0.9, 1))
    assert between(periods(wave).max(), 0, 28, (1, 1.1))
    assert between(np.mean(wave > 0.999), 5 / 25, 8 / 20, (0.7, 1.3))
    assert between(np.mean(wave < 0.001), 2 / 26, 4 / 19, (0.5, 1.5))


@pytest.mark.parametrize("seed", SEEDS)
def test_place_hops_and_stops(seed: int) -> None:
    position = draw("place", seed).position / SCALE
    moving = np.linalg.norm(np.diff(position, axis=0), axis=1) > 1e-9
    starts, ends = (np.flatnonzero(np.diff(moving.astype(int)) == step) + 1 for step in (1, -1))
    starts = starts[:-1]
    ends = ends[ends > starts[0]][: len(starts)]
    assert len(starts) > 20
    distances = np.linalg.norm(position[ends] - position[starts], axis=1)
    assert distances.min() >= 40
    assert distances.max() <= 95
    assert set(ends - starts) <= set(range(7, 12))
    assert set(starts[1:] - ends[:-1]) <= set(range(5, 9))
    middles = (position[starts] + position[ends]) / 2
    for start, end, middle in zip(starts, ends, middles, strict=True):  # eased: as fast before the middle as after
        path = position[start : end + 1]
        assert np.allclose(path + path[::-1], 2 * middle)


@pytest.mark.parametrize("seed", SEEDS)
def test_shake_trembles_in_place_and_angle(seed: int) -> None:
    poses = draw("shake", seed)
    for axis in (poses.position / SCALE).T:
        power = np.abs(np.fft.rfft((axis - axis.mean()) * np.hanning(FRAMES))) ** 2
        frequency = np.fft.rfftfreq(FRAMES, 1 / FRAMES_PER_SECOND)
        assert power[(frequency > 4.5) & (frequency < 7.1)].sum() > 0.97 * power.sum()
        assert np.abs(axis - axis.mean()).max() <= np.sqrt(2) * 10 * 1.15
        assert between(np.sqrt(2) * axis.std(), 5, 10, (0.8, 1.2))  # of two sines with 1 / sqrt 2 each
    assert between(np.rad2deg(np.ptp(poses.angle)) / 2, 3, 9, AMPLITUDE)
    assert between(hertz(poses.angle), 4.6, 7.0, (0.98, 1.02))


@pytest.mark.parametrize("seed", SEEDS)
def test_open_close_parts_and_meets(seed: int) -> None:
    opening = draw("open_close", seed).opening
    assert opening.min() == pytest.approx(0.4, abs=0.01)
    assert opening.max() == pytest.approx(1.9, abs=0.01)
    assert between(periods(opening).min(), 9, 99, (0.9, 1))
    assert between(periods(opening).max(), 0, 17, (1, 1.1))


def test_motion_scales_with_the_scene() -> None:
    for name in ("cut", "stir", "peel", "place", "shake", "spread"):
        small, large = (segment(name, 90, 0.0, scale, np.random.default_rng(8)).position for scale in (0.4, 0.8))
        assert np.allclose(2 * small, large)


def test_a_glide_leads_from_segment_to_segment() -> None:
    plan = [("background", 30), ("pour", 30), ("background", 30)]
    poses = sequence(plan, SCALE, np.random.default_rng(9))
    assert len(poses) == 90
    position = poses.position
    assert np.ptp(position[:30], axis=0).max() == 0
    way = np.linalg.norm(np.diff(position[29 : 30 + GLIDE + 1], axis=0), axis=1)
    assert (way > 0).all()  # GLIDE frames on the way, and the step that arrives
    assert np.linalg.norm(np.diff(position[30 + GLIDE : 60], axis=0), axis=1).max() < 1e-9
    assert way.max() < 2 * np.linalg.norm(position[40] - position[29]) / GLIDE
    assert np.ptp(poses.opening[30 + GLIDE : 60]) == 0
    assert np.abs(np.diff(poses.angle[60:])).max() == 0  # the angle stays where pour left it
