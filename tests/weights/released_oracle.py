"""The authors' released graph in slow NumPy, float64, written from a description of the graph and from no code of ours.

Arrays are laid out as TensorFlow has them: maps (frames, rows, columns, channels), kernels (kh, kw, in, out), 3-D
kernels (kt, kh, kw, in, out), matrices (in, out); deformable kernels are (out, in, kh, kw). Names are the checkpoint's.
"""

from __future__ import annotations

from typing import Any

import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]
Variables = dict[str, Array]

BLOCKS = {2: "abc", 3: "abcd", 4: "abcdef", 5: "abc"}
WIDTHS = {2: 64, 3: 128, 4: 256, 5: 512}
DEFORMABLE = ("5a", "5b", "5c")
EPSILON = 1e-3
"""The default of tf.contrib's batch_norm."""


def random_variables(seed: int = 0, classes: int = 18) -> Variables:
    """All variables of a trained checkpoint by name, float32, so random that every detail of the graph shows."""
    generator = np.random.default_rng(seed)
    variables: Variables = {}

    def normal(shape: tuple[int, ...], deviation: float, mean: float = 0.0) -> Array:
        return (mean + deviation * generator.standard_normal(shape)).astype(np.float32)

    def kernel(name: str, shape: tuple[int, ...], fan_in: int, gain: float = 1.2) -> None:
        variables[f"{name}/weights"] = normal(shape, gain / fan_in**0.5)

    def bias(name: str, size: int) -> None:
        variables[f"{name}/biases"] = normal((size,), 0.2)

    def norm(name: str, size: int, scale: float = 1.0) -> None:
        variables[f"{name}/gamma"] = (scale * generator.uniform(0.6, 1.2, size)).astype(np.float32)
        variables[f"{name}/beta"] = normal((size,), 0.2)
        variables[f"{name}/moving_mean"] = normal((size,), 0.2)
        # Small enough for epsilon 1e-3 to matter.
        variables[f"{name}/moving_variance"] = generator.uniform(0.3, 1.5, size).astype(np.float32)

    kernel("conv1", (7, 7, 3, 64), 147, 0.02)
    bias("conv1", 64)
    norm("bn_conv1", 64)
    inputs = 64
    for stage, blocks in BLOCKS.items():
        width = WIDTHS[stage]
        for letter in blocks:
            block = f"{stage}{letter}"
            if letter == "a":
                kernel(f"res{block}_branch1", (1, 1, inputs, 4 * width), inputs, 0.7)
                norm(f"bn{block}_branch1", 4 * width)
            kernel(f"res{block}_branch2a", (1, 1, inputs, width), inputs, 0.7)
            if stage == 5:
                kernel(f"res{block}_branch2b_offset", (3, 3, width, 2), 9 * width, 4.5)
                bias(f"res{block}_branch2b_offset", 2)
                kernel(f"res{block}_branch2b", (width, width, 3, 3), 9 * width)
            else:
                kernel(f"res{block}_branch2b", (3, 3, width, width), 9 * width)
            kernel(f"res{block}_branch2c", (1, 1, width, 4 * width), width)
            norm(f"bn{block}_branch2a", width)
            norm(f"bn{block}_branch2b", width)
            norm(f"bn{block}_branch2c", 4 * width, 0.4)
            inputs = 4 * width
    kernel("conv_new_1", (1, 1, 2048, 256), 2048)
    bias("conv_new_1", 256)
    kernel("spacetime_conv1", (4, 3, 3, 262, 256), 36 * 262)
    variables["spacetime_conv1/weights"][..., 256:, :] *= 8  # six of 262 channels, which have to matter
    norm("spacetime_bn1", 256)
    kernel("spacetime_conv2", (4, 3, 3, 256, 256), 36 * 256)
    norm("spacetime_bn2", 256)
    for name, shape in (("fc_new_1", (12544, 1024)), ("fc_new_2", (1024, 1024)), ("cls_score", (1024, classes))):
        kernel(name, shape, shape[0])
        bias(name, shape[1])
    return variables


def run_frames(variables: Variables, frames: Array) -> dict[str, Array]:
    """conv1 .. conv_new_1 of frames (T, 224, 224, 3), RGB minus means: the joints by name."""
    v = {name: array.astype(np.float64) for name, array in variables.items()}
    x = conv(frames.astype(np.float64), v["conv1/weights"], 2, same(frames.shape[1], 7, 2)) + v["conv1/biases"]
    x = np.maximum(batch_norm(v, "bn_conv1", x), 0)  # (T, 112, 112, 64)
    joints = {"pool1": max_pool(x, 3, 2)}  # (T, 55, 55, 64)
    x = joints["pool1"]
    for stage, blocks in BLOCKS.items():
        for letter in blocks:
            block = f"{stage}{letter}"
            x, offset = bottleneck(v, block, x)
            if offset is not None:
                joints[f"offset {block}"] = offset
            joints[f"res{block}"] = x
    x = conv(x, v["conv_new_1/weights"], 1, (0, 0)) + v["conv_new_1/biases"]
    joints["conv_new_1"] = np.maximum(x, 0)
    return joints


def run_snippet(variables: Variables, appearance: Array, offsets: list[Array]) -> dict[str, Array]:
    """fusion .. fc_new_2 of 16 frames: appearance (16, 14, 14, 256) and three offset maps (16, 14, 14, 2)."""
    v = {name: array.astype(np.float64) for name, array in variables.items() if name[:2] in ("sp", "fc")}
    motion = [offset[1:] - offset[:-1] for offset in offsets]
    x = np.concatenate([appearance[:15], *motion], axis=-1)  # (15, 14, 14, 262)
    joints = {"fusion": x}
    for i in (1, 2):
        x = conv_3d(x, v[f"spacetime_conv{i}/weights"])
        x = np.maximum(batch_norm(v, f"spacetime_bn{i}", x), 0)
        steps = len(x) // 2
        x = x[: 2 * steps].reshape(steps, 2, *x.shape[1:]).max(axis=1)
    reduced = x.mean(axis=0)  # (14, 14, 256)
    pooled = max_pool(reduced[None], 2, 2)[0]  # (7, 7, 256)
    flat = pooled.transpose(2, 0, 1).reshape(-1)  # (256, 7, 7) -> (12544,)
    joints["fc_new_1"] = np.maximum(flat @ v["fc_new_1/weights"] + v["fc_new_1/biases"], 0)
    joints["fc_new_2"] = np.maximum(joints["fc_new_1"] @ v["fc_new_2/weights"] + v["fc_new_2/biases"], 0)
    return joints


def bottleneck(v: Variables, block: str, x: Array) -> tuple[Array, Array | None]:
    """One residual block; the offsets where it is deformable."""
    stride = 2 if block in ("3a", "4a") else 1
    shortcut, offset = x, None
    if block[1] == "a":
        shortcut = batch_norm(v, f"bn{block}_branch1", conv(x, v[f"res{block}_branch1/weights"], stride, (0, 0)))
    y = conv(x, v[f"res{block}_branch2a/weights"], stride, (0, 0))
    y = np.maximum(batch_norm(v, f"bn{block}_branch2a", y), 0)
    if block in DEFORMABLE:
        name = f"res{block}_branch2b_offset"
        offset = conv(y, v[f"{name}/weights"], 1, (2, 2), dilation=2) + v[f"{name}/biases"]
        y = deformable(y, neighbourhood(offset), v[f"res{block}_branch2b/weights"])
    else:
        y = conv(y, v[f"res{block}_branch2b/weights"], 1, (1, 1))
    y = np.maximum(batch_norm(v, f"bn{block}_branch2b", y), 0)
    y = batch_norm(v, f"bn{block}_branch2c", conv(y, v[f"res{block}_branch2c/weights"], 1, (0, 0)))
    return np.maximum(y + shortcut, 0), offset


def same(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's SAME: zeros before and after, the odd one after."""
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def conv(x: Array, kernel: Array, stride: int, padding: tuple[int, int], dilation: int = 1) -> Array:
    """(T, H, W, in) with (kh, kw, in, out): a sum over the taps of a matrix product."""
    x = np.pad(x, ((0, 0), padding, padding, (0, 0)))
    kh, kw = kernel.shape[:2]
    rows = (x.shape[1] - dilation * (kh - 1) - 1) // stride + 1
    columns = (x.shape[2] - dilation * (kw - 1) - 1) // stride + 1
    result = np.zeros((len(x), rows, columns, kernel.shape[3]))
    for i in range(kh):
        for j in range(kw):
            top, left = i * dilation, j * dilation
            seen = x[:, top : top + stride * rows : stride, left : left + stride * columns : stride]
            result += multiply(seen[:, :rows, :columns], kernel[i, j])
    return result


def multiply(x: Array, matrix: Array) -> Array:
    """(..., in) with (in, out), as one product of two matrices."""
    return (x.reshape(-1, x.shape[-1]) @ matrix).reshape(*x.shape[:-1], -1)


def conv_3d(x: Array, kernel: Array) -> Array:
    """(time, H, W, in) with (4, 3, 3, in, out), SAME: one step of zeros before, two after."""
    steps = len(x)
    x = np.pad(x, (same(steps, 4, 1), (0, 0), (0, 0), (0, 0)))
    return np.sum([conv(x[t : t + steps], kernel[t], 1, (1, 1)) for t in range(4)], axis=0)


def batch_norm(v: Variables, name: str, x: Array) -> Array:
    """With the stored statistics."""
    scale = v[f"{name}/gamma"] / np.sqrt(v[f"{name}/moving_variance"] + EPSILON)
    return (x - v[f"{name}/moving_mean"]) * scale + v[f"{name}/beta"]


def max_pool(x: Array, size: int, stride: int) -> Array:
    """VALID."""
    rows, columns = ((n - size) // stride + 1 for n in x.shape[1:3])
    result = np.full((len(x), rows, columns, x.shape[3]), -np.inf)
    for i in range(size):
        for j in range(size):
            result = np.maximum(
                result, x[:, i : i + stride * rows : stride, j : j + stride * columns : stride][:, :rows, :columns]
            )
    return result


def neighbourhood(offset: Array) -> Array:
    """(T, H, W, 2) -> (T, H, W, 9, 2): the offsets of the 3x3 neighbours at distance 1, zero outside the map."""
    height, width = offset.shape[1:3]
    padded = np.pad(offset, ((0, 0), (1, 1), (1, 1), (0, 0)))
    return np.stack([padded[:, i : i + height, j : j + width] for i in range(3) for j in range(3)], axis=3)


def deformable(x: Array, offsets: Array, kernel: Array) -> Array:
    """x (T, H, W, in), offsets (T, H, W, 9, 2) as (dy, dx), kernel (out, in, 3, 3): rate 2, but padding 1."""
    frames, height, width, _ = x.shape
    rows, columns = np.mgrid[:height, :width]
    result = np.zeros((frames, height, width, kernel.shape[0]))
    for i in range(3):
        for j in range(3):
            tap = offsets[:, :, :, 3 * i + j]
            sampled = sample(x, rows - 1 + 2 * i + tap[..., 0], columns - 1 + 2 * j + tap[..., 1])
            result += multiply(sampled, kernel[:, :, i, j].T)
    return result


def sample(x: Array, row: Array, column: Array) -> Array:
    """Bilinear at (T, H, W) positions; 0 unless 0 <= row < H and 0 <= column < W, then clamped to the last of each."""
    frames, height, width, _ = x.shape
    inside = (row >= 0) & (row < height) & (column >= 0) & (column < width)
    row = np.clip(row, 0, height - 1)
    column = np.clip(column, 0, width - 1)
    top, left = np.floor(row).astype(int), np.floor(column).astype(int)
    below, right = np.minimum(top + 1, height - 1), np.minimum(left + 1, width - 1)
    down, across = (row - top)[..., None], (column - left)[..., None]
    t = np.arange(frames)[:, None, None]
    upper = (1 - across) * x[t, top, left] + across * x[t, top, right]
    lower = (1 - across) * x[t, below, left] + across * x[t, below, right]
    return np.where(inside[..., None], (1 - down) * upper + down * lower, 0.0)
