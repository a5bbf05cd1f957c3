"""The temporal head for overlapping windows: the same features as `head.py`, with the shared work done once a frame.

Both 3-D convolutions are sums over four time taps of a 2-D convolution, and a 2-D convolution of one step serves every
window that holds the step. F[t] is the fused map at time t, W_j the spatial kernel of time tap j in -1, 0, 1, 2:

    U_j[t] = W_j * F[t]    full[t] = relu(U_-1[t-1] + U_0[t] + U_1[t+1] + U_2[t+2] + bias)

A window that starts at s sees F[s .. s+14]. Of the 14 steps its first pooling keeps, two differ from full: step s has
no step before it, and step s+13 would need F[s+15]. So its seven pooled steps are

    P0 = max(first[s], full[s+1])    P1..P5 = Q[s+2], Q[s+4] .. Q[s+10], Q[t] = max(full[t], full[t+1])
    P6 = max(full[s+12], last[s+13])

and spacetime_conv2 splits the same way: V_j[t] of Q[t] is shared, the parts of P0 and P6 belong to the window.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from lcdc_extract.config import SNIPPET_LENGTH
from lcdc_extract.network.encoder import EncodedFrames
from lcdc_extract.network.head import TIME_TAPS, TemporalHead
from lcdc_extract.network.rows import as_ranges
from lcdc_extract.ops import receptive_field_motion

BEFORE, NOW, NEXT, AFTER_NEXT = range(TIME_TAPS)
SHARED_STEPS = (2, 4, 6, 8, 10)
"""Places in a window, counted from its start, of the pooled steps P1 .. P5 that other windows share."""


class HeadTaps:
    """Weights of a `TemporalHead`, with batch norm folded in, arranged by time tap. Holds no state of a video."""

    def __init__(self, head: TemporalHead) -> None:
        self.head = head
        self.taps1, self.bias1 = _by_time_tap(head.spacetime_conv1)
        self.taps2, self.bias2 = _by_time_tap(head.spacetime_conv2)

    def convolve1(self, fused: Tensor) -> Tensor:
        """U of fused maps: (T, 262, 14, 14) -> (T, 4, 256, 14, 14)."""
        return _convolve(fused, self.taps1)

    def convolve2(self, pooled: Tensor, taps: Sequence[int] = range(TIME_TAPS)) -> Tensor:
        """V of pooled maps, of neighbouring time taps only: (T, 256, 14, 14) -> (T, len(taps), 256, 14, 14)."""
        return _convolve(pooled, self.taps2[taps[0] : taps[-1] + 1])

    def activate(self, *terms: Tensor) -> Tensor:
        """relu(bias + sum of terms) of spacetime_conv1."""
        return _activate(self.bias1, terms)

    def features(self, steps: list[Tensor]) -> Tensor:
        """fc_new_2 of the six sums of spacetime_conv2 that spacetime_pool2 keeps, each (N, 256, 14, 14)."""
        pooled = [torch.maximum(steps[i], steps[i + 1]) for i in (0, 2, 4)]
        activated = torch.stack([_activate(self.bias2, (step,)) for step in pooled])  # (3, N, 256, 14, 14)
        return self.head.features(activated.mean(dim=0))


class StreamingHead:
    """The temporal head over one video: frames go in, features of any window come out, memory stays bounded.

    `push` frames in order, ask `windows` for those whose frames have arrived, and `forget` what no later window needs.
    """

    def __init__(self, taps: HeadTaps) -> None:
        self.taps = taps
        self.arrived = 0
        self.last: EncodedFrames | None = None
        """The frame pushed last."""
        self._u: Tensor | None = None  # U of F[base .. arrived-2]
        self._base = 0
        self._v: Tensor | None = None  # V of the shared pooled steps worked out so far
        self._v_row: dict[int, int] = {}  # time of a pooled step -> its row in _v

    def push(self, frames: EncodedFrames) -> None:
        """Takes the next frames of the video; F[t] is complete once frame t+1 is there."""
        if not len(frames):
            return
        self.arrived += len(frames)
        appearance, offsets = frames.appearance, frames.offsets
        if self.last is not None:
            appearance = torch.cat([self.last.appearance, appearance])
            offsets = torch.cat([self.last.offsets, offsets])
        self.last = EncodedFrames(appearance[-1:].clone(), offsets[-1:].clone())
        if len(appearance) == 1:
            return
        motion = receptive_field_motion(offsets).to(appearance.dtype)
        u = self.taps.convolve1(torch.cat([appearance[:-1], motion], dim=1))
        self._u = u if self._u is None else torch.cat([self._u, u])

    def windows(self, starts: Sequence[int]) -> Tensor:
        """fc_new_2 of the windows that start at these frames (rising); returns (len(starts), 1024)."""
        return torch.cat([self._run(run) for run in as_ranges(starts)])

    def forget(self, before: int) -> None:
        """Drops what only windows that start earlier than `before` need."""
        if self._u is not None and before > self._base:
            self._u = self._u[before - self._base :]  # its old storage goes with the next push
            self._base = before
        kept = [time for time in self._v_row if time >= before]
        self._v = self._shared(kept) if kept else None
        self._v_row = {time: row for row, time in enumerate(kept)}

    def _run(self, starts: range) -> Tensor:
        taps = self.taps
        if starts[0] < self._base or starts[-1] + SNIPPET_LENGTH > self.arrived:
            raise ValueError(f"windows {starts} need frames outside {self._base} .. {self.arrived - 1}")
        self._work_out_shared(starts)
        u = [self._tap_slices(starts, step) for step in range(SNIPPET_LENGTH - 1)]  # u[step][tap]: (N, 256, 14, 14)
        first = taps.activate(u[0][NOW], u[1][NEXT], u[2][AFTER_NEXT])
        last = taps.activate(u[12][BEFORE], u[13][NOW], u[14][NEXT])
        p0 = taps.convolve2(torch.maximum(first, self._full(u, 1)), (BEFORE, NOW)).unbind(1)
        p6 = taps.convolve2(torch.maximum(self._full(u, 12), last), (NEXT, AFTER_NEXT)).unbind(1)
        p1, p2, p3, p4, p5 = (self._shared([start + step for start in starts]).unbind(1) for step in SHARED_STEPS)
        return taps.features(
            [
                p0[1] + p1[NEXT] + p2[AFTER_NEXT],
                p0[0] + p1[NOW] + p2[NEXT] + p3[AFTER_NEXT],
                p1[BEFORE] + p2[NOW] + p3[NEXT] + p4[AFTER_NEXT],
                p2[BEFORE] + p3[NOW] + p4[NEXT] + p5[AFTER_NEXT],
                p3[BEFORE] + p4[NOW] + p5[NEXT] + p6[1],
                p4[BEFORE] + p5[NOW] + p6[0],
            ]
        )

    def _work_out_shared(self, starts: range) -> None:
        missing = sorted({start + step for start in starts for step in SHARED_STEPS} - self._v_row.keys())
        for run in as_ranges(missing):
            u = [self._tap_slices(run, step) for step in range(-1, 4)]
            v = self.taps.convolve2(torch.maximum(self._full(u, 1), self._full(u, 2)))
            rows = len(self._v_row)
            self._v = v if self._v is None else torch.cat([self._v[:rows], v])
            self._v_row |= {time: rows + i for i, time in enumerate(run)}

    def _shared(self, times: list[int]) -> Tensor:
        """V at these times, (len(times), 4, 256, 14, 14); a view where the rows are evenly spaced."""
        assert self._v is not None
        rows = [self._v_row[time] for time in times]
        step = rows[1] - rows[0] if len(rows) > 1 else 1
        even = step > 0 and rows == list(range(rows[0], rows[-1] + 1, step))
        return self._v[rows[0] : rows[-1] + 1 : step] if even else self._v[rows]

    def _full(self, u: list[tuple[Tensor, ...]], step: int) -> Tensor:
        """full[t] where u[step] holds the taps of t."""
        return self.taps.activate(u[step - 1][BEFORE], u[step][NOW], u[step + 1][NEXT], u[step + 2][AFTER_NEXT])

    def _tap_slices(self, times: range, shift: int) -> tuple[Tensor, ...]:
        """The four taps of U at `times` + shift, as views: 4 x (N, 256, 14, 14)."""
        assert self._u is not None
        begin = times[0] + shift - self._base
        return self._u[begin : begin + times[-1] - times[0] + 1 : times.step].unbind(1)


def _by_time_tap(convolution: torch.nn.Conv3d) -> tuple[Tensor, Tensor]:
    """(256, C, 4, 3, 3) -> (4, 256, C, 3, 3), and the bias that folding the batch norm left, (256, 1, 1)."""
    if convolution.bias is None:
        raise ValueError("streaming needs a network with batch norm folded in: LCDC.for_extraction")
    return convolution.weight.movedim(2, 0).contiguous(), convolution.bias[:, None, None]


def _convolve(x: Tensor, taps: Tensor) -> Tensor:
    y = functional.conv2d(x, taps.flatten(0, 1), padding=1)
    return y.reshape(len(x), *taps.shape[:2], *y.shape[-2:])


def _activate(bias: Tensor, terms: Sequence[Tensor]) -> Tensor:
    total = terms[0] + bias
    for term in terms[1:]:
        total += term
    return total.relu_()
