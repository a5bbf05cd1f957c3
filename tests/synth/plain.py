"""The renderer once more, plainly: one frame, every formula over every pixel, NumPy in float64."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch

from lcdc_extract.synth.actions import CLASSES, sequence
from lcdc_extract.synth.render import View
from lcdc_extract.synth.scene import SCENE_SIZE, Scene, Shape, Wave, draw_scene, map_tensors

FloatArray = npt.NDArray[np.float64]


def small_scene(seed: int, plan: tuple[int, ...] = (3, 7), frames: int = 20, scale: float = 0.6) -> Scene:
    """A scene of the classes given, `frames` of each."""
    rng = np.random.default_rng(seed)
    poses = sequence([(CLASSES[label], frames) for label in plan], scale, rng)
    return draw_scene(poses, scale, rng)


def draw_frame(scene: Scene, number: int, view: View, corner: tuple[float, float] = (0.0, 0.0)) -> FloatArray:
    """Frame `number` of one scene before rounding, (3, pixels, pixels)."""
    steps = (np.arange(view.pixels) + 0.5) * view.side / view.pixels
    scene = map_tensors(torch.Tensor.double, scene)
    shift_x, shift_y, roll, zoom = (float(part[number]) for part in vars(scene.camera).values())
    seen = (steps + corner[0])[None, :] + 1j * (steps + corner[1])[:, None]
    middle = SCENE_SIZE / 2 * (1 + 1j)
    place = (seen - middle) * np.exp(1j * roll) / zoom + middle + shift_x + 1j * shift_y
    image = _gratings(scene, place)
    for shape in range(len(scene.shapes.opacity)):
        x, y, angle = (float(part[number, shape]) for part in vars(scene.tracks).values())
        own = (place - x - 1j * y) * np.exp(-1j * angle)
        image = _over(image, map_tensors(lambda t, i=shape: t[i], scene.shapes), own, view)
    ramp = np.linspace(-1, 1, view.pixels)
    shading = scene.shading.numpy()
    light = (1 + shading[0] * ramp[None, :] + shading[1] * ramp[:, None]) * float(scene.light[number] * scene.contrast)
    image = (image - 128) * light * scene.tint.numpy()[:, None, None] + 128
    return image + float(scene.noise) * hash_noise(int(scene.noise_seed[number]), view.pixels)


def _gratings(scene: Scene, place: npt.NDArray[np.complex128]) -> FloatArray:
    sines = [_sine(map_tensors(lambda t, i=number: t[i], scene.gratings), place) for number in range(4)]
    first, second = (0.5 + 0.3 * (sines[i] + 0.6 * sines[i + 1]) for i in (0, 2))
    one, two, three = scene.colours.numpy()[:, :, None, None]
    below = (1 - first) * one + first * two
    return (1 - second / 2) * below + second / 2 * three


def _sine(wave: Wave, place: npt.NDArray[np.complex128]) -> FloatArray:
    cycles = float(wave.along_x) * place.real + float(wave.along_y) * place.imag
    return np.sin(2 * np.pi * cycles + float(wave.phase))


def _over(image: FloatArray, shape: Shape, own: npt.NDArray[np.complex128], view: View) -> FloatArray:
    """`own`: the pixels' places from the shape's centre along its axes."""
    width, height, power = float(shape.half_width), float(shape.half_height), float(shape.exponent)
    level = (np.abs(own.real / width) ** power + np.abs(own.imag / height) ** power + 1e-12) ** (1 / power)
    cover = np.clip(0.5 + (1 - level) * min(width, height) * view.pixels / view.side, 0, 1) * float(shape.opacity)
    stripes = 0.5 + 0.5 * _sine(shape.stripes, own)
    one, two = (colour.numpy()[:, None, None] for colour in (shape.colour, shape.stripe_colour))
    return (1 - cover) * image + cover * ((1 - stripes) * one + stripes * two)


def hash_noise(seed: int, pixels: int) -> FloatArray:
    """(3, pixels, pixels), mean 0 and variance 1, in unsigned arithmetic."""
    key = np.arange(3 * pixels**2, dtype=np.uint32) * np.uint32(0x9E3779B1)
    key = key + np.uint32(seed * 0x85EBCA6B % 2**32)
    key = (key ^ (key >> np.uint32(15))) * np.uint32(0x2C1B3C6D)
    key = (key ^ (key >> np.uint32(12))) * np.uint32(0x297A2D39)
    key = key ^ (key >> np.uint32(15))
    total = key.view(np.uint8).reshape(-1, 4).sum(axis=1, dtype=np.float64)
    return ((total - 510) / np.sqrt((256**2 - 1) / 3)).reshape(3, pixels, pixels)
